"""Certificates and tier proofs: they hold for who they were made for, and for nothing else."""

import dataclasses
import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.certificate import (
    CERTIFICATE_SIZE,
    Certificate,
    check_tier_proof,
    check_tier_proof_ro,
    check_tier_proof_rw,
    issue,
    tier_proof_ro,
    tier_proof_rw,
)
from protocol.errors import BadProof, LocalError
from protocol.keys import FolderKeys, Tier, derive_read_only, generate_secret, parse_secret

SECRET = generate_secret(bytes(range(32)))
KEYS = parse_secret(SECRET)
READ_ONLY = parse_secret(derive_read_only(SECRET))
RELAY = dataclasses.replace(
    READ_ONLY, tier=Tier.RELAY, ro_proof=None, block_key=None, page_seed=None
)  # what a relay secret of the folder gives
OTHER = parse_secret(generate_secret(bytes(32)))
WRITER = b"w" * 32
WRITER_PUBLIC = Ed25519PrivateKey.from_private_bytes(WRITER).public_key().public_bytes_raw()
NODE, ACTOR = b"n" * 32, b"actor-01"
HASH, OTHER_HASH = b"h" * 32, b"o" * 32
SIDES = pytest.mark.parametrize("initiator", [True, False])


def issued(keys: FolderKeys = KEYS, node: bytes = NODE) -> Certificate:
    assert keys.folder_signing is not None
    return issue(keys.folder_signing, keys.folder_id, node, WRITER_PUBLIC, ACTOR)


def test_what_is_signed() -> None:
    certificate = issued()
    body = KEYS.folder_id + NODE + WRITER_PUBLIC + ACTOR
    assert certificate.encode() == body + certificate.signature
    signed = b"syncd/1 certificate\0" + body
    Ed25519PublicKey.from_public_bytes(KEYS.folder_public).verify(certificate.signature, signed)
    assert (
        hashlib.sha256(certificate.encode()).hexdigest()
        == "b97d14d8a9355e7a2ac8584ef7d6146284d52b33b99ce3d4b4ffbb980b80c596"
    )


def test_a_certificate_survives_its_bytes() -> None:
    raw = issued().encode()
    assert len(raw) == CERTIFICATE_SIZE == 152
    decoded = Certificate.decode(raw)
    assert decoded == issued()
    decoded.verify(KEYS.folder_public, KEYS.folder_id)


@pytest.mark.parametrize("raw", [b"", bytes(CERTIFICATE_SIZE - 1), bytes(CERTIFICATE_SIZE + 1)])
def test_a_certificate_has_one_size(raw: bytes) -> None:
    with pytest.raises(BadProof, match=f"certificate of {len(raw)} bytes"):
        Certificate.decode(raw)


@settings(deadline=None)
@given(bit=st.integers(0, 8 * CERTIFICATE_SIZE - 1))
def test_no_changed_certificate_holds(bit: int) -> None:
    raw = bytearray(issued().encode())
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BadProof):
        Certificate.decode(bytes(raw)).verify(KEYS.folder_public, KEYS.folder_id)


def test_a_certificate_is_of_one_folder() -> None:
    with pytest.raises(BadProof, match="another folder"):
        issued().verify(KEYS.folder_public, OTHER.folder_id)
    with pytest.raises(BadProof, match="not signed"):
        issued().verify(OTHER.folder_public, KEYS.folder_id)


@pytest.mark.parametrize("field", range(4))
@pytest.mark.parametrize("change", [-1, 1])
def test_fields_of_a_wrong_size_are_not_issued(field: int, change: int) -> None:
    fields = [KEYS.folder_id, NODE, WRITER_PUBLIC, ACTOR]
    fields[field] = bytes(len(fields[field]) + change)
    with pytest.raises(LocalError, match="wrong size"):
        issue(b"s" * 32, *fields)


@SIDES
def test_proof_of_the_read_only_tier(initiator: bool) -> None:
    proof = tier_proof_ro(READ_ONLY, initiator, HASH)
    assert READ_ONLY.ro_proof is not None
    message = b"syncd/1 ro-proof" + (b"\x00" if initiator else b"\x01") + HASH
    assert proof == hmac.new(READ_ONLY.ro_proof, message, hashlib.sha256).digest()
    for keys in (KEYS, READ_ONLY):
        check_tier_proof_ro(keys, initiator, HASH, proof)


@SIDES
def test_proof_of_the_read_write_tier(initiator: bool) -> None:
    proof = tier_proof_rw(WRITER, initiator, HASH)
    message = b"syncd/1 rw-proof\0" + (b"\x00" if initiator else b"\x01") + HASH
    Ed25519PublicKey.from_public_bytes(WRITER_PUBLIC).verify(proof, message)
    for keys in (KEYS, READ_ONLY, RELAY):
        assert check_tier_proof_rw(keys, initiator, HASH, proof, issued().encode(), NODE) == issued()


@SIDES
def test_a_read_only_proof_holds_nowhere_else(initiator: bool) -> None:
    proof = tier_proof_ro(READ_ONLY, initiator, HASH)
    for keys, side, handshake_hash, wrong in (
        (READ_ONLY, not initiator, HASH, proof),
        (READ_ONLY, initiator, OTHER_HASH, proof),
        (OTHER, initiator, HASH, proof),
        (READ_ONLY, initiator, HASH, b""),
        (READ_ONLY, initiator, HASH, proof + b"\0"),
        (READ_ONLY, initiator, HASH, proof[:-1] + bytes([proof[-1] ^ 1])),
    ):
        with pytest.raises(BadProof, match="read-only tier"):
            check_tier_proof_ro(keys, side, handshake_hash, wrong)


@SIDES
def test_a_read_write_proof_holds_nowhere_else(initiator: bool) -> None:
    proof, raw = tier_proof_rw(WRITER, initiator, HASH), issued().encode()
    for keys, side, handshake_hash, wrong, certificate, node, reason in (
        (KEYS, not initiator, HASH, proof, raw, NODE, "read-write tier"),
        (KEYS, initiator, OTHER_HASH, proof, raw, NODE, "read-write tier"),
        (KEYS, initiator, HASH, tier_proof_rw(b"v" * 32, initiator, HASH), raw, NODE, "read-write tier"),
        (KEYS, initiator, HASH, tier_proof_ro(KEYS, initiator, HASH), raw, NODE, "read-write tier"),
        (KEYS, initiator, HASH, b"", raw, NODE, "read-write tier"),
        (KEYS, initiator, HASH, proof, raw, b"m" * 32, "another node"),
        (KEYS, initiator, HASH, proof, issued(node=b"m" * 32).encode(), NODE, "another node"),
        (OTHER, initiator, HASH, proof, raw, NODE, "another folder"),
        (KEYS, initiator, HASH, proof, b"", NODE, "certificate of 0 bytes"),
    ):
        with pytest.raises(BadProof, match=reason):
            check_tier_proof_rw(keys, side, handshake_hash, wrong, certificate, node)


def test_nobody_else_can_issue() -> None:
    """A read-only peer that signs its own certificate."""
    forged = issue(WRITER, KEYS.folder_id, NODE, WRITER_PUBLIC, ACTOR).encode()
    with pytest.raises(BadProof, match="not signed"):
        check_tier_proof_rw(KEYS, True, HASH, tier_proof_rw(WRITER, True, HASH), forged, NODE)


@pytest.mark.parametrize(
    ("keys", "claimed", "proven"),
    [
        (KEYS, Tier.RELAY, Tier.RELAY),
        (KEYS, Tier.READ_ONLY, Tier.READ_ONLY),
        (READ_ONLY, Tier.READ_WRITE, Tier.READ_WRITE),
        (RELAY, Tier.RELAY, Tier.RELAY),
        (RELAY, Tier.READ_ONLY, Tier.RELAY),
        (RELAY, Tier.READ_WRITE, Tier.READ_WRITE),
    ],
)
def test_a_peer_has_the_tier_that_it_proves(keys: FolderKeys, claimed: Tier, proven: Tier) -> None:
    proofs = {
        Tier.RELAY: (b"", b""),
        Tier.READ_ONLY: (tier_proof_ro(READ_ONLY, False, HASH), b""),
        Tier.READ_WRITE: (tier_proof_rw(WRITER, False, HASH), issued().encode()),
    }
    certificate = issued() if claimed == Tier.READ_WRITE else None
    assert check_tier_proof(keys, claimed, False, HASH, *proofs[claimed], NODE) == (proven, certificate)


@pytest.mark.parametrize("claimed", [Tier.READ_ONLY, Tier.READ_WRITE])
def test_a_claim_without_its_proof_is_refused(claimed: Tier) -> None:
    with pytest.raises(BadProof):
        check_tier_proof(KEYS, claimed, False, HASH, b"", b"", NODE)


def test_what_a_caller_may_not_do() -> None:
    with pytest.raises(LocalError, match="relay secret"):
        tier_proof_ro(RELAY, True, HASH)
    with pytest.raises(LocalError, match="hash of 31 bytes"):
        tier_proof_rw(WRITER, True, HASH[:31])
