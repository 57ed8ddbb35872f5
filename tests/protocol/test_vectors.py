"""The package against the vectors of SPEC.md, and those for what goes over the wire."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from protocol import codec, errors, messages
from protocol.beacon import Beacon, BeaconKeys, Hearing, Instances, tag_of
from protocol.certificate import Certificate, check_tier_proof, issue, tier_proof_ro, tier_proof_rw
from protocol.content import segment_id
from protocol.frames import FrameReader
from protocol.handshake import Initiator, Responder
from protocol.keys import Tier, derive_read_only, generate_secret, parse_secret
from protocol.limits import REKEY_INTERVAL
from protocol.noise import CipherState, KeyPair
from protocol.transport import Opener, Sealer
from tests.protocol.vectors import FAULTS, FOLDER, VECTORS, Json, generated, head, hexed, load, value_of


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
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_vectors*.py"))
    names = {path.name for path in VECTORS.glob("*.json")}
    assert names == {name for name in names if f'load("{name}"' in tests}
