"""Reading a block list beside the requests: whatever is asked for, what is told is where the list has it."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.content import BadContent, Block
from syncd.node.along import WINDOW, Along, Run

CONTENT = b"c" * 32


def listed(lengths: list[int], holes: frozenset[int] = frozenset()) -> list[Block]:
    blocks, offset = [], 0
    for number, length in enumerate(lengths):
        blocks.append(Block(None if number in holes else number.to_bytes(32, "big"), offset, length))
        offset += length
    return blocks


def names(blocks: list[Block]) -> list[bytes]:
    return [block.id for block in blocks if block.id is not None]


def read(along: Along, ids: list[bytes], most: int) -> dict[bytes, tuple[int, int]]:
    """What runs say of the blocks that they name."""
    found: dict[bytes, tuple[int, int]] = {}
    place = 0
    while place < len(ids):
        run = along.run(CONTENT, ids, place, most)
        offset = run.offset
        for id_, length in zip(ids[place:], run.lengths, strict=False):
            found[id_] = (offset, length)
            offset += length
        place += len(run.lengths) or 1
    return found


def test_all_in_order_is_found_and_lies_together() -> None:
    blocks = listed([10] * 500)
    along = Along(lambda _: iter(blocks))
    assert along.run(CONTENT, names(blocks), 0, 95) == Run(0, [10] * 9)
    assert along.run(CONTENT, names(blocks), 9, 1 << 20) == Run(90, [10] * (WINDOW - 9))
    found = read(along, names(blocks)[WINDOW:], 1 << 20)
    assert found == {block.id: (block.offset, block.length) for block in blocks[WINDOW:]}


def test_one_that_is_longer_than_a_run_may_be_is_told_alone() -> None:
    blocks = listed([100, 100])
    assert Along(lambda _: iter(blocks)).run(CONTENT, names(blocks), 0, 50) == Run(0, [100])


def test_a_hole_ends_a_run() -> None:
    blocks = listed([10, 10, 5, 10], frozenset({2}))
    along = Along(lambda _: iter(blocks))
    assert along.run(CONTENT, names(blocks), 0, 100) == Run(0, [10, 10])
    assert along.run(CONTENT, names(blocks), 2, 100) == Run(25, [10])


def test_what_is_further_away_is_sought() -> None:
    blocks = listed([1] * 1_000)
    along = Along(lambda _: iter(blocks))
    ids = names(blocks)
    assert along.run(CONTENT, ids, 900, 1).lengths == []
    for _ in range(900 // WINDOW):
        along.seek(CONTENT, 900)
    assert along.run(CONTENT, ids, 900, 1) == Run(900, [1])
    along.seek(CONTENT, 3)
    assert along.run(CONTENT, ids, 901, 1) == Run(901, [1]), "it never goes back"


@pytest.mark.parametrize("known", [0, 1, 100])
def test_a_list_that_cannot_be_read_to_its_end(known: int) -> None:
    blocks = listed([1] * 200)

    def walk(_: bytes) -> Iterator[Block]:
        yield from blocks[:known]
        raise BadContent("a segment is missing")

    along = Along(walk)
    assert set(read(along, names(blocks), 1 << 20)) <= set(names(blocks[:known]))
    assert along.run(CONTENT, names(blocks), 150, 1).lengths == []


def test_another_content_begins_anew() -> None:
    lists = {CONTENT: listed([1, 2, 3]), b"d" * 32: listed([7, 8, 9])}
    along = Along(lambda content: iter(lists[content]))
    assert along.run(CONTENT, names(lists[CONTENT]), 0, 100) == Run(0, [1, 2, 3])
    assert along.run(b"d" * 32, names(lists[CONTENT]), 1, 100) == Run(7, [8, 9])


@given(
    lengths=st.lists(st.integers(1, 50), max_size=300),
    holes=st.frozensets(st.integers(0, 300), max_size=20),
    wanted=st.lists(st.integers(0, 320), max_size=60),
    most=st.integers(1, 200),
)
def test_what_is_told_is_so(lengths: list[int], holes: frozenset[int], wanted: list[int], most: int) -> None:
    blocks = listed(lengths, holes)
    places = {block.id: (block.offset, block.length) for block in blocks}
    along = Along(lambda _: iter(blocks))
    ids = list(dict.fromkeys(number.to_bytes(32, "big") for number in wanted))
    for id_, place in read(along, ids, most).items():
        assert places[id_] == place
