"""Where files are cut."""

import random
import tracemalloc
from itertools import pairwise

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import limits
from protocol.chunking import blocks, cut

KNOWN = [77994, 56754, 66708, 92795, 98471, 114992, 17703, 89950, 189760, 74447, 94516, 59397, 15089]
MIXED = b"".join([
    blake3(b"mixed").digest(length=2 << 20),
    bytes(1 << 20),
    b"abc" * 200_000,
    blake3(b"end").digest(length=99_999),
])  # fmt: skip


def lengths_of(buffers):
    return [len(block) for block in blocks(buffers)]


def split_at(data, places):
    places = sorted({0, *places, len(data)})
    return [data[start:end] for start, end in pairwise(places)]


def test_the_cut_of_known_bytes_never_changes():
    # Another cut would be another content id for every long file of every folder.
    data = blake3(b"syncd/1 chunking").digest(length=1 << 20)
    assert cut(data, True) == KNOWN
    assert cut(bytes(600_000), True) == [262_144, 262_144, 75_712]


def test_blocks_have_the_sizes_they_should():
    lengths = cut(blake3(b"long").digest(length=32 << 20), True)
    assert all(limits.MIN_BLOCK <= length <= limits.MAX_BLOCK for length in lengths[:-1])
    assert 64_000 < sum(lengths) / len(lengths) < 96_000


@given(st.sets(st.integers(0, len(MIXED)), max_size=8), st.integers(0, len(MIXED)))
@settings(deadline=None, max_examples=50)
def test_buffering_makes_no_difference(places, size):
    data = MIXED[:size]
    buffers = split_at(data, places)
    assert b"".join(blocks(buffers)) == data
    assert lengths_of(buffers) == cut(data, True)


@pytest.mark.parametrize("step", [997, 65_536, 262_144, 262_145, 1 << 20])
def test_equal_buffers_make_no_difference(step):
    assert lengths_of(split_at(MIXED, range(0, len(MIXED), step))) == cut(MIXED, True)


@given(st.integers(0, 1 << 32), st.integers(0, 600_000), st.integers(0, 600_000), st.booleans())
@settings(deadline=None, max_examples=50)
def test_what_is_cut_stays_cut_whatever_follows(seed, size, more, plain):
    chance = random.Random(seed)
    data = bytes(size) if plain else chance.randbytes(size)
    early = cut(data, False)
    assert cut(data + chance.randbytes(more), True)[: len(early)] == early
    assert size - sum(early) < limits.MAX_BLOCK


@given(st.integers(0, 1 << 32), st.integers(0, 2 << 20), st.binary(max_size=300))
@settings(deadline=None, max_examples=30)
def test_an_insertion_changes_few_blocks(seed, place, inserted):
    data = MIXED[: 2 << 20]
    edited = data[:place] + inserted + data[place:]
    kept = {bytes(block) for block in blocks([data])}
    new = [block for block in blocks([edited]) if bytes(block) not in kept]
    assert sum(map(len, new)) <= 4 * limits.MAX_BLOCK


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_is_welcome(kind):
    assert cut(kind(MIXED), True) == cut(MIXED, True)
    assert lengths_of([kind(MIXED)]) == cut(MIXED, True)


@pytest.mark.parametrize("final", [True, False])
def test_nothing_is_cut_into_nothing(final):
    assert cut(b"", final) == []
    assert lengths_of([]) == lengths_of([b"", b""]) == []


def test_a_full_block_at_the_end_is_complete():
    assert cut(bytes(limits.MAX_BLOCK), False) == [limits.MAX_BLOCK]
    assert cut(bytes(limits.MAX_BLOCK - 1), False) == []


def test_a_block_stays_valid_while_others_are_cut():
    found = list(blocks(split_at(MIXED, range(0, len(MIXED), 100_000))))
    assert b"".join(found) == MIXED


def test_a_long_stream_takes_little_memory():
    buffer = blake3(b"stream").digest(length=1 << 18)
    tracemalloc.start()
    try:
        total = sum(len(block) for block in blocks(buffer for _ in range(100)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == 100 << 18
    assert peak < 4 * (limits.MAX_BLOCK + len(buffer))
