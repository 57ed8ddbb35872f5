"""The sealed stream: what goes in comes out, and nothing else ever does."""

import hashlib
import struct

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import limits, noise
from protocol.errors import LocalError, TransportError
from protocol.noise import CipherState
from protocol.transport import Opener, Sealer
from protocol.workspace import Workspace

KEY = b"k" * 32
LARGEST = limits.MAX_TRANSPORT_PLAINTEXT
SIZES = st.integers(0, 40) | st.sampled_from([0, LARGEST - 1, LARGEST, LARGEST + 1, 150_000])
PORTIONS = st.lists(st.lists(SIZES, max_size=5), max_size=5)


def cipher() -> CipherState:
    state = CipherState()
    state.initialize_key(KEY)
    return state


def pair(interval: int = limits.REKEY_INTERVAL) -> tuple[Sealer, Opener]:
    return Sealer(cipher(), interval), Opener(cipher(), interval)


def text(size: int, seed: int = 0) -> bytes:
    return hashlib.shake_128(seed.to_bytes(4, "big")).digest(size)


def records(wire: bytes) -> list[bytes]:
    found = []
    while wire:
        end = 2 + int.from_bytes(wire[:2], "big")
        found.append(wire[:end])
        wire = wire[end:]
    return found


def sealed(sealer: Sealer, *chunks: bytes | memoryview) -> bytes:
    return b"".join(sealer.seal(chunks))


def opened(opener: Opener, data: bytes | memoryview) -> bytes:
    return bytes(opener.feed(data))


def test_known_answer() -> None:
    """Nonces count up big endian; the third message is the first one under the next key."""
    sealer, _ = pair(interval=2)
    wire = sealed(sealer, b"one") + sealed(sealer, b"two") + sealed(sealer, b"three")
    nonces = [struct.pack(">IQ", 0, n) for n in range(3)]
    next_key = AESGCM(KEY).encrypt(bytes(4) + b"\xff" * 8, bytes(32), None)[:32]
    expected = [
        b"\x00\x13" + AESGCM(KEY).encrypt(nonces[0], b"one", None),
        b"\x00\x13" + AESGCM(KEY).encrypt(nonces[1], b"two", None),
        b"\x00\x15" + AESGCM(next_key).encrypt(nonces[2], b"three", None),
    ]
    assert records(wire) == expected
    assert wire.hex() == (
        "00138f00956bd70f6b78d56531a9b001c712deeac2001354fe91acaa97f42c4c05b383a8a169881452f1001506cdf9b1d3d5"
        "c07b779fcc8175dab13e05db0e9748"
    )


def test_plaintext_is_given_in_room_that_is_used_again() -> None:
    sealer, opener = pair()
    first = opener.feed(sealed(sealer, b"a" * 1000))
    assert first == b"a" * 1000
    second = opener.feed(sealed(sealer, b"b" * 500))
    assert (second, second.obj is first.obj) == (b"b" * 500, True)
    large = opener.feed(sealed(sealer, bytes(1 << 20)))
    assert large == bytes(1 << 20)
    small = opener.feed(sealed(sealer, b"c"))
    assert (small, len(memoryview(small.obj))) == (b"c", 1)  # what one large call took is given back


def test_a_key_opens_the_messages_of_its_epoch_only() -> None:
    """With the key log of a reference: the key of an epoch fails on every message before and after it."""
    interval, epochs = 3, 4
    sealer, _ = pair(interval)
    wire = records(b"".join(sealed(sealer, text(40, n)) for n in range(interval * epochs)))
    keys = [KEY]
    while len(keys) < epochs:
        keys.append(AESGCM(keys[-1]).encrypt(bytes(4) + b"\xff" * 8, bytes(32), None)[:32])
    for epoch, key in enumerate(keys):
        for number, record in enumerate(wire):
            nonce = struct.pack(">IQ", 0, number)
            if number // interval == epoch:
                assert AESGCM(key).decrypt(nonce, record[2:], None) == text(40, number)
            else:
                with pytest.raises(InvalidTag):
                    AESGCM(key).decrypt(nonce, record[2:], None)


@settings(deadline=None, max_examples=60)
@given(
    portions=PORTIONS,
    cuts=st.lists(st.integers(1, 70_000), max_size=30),
    interval=st.integers(1, 5),
    view=st.booleans(),
)
def test_any_split_gives_the_same_stream(portions: list[list[int]], cuts: list[int], interval: int, view: bool) -> None:
    sealer, opener = pair(interval)
    plain, wire = b"", b""
    for number, sizes in enumerate(portions):
        chunks = [text(size, 10 * number + place) for place, size in enumerate(sizes)]
        plain += b"".join(chunks)
        wire += sealed(sealer, *(memoryview(chunk) if view else chunk for chunk in chunks))
    received, start = b"", 0
    for size in [*cuts, len(wire)]:
        piece = wire[start : start + size]
        received += opened(opener, memoryview(piece) if view else piece)
        start += size
    assert received == plain


def test_one_byte_at_a_time() -> None:
    sealer, opener = pair(interval=2)
    wire = b"".join(sealed(sealer, text(size)) for size in (1, 2, 300))
    pieces = [piece for byte in wire for piece in (bytes([byte]), b"")]
    assert b"".join(opened(opener, piece) for piece in pieces) == text(1) + text(2) + text(300)


@settings(deadline=None, max_examples=60)
@given(sizes=st.lists(SIZES, max_size=6))
def test_messages_are_as_few_and_as_long_as_can_be(sizes: list[int]) -> None:
    total = sum(sizes)
    lengths = [len(record) - 2 - 16 for record in records(sealed(pair()[0], *(bytes(size) for size in sizes)))]
    assert sum(lengths) == total
    assert len(lengths) == -(-total // LARGEST)
    assert all(length == LARGEST for length in lengths[:-1])


def test_a_full_message_has_65535_bytes() -> None:
    (record,) = records(sealed(pair()[0], bytes(LARGEST)))
    assert record[:2] == b"\xff\xff"
    assert len(record) == 2 + limits.MAX_TRANSPORT_RECORD


@pytest.mark.parametrize("chunks", [[], [b""], [b"", memoryview(b"")]])
def test_nothing_is_sealed_as_nothing(chunks: list[bytes | memoryview]) -> None:
    assert pair()[0].seal(chunks) == []


def test_chunks_are_left_alone() -> None:
    chunk = bytearray(text(200_000))
    sealed(pair()[0], b"head", memoryview(chunk).toreadonly())
    assert chunk == text(200_000)


def test_the_copying_ciphers_make_the_same_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = text(200_000)
    wire = sealed(pair()[0], plain)
    monkeypatch.setattr(noise, "_encrypt_into", noise._copying_encrypt)
    monkeypatch.setattr(noise, "_decrypt_into", noise._copying_decrypt)
    sealer, opener = pair()
    assert sealed(sealer, plain) == wire
    assert opened(opener, wire) == plain


def check_broken(wire: bytes, truth: bytes, cuts: list[int], sealer: Sealer, opener: Opener) -> None:
    """Nothing but a beginning of the truth comes out, and an error at the latest with the bytes that follow."""
    received = bytearray()
    following = sealed(sealer, bytes(2 * LARGEST))

    def run() -> None:
        start = 0
        for size in [*cuts, len(wire)]:
            received.extend(opened(opener, wire[start : start + size]))
            start += size
        received.extend(opened(opener, following))

    with pytest.raises(TransportError):
        run()
    assert truth.startswith(received)
    with pytest.raises(TransportError, match="broken already"):
        opener.feed(following)


SMALL = st.lists(st.integers(1, 50), min_size=2, max_size=8)
CUTS = st.lists(st.integers(1, 100), max_size=10)


def stream(sizes: list[int], interval: int) -> tuple[list[bytes], bytes, Sealer, Opener]:
    """Messages, what they say, and both ends."""
    sealer, opener = pair(interval)
    chunks = [text(size, number) for number, size in enumerate(sizes)]
    return [sealed(sealer, chunk) for chunk in chunks], b"".join(chunks), sealer, opener


@settings(deadline=None)
@given(sizes=SMALL, interval=st.integers(1, 4), cuts=CUTS, place=st.integers(0, 1000), bit=st.integers(0, 7))
def test_a_flipped_bit_kills_the_stream(sizes: list[int], interval: int, cuts: list[int], place: int, bit: int) -> None:
    messages, plain, sealer, opener = stream(sizes, interval)
    wire = bytearray(b"".join(messages))
    wire[place % len(wire)] ^= 1 << bit
    check_broken(bytes(wire), plain, cuts, sealer, opener)


@settings(deadline=None)
@given(
    sizes=SMALL,
    interval=st.integers(1, 4),
    cuts=CUTS,
    fault=st.sampled_from(["drop", "repeat", "swap", "reflect"]),
    place=st.integers(0, 7),
)
def test_messages_come_once_and_in_order(
    sizes: list[int], interval: int, cuts: list[int], fault: str, place: int
) -> None:
    messages, plain, sealer, opener = stream(sizes, interval)
    place %= len(messages)
    if fault == "drop":
        del messages[place]
    elif fault == "repeat":
        messages.insert(place, messages[place])
    elif fault == "swap":
        place %= len(messages) - 1
        messages[place], messages[place + 1] = messages[place + 1], messages[place]
    else:
        other = CipherState()
        other.initialize_key(b"o" * 32)
        messages.insert(place, sealed(Sealer(other), b"of the other direction"))
    check_broken(b"".join(messages), plain, cuts, sealer, opener)


@pytest.mark.parametrize("size", range(17))
@pytest.mark.parametrize("pieces", [False, True])
def test_a_message_that_can_carry_nothing_is_refused_by_its_length(size: int, pieces: bool) -> None:
    _, opener = pair()
    header = size.to_bytes(2, "big")
    if pieces:
        assert opener.feed(header[:1]) == b""
        header = header[1:]
    with pytest.raises(TransportError, match=f"message of {size} bytes"):
        opener.feed(header)


def test_an_empty_message_that_would_open_is_refused() -> None:
    _, opener = pair()
    with pytest.raises(TransportError, match="carries nothing"):
        opener.feed(b"\x00\x10" + AESGCM(KEY).encrypt(bytes(12), b"", None))


def test_nothing_of_a_bad_portion_is_given() -> None:
    sealer, opener = pair()
    good = sealed(sealer, b"good")
    with pytest.raises(TransportError, match="does not open"):
        opener.feed(good + b"\x00\x20" + bytes(32))


def test_at_most_one_incomplete_message_is_held() -> None:
    sealer, opener = pair()
    plain = text(10 * LARGEST)
    wire = sealed(sealer, plain)
    received = opened(opener, wire[:-1])
    assert len(received) == 9 * LARGEST
    assert len(opener._partial) == 2 + limits.MAX_TRANSPORT_RECORD - 1
    assert received + opened(opener, wire[-1:]) == plain
    assert len(opener._partial) == 0


def test_both_ends_must_change_keys_together() -> None:
    sealer, opener = Sealer(cipher(), 3), Opener(cipher(), 4)
    for number in range(3):
        assert opened(opener, sealed(sealer, text(20, number))) == text(20, number)
    with pytest.raises(TransportError):
        opener.feed(sealed(sealer, b"four"))


def test_the_key_changes_after_65536_messages() -> None:
    class Counted(CipherState):
        __slots__ = ("keys", "messages")

        def __init__(self) -> None:
            super().__init__()
            self.messages, self.keys = 0, [0]

        def encrypt_into(self, plaintext: bytes | memoryview, out: memoryview) -> None:
            self.messages += 1

        def rekey(self) -> None:
            self.keys.append(self.messages)

    counted = Counted()
    counted.initialize_key(KEY)
    sealer = Sealer(counted)
    for _ in range(2 * 65_536 + 1):
        sealer.seal([b"."])
    assert counted.keys == [0, 65_536, 131_072]


@pytest.mark.parametrize("end", [Sealer, Opener])
def test_ends_need_a_key_and_an_interval(end: type[Sealer] | type[Opener]) -> None:
    with pytest.raises(LocalError, match="needs a key"):
        end(CipherState())
    with pytest.raises(LocalError, match="needs a key"):
        end(cipher(), 0)


def test_openers_that_share_a_workspace_do_not_mix() -> None:
    workspace = Workspace()
    pairs = [(Sealer(cipher()), Opener(cipher(), workspace=workspace)) for _ in range(3)]
    for turn in range(4):
        for number, (sealer, opener) in enumerate(pairs):
            plain = text(1_000 * (number + 1), turn)
            assert opened(opener, sealed(sealer, plain)) == plain


def test_a_room_does_not_stay_as_large_as_the_largest_portion() -> None:
    workspace = Workspace()
    assert len(workspace.room(4 << 20)) == 4 << 20
    assert len(workspace.room(10)) == 10
    assert len(workspace.room(10).obj) == 10
