"""When the standing of a folder is looked at anew. A wait that should not end by its time would end never."""

import asyncio

import pytest

from syncd.node import pace as module
from syncd.node.pace import Pace

NEVER = 1e6  # seconds


@pytest.fixture(autouse=True)
def without_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IDLE_INTERVAL", "CALM_INTERVAL", "GATHER", "BUSY"):
        monkeypatch.setattr(module, name, NEVER)


async def test_a_change_is_looked_at_once() -> None:
    pace = Pace()
    pace.changed()
    await pace.due()
    waiting = asyncio.create_task(pace.due())
    await asyncio.sleep(0)
    assert not waiting.done()
    pace.changed()
    await waiting


async def test_without_a_change_it_is_due_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_INTERVAL", 0.0)
    await Pace().due()


async def test_while_nothing_lasts_it_is_due_later_but_for_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_INTERVAL", 0.0)
    pace = Pace()
    waiting = asyncio.create_task(pace.due(calm=True))
    await pace.due(calm=False)
    assert not waiting.done()
    pace.changed()
    await waiting
    monkeypatch.setattr(module, "CALM_INTERVAL", 0.0)
    await pace.due(calm=True)


async def test_what_is_over_ends_a_busy_rest_and_is_looked_at() -> None:
    pace = Pace()
    resting = asyncio.create_task(pace.rest(busy=True))
    await asyncio.sleep(0)
    pace.changed()
    await asyncio.sleep(0)
    assert not resting.done()
    pace.decided()
    await resting
    await pace.due()


async def test_what_was_over_before_a_look_does_not_end_the_rest_behind_it() -> None:
    pace = Pace()
    pace.decided()
    await pace.due()
    resting = asyncio.create_task(pace.rest(busy=True))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not resting.done()
    resting.cancel()


async def test_what_is_over_does_not_end_the_gathering_of_single_changes() -> None:
    pace = Pace()
    resting = asyncio.create_task(pace.rest(busy=False))
    await asyncio.sleep(0)
    pace.decided()
    await asyncio.sleep(0)
    assert not resting.done()
    resting.cancel()


async def test_rests_end_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY", 0.0)
    monkeypatch.setattr(module, "GATHER", 0.0)
    await Pace().rest(busy=True)
    await Pace().rest(busy=False)
