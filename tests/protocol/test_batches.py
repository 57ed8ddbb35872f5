"""Signed batches and the proofs that are cut out of them."""

import pytest
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from protocol import codec, limits
from protocol.batches import Proof, Pruner, from_wire, proof_id, prune, read_wire, sign_batch, to_wire, verify_proof
from protocol.certificate import issue
from protocol.errors import BadProof, LocalError

FOLDER_SEED, WRITER_SEED, OTHER_SEED = (bytes([n]) * 32 for n in (1, 2, 3))
FOLDER_ID, ACTOR = b"folder--folder--", b"actor--1"


def public(seed):
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


FOLDER_PUBLIC = public(FOLDER_SEED)
CERTIFICATE = issue(FOLDER_SEED, FOLDER_ID, bytes(32), public(WRITER_SEED), ACTOR).encode()


def record_hash(number):
    return blake3(b"record %d" % number).digest()


HASHES = [record_hash(number) for number in range(limits.MAX_BATCH)]
FULL = {count: sign_batch(HASHES[:count], WRITER_SEED, CERTIFICATE) for count in (1, 2, 3, 5, 8, 13, 100, 255, 256)}


def verified(proof):
    return verify_proof(proof, FOLDER_PUBLIC, FOLDER_ID)


def rfc6962_root(hashes):
    """The definition of RFC 6962 section 2.1, literally."""
    if len(hashes) == 1:
        return blake3(b"\0" + hashes[0]).digest()
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return blake3(b"\x01" + rfc6962_root(hashes[:k]) + rfc6962_root(hashes[k:])).digest()


@st.composite
def batches_and_kept(draw):
    count = draw(st.sampled_from(sorted(FULL)))
    kept = draw(st.sets(st.integers(0, count - 1), max_size=12) | st.just(set(range(count))))
    return FULL[count], {HASHES[place] for place in kept}


@pytest.mark.parametrize("count", sorted(FULL))
def test_a_full_proof_vouches_for_every_record(count):
    assert verified(FULL[count]) == (ACTOR, frozenset(HASHES[:count]))


@pytest.mark.parametrize("count", sorted(FULL))
def test_what_is_signed_is_the_tree_of_rfc_6962(count):
    signed = b"syncd/1 batch\0" + blake3(CERTIFICATE).digest() + count.to_bytes(4, "big") + rfc6962_root(HASHES[:count])
    assert FULL[count].signature == Ed25519PrivateKey.from_private_bytes(WRITER_SEED).sign(signed)


@pytest.mark.parametrize("count", [0, limits.MAX_BATCH + 1])
def test_a_batch_has_a_size(count):
    with pytest.raises(LocalError, match="batch"):
        sign_batch([bytes(32)] * count, WRITER_SEED, CERTIFICATE)


@given(batches_and_kept())
def test_a_pruned_proof_still_vouches_for_what_was_kept(case):
    proof, kept = case
    pruned = prune(proof, kept)
    hashes = verified(pruned).hashes
    assert kept <= hashes <= verified(proof).hashes
    # A leaf beside what is kept stays: its node is not shorter than its record's hash.
    assert len(hashes) <= max(3 * len(kept), 1)
    assert len(pruned.nodes) <= max(1, len(kept) * (proof.count.bit_length() + 1))


@given(batches_and_kept(), st.data())
def test_pruning_twice_is_pruning_to_the_second(case, data):
    proof, kept = case
    fewer = set(data.draw(st.lists(st.sampled_from(sorted(kept)), unique=True))) if kept else set()
    assert prune(prune(proof, kept), fewer) == prune(proof, fewer)
    assert prune(proof, verified(proof).hashes) == proof


@given(batches_and_kept())
def test_a_pruner_prunes_like_the_function(case):
    proof, kept = case
    pruner = Pruner(proof)
    for keep in (frozenset(kept), frozenset(), verified(proof).hashes, frozenset(kept)):
        assert pruner.prune(keep) == prune(proof, keep)
    pruned = prune(proof, kept)
    assert Pruner(pruned).prune(frozenset()) == prune(pruned, frozenset())


def test_pruning_to_nothing_leaves_one_node():
    assert len(prune(FULL[256], ()).nodes) == 1
    assert verified(prune(FULL[256], ())).hashes == frozenset()
    assert len(prune(FULL[256], (HASHES[77],)).nodes) == 9


@given(batches_and_kept())
def test_the_wire_carries_a_proof_unchanged(case):
    proof = prune(*case)
    raw = codec.pack(to_wire(proof))
    assert from_wire(codec.unpack(raw)) == proof
    assert len(raw) < 300 + 34 * len(proof.nodes)


@given(batches_and_kept())
def test_an_id_names_one_proof_only(case):
    proof, kept = case
    pruned = prune(proof, kept)
    assert len(proof_id(proof)) == 16
    assert (proof_id(pruned) == proof_id(proof)) == (pruned == proof)


@given(batches_and_kept(), st.data())
def test_no_changed_byte_passes(case, data):
    wire = to_wire(prune(*case))
    field = data.draw(st.sampled_from([0, 1, 3, 4]))
    place = data.draw(st.integers(0, len(wire[field]) - 1))
    changed = bytearray(wire[field])
    changed[place] ^= 1 << data.draw(st.integers(0, 7))
    wire[field] = bytes(changed)
    with pytest.raises(BadProof):
        verified(from_wire(wire))


@given(st.sampled_from(sorted(FULL)), st.integers(-3, limits.MAX_BATCH + 2))
def test_no_other_count_passes(count, claimed):
    wire = to_wire(FULL[count])
    wire[2] = claimed
    if claimed != count:
        with pytest.raises(BadProof):
            verified(from_wire(wire))
        with pytest.raises(BadProof):
            verified(FULL[count]._replace(count=claimed))


def test_an_inner_node_never_passes_for_a_record():
    pruned = prune(FULL[8], (HASHES[0],))
    start, width, digest = pruned.nodes[-1]
    assert (start, width) == (4, 4)
    posing = Proof(pruned.certificate, pruned.signature, 5, (*pruned.nodes[:-1], (start, 1, digest)))
    with pytest.raises(BadProof):
        verified(posing)


GOOD = to_wire(prune(FULL[8], (HASHES[0],)))  # widths 1, 1, 2, 4


@pytest.mark.parametrize(
    "wire",
    [
        None,
        b"",
        [],
        GOOD[:4],
        [*GOOD, None],
        [None, *GOOD[1:]],
        [*GOOD[:2], "8", *GOOD[3:]],
        [*GOOD[:2], True, *GOOD[3:]],
        [*GOOD[:3], [0, 0, 1, 3], GOOD[4]],
        [*GOOD[:4], GOOD[4][:-1]],
        [*GOOD[:4], GOOD[4] + bytes(32)],
        [GOOD[0] + b"x", *GOOD[1:]],
        [GOOD[0], GOOD[1][:-1], *GOOD[2:]],
        [*GOOD[:3], b"", b""],
        [*GOOD[:3], bytes(300), bytes(32 * 300)],
        [*GOOD[:3], bytes(9), bytes(32 * 9)],
        [*GOOD[:3], bytes([0, 1, 0, 3]), GOOD[4]],  # not along a split
        [*GOOD[:3], bytes([0, 0, 1, 4]), GOOD[4]],  # beyond the end
        [*GOOD[:3], bytes([0, 0, 1, 2]), GOOD[4]],  # short of the end
        [*GOOD[:3], bytes([3, 3, 0, 0]), GOOD[4]],  # goes on behind the end
    ],
)
def test_malformed_proofs_are_refused_before_any_signature_is_checked(wire):
    with pytest.raises(BadProof):
        from_wire(wire)
    with pytest.raises(BadProof):
        verified(read_wire(wire))


@given(batches_and_kept())
def test_a_proof_that_is_verified_next_need_not_be_looked_at_twice(case):
    proof = prune(*case)
    assert read_wire(to_wire(proof)) == proof
    assert verified(read_wire(to_wire(proof))) == verified(proof)


@given(batches_and_kept())
def test_a_pruner_knows_what_its_proof_covers(case):
    proof, kept = case
    pruner = Pruner(proof)
    assert pruner.covers(frozenset())
    assert pruner.covers(frozenset(kept))
    assert not pruner.covers(frozenset([*kept, bytes(32)]))


@pytest.mark.parametrize("nodes", [
    ((0, 0, bytes(32)),),
    ((0, -1, bytes(32)),),
    ((1, 1, bytes(32)), (0, 1, bytes(32))),
    ((0, 1, bytes(32)), (0, 1, bytes(32))),
    (),
])  # fmt: skip
def test_nodes_that_fit_no_tree_are_refused(nodes):
    proof = FULL[2]._replace(nodes=nodes)
    with pytest.raises(BadProof):
        verified(proof)
    with pytest.raises(BadProof):
        prune(proof, ())


def test_only_a_certificate_of_this_folder_counts():
    with pytest.raises(BadProof):
        verify_proof(FULL[2], public(OTHER_SEED), FOLDER_ID)
    with pytest.raises(BadProof):
        verify_proof(FULL[2], FOLDER_PUBLIC, b"another-folder--")
    forged = issue(OTHER_SEED, FOLDER_ID, bytes(32), public(WRITER_SEED), ACTOR).encode()
    with pytest.raises(BadProof):
        verified(sign_batch(HASHES[:2], WRITER_SEED, forged))


def test_a_batch_is_bound_to_its_certificate():
    other = issue(FOLDER_SEED, FOLDER_ID, bytes(32), public(WRITER_SEED), b"actor--2").encode()
    assert verified(sign_batch(HASHES[:2], WRITER_SEED, other)).actor == b"actor--2"
    with pytest.raises(BadProof, match="signature"):
        verified(FULL[2]._replace(certificate=other))


def test_only_the_writer_of_the_certificate_signs():
    with pytest.raises(BadProof, match="signature"):
        verified(sign_batch(HASHES[:2], OTHER_SEED, CERTIFICATE))
