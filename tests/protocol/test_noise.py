"""The Noise framework: public vectors, and known answers from the primitives themselves."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import noise
from protocol.errors import HandshakeError, LocalError
from protocol.noise import XX, XX_PSK0, CipherState, HandshakeState, KeyPair, Pattern, SymmetricState, hkdf

VECTORS = Path(
    os.environ.get("SYNCD_NOISE_VECTORS") or Path(__file__).parents[3].joinpath("shared", "vectors", "noise.json")
)
PATTERNS = {f"Noise_{pattern.name}_25519_AESGCM_SHA256": pattern for pattern in (XX, XX_PSK0)}
LOW_ORDER = [
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    *(bytes([low]) + b"\xff" * 30 + b"\x7f" for low in (0xEC, 0xED, 0xEE)),
]


def vectors() -> list[Any]:
    if not VECTORS.exists():
        return [pytest.param("", {}, id="missing")]
    families = json.loads(VECTORS.read_text())
    found = [(family, vector) for family in ("flynn", "cacophony") for vector in families[family]]
    assert {vector["protocol_name"] for _, vector in found} == PATTERNS.keys()
    return [
        pytest.param(*item, id=f"{item[0]}-{number}-{item[1]['protocol_name']}") for number, item in enumerate(found)
    ]


def side(vector: dict[str, Any], who: str) -> HandshakeState:
    psks = vector.get(f"{who}_psks")
    return HandshakeState(
        PATTERNS[vector["protocol_name"]],
        initiator=who == "init",
        prologue=bytes.fromhex(vector[f"{who}_prologue"]),
        s=KeyPair(bytes.fromhex(vector[f"{who}_static"])),
        e=KeyPair(bytes.fromhex(vector[f"{who}_ephemeral"])),
        psk=bytes.fromhex(psks[0]) if psks else None,
    )


@pytest.mark.parametrize(("family", "vector"), vectors())
def test_public_vector(family: str, vector: dict[str, Any]) -> None:
    if not vector:
        missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        missing("the public Noise vectors are missing")
    sides = [side(vector, "init"), side(vector, "resp")]
    messages = [(bytes.fromhex(m["payload"]), bytes.fromhex(m["ciphertext"])) for m in vector["messages"]]
    for number, (payload, ciphertext) in enumerate(messages[:3]):
        assert sides[number % 2].write_message(payload) == ciphertext
        assert sides[1 - number % 2].read_message(ciphertext) == payload
    pairs = [state.split() for state in sides]
    assert {state.get_handshake_hash().hex() for state in sides} == {vector["handshake_hash"]}
    first = 0 if family == "flynn" else 1  # cacophony goes on alternating from the handshake
    for number, (payload, ciphertext) in enumerate(messages[3:], start=first):
        direction = number % 2
        assert pairs[direction][direction].encrypt_with_ad(b"", payload) == ciphertext
        assert pairs[1 - direction][direction].decrypt_with_ad(b"", ciphertext) == payload


def both(pattern: Pattern = XX_PSK0, psk: bytes | None = b"p" * 32) -> tuple[HandshakeState, HandshakeState]:
    def one(initiator: bool) -> HandshakeState:
        s, e = (KeyPair(bytes([value]) * 32) for value in ((1, 2) if initiator else (3, 4)))
        return HandshakeState(pattern, initiator=initiator, prologue=b"here", s=s, e=e, psk=psk)

    return one(True), one(False)


def test_x25519_of_rfc_7748() -> None:
    alice = bytes.fromhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
    bob = KeyPair(bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"))
    assert bob.public.hex() == "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
    assert bob.dh(alice).hex() == "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"


@pytest.mark.parametrize("private", [b"", bytes(31), bytes(33)])
def test_a_private_key_has_32_bytes(private: bytes) -> None:
    with pytest.raises(LocalError, match="32 bytes"):
        KeyPair(private)


@pytest.mark.parametrize("public", [point[:31] + bytes([point[31] | bit]) for point in LOW_ORDER for bit in (0, 0x80)])
def test_points_of_small_order_are_refused(public: bytes) -> None:
    with pytest.raises(HandshakeError, match="small order"):
        KeyPair(b"k" * 32).dh(public)


def test_an_all_zero_secret_is_refused_where_the_library_lets_it_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lenient:
        def exchange(self, public: object) -> bytes:
            return bytes(32)

    pair = KeyPair(b"k" * 32)
    monkeypatch.setitem(pair.__dict__, "_key", Lenient())
    with pytest.raises(HandshakeError, match="small order"):
        pair.dh(KeyPair(b"l" * 32).public)


@given(
    chaining_key=st.binary(min_size=32, max_size=32), material=st.binary(max_size=64), outputs=st.sampled_from([2, 3])
)
def test_hkdf_is_that_of_rfc_5869(chaining_key: bytes, material: bytes, outputs: int) -> None:
    assert b"".join(hkdf(chaining_key, material, outputs)) == HKDF(SHA256(), 32 * outputs, chaining_key, b"").derive(
        material
    )


@pytest.mark.parametrize("n", [0, 1, 255, 1 << 32, (1 << 64) - 2])
def test_the_nonce_is_four_zeros_and_the_counter_big_endian(n: int) -> None:
    cipher = CipherState()
    cipher.initialize_key(b"k" * 32)
    cipher.set_nonce(n)
    expected = AESGCM(b"k" * 32).encrypt(bytes(4) + n.to_bytes(8, "big"), b"text", b"ad")
    assert cipher.encrypt_with_ad(b"ad", b"text") == expected


def test_the_last_nonce_is_reserved() -> None:
    cipher = CipherState()
    cipher.initialize_key(b"k" * 32)
    cipher.set_nonce((1 << 64) - 1)
    with pytest.raises(LocalError, match="used up"):
        cipher.encrypt_with_ad(b"", b"")


def test_rekey_draws_a_key_and_counts_on() -> None:
    cipher = CipherState()
    cipher.initialize_key(b"k" * 32)
    cipher.encrypt_with_ad(b"", b"one")
    cipher.rekey()
    key = AESGCM(b"k" * 32).encrypt(bytes(4) + b"\xff" * 8, bytes(32), b"")[:32]
    expected = AESGCM(key).encrypt(bytes(11) + b"\x01", b"two", b"")
    assert cipher.encrypt_with_ad(b"", b"two") == expected


def test_without_a_key_all_passes_in_clear() -> None:
    cipher = CipherState()
    assert not cipher.has_key()
    assert cipher.encrypt_with_ad(b"ad", b"text") == b"text"
    assert cipher.decrypt_with_ad(b"ad", b"text") == b"text"
    with pytest.raises(LocalError, match="without a key"):
        cipher.rekey()
    with pytest.raises(LocalError, match="without a key"):
        cipher.encrypt_into(b"text", memoryview(bytearray(20)))


@pytest.mark.parametrize("forged", [b"", b"x" * 15, b"x" * 16, b"x" * 40])
def test_a_failed_decryption_does_not_count(forged: bytes) -> None:
    sender, receiver = CipherState(), CipherState()
    for cipher in (sender, receiver):
        cipher.initialize_key(b"k" * 32)
    with pytest.raises(InvalidTag):
        receiver.decrypt_with_ad(b"", forged)
    assert receiver.decrypt_with_ad(b"", sender.encrypt_with_ad(b"", b"text")) == b"text"


@given(plaintext=st.binary(max_size=100), nonce=st.binary(min_size=12, max_size=12))
def test_in_place_and_copying_ciphers_agree(plaintext: bytes, nonce: bytes) -> None:
    if not hasattr(AESGCM, "encrypt_into"):
        pytest.skip("this version of cryptography has only the copying ciphers")
    aead = AESGCM(b"k" * 32)
    native, copying = (memoryview(bytearray(len(plaintext) + 16)) for _ in range(2))
    noise._native_encrypt(aead, nonce, plaintext, native)
    noise._copying_encrypt(aead, nonce, plaintext, copying)
    assert native == copying == aead.encrypt(nonce, plaintext, None)
    for decrypt in (noise._native_decrypt, noise._copying_decrypt):
        out = memoryview(bytearray(len(plaintext)))
        decrypt(aead, nonce, native, out)
        assert out == plaintext
        with pytest.raises(InvalidTag):
            decrypt(aead, bytes(11) + b"?", native, out)


def test_a_long_protocol_name_is_hashed() -> None:
    assert SymmetricState(b"n" * 32).get_handshake_hash() == b"n" * 32
    assert SymmetricState(b"n" * 33).get_handshake_hash() == hashlib.sha256(b"n" * 33).digest()
    assert SymmetricState(b"n").get_handshake_hash() == b"n" + bytes(31)


@pytest.mark.parametrize(("pattern", "psk"), [(XX, b"p" * 32), (XX_PSK0, None), (XX_PSK0, b"p" * 31), (XX_PSK0, b"")])
def test_pattern_and_psk_must_fit(pattern: Pattern, psk: bytes | None) -> None:
    with pytest.raises(LocalError, match="do not fit"):
        both(pattern, psk)


def test_messages_go_in_turn() -> None:
    initiator, responder = both()
    with pytest.raises(LocalError, match="out of turn"):
        responder.write_message(b"")
    with pytest.raises(LocalError, match="out of turn"):
        initiator.read_message(b"")
    with pytest.raises(LocalError, match="not finished"):
        initiator.split()
    responder.read_message(initiator.write_message(b""))
    initiator.read_message(responder.write_message(b""))
    responder.read_message(initiator.write_message(b""))
    assert initiator.finished
    assert responder.finished
    with pytest.raises(LocalError, match="out of turn"):
        responder.write_message(b"")


def test_each_side_learns_the_other_and_the_same_hash() -> None:
    initiator, responder = both()
    assert (initiator.remote_static, responder.remote_static) == (b"", b"")
    responder.read_message(initiator.write_message(b""))
    initiator.read_message(responder.write_message(b""))
    responder.read_message(initiator.write_message(b""))
    assert initiator.remote_static == KeyPair(b"\x03" * 32).public
    assert responder.remote_static == KeyPair(b"\x01" * 32).public
    assert initiator.get_handshake_hash() == responder.get_handshake_hash()
    for sending, receiving in zip(initiator.split(), responder.split(), strict=True):
        assert receiving.decrypt_with_ad(b"", sending.encrypt_with_ad(b"", b"text")) == b"text"


@pytest.mark.parametrize("pattern", [XX, XX_PSK0])
@settings(deadline=None)
@given(number=st.integers(0, 2), place=st.integers(0, 200), bit=st.integers(0, 7), cut=st.booleans())
def test_no_changed_handshake_is_finished(pattern: Pattern, number: int, place: int, bit: int, cut: bool) -> None:
    """XX authenticates its first message only with the second, which then does not open."""
    sides = both(pattern, b"p" * 32 if pattern is XX_PSK0 else None)

    def run() -> None:
        for turn in range(3):
            message = bytearray(sides[turn % 2].write_message(b"payload"))
            if turn == number and cut:
                del message[place % len(message) :]
            elif turn == number:
                message[place % len(message)] ^= 1 << bit
            sides[1 - turn % 2].read_message(bytes(message))

    with pytest.raises(HandshakeError):
        run()


def test_messages_are_bounded() -> None:
    initiator, responder = both()
    with pytest.raises(HandshakeError, match="65536 bytes"):
        responder.read_message(bytes(65_536))
    with pytest.raises(LocalError, match="too long"):
        initiator.write_message(bytes(65_535))
