"""Block ids, content ids and block lists in segments."""

import random
from itertools import accumulate

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import codec, content, limits
from protocol.content import (
    BadContent,
    Block,
    Leaf,
    Node,
    SegmentReader,
    assemble,
    block_id,
    build_segments,
    decode_segment,
    segment_id,
    walk,
)
from protocol.errors import CodecError, LocalError, RemoteError

KEY = bytes(range(32))
SHORT = limits.MIN_BLOCK_ACCEPTED - 1
MEAN = limits.AVERAGE_BLOCK
SMALL = limits.SMALL_FILE


def an_id(number):
    return block_id(KEY, b"block %d" % number)


def many_blocks(count, seed=0):
    chance = random.Random(seed)
    return [(an_id(seed << 32 | n), chance.randint(limits.MIN_BLOCK, limits.MAX_BLOCK)) for n in range(count)]


def size_of(blocks):
    return sum(length for _, length in blocks)


def located(blocks):
    starts = accumulate((length for _, length in blocks), initial=0)
    return [Block(identity, start, length) for (identity, length), start in zip(blocks, starts, strict=False)]


def pack_leaf(*entries):
    return codec.pack([0, entries])


def pack_node(*entries):
    return codec.pack([1, entries])


def stored(*raws):
    """(id of the last one, a place where all of them are)."""
    held = {segment_id(KEY, raw): raw for raw in raws}
    return segment_id(KEY, raws[-1]), held.get


def long_block():
    return st.tuples(st.integers(0, 99).map(an_id), st.integers(limits.MIN_BLOCK_ACCEPTED, limits.MAX_BLOCK))


@st.composite
def block_lists(draw):
    """What a store makes of a file: data in blocks, holes between them."""
    blocks = []
    for _ in range(draw(st.integers(1, 5))):
        data = draw(st.lists(long_block(), max_size=4))
        if draw(st.booleans()):  # the last block before a hole may be short
            data.append((an_id(draw(st.integers(0, 99))), draw(st.integers(1, SHORT))))
        blocks += data
        if data and draw(st.booleans()):
            blocks.append((None, draw(st.integers(1, limits.MAX_SIZE // 8))))
        elif data and data[-1][1] <= SHORT:
            blocks.append((None, 4096))
    if not blocks or size_of(blocks) <= SMALL:
        blocks = [*blocks, (an_id(1), limits.MAX_BLOCK)]
    return blocks


# ---- ids


def test_ids_are_keyed():
    assert block_id(KEY, b"data") == blake3(b"data", key=KEY).digest()
    assert block_id(KEY, b"data") != block_id(bytes(32), b"data")
    assert segment_id(KEY, b"data") != segment_id(bytes(32), b"data")


@pytest.mark.parametrize("prefix", [b"", b"\0", b"\x01"])
def test_no_block_passes_for_a_segment(prefix):
    raw = pack_leaf((None, 1 << 40))  # no secret is needed to write this down as a file
    assert block_id(KEY, prefix + raw) != segment_id(KEY, raw)


# ---- building and reading


@given(block_lists())
def test_what_is_built_is_read(blocks):
    content_id, segments = build_segments(KEY, blocks)
    assert assemble(content_id, segments.get, size_of(blocks)) == located(blocks)
    assert all(segment_id(KEY, raw) == identity for identity, raw in segments.items())


@pytest.mark.parametrize("count", [1, 64, 5_000, 20_000])
def test_long_lists_become_levels_of_segments(count):
    blocks = many_blocks(count)
    content_id, segments = build_segments(KEY, blocks)
    assert assemble(content_id, segments.get, size_of(blocks)) == located(blocks)
    decoded = [decode_segment(raw) for raw in segments.values()]
    leaves = [segment for segment in decoded if isinstance(segment, Leaf)]
    assert sum(len(leaf.entries) for leaf in leaves) == count
    assert all(len(segment.entries) <= limits.MAX_SEGMENT_ENTRIES for segment in decoded)
    if count > 1_000:
        assert 200 < count / len(leaves) < 500
    assert max(map(len, segments.values())) < 80_000


def test_a_list_may_need_all_levels(monkeypatch):
    monkeypatch.setattr(content, "_LEAF_CUT", (1, 4))
    monkeypatch.setattr(content, "_NODE_CUT", (2, 8))
    blocks = many_blocks(500)
    content_id, segments = build_segments(KEY, blocks)
    assert assemble(content_id, segments.get, size_of(blocks)) == located(blocks)
    top = decode_segment(segments[content_id])
    below = decode_segment(segments[top.entries[0][0]])
    assert isinstance(below, Node)
    assert isinstance(decode_segment(segments[below.entries[0][0]]), Leaf)


def test_a_file_of_equal_blocks_needs_few_segments():
    # Every entry of such a list wants to end its segment, or none does.
    one = next(an_id(n) for n in range(10_000) if int.from_bytes(an_id(n)[:8], "big") % 256 == 0)
    for identity in (one, an_id(1)):
        blocks = [(identity, limits.MAX_BLOCK)] * 10_000
        content_id, segments = build_segments(KEY, blocks)
        assert len(segments) < 5
        assert sum(1 for _ in walk(content_id, segments.get, size_of(blocks))) == 10_000


@given(st.integers(0, 9_999), st.integers(0, 3), st.integers(0, 3), st.integers(0, 1 << 20))
@settings(max_examples=20, deadline=None)
def test_an_edit_changes_few_segments(place, removed, added, seed):
    blocks = LONG
    edited = [*blocks[:place], *many_blocks(added, seed + 1), *blocks[place + removed :]]
    _, segments = build_segments(KEY, edited)
    new = segments.keys() - LONG_SEGMENTS.keys()
    assert len(new) <= 5
    assert sum(len(segments[identity]) for identity in new) < 100_000


LONG = many_blocks(10_000)
LONG_ID, LONG_SEGMENTS = build_segments(KEY, LONG)


def test_walking_holds_no_more_than_one_path():
    seen = []

    def get(identity):
        seen.append(identity)
        return LONG_SEGMENTS[identity]

    blocks = walk(LONG_ID, get, size_of(LONG))
    assert next(blocks) == Block(LONG[0][0], 0, LONG[0][1])
    assert len(seen) <= 3


@pytest.mark.parametrize("size", [0, 1, SMALL])
def test_a_small_file_is_its_block(size):
    assert assemble(an_id(1), {}.get, size) == [Block(an_id(1), 0, size)]


@pytest.mark.parametrize(
    "blocks",
    [
        [],
        [(an_id(1), SMALL)],
        [(an_id(1), SHORT), (an_id(2), limits.MAX_BLOCK)],
        [(None, SMALL), (None, SMALL)],
        [(an_id(1), limits.MAX_BLOCK + 1)],
        [(an_id(1), limits.MAX_BLOCK), (an_id(1), 0)],
        [(an_id(1)[:-1], limits.MAX_BLOCK)],
        [(None, limits.MAX_SIZE + 1)],
        [(None, limits.MAX_SIZE), (an_id(1), MEAN)],
    ],
)
def test_nothing_is_built_that_readers_would_refuse(blocks):
    with pytest.raises(LocalError):
        build_segments(KEY, blocks)


def test_there_is_an_end_to_levels(monkeypatch):
    monkeypatch.setattr(content, "_LEAF_CUT", (1, 1))
    monkeypatch.setattr(content, "_NODE_CUT", (1, 1))
    with pytest.raises(LocalError, match="too many"):
        build_segments(KEY, many_blocks(limits.MAX_SEGMENT_ENTRIES + 1))
    blocks = many_blocks(limits.MAX_SEGMENT_ENTRIES)
    content_id, segments = build_segments(KEY, blocks)
    assert assemble(content_id, segments.get, size_of(blocks)) == located(blocks)


def test_a_cut_is_forced_in_a_list_that_wants_none(monkeypatch):
    monkeypatch.setattr(content, "_LEAF_CUT", (1, 1 << 63))
    blocks = many_blocks(limits.MAX_SEGMENT_ENTRIES * 2)
    content_id, segments = build_segments(KEY, blocks)
    assert len(segments) == 3
    assert assemble(content_id, segments.get, size_of(blocks)) == located(blocks)
    assert max(map(len, segments.values())) <= limits.MAX_SEGMENT


# ---- hostile segments


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        codec.pack(None),
        codec.pack([]),
        codec.pack([0]),
        codec.pack([0, [], 0]),
        codec.pack([True, [[an_id(1), MEAN]]]),
        codec.pack([2, [[an_id(1), MEAN]]]),
        codec.pack([-1, [[an_id(1), MEAN]]]),
        codec.pack([0, b"x"]),
        pack_leaf(),
        pack_node(),
        pack_leaf(None),
        pack_leaf([an_id(1)]),
        pack_leaf([an_id(1), MEAN, 0]),
        pack_leaf([an_id(1), "5000"]),
        pack_leaf([an_id(1), True]),
        pack_leaf([an_id(1), 0]),
        pack_leaf([an_id(1), -MEAN]),
        pack_leaf([an_id(1), limits.MAX_BLOCK + 1]),
        pack_leaf([an_id(1)[1:], MEAN]),
        pack_leaf(["x" * 32, MEAN]),
        pack_leaf([None, 0]),
        pack_leaf([None, limits.MAX_SIZE + 1]),
        pack_leaf([None, limits.MAX_SIZE], [an_id(1), MEAN]),
        pack_leaf([None, 5], [None, 5]),
        pack_leaf([an_id(1), MEAN], [an_id(2), SHORT], [an_id(3), MEAN]),
        pack_node([None, MEAN]),
        pack_node([an_id(1) + b"x", MEAN]),
        pack_node([an_id(1), 0]),
        pack_node([an_id(1), limits.MAX_SIZE], [an_id(1), 1]),
        pack_leaf(*[(an_id(1), MEAN)] * (limits.MAX_SEGMENT_ENTRIES + 1)),
        pack_leaf([an_id(1), MEAN]) + b"\0",
        bytes(limits.MAX_SEGMENT + 1),
    ],
)
def test_hostile_segments_are_refused(raw):
    with pytest.raises((BadContent, CodecError)):
        decode_segment(raw)


@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda tail: b"\x92\0\x91\x92" + tail))
def test_any_bytes_are_a_segment_or_refused(raw):
    try:
        segment = decode_segment(raw)
    except RemoteError:
        return
    assert codec.pack([int(isinstance(segment, Node)), segment.entries]) == raw
    assert segment.size == size_of(segment.entries) > 0


def test_the_largest_segment_is_accepted():
    raw = pack_node(*[(an_id(n), limits.MAX_SIZE >> 12) for n in range(limits.MAX_SEGMENT_ENTRIES)])
    assert decode_segment(memoryview(raw)).size == limits.MAX_SIZE
    assert len(raw) <= limits.MAX_SEGMENT


def fed(content_id, get, size):
    """Feed a reader what it wants, until it refuses or is done."""
    reader = SegmentReader(KEY, content_id, size)
    while not reader.done:
        for identity in reader.wanted(10):
            reader.feed(identity, get(identity))


FULL_LEAF = pack_leaf((an_id(1), MEAN), (an_id(2), MEAN))
SHORT_END = pack_leaf((an_id(1), MEAN), (an_id(2), SHORT))
SHORT_ALONE = pack_leaf((an_id(1), SHORT))
SHORT_BEGIN = pack_leaf((an_id(1), SHORT), (an_id(2), MEAN))


def over(*raws):
    return pack_node(*[(segment_id(KEY, raw), decode_segment(raw).size) for raw in raws])


@pytest.mark.parametrize("raws", [
    [SHORT_END, FULL_LEAF, over(SHORT_END, FULL_LEAF)],
    [SHORT_BEGIN],
    [FULL_LEAF, SHORT_BEGIN, over(FULL_LEAF, SHORT_BEGIN)],
    [pack_leaf((None, SMALL)), over(pack_leaf((None, SMALL)), pack_leaf((None, SMALL)))],
])  # fmt: skip
def test_the_rules_hold_across_segments(raws):
    content_id, get = stored(*raws)
    with pytest.raises(BadContent):
        assemble(content_id, get, decode_segment(raws[-1]).size)


@pytest.mark.parametrize("raws", [
    [FULL_LEAF, SHORT_END, over(FULL_LEAF, SHORT_END)],
    [SHORT_END, pack_leaf((None, 9)), over(SHORT_END, pack_leaf((None, 9)))],
    [pack_leaf((None, 9)), SHORT_BEGIN, over(pack_leaf((None, 9)), SHORT_BEGIN)],
    [SHORT_ALONE, pack_leaf((None, SMALL)), over(SHORT_ALONE, pack_leaf((None, SMALL)))],
])  # fmt: skip
def test_short_blocks_may_end_a_file_or_border_a_hole_in_the_next_segment(raws):
    content_id, get = stored(*raws)
    assert len(assemble(content_id, get, decode_segment(raws[-1]).size)) >= 2


DEEP = [FULL_LEAF]
for _ in range(limits.MAX_SEGMENT_DEPTH + 1):
    DEEP.append(over(DEEP[-1]))
WRONG_COVER = pack_node((segment_id(KEY, FULL_LEAF), 2 * MEAN), (segment_id(KEY, FULL_LEAF), 3 * MEAN))


@pytest.mark.parametrize(("raws", "size"), [
    ([FULL_LEAF], 2 * MEAN - 1),
    ([FULL_LEAF], 2 * MEAN + 1),
    ([FULL_LEAF, over(FULL_LEAF)], 3 * MEAN),
    (DEEP, 2 * MEAN),
    ([FULL_LEAF, WRONG_COVER], 5 * MEAN),
    ([codec.pack(7)], 2 * MEAN),
])  # fmt: skip
def test_a_list_that_does_not_add_up_is_refused(raws, size):
    content_id, get = stored(*raws)
    with pytest.raises((BadContent, CodecError)):
        assemble(content_id, get, size)
    with pytest.raises((BadContent, CodecError)):
        fed(content_id, get, size)


def test_the_deepest_list_is_accepted():
    content_id, get = stored(*DEEP[:-1])
    assert len(assemble(content_id, get, 2 * MEAN)) == 2
    fed(content_id, get, 2 * MEAN)


def test_a_missing_segment_is_our_own_trouble():
    with pytest.raises(LocalError, match="missing"):
        assemble(an_id(1), {}.get, SMALL + 1)


# ---- fetching


@given(st.randoms(use_true_random=False), st.integers(1, 50))
@settings(max_examples=10, deadline=None)
def test_a_reader_finds_every_segment_in_any_order(chance, limit):
    reader = SegmentReader(KEY, LONG_ID, size_of(LONG))
    fetched = {}
    while not reader.done:
        wanted = reader.wanted(limit)
        assert 1 <= len(wanted) <= limit
        assert not fetched.keys() & set(wanted)
        for identity in chance.sample(wanted, chance.randint(1, len(wanted))):
            fetched[identity] = LONG_SEGMENTS[identity]
            reader.feed(identity, memoryview(fetched[identity]))
    assert fetched == LONG_SEGMENTS
    assert reader.wanted(limit) == []


def test_a_small_file_has_nothing_to_fetch():
    assert SegmentReader(KEY, an_id(1), SMALL).done


def test_a_reader_takes_only_what_it_wants():
    content_id, get = stored(FULL_LEAF)
    reader = SegmentReader(KEY, content_id, 2 * MEAN)
    with pytest.raises(RemoteError, match="not asked"):
        reader.feed(an_id(1), FULL_LEAF)
    with pytest.raises(RemoteError, match="not what"):
        reader.feed(content_id, SHORT_END)
    reader.feed(content_id, get(content_id))
    with pytest.raises(RemoteError, match="not asked"):
        reader.feed(content_id, FULL_LEAF)


def test_a_segment_may_occur_twice():
    content_id, get = stored(FULL_LEAF, over(FULL_LEAF, FULL_LEAF))
    fed(content_id, get, 4 * MEAN)
    assert len(assemble(content_id, get, 4 * MEAN)) == 4


def test_a_reader_remembers_a_bounded_number_of_segments(monkeypatch):
    monkeypatch.setattr(limits, "MAX_SEGMENTS", 3)
    node = pack_node(*[(an_id(n), MEAN) for n in range(3)])
    content_id, get = stored(node)
    with pytest.raises(BadContent, match="too many"):
        fed(content_id, get, 3 * MEAN)
