"""The ring of events: numbers, what is kept, who is late."""

import asyncio

import pytest

from syncd.node.events import Events


def names(events: list[dict[str, object]]) -> list[object]:
    return [item["event"] for item in events]


def test_events_are_numbered_and_dated() -> None:
    events = Events(lambda: 17)
    events.put("started")
    events.put("connected", "/srv/site", peer="web2")
    assert events.read(0, 10) == (
        0,
        [
            {"seq": 1, "time_ns": 17, "event": "started"},
            {"seq": 2, "time_ns": 17, "event": "connected", "folder": "/srv/site", "peer": "web2"},
        ],
    )
    assert events.read(1, 10)[1][0]["seq"] == 2
    assert events.read(2, 10) == (0, [])


def test_fields_are_made_only_for_who_reads() -> None:
    made: list[int] = []
    events = Events(lambda: 0)

    def fields(item: int) -> dict[str, int]:
        made.append(item)
        return {"item": item}

    events.put_all("applied", "", range(1000), fields)
    assert made == []
    _, found = events.read(10, 5)
    assert [item["item"] for item in found] == [10, 11, 12, 13, 14]
    assert [item["seq"] for item in found] == [11, 12, 13, 14, 15]
    assert len(made) <= 15


def test_a_reader_goes_on_in_the_middle_of_a_batch_and_into_the_next() -> None:
    events = Events(lambda: 0)
    for start in (0, 3):
        events.put_all("e", "", range(start, start + 3), lambda item: {"item": item})
    after, seen = 0, []
    while True:
        missed, found = events.read(after, 2)
        assert missed == 0
        if not found:
            break
        seen += [item["item"] for item in found]
        after += len(found)
    assert seen == list(range(6))


def test_the_oldest_are_forgotten_and_counted() -> None:
    events = Events(lambda: 0, kept=10)
    for _ in range(25):
        events.put("e")
    missed, found = events.read(0, 100)
    assert (missed, [item["seq"] for item in found]) == (15, list(range(16, 26)))
    events.put_all("many", "", range(1000), lambda item: {})  # one batch larger than what is kept stays whole
    assert events.read(0, 2000)[0] == 25
    events.put("e")
    events.put_all("e", "", range(10), lambda item: {})
    missed, found = events.read(0, 2000)
    assert missed + len(found) == events.last
    assert len(found) == 11 or len(found) == 10


def test_nothing_is_no_event() -> None:
    events = Events(lambda: 0)
    events.put_all("applied", "", [], lambda item: {})
    assert events.last == 0


async def test_waiting() -> None:
    events = Events(lambda: 0)
    waits = [asyncio.create_task(events.wait(number)) for number in (0, 0, 1)]
    await asyncio.sleep(0)
    events.put("one")
    assert await asyncio.wait_for(asyncio.gather(*waits[:2]), 10) == [True, True]
    assert not waits[2].done()
    events.close()
    assert await asyncio.wait_for(waits[2], 10) is False
    assert await events.wait(0) is True, "what is there is read to its end"
    assert await events.wait(1) is False


async def test_a_reader_that_gives_up_leaves_nothing_behind() -> None:
    events = Events(lambda: 0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await events.wait(0)
    assert events._waiting == set()
