"""Worker threads: calls in order, and portions that are made while those before them are in use."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

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
    async with aclosing(hands.ahead(numbers(), one, 2)) as items:
        async for item in items:
            if item == 0:  # the next portion is made before this one is used up
                await asyncio.to_thread(second.wait)
                assert made == [0, 1, 2, 3]
            taken.append(item)
    assert taken == made == [0, 1, 2, 3, 4]


async def test_an_error_comes_where_its_item_would(hands: Hands) -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("broken")

    async with aclosing(hands.ahead(broken(), one, 1)) as items:
        assert await anext(items) == 1
        with pytest.raises(OSError, match="broken"):
            await anext(items)


async def test_who_stops_early_leaves_nothing_to_be_told(hands: Hands) -> None:
    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    goes_on = threading.Event()

    def failing() -> Iterator[int]:
        yield 1
        goes_on.wait()
        raise OSError("nobody asks for it any more")

    async with aclosing(hands.ahead(failing(), one, 1)) as items:
        assert await anext(items) == 1
    goes_on.set()
    assert await hands.run(lambda: 2) == 2
    assert told == []
