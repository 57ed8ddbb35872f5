"""Worker threads: calls in order, and portions that are made while those before them are in use."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing

import pytest

from syncd.node.hands import Hands


@pytest.fixture
async def hands() -> AsyncIterator[Hands]:
    made = Hands("test")
    yield made
    made.close()


def one(_: object) -> int:
    return 1


async def test_items_come_in_order_and_one_portion_ahead(hands: Hands) -> None:
    made: list[int] = []
    second = threading.Event()

    def numbers() -> Iterator[int]:
        for number in range(5):
            made.append(number)
            if number == 3:
                second.set()
            yield number

    taken = []
    with closing(hands.ahead(numbers(), one, 2)) as portions:
        while portion := await portions.next():
            if portion == [0, 1]:  # the next one is made before this one is used up
                await asyncio.to_thread(second.wait)
                assert made == [0, 1, 2, 3]
            taken.append(portion)
    assert taken == [[0, 1], [2, 3], [4]]


async def test_an_iterator_that_ends_with_a_portion_gives_no_empty_one(hands: Hands) -> None:
    with closing(hands.ahead(iter(range(4)), one, 2)) as portions:
        assert [await portions.next() for _ in range(4)] == [[0, 1], [2, 3], [], []]


async def test_an_error_comes_where_its_item_would(hands: Hands) -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("broken")

    with closing(hands.ahead(broken(), one, 1)) as items:
        assert await items.next() == [1]
        with pytest.raises(OSError, match="broken"):
            await items.next()


async def test_who_stops_early_leaves_nothing_to_be_told(hands: Hands) -> None:
    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    goes_on = threading.Event()

    def failing() -> Iterator[int]:
        yield 1
        goes_on.wait()
        raise OSError("nobody asks for it any more")

    with closing(hands.ahead(failing(), one, 1)) as items:
        assert await items.next() == [1]
    goes_on.set()
    assert await hands.run(lambda: 2) == 2
    assert told == []
