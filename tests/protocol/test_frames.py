import tracemalloc
from itertools import pairwise

import pytest
import zstandard
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.errors import FrameError, LocalError
from protocol.frames import Data, Frame, FrameReader, FrameWriter
from protocol.limits import MAX_EXPANSION, MIN_COMPRESSED

KNOWN = frozenset({0x01, 0x21, 0x7F, 0x90})
TEXT = b"".join(b"line %d of a text that repeats itself\n" % n for n in range(500))


def framed(kind: int, *parts: Data, compress: bool = False) -> bytes:
    return b"".join(FrameWriter().frame(kind, parts, compress=compress))


def read(*inputs: Data) -> list[tuple[int, bytes]]:
    reader = FrameReader(KNOWN)
    return [(kind, bytes(body)) for piece in inputs for kind, body in reader.feed(piece)]


def compressed(body: bytes, size: int, flags: int = 1) -> bytes:
    """A frame by hand: `body` said to decompress to `size` bytes."""
    body = size.to_bytes(4, "big") + body
    return bytes([0x01, flags]) + len(body).to_bytes(3, "big") + body


def zstd(data: bytes, *, sized: bool = True) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=sized).compress(data)


@pytest.mark.parametrize(
    ("kind", "parts", "raw"),
    [
        (0x01, [], "01 00 000000"),
        (0x21, [b"a", memoryview(b"bc")], "21 00 000003 616263"),
        (0x7F, [bytes(256)], "7f 00 000100" + "00" * 256),
    ],
)
def test_layout(kind: int, parts: list[Data], raw: str) -> None:
    assert framed(kind, *parts) == bytes.fromhex(raw)
    assert read(bytes.fromhex(raw)) == [(kind, b"".join(parts))]


@given(
    st.lists(st.tuples(st.sampled_from(sorted(KNOWN)), st.binary(max_size=40)), max_size=8),
    st.lists(st.integers(0, 400), max_size=12),
)
def test_frames_come_through_any_cuts(frames: list[Frame], cuts: list[int]) -> None:
    stream = b"".join(framed(kind, body) for kind, body in frames)
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(places)]
    assert read(*pieces) == frames


def test_bytewise() -> None:
    stream = framed(0, b"padding") + framed(0x01, TEXT[:20]) + framed(0x01) + framed(0x01, TEXT, compress=True)
    assert read(*[bytes([byte]) for byte in stream]) == [(0x01, TEXT[:20]), (0x01, b""), (0x01, TEXT)]


def test_nothing_refers_to_an_input_that_was_read() -> None:
    stream = bytearray(framed(0x21, b"before") + framed(0x21, b"body") + framed(0x21, b"in two pieces")[:9])
    reader = FrameReader(KNOWN)
    found = list(reader.feed(stream))
    stream[:] = bytes(len(stream))
    found += reader.feed(framed(0x21, b"in two pieces")[9:])
    assert [bytes(body) for _, body in found] == [b"before", b"body", b"in two pieces"]


def test_parts_are_not_copied() -> None:
    part = bytes(100_000)
    assert FrameWriter().frame(0x21, [b"head", part])[2] is part


def test_padding_and_optional_types_are_skipped() -> None:
    flood = bytes([0x81, 0xFF]) + b"\xff\xff\xff" + bytes(0xFFFFFF)
    stream = b"\0\0\0\0\0" + b"\0\0\0\0\2ab" + flood + framed(0x90, b"known")
    assert read(stream) == [(0x90, b"known")]
    assert read(*[stream[at : at + 60_000] for at in range(0, len(stream), 60_000)]) == [(0x90, b"known")]


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param("02 00 000000", id="unknown type"),
        pytest.param("01 02 000000", id="unknown flag"),
        pytest.param("01 00 100001", id="too long"),
        pytest.param("01 01 100001", id="too long and compressed"),
        pytest.param("01 01 000000", id="compressed nothing"),
        pytest.param("01 01 000003 000000", id="half a size"),
        pytest.param("01 01 000004 00000000", id="no compressed bytes"),
        pytest.param("01 01 000004 00000001", id="no compressed bytes for one"),
    ],
)
def test_refused(raw: str) -> None:
    with pytest.raises(FrameError):
        read(bytes.fromhex(raw))


def test_a_length_is_refused_before_its_body_arrives() -> None:
    assert read(bytes.fromhex("01 00 100000")) == []
    with pytest.raises(FrameError):
        read(bytes.fromhex("01 00 100001"))


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(compressed(zstd(TEXT), len(TEXT) + 1), id="claims more"),
        pytest.param(compressed(zstd(TEXT), len(TEXT) - 1), id="claims less"),
        pytest.param(compressed(zstd(TEXT), 0), id="claims nothing"),
        pytest.param(compressed(zstd(b"") + TEXT, 0), id="is nothing"),
        pytest.param(compressed(zstd(TEXT, sized=False), len(TEXT)), id="no size of its own"),
        pytest.param(compressed(zstd(TEXT)[:-1], len(TEXT)), id="cut off"),
        pytest.param(compressed(b"not zstd at all" * 40, 600), id="not zstd"),
        pytest.param(compressed(bytes.fromhex("502a4d18") + b"\4\0\0\0abcd" + zstd(TEXT), len(TEXT)), id="skippable"),
        pytest.param(compressed(zstd(TEXT), len(TEXT), flags=3), id="another flag"),
    ],
)
def test_compressed_bodies_that_are_refused(raw: bytes) -> None:
    with pytest.raises(FrameError):
        read(raw)


def test_compressed_only_where_it_pays() -> None:
    noise = blake3(b"noise").digest(length=10_000)
    for body in (TEXT[:MIN_COMPRESSED], noise):
        assert framed(0x01, body, compress=True) == framed(0x01, body)
    small = framed(0x01, TEXT[:9], TEXT[9:], compress=True)
    assert len(small) < len(TEXT) // 4
    assert read(small) == [(0x01, TEXT)]
    writer, reader = FrameWriter(), FrameReader(KNOWN)
    for _ in range(2):
        (frame,) = reader.feed(b"".join(writer.frame(0x01, [TEXT], compress=True)))
        assert frame == (0x01, TEXT)


def test_largest_body() -> None:
    body = (TEXT * 100)[: limits.MAX_MESSAGE]
    assert read(framed(0x01, body)) == [(0x01, body)]
    with pytest.raises(LocalError):
        framed(0x01, body, b"x")


def test_padding_can_be_written() -> None:
    assert framed(0, bytes(3)) == bytes.fromhex("00 00 000003 000000")


@pytest.mark.parametrize("kind", [-1, 256])
def test_types_that_cannot_be_written(kind: int) -> None:
    with pytest.raises(LocalError):
        framed(kind)


def test_bomb() -> None:
    bomb = zstd(bytes(64 << 20))
    tracemalloc.start()
    try:
        for size in (64 << 20, limits.MAX_MESSAGE, MAX_EXPANSION * (len(bomb) + 4)):
            with pytest.raises(FrameError):
                read(compressed(bomb, size))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_padding_in_a_compressed_body_is_ignored() -> None:
    assert read(compressed(zstd(TEXT) + b"padding", len(TEXT))) == [(0x01, TEXT)]
    assert read(compressed(zstd(TEXT) + zstd(TEXT), len(TEXT))) == [(0x01, TEXT)]


@pytest.mark.parametrize("size", [MIN_COMPRESSED + 1, limits.MAX_MESSAGE - 1, limits.MAX_MESSAGE])
def test_a_writer_keeps_the_bound_on_expansion(size: int) -> None:
    stream = framed(0x01, bytes(size), compress=True)
    assert len(stream) == max(5 + -(-size // MAX_EXPANSION), 5 + 4 + len(zstd(bytes(size))))
    assert read(stream) == [(0x01, bytes(size))]


def test_expansion_is_bounded() -> None:
    body = zstd(bytes(limits.MAX_MESSAGE))
    with pytest.raises(FrameError, match="claim"):
        read(compressed(body, limits.MAX_MESSAGE))


def test_the_last_input_must_be_read() -> None:
    reader = FrameReader(KNOWN)
    next(reader.feed(framed(0x01) + framed(0x01)))
    with pytest.raises(LocalError):
        list(reader.feed(b""))


@given(st.binary(max_size=80))
def test_random_bytes(raw: bytes) -> None:
    try:
        read(raw)
    except FrameError:
        pass


@given(st.data())
def test_changed_frames(data: st.DataObject) -> None:
    stream = bytearray(framed(0x21, b"body") + framed(0x01, TEXT, compress=True))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(stream) - 1))
        stream[place] = data.draw(st.integers(0, 255))
    try:
        read(bytes(stream))
    except FrameError:
        pass
