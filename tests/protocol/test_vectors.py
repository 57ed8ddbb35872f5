"""The package against the vectors of SPEC.md, which an implementation made that shares no code with it."""

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from protocol import codec, content, errors, messages, shown
from protocol.batches import from_wire, prune, sign_batch, to_wire, verify_proof
from protocol.beacon import Beacon, BeaconKeys, Hearing, Instances, tag_of
from protocol.certificate import Certificate, check_tier_proof, issue, tier_proof_ro, tier_proof_rw
from protocol.chunking import blocks, cut
from protocol.content import BadContent, assemble, block_id, build_segments, segment_id
from protocol.edit import Entry, edit_record, found_record
from protocol.frames import FrameReader
from protocol.handshake import Initiator, Responder
from protocol.keys import Tier, derive_read_only, generate_secret, parse_secret
from protocol.limits import REKEY_INTERVAL
from protocol.merge import Liveness, State, conflicts, digest, is_stale_metadata, liveness, merge, winner
from protocol.noise import CipherState, KeyPair
from protocol.pages import Leaf
from protocol.paths import to_key, to_path
from protocol.record import Kind, Record, decode_record
from protocol.transport import Opener, Sealer
from tests.fakes.memory_pages import MemoryPages

VECTORS = Path(messages.__file__).with_name("vectors")
FOLDER = parse_secret(generate_secret(bytes(range(32))))
FAULTS = {
    "frame": errors.FrameError, "codec": errors.CodecError, "message": errors.MessageError, "path": errors.BadPath,
    "record": errors.BadRecord, "content": BadContent,
}  # fmt: skip
Json = dict[str, Any]
hexed = bytes.fromhex


def load(name: str, *kinds: str) -> list[Any]:
    """The entries of a file, of these kinds or all, as parameters of a test."""
    found = [entry for entry in head(name)["entries"] if not kinds or entry["kind"] in kinds]
    assert {entry.get("kind") for entry in found} >= set(kinds)
    return [pytest.param(entry, id=entry["comment"]) for entry in found]


def head(name: str) -> Json:
    return dict(json.loads((VECTORS / name).read_text()))


def value_of(shown_value: Any) -> Any:
    """A codec value from its JSON."""
    if isinstance(shown_value, str | dict):
        return hexed(shown_value) if isinstance(shown_value, str) else shown_value["text"]
    return [value_of(item) for item in shown_value] if isinstance(shown_value, list) else shown_value


def generated(rule: Json) -> bytes:
    return blake3(rule["seed"].encode()).digest(rule["size"])


def test_the_generator_makes_these_files() -> None:
    command = [sys.executable, str(VECTORS / "generate.py"), "--check"]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (outcome.returncode, outcome.stderr) == (0, "")


def test_the_generator_shares_no_code() -> None:
    lines = (VECTORS / "generate.py").read_text().splitlines()
    imported = {line.split()[1].split(".")[0] for line in lines if line.startswith(("import ", "from "))}
    assert imported - set(sys.stdlib_module_names) <= {"cryptography", "blake3", "xxhash", "msgpack"}


# ---- keys


@pytest.mark.parametrize("entry", load("keys.json", "schedule"))
def test_keys(entry: Json) -> None:
    assert generate_secret(hexed(entry["s_rw"])) == entry["read_write"]
    assert derive_read_only(entry["read_write"]) == entry["read_only"]
    for text, tier in (("read_write", Tier.READ_WRITE), ("read_only", Tier.READ_ONLY), ("relay", Tier.RELAY)):
        keys = parse_secret(entry[text])
        assert keys.tier == tier
        assert keys.fingerprint == entry["fingerprint"]
        assert [keys.folder_id, keys.psk, keys.beacon_key, keys.tag_key, keys.folder_public] == [
            hexed(entry[name]) for name in ("folder_id", "psk", "k_beacon", "k_tag", "fpk")
        ]
        if tier >= Tier.READ_ONLY:
            assert (keys.ro_proof, keys.block_key) == (hexed(entry["k_ro"]), hexed(entry["k_block"]))
            assert keys.page_seed == entry["page_seed"]
        if tier == Tier.READ_WRITE:
            assert keys.folder_signing == hexed(entry["fsk"])
    assert segment_id(hexed(entry["k_block"]), b"x") == blake3(b"x", key=hexed(entry["k_segment"])).digest()


@pytest.mark.parametrize("entry", load("keys.json", "accepted", "refused"))
def test_secret(entry: Json) -> None:
    if entry["kind"] == "accepted":
        assert parse_secret(entry["text"]) == parse_secret(entry["same_as"])
    else:
        with pytest.raises(errors.SecretError):
            parse_secret(entry["text"])


@pytest.mark.parametrize("entry", load("keys.json", "node"))
def test_node_key(entry: Json) -> None:
    assert KeyPair(hexed(entry["private"])).public == hexed(entry["public"])


# ---- handshake


TRANSCRIPTS = pytest.mark.parametrize("entry", load("handshake.json", "transcript"))


@TRANSCRIPTS
def test_handshake(entry: Json) -> None:
    """Each side against the transcript, as far as that side's own payload is empty."""
    keys, stranger = parse_secret(entry["secret"]), parse_secret(generate_secret(bytes(32)))
    first, second, third = map(hexed, entry["messages"])
    payload_2, payload_3 = entry["payloads"]
    if not payload_3:
        initiator = Initiator(keys, hexed(entry["initiator_static"]), hexed(entry["initiator_ephemeral"]))
        assert (initiator.start(), initiator.receive(second)) == (first, third)
        check_result(initiator, entry, "initiator", "responder")
    if not payload_2:
        private = hexed(entry["responder_static"]), hexed(entry["responder_ephemeral"])
        responder = Responder([stranger, keys], *private)
        assert (responder.receive(first), responder.receive(third)) == (second, b"")
        check_result(responder, entry, "responder", "initiator")


def check_result(side: Initiator | Responder, entry: Json, own: str, other: str) -> None:
    result = side.result
    assert result is not None
    assert result.keys == parse_secret(entry["secret"])
    assert result.remote_static == KeyPair(hexed(entry[f"{other}_static"])).public
    assert result.handshake_hash == hexed(entry["handshake_hash"])
    assert result.send.encrypt_with_ad(b"", b"x") == seal(entry[f"key_to_{other}"], b"x")
    assert result.recv.encrypt_with_ad(b"", b"x") == seal(entry[f"key_to_{own}"], b"x")


def seal(key: str, plaintext: bytes) -> bytes:
    return AESGCM(hexed(key)).encrypt(bytes(12), plaintext, b"")


@TRANSCRIPTS
def test_proofs_of_a_tier(entry: Json) -> None:
    keys, bound = parse_secret(entry["secret"]), hexed(entry["handshake_hash"])
    assert keys.folder_signing is not None
    for proof in entry["proofs"]:
        side = "initiator" if proof["initiator"] else "responder"
        node_key, seed = KeyPair(hexed(entry[f"{side}_static"])).public, hexed(proof["writer_seed"])
        writer = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
        raw, actor = hexed(proof["certificate"]), hexed(proof["actor"])
        assert issue(keys.folder_signing, keys.folder_id, node_key, writer, actor).encode() == raw
        assert tier_proof_ro(keys, proof["initiator"], bound) == hexed(proof["read_only"])
        assert tier_proof_rw(seed, proof["initiator"], bound) == hexed(proof["read_write"])
        for tier, text, certificate in ((Tier.READ_ONLY, "read_only", b""), (Tier.READ_WRITE, "read_write", raw)):
            claim = (keys, tier, proof["initiator"], bound, hexed(proof[text]), certificate, node_key)
            assert check_tier_proof(*claim) == (tier, Certificate.decode(raw) if certificate else None)
            with pytest.raises(errors.BadProof):
                check_tier_proof(keys, tier, not proof["initiator"], *claim[3:])


@pytest.mark.parametrize("entry", load("handshake.json", "refused"))
def test_refused_handshake(entry: Json) -> None:
    keys, private = parse_secret(entry["secret"]), (hexed(entry["static"]), hexed(entry["ephemeral"]))
    received, sent_before = hexed(entry["received"]), hexed(entry["sent_before"])
    if entry["at"] == "initiator":
        initiator = Initiator(keys, *private)
        assert initiator.start() == sent_before
        with pytest.raises(errors.HandshakeError):
            initiator.receive(received)
        return
    responder, sent = Responder([keys], *private), bytearray()

    def feed() -> None:
        for place in range(len(received)):
            sent.extend(responder.receive(received[place : place + 1]))

    with pytest.raises(errors.HandshakeError):
        feed()
    assert sent == sent_before


# ---- transport


def cipher(key: str) -> CipherState:
    state = CipherState()
    state.initialize_key(hexed(key))
    return state


@pytest.mark.parametrize("entry", load("transport.json", "stream"))
def test_transport_over_rekeys(entry: Json) -> None:
    sealer, opener = Sealer(cipher(entry["key"])), Opener(cipher(entry["key"]))
    known = {item["number"]: hexed(item["record"]) for item in entry["records"]}
    assert max(known) == 2 * REKEY_INTERVAL
    for number in range(max(known) + 1):
        plaintext = bytes([number % 251])
        (record,) = sealer.seal([plaintext])
        assert number not in known or record == known[number]
        assert opener.feed(record) == plaintext


@pytest.mark.parametrize("entry", load("transport.json", "largest", "refused"))
def test_transport_record(entry: Json) -> None:
    opener = Opener(cipher(entry["key"]))
    if entry["kind"] == "refused":
        with pytest.raises(errors.TransportError):
            opener.feed(hexed(entry["stream"]))
        return
    plaintext = generated(entry["plaintext"])
    (record,) = Sealer(cipher(entry["key"])).seal([plaintext])
    assert blake3(record).hexdigest() == entry["hash"]
    assert opener.feed(record) == plaintext


# ---- codec and messages


def bytes_of(entry: Json) -> bytes:
    if "bytes" in entry:
        return hexed(entry["bytes"])
    return b"".join(hexed(piece) * times for piece, times in entry["pieces"])


@pytest.mark.parametrize("entry", load("codec.json"))
def test_encoding(entry: Json) -> None:
    raw = bytes_of(entry)
    if entry["kind"] == "refused":
        with pytest.raises(errors.CodecError):
            codec.unpack(raw)
        return
    value = codec.unpack(raw)
    assert codec.pack(value) == raw
    if "value" in entry:
        expected = value_of(entry["value"])
        assert (value, type(value)) == (expected, type(expected))


def read(entry: Json) -> list[tuple[messages.Message, bytes]]:
    """The messages of a frame, with their bodies."""
    frames = FrameReader(messages.BY_TYPE).feed(hexed(entry["frame"]))
    return [(messages.decode(kind, body), bytes(body)) for kind, body in frames]


@pytest.mark.parametrize("entry", load("messages.json", "accepted"))
def test_accepted_message(entry: Json) -> None:
    found = read(entry)
    if entry["message"] is None:
        assert found == []
        return
    ((message, body),) = found
    assert type(message).__name__.upper() == entry["message"].replace("_", "")
    encoded, fields = b"".join(messages.encode(message)), value_of(entry["fields"])
    if isinstance(message, messages.Objects):
        header = codec.pack(fields)
        assert encoded == body
        assert encoded[: 4 + len(header)] == len(header).to_bytes(4, "big") + header
        found_hashes = [None if item is None else blake3(item).hexdigest() for item in message.objects]
        assert found_hashes == entry["object_hashes"]
    else:
        assert codec.unpack(encoded) == fields


def test_every_message_has_a_vector() -> None:
    named = {entry["message"] for entry in head("messages.json")["entries"] if entry.get("message")}
    assert {name.replace("_", "") for name in named} == {cls.__name__.upper() for cls in messages.BY_TYPE.values()}


@pytest.mark.parametrize("entry", load("messages.json", "refused"))
def test_refused_message(entry: Json) -> None:
    with pytest.raises(FAULTS[entry["class"]]):
        read(entry)


# ---- records and merging


@pytest.mark.parametrize("entry", load("records.json"))
def test_record(entry: Json) -> None:
    raw = hexed(entry["bytes"])
    if entry["kind"] == "refused":
        with pytest.raises(FAULTS[entry["class"]]):
            decode_record(raw, FOLDER.folder_id)
        return
    record = decode_record(raw, FOLDER.folder_id)
    assert record.hash == hexed(entry["hash"])
    assert codec.pack(value_of(entry["fields"])) == raw
    assert to_path(to_key(record.path)) == record.path


def state_of(raws: Iterable[str]) -> State:
    return tuple(sorted((decode_record(hexed(raw), FOLDER.folder_id) for raw in raws), key=lambda r: r.hash))


@pytest.mark.parametrize("entry", load("merge.json", "merge"))
def test_merge(entry: Json) -> None:
    states = [state_of(raws) for raws in entry["states"]]
    expected = [hexed(item) for item in entry["merged"]]
    one_by_one = merge()
    for record in [record for state in reversed(states) for record in reversed(state)]:
        one_by_one = merge(one_by_one, (record,))
    for merged in (merge(*states), merge(*reversed(states)), merge(*states, *states), one_by_one):
        assert [record.hash for record in merged] == expected
    best = winner(merged)
    assert (best and best.hash.hex()) == entry["winner"]
    assert digest(merged).hex() == entry["digest"]
    assert [record.hash.hex() for record in conflicts(merged)] == entry["conflicts"]
    assert [record.hash.hex() for record in merged if is_stale_metadata(record, merged)] == entry["stale"]
    assert liveness(merged).name == entry["liveness"]


def entry_of(value: Json | None) -> Entry | None:
    if value is None:
        return None
    kind, numbers = Kind(value["kind"]), (value["size"], value["mode"], value["mtime"])
    return Entry(kind, hexed(value["content"]), *numbers, hexed(value["target"]))


@pytest.mark.parametrize("entry", load("merge.json", "edit"))
def test_edit(entry: Json) -> None:
    actor, counter = entry["dot"]
    before, after = entry_of(entry["before"]), entry_of(entry["after"])
    arguments = (state_of(entry["state"]), before, after, (hexed(actor), counter), entry["stamp"], FOLDER.folder_id)
    assert edit_record(hexed(entry["path"]), *arguments).raw == hexed(entry["record"])


@pytest.mark.parametrize("entry", load("merge.json", "found"))
def test_found(entry: Json) -> None:
    (actor, counter), after = entry["dot"], entry_of(entry["after"])
    assert after is not None
    stamp = min(after.mtime, entry["now"])
    record = found_record(hexed(entry["path"]), after, (hexed(actor), counter), stamp, FOLDER.folder_id)
    assert record.raw == hexed(entry["record"])


class Manifest:
    """Implements shown.View."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._states: dict[bytes, State] = {}
        for record in records:
            key = to_key(record.path)
            self._states[key] = merge(self.state(key), (record,))

    def state(self, key: bytes) -> State:
        return self._states.get(key, ())

    def liveness_below(self, key: bytes) -> Liveness:
        below = [liveness(state) for other, state in self._states.items() if other.startswith(key + b"\0")]
        return max(below, default=Liveness.DEAD)


@pytest.mark.parametrize("entry", load("merge.json", "shown"))
def test_shown(entry: Json) -> None:
    manifest = Manifest(state_of(entry["records"]))
    for path, expected in entry["shown"]:
        assert shown.shown(hexed(path), manifest) == entry_of(expected), path


# ---- batches


@pytest.mark.parametrize("entry", load("batches.json"))
def test_proof(entry: Json) -> None:
    about = head("batches.json")
    folder = hexed(about["folder_public"]), hexed(about["folder_id"])
    wire = codec.unpack(hexed(entry["proof"]))
    if entry["kind"] == "refused":
        with pytest.raises(errors.BadProof):
            verify_proof(from_wire(wire), *folder)
        return
    proof = from_wire(wire)
    verified = verify_proof(proof, *folder)
    leaves = [blake3(b"record %d" % n).digest() for n in range(proof.count)]
    whole = sign_batch(leaves, hexed(about["writer_seed"]), hexed(about["certificate"]))
    kept = frozenset(map(hexed, entry["kept"]))
    assert to_wire(proof) == wire == to_wire(prune(whole, kept))
    assert verified.actor == hexed(entry["actor"])
    assert verified.hashes == frozenset(map(hexed, entry.get("vouched") or entry["kept"]))
    assert verified.hashes >= kept


# ---- pages


def whole(key: bytes) -> bytes:
    return key[1:].rjust(3_872, b".") if key.startswith(b"=") else key


@pytest.mark.parametrize("entry", load("pages.json"))
def test_pages(entry: Json) -> None:
    keys, weights = [whole(hexed(key)) for key in entry["keys"]], entry["weights"]
    if len(weights) != len(keys):
        weights = [len(key) + weights[0] for key in keys]
    leaves = [Leaf(key, blake3(key).digest(), weight) for key, weight in zip(keys, weights, strict=True)]
    at_once, bit_by_bit = MemoryPages(entry["seed"]), MemoryPages(entry["seed"])
    at_once.put(leaves)
    for start in range(7):
        bit_by_bit.put(leaves[start::7])
    for storage in (at_once, bit_by_bit):
        for level, pages in enumerate(entry["levels"]):
            expected = [(whole(hexed(first)), hexed(hash_), count) for first, hash_, count in pages]
            assert storage.pages(level, b"", None) == expected
        level, hash_, count = storage.root()
        assert [level, hash_.hex(), count] == entry["root"]


# ---- contents

KEY = FOLDER.block_key or b""


@pytest.mark.parametrize("entry", load("contents.json", "small", "cut"))
def test_content_without_a_list(entry: Json) -> None:
    assert hexed(head("contents.json")["k_block"]) == KEY
    if entry["kind"] == "cut":
        assert cut(bytes(entry["zeros"]), True) == entry["lengths"]
    else:
        assert block_id(KEY, generated(entry["data"])) == hexed(entry["content_id"])


@pytest.mark.parametrize("entry", load("contents.json", "large"))
def test_large_content(entry: Json) -> None:
    data = generated(entry["data"])
    assert cut(data, True) == entry["lengths"]
    pieces = list(blocks([data[place : place + 10_000] for place in range(0, len(data), 10_000)]))
    listed = [(block_id(KEY, piece), len(piece)) for piece in pieces]
    assert [identity.hex() for identity, _ in listed] == entry["blocks"]
    check_list(listed, entry["content_id"], entry["segments"])


def check_list(listed: Sequence[tuple[bytes | None, int]], top: str, segments: Sequence[str]) -> None:
    content_id, made = build_segments(KEY, listed)
    assert content_id == hexed(top)
    assert sorted(made.values()) == sorted(map(hexed, segments))
    found = assemble(content_id, made.get, sum(length for _, length in listed))
    assert [(block.id, block.length) for block in found] == list(listed)


@pytest.mark.parametrize("entry", load("contents.json", "list"))
def test_list_with_holes(entry: Json) -> None:
    listed = [(identity and hexed(identity), length) for identity, length in entry["list"]]
    check_list(listed, entry["content_id"], entry["segments"])


@pytest.mark.parametrize("entry", load("contents.json", "rule"))
def test_list_by_a_rule(entry: Json) -> None:
    every = entry["hole_every"]
    listed: list[tuple[bytes | None, int]] = []
    for number in range(entry["count"]):
        identity = blake3(f"{entry['tag']} {number}".encode()).digest()
        if entry["divisible"]:
            identity = bytes(8) + identity[8:]
        hole = every and number % every == every - 1
        listed.append((None, 1 << 20) if hole else (identity, 65_536 + number % 1_000))
    content_id, segments = build_segments(KEY, listed)
    assert content_id == hexed(entry["content_id"])
    assert len(segments) == entry["segment_count"]
    assert blake3(b"".join(sorted(segments))).hexdigest() == entry["segments_hash"]
    depth, at = 0, content.decode_segment(segments[content_id])
    while isinstance(at, content.Node):
        depth, at = depth + 1, content.decode_segment(segments[at.entries[0][0]])
    assert depth == entry["depth"]


@pytest.mark.parametrize("entry", load("contents.json", "refused"))
def test_refused_list(entry: Json) -> None:
    segments = {segment_id(KEY, hexed(raw)): hexed(raw) for raw in entry["segments"]}
    top = segment_id(KEY, hexed(entry["segments"][0]))
    with pytest.raises(FAULTS[entry["class"]]):
        assemble(top, segments.get, entry["size"])


# ---- beacons


@pytest.mark.parametrize("entry", load("beacon.json", "accepted"))
def test_the_keys_open_a_beacon(entry: Json) -> None:
    datagram, fields = hexed(entry["datagram"]), entry["fields"]
    day = (fields["unix_ms"] // 86_400_000).to_bytes(4, "big")
    key = HKDFExpand(SHA256(), 32, b"day" + day).derive(FOLDER.beacon_key)
    payload = AESGCM(key).decrypt(datagram[16:28], datagram[28:], datagram[:28])
    expected = hexed(fields["instance"]) + fields["seq"].to_bytes(8, "big") + fields["unix_ms"].to_bytes(8, "big")
    expected += fields["tcp_port"].to_bytes(2, "big") + hexed(fields["node_id"]) + fields["minor"].to_bytes(2, "big")
    assert (len(datagram), payload) == (144, expected + hexed(fields["root"]) + bytes(16))


def hear(entry: Json) -> tuple[Hearing | None, Beacon | None]:
    """What becomes of a datagram, and the beacon in it."""
    datagram, now, keys = hexed(entry["datagram"]), entry["now_ms"], BeaconKeys(FOLDER)
    instances = Instances(hexed(head("beacon.json")["own_instance"]))
    hour = keys.tags(now).get(tag_of(datagram))
    beacon = keys.open(datagram, hour, now) if hour is not None else None
    if beacon is None:
        return None, None
    if entry["last_seq"] is not None:
        assert instances.hear(replace(beacon, seq=entry["last_seq"]), beacon.unix_ms) is Hearing.ACCEPTED
    return instances.hear(beacon, now), beacon


@pytest.mark.parametrize("entry", load("beacon.json", "accepted"))
def test_beacons_are_accepted(entry: Json) -> None:
    fields = {key: hexed(value) if isinstance(value, str) else value for key, value in entry["fields"].items()}
    assert hear(entry) == (Hearing.ACCEPTED, Beacon(**fields))


@pytest.mark.parametrize("entry", load("beacon.json", "accepted"))
def test_beacons_are_sealed_alike(entry: Json) -> None:
    datagram = hexed(entry["datagram"])
    beacon = hear(entry)[1]
    assert beacon is not None
    assert BeaconKeys(FOLDER).seal(beacon, datagram[16:28]) == datagram


@pytest.mark.parametrize("entry", load("beacon.json", "refused"))
def test_beacons_are_ignored(entry: Json) -> None:
    assert hear(entry)[0] is not Hearing.ACCEPTED


def test_no_file_is_left_out() -> None:
    names = {path.name for path in VECTORS.glob("*.json")}
    assert names == {name for name in names if f'load("{name}"' in Path(__file__).read_text()}
