"""The handshake between two nodes, and between a node and strangers."""

import dataclasses
import hashlib
import hmac
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import limits, noise
from protocol.errors import HandshakeError, LocalError
from protocol.handshake import (
    PREFACE,
    HandshakeResult,
    Initiator,
    NotSyncd,
    Responder,
    SelfConnection,
    UnknownSecret,
    UnknownVersion,
)
from protocol.keys import FolderKeys, derive_read_only, generate_secret, parse_secret
from protocol.noise import XX_PSK0, HandshakeState, KeyPair

SECRETS = [generate_secret(bytes([number]) * 32) for number in range(limits.MAX_FOLDERS_PER_PORT + 1)]
FOLDERS = [parse_secret(secret) for secret in SECRETS]
KEYS = FOLDERS[0]
CALLER, CALLED = b"\x11" * 32, b"\x22" * 32
CALLER_ONCE, CALLED_ONCE = b"\x33" * 32, b"\x44" * 32
FIRST = len(PREFACE) + 2 + 48


def initiator(keys: FolderKeys = KEYS) -> Initiator:
    return Initiator(keys, CALLER, CALLER_ONCE)


def responder(folders: list[FolderKeys] | None = None) -> Responder:
    return Responder([KEYS] if folders is None else folders, CALLED, CALLED_ONCE)


def result(party: Initiator | Responder) -> HandshakeResult:
    assert party.result is not None
    return party.result


def insider(s: KeyPair | None = None, e: KeyPair | None = None) -> HandshakeState:
    """An initiator that knows the secret and does not keep to the rules."""
    s, e = s or KeyPair(CALLER), e or KeyPair(CALLER_ONCE)
    return HandshakeState(XX_PSK0, initiator=True, prologue=PREFACE + KEYS.folder_id, s=s, e=e, psk=KEYS.psk)


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(2, "big") + message


def opening(state: HandshakeState, payload: bytes = b"") -> bytes:
    return PREFACE + framed(state.write_message(payload))


def check_agreement(caller: HandshakeResult, called: HandshakeResult) -> None:
    assert caller.initiator
    assert not called.initiator
    assert caller.handshake_hash == called.handshake_hash
    assert caller.remote_static == KeyPair(CALLED).public
    assert called.remote_static == KeyPair(CALLER).public
    for one, other in ((caller, called), (called, caller)):
        sealed = one.send.encrypt_with_ad(b"", b"text")
        assert other.recv.decrypt_with_ad(b"", sealed) == b"text"


def test_a_handshake() -> None:
    caller, called = initiator(), responder()
    first = caller.start()
    second = called.receive(first)
    third = caller.receive(second)
    assert (len(first), len(second), len(third)) == (FIRST, 2 + 96, 2 + 64)
    assert called.receive(third) == b""
    assert result(called).keys is KEYS
    assert (result(caller).surplus, result(called).surplus) == (b"", b"")
    check_agreement(result(caller), result(called))


@settings(deadline=None)
@given(sizes=st.lists(st.integers(1, 40), min_size=1), surplus=st.binary(max_size=10))
def test_bytes_may_arrive_in_any_pieces(sizes: list[int], surplus: bytes) -> None:
    def delivered(data: bytes, receive: Callable[[bytes], bytes]) -> bytes:
        answer, number = b"", 0
        while data:
            size = sizes[number % len(sizes)]
            answer += receive(data[:size])
            data, number = data[size:], number + 1
        return answer

    caller, called = initiator(), responder()
    third = delivered(delivered(caller.start(), called.receive), caller.receive)
    delivered(third[:-1], called.receive)
    called.receive(third[-1:] + surplus)
    assert result(called).surplus == surplus
    check_agreement(result(caller), result(called))


def by_hand(keys: FolderKeys) -> tuple[list[bytes], bytes]:
    """The three messages and the handshake hash, straight from the specification's text."""

    def dh(private: bytes, public: bytes) -> bytes:
        return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))

    def public(private: bytes) -> bytes:
        return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()

    def mac(key: bytes, data: bytes) -> bytes:
        return hmac.new(key, data, hashlib.sha256).digest()

    def mix(key: bytes, material: bytes) -> tuple[bytes, bytes, bytes]:
        root = mac(key, material)
        first = mac(root, b"\x01")
        second = mac(root, first + b"\x02")
        return first, second, mac(root, second + b"\x03")

    def sha(data: bytes) -> bytes:
        return hashlib.sha256(data).digest()

    zero, one = bytes(12), bytes(11) + b"\x01"
    e, re, s, rs = (public(private) for private in (CALLER_ONCE, CALLED_ONCE, CALLER, CALLED))
    ck = b"Noise_XXpsk0_25519_AESGCM_SHA256"
    h = sha(ck + b"SYNC\x01\x01\x00\x00" + keys.folder_id)
    ck, psk_hash, _ = mix(ck, keys.psk)
    h = sha(sha(h + psk_hash) + e)
    ck, k, _ = mix(ck, e)
    tag = AESGCM(k).encrypt(zero, b"", h)
    messages = [e + tag]
    h = sha(sha(h + tag) + re)
    ck = mix(ck, re)[0]
    ck, k, _ = mix(ck, dh(CALLED_ONCE, e))
    sealed = AESGCM(k).encrypt(zero, rs, h)
    h = sha(h + sealed)
    ck, k, _ = mix(ck, dh(CALLED, e))
    tag = AESGCM(k).encrypt(zero, b"", h)
    messages.append(re + sealed + tag)
    h = sha(h + tag)
    sealed_static = AESGCM(k).encrypt(one, s, h)
    h = sha(h + sealed_static)
    ck, k, _ = mix(ck, dh(CALLER, re))
    tag = AESGCM(k).encrypt(zero, b"", h)
    messages.append(sealed_static + tag)
    return messages, sha(h + tag)


@pytest.mark.parametrize("keys", FOLDERS[:3])
def test_known_answers(keys: FolderKeys) -> None:
    (first, second, third), handshake_hash = by_hand(keys)
    caller, called = initiator(keys), responder([keys])
    assert caller.start() == b"SYNC\x01\x01\x00\x00" + framed(first)
    assert called.receive(PREFACE + framed(first)) == framed(second)
    assert caller.receive(framed(second)) == framed(third)
    assert result(caller).handshake_hash == handshake_hash


def test_known_answer_is_pinned() -> None:
    messages, handshake_hash = by_hand(KEYS)
    assert (
        hashlib.sha256(b"".join(messages)).hexdigest()
        == "0e20657f52680b873cfbb83952fb87a7083c6f46cfabd6e92132f48d079aee06"
    )
    assert handshake_hash.hex() == "5264c9b49168537ecb0ec0c54b6f58ca3564c9c9bb07ce7f4146b0b0e8d20493"


@pytest.mark.parametrize("place", [0, 7, 15])
def test_the_folder_is_found_among_sixteen(place: int) -> None:
    caller, called = initiator(FOLDERS[place]), responder(FOLDERS[:16])
    called.receive(caller.receive(called.receive(caller.start())))
    assert result(called).keys is FOLDERS[place]


def test_tiers_of_a_folder_meet() -> None:
    caller, called = initiator(parse_secret(derive_read_only(SECRETS[0]))), responder()
    called.receive(caller.receive(called.receive(caller.start())))
    check_agreement(result(caller), result(called))


def test_seventeen_folders_need_a_second_port() -> None:
    with pytest.raises(LocalError, match="17 folders"):
        responder(FOLDERS)


@pytest.mark.parametrize(
    "keys",
    [
        FOLDERS[16],
        dataclasses.replace(KEYS, folder_id=FOLDERS[1].folder_id),
        dataclasses.replace(KEYS, psk=FOLDERS[1].psk),
    ],
)
def test_a_strangers_first_message_gets_nothing(keys: FolderKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    first = initiator(keys).start()

    class Curve:
        @staticmethod
        def from_private_bytes(private: bytes) -> None:
            raise AssertionError("a stranger made us compute on the curve")

    monkeypatch.setattr(noise, "X25519PrivateKey", Curve)
    for folders in (FOLDERS[:16], []):
        called = responder(folders)
        assert called.receive(first[:-1]) == b""
        with pytest.raises(UnknownSecret, match="not a secret of this node"):
            called.receive(first[-1:])


@pytest.mark.parametrize(
    ("preface", "error", "reason"),
    [
        (b"GET / HTTP/1.1\r\n", NotSyncd, "does not speak"),
        (b"\x16\x03\x01", NotSyncd, "does not speak"),
        (b"SYNX", NotSyncd, "does not speak"),
        (b"sync", NotSyncd, "does not speak"),
        (b"SYNC\x02", UnknownVersion, r"unknown version of the protocol \(02\)"),
        (b"SYNC\x01\x02", UnknownVersion, r"\(0102\)"),
        (b"SYNC\x01\x01\x01", UnknownVersion, r"\(010101\)"),
        (b"SYNC\x01\x01\x00\x01", UnknownVersion, r"\(01010001\)"),
    ],
)
def test_a_wrong_preface_ends_it_at_the_first_wrong_byte(
    preface: bytes, error: type[HandshakeError], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        responder().receive(preface)
    called = responder()
    right = next(place for place, byte in enumerate(preface) if byte != PREFACE[place])
    for byte in preface[:right]:
        assert called.receive(bytes([byte])) == b""
    with pytest.raises(error):
        called.receive(preface[right : right + 1])


def test_an_error_is_final() -> None:
    called = responder()
    with pytest.raises(NotSyncd):
        called.receive(b"?")
    with pytest.raises(HandshakeError, match="failed already"):
        called.receive(initiator().start())


@pytest.mark.parametrize("length", [0, 47, 49, 65_535])
def test_the_first_message_has_48_bytes(length: int) -> None:
    with pytest.raises(HandshakeError, match=f"{length} bytes instead of 48 to 48"):
        responder().receive(PREFACE + length.to_bytes(2, "big"))


@pytest.mark.parametrize("length", [0, 95, limits.MAX_HANDSHAKE_2 + 1])
def test_the_second_message_is_bounded(length: int) -> None:
    caller = initiator()
    caller.start()
    with pytest.raises(HandshakeError, match=f"{length} bytes instead of 96 to 1024"):
        caller.receive(length.to_bytes(2, "big"))


@pytest.mark.parametrize("length", [0, 63, limits.MAX_HANDSHAKE_3 + 1])
def test_the_third_message_is_bounded(length: int) -> None:
    called = responder()
    called.receive(initiator().start())
    with pytest.raises(HandshakeError, match=f"{length} bytes instead of 64 to 2048"):
        called.receive(length.to_bytes(2, "big"))


def test_payloads_of_later_versions_are_passed_over() -> None:
    caller = initiator()
    other = HandshakeState(
        XX_PSK0,
        initiator=False,
        prologue=PREFACE + KEYS.folder_id,
        s=KeyPair(CALLED),
        e=KeyPair(CALLED_ONCE),
        psk=KEYS.psk,
    )
    other.read_message(caller.start()[len(PREFACE) + 2 :])
    third = caller.receive(framed(other.write_message(bytes(limits.MAX_HANDSHAKE_2 - 96))))
    assert other.read_message(third[2:]) == b""

    state, called = insider(), responder()
    state.read_message(called.receive(opening(state))[2:])
    called.receive(framed(state.write_message(bytes(limits.MAX_HANDSHAKE_3 - 64))))
    assert result(called).handshake_hash == state.get_handshake_hash()


@settings(deadline=None)
@given(number=st.integers(0, 2), place=st.integers(0, 200), bit=st.integers(0, 7))
def test_no_changed_byte_passes(number: int, place: int, bit: int) -> None:
    """More bytes follow the changed message, so that a longer length is noticed too."""
    caller, called = initiator(), responder()
    message = caller.start()
    for turn in range(number):
        message = (called, caller)[turn % 2].receive(message)
    changed = bytearray(message)
    changed[place % len(changed)] ^= 1 << bit
    receiver = (called, caller)[number % 2]
    with pytest.raises(HandshakeError):
        receiver.receive(bytes(changed) + bytes(limits.MAX_HANDSHAKE_3))
    assert receiver.result is None


def test_a_copied_first_message_gets_no_further() -> None:
    recorded = initiator().start()
    third = initiator()
    third.start()
    fresh = Responder([KEYS], CALLED, b"\x45" * 32)
    assert fresh.receive(recorded)
    old = responder()
    with pytest.raises(HandshakeError, match="does not authenticate"):
        fresh.receive(third.receive(old.receive(recorded)))


def test_what_we_send_does_not_pass_as_the_answer() -> None:
    caller = initiator()
    reflected = caller.start()[len(PREFACE) :]
    with pytest.raises(HandshakeError):
        caller.receive(reflected)


def test_the_caller_finds_itself_before_it_shows_its_key() -> None:
    caller = Initiator(KEYS, CALLED, CALLER_ONCE)
    called = responder()
    second = called.receive(caller.start())
    with pytest.raises(SelfConnection, match="ourselves") as caught:
        caller.receive(second)
    assert caught.value.ephemeral == called.ephemeral
    assert caller.result is None


def test_the_called_finds_itself() -> None:
    state, called = insider(s=KeyPair(CALLED)), responder()
    state.read_message(called.receive(opening(state))[2:])
    with pytest.raises(SelfConnection, match="ourselves"):
        called.receive(framed(state.write_message(b"")))
    assert called.result is None


class SmallOrder(KeyPair):
    """A pair whose public key gives zeros with every private key."""

    public = bytes(32)

    def dh(self, public: bytes) -> bytes:
        return bytes(32)


def test_small_order_points_of_an_insider_are_refused() -> None:
    called = responder()
    with pytest.raises(HandshakeError, match="small order"):
        called.receive(opening(insider(e=SmallOrder(CALLER))))
    state, called = insider(s=SmallOrder(CALLER)), responder()
    state.read_message(called.receive(opening(state))[2:])
    with pytest.raises(HandshakeError, match="small order"):
        called.receive(framed(state.write_message(b"")))


def test_calls_out_of_order_are_our_fault() -> None:
    caller, called = initiator(), responder()
    with pytest.raises(LocalError, match="not started"):
        caller.receive(b"")
    first = caller.start()
    with pytest.raises(LocalError, match="started already"):
        caller.start()
    called.receive(caller.receive(called.receive(first)))
    for party in (caller, called):
        with pytest.raises(LocalError, match="over"):
            party.receive(b"")


@pytest.mark.parametrize("private", [b"", bytes(31)])
def test_keys_have_32_bytes(private: bytes) -> None:
    with pytest.raises(LocalError):
        Initiator(KEYS, private, CALLER_ONCE)
    with pytest.raises(LocalError):
        Responder([KEYS], CALLED, private)


def test_a_result_shows_no_secret() -> None:
    caller, called = initiator(), responder()
    called.receive(caller.receive(called.receive(caller.start())))
    assert KEYS.psk.hex() not in repr(result(called))
    assert repr(KEYS.psk) not in repr(result(called))
