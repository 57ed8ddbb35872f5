import tracemalloc
from enum import IntEnum
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol import codec, limits
from protocol.errors import CodecError, LocalError

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.binary(max_size=70)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
)


def nested(levels: int) -> st.SearchStrategy[Any]:
    values: st.SearchStrategy[Any] = SCALARS
    for _ in range(levels):
        values = SCALARS | st.lists(values, max_size=4)
    return values


VALUES = nested(limits.MAX_NESTING)

# The encoding of each kind and size class of value, written by hand from the MessagePack specification.
LAYOUT = [
    (None, "c0"),
    (False, "c2"),
    (True, "c3"),
    (0, "00"),
    (127, "7f"),
    (128, "cc80"),
    (256, "cd0100"),
    (65_536, "ce00010000"),
    (1 << 32, "cf0000000100000000"),
    ((1 << 64) - 1, "cfffffffffffffffff"),
    (-1, "ff"),
    (-32, "e0"),
    (-33, "d0df"),
    (-129, "d1ff7f"),
    (-32_769, "d2ffff7fff"),
    (-(1 << 63), "d38000000000000000"),
    (b"", "c400"),
    (b"ab", "c4026162"),
    (bytes(256), "c50100" + "00" * 256),
    (bytes(65_536), "c600010000" + "00" * 65_536),
    ("", "a0"),
    ("ä", "a2c3a4"),
    ("x" * 31, "bf" + "78" * 31),
    ("x" * 32, "d920" + "78" * 32),
    ("x" * 256, "da0100" + "78" * 256),
    ([], "90"),
    ([1, [b"", None]], "920192c400c0"),
    ([0] * 15, "9f" + "00" * 15),
    ([0] * 16, "dc0010" + "00" * 16),
]

REFUSED = [
    ("nothing", ""),
    ("trailing byte", "c0c0"),
    ("never used", "c1"),
    ("empty map", "80"),
    ("map", "810101"),
    ("map inside", "9180"),
    ("map 16", "de0000"),
    ("float 32", "ca00000000"),
    ("float 64", "cb0000000000000000"),
    ("float inside", "91cb0000000000000000"),
    ("ext of nothing", "c70001"),
    ("fixext", "d40100"),
    ("timestamp", "d6ff00000000"),
    ("timestamp of nothing", "c700ff"),
    ("cut bin", "c402ff"),
    ("bin longer than all", "c6ffffffff"),
    ("array longer than all", "ddffffffff"),
    ("cut array", "92c0"),
    ("invalid UTF-8", "a1ff"),
    ("surrogate", "a3eda080"),
    ("long form of 1", "cc01"),
    ("long form of 255", "cd00ff"),
    ("signed form of 1", "d001"),
    ("long form of -1", "d0ff"),
    ("long bin", "c50001ff"),
    ("long str", "d90161"),
    ("long array", "dc000100"),
    ("array 32", "dd0000000100"),
    ("one level too many", "91" * limits.MAX_NESTING + "90"),
    ("deeper than the parser follows", "91" * 5_000 + "90"),
]


@given(VALUES)
def test_what_is_packed_is_unpacked(value: Any) -> None:
    raw = codec.pack(value)
    assert codec.unpack(raw) == value
    assert codec.unpack(memoryview(raw)) == value


@pytest.mark.parametrize(("value", "raw"), LAYOUT, ids=lambda item: repr(item)[:20])
def test_layout(value: Any, raw: str) -> None:
    assert codec.pack(value) == bytes.fromhex(raw)
    assert codec.unpack(bytes.fromhex(raw)) == value


@pytest.mark.parametrize("raw", [pytest.param(raw, id=name) for name, raw in REFUSED])
def test_refused(raw: str) -> None:
    with pytest.raises(CodecError):
        codec.unpack(bytes.fromhex(raw))


@given(st.binary(max_size=60))
@example(b"\x91" * limits.MAX_NESTING)
def test_any_bytes_are_canonical_or_refused(raw: bytes) -> None:
    try:
        value = codec.unpack(raw)
    except CodecError:
        return
    assert codec.pack(value) == raw


@given(VALUES, st.data())
def test_changed_bytes_are_canonical_or_refused(value: Any, data: st.DataObject) -> None:
    raw = bytearray(codec.pack(value))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] = data.draw(st.integers(0, 255))
    try:
        value = codec.unpack(bytes(raw))
    except CodecError:
        return
    assert codec.pack(value) == raw


def test_deepest_nesting() -> None:
    raw = b"\x91" * (limits.MAX_NESTING - 1) + b"\x90"
    assert codec.pack(codec.unpack(raw)) == raw


@pytest.mark.parametrize("value", [[0] * 10, [[0] * 4, [0] * 4], [[[]] * 5], [4_200, [0] * 4_200]])
def test_items_of_all_arrays_are_counted(value: list[Any]) -> None:
    raw = codec.pack(value)
    total = _count(value)
    assert codec.unpack(raw, max_items=total) == value
    with pytest.raises(CodecError):
        codec.unpack(raw, max_items=total - 1)


def _count(value: Any) -> int:
    return len(value) + sum(map(_count, value)) if isinstance(value, list) else 0


def test_many_items_are_refused_before_they_are_built() -> None:
    raw = codec.pack([[[] for _ in range(limits.MAX_ARRAY)] for _ in range(120)])
    assert len(raw) < limits.MAX_MESSAGE
    assert _peak_of_refusing(raw) < 8 << 20


def test_nested_claims_reserve_little() -> None:
    inner = b"\xdd" + limits.MAX_ARRAY.to_bytes(4, "big")
    assert _peak_of_refusing(inner * 5_000 + bytes(limits.MAX_MESSAGE - 25_000)) < 80 << 20
    assert _peak_of_refusing(b"\xdc\x00\x40" * 66) < 1 << 20


def _peak_of_refusing(raw: bytes) -> int:
    tracemalloc.start()
    try:
        with pytest.raises(CodecError):
            codec.unpack(raw)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_array_longer_than_any_message_has() -> None:
    assert len(codec.unpack(codec.pack([0] * limits.MAX_ARRAY))) == limits.MAX_ARRAY
    with pytest.raises(CodecError):
        codec.unpack(codec.pack([0] * (limits.MAX_ARRAY + 1)))


class Colour(IntEnum):
    RED = 3


class Point(NamedTuple):
    x: int
    y: bytes


def test_subclasses_and_views_are_packed_as_their_base() -> None:
    value = [Colour.RED, Point(1, b"y"), memoryview(b"view"), bytearray(b"array")]
    assert codec.unpack(codec.pack(value)) == [3, [1, b"y"], b"view", b"array"]


@pytest.mark.parametrize("value", [1 << 64, -(1 << 63) - 1, object(), {1}, "\ud800", [b"", object()]])
def test_what_cannot_be_packed(value: object) -> None:
    with pytest.raises(LocalError):
        codec.pack(value)
    assert codec.pack([1]) == b"\x91\x01"  # nothing is left over from the failure
