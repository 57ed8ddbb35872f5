"""The lead: one peer at a time, and never for ever."""

import asyncio

import pytest

from syncd.node import lead as lead_module
from syncd.node.lead import Lead


async def test_it_is_given_up_once_and_by_its_holder_only() -> None:
    freed: list[str] = []
    lead = Lead(lambda: freed.append("free"))
    assert not lead.taken
    lead.take("a")
    assert lead.taken
    assert lead.is_held_by("a")
    lead.free("b")
    with lead.work("b"):
        pass
    assert lead.is_held_by("a")
    lead.free("a")
    lead.free("a")
    assert freed == ["free"]
    assert not lead.taken


async def test_who_brings_nothing_loses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lead_module, "PATIENCE", 0.0)
    freed = asyncio.Event()
    lead = Lead(freed.set)
    lead.take("a")
    async with asyncio.timeout(5):
        await freed.wait()
    assert not lead.taken


class Clock:
    """Of the running loop, moved by hand. now: seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now)


async def test_who_brings_something_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    lead = Lead(lambda: None)
    lead.take("a")
    clock.now += lead_module.PATIENCE - 1
    with lead.work("a"):
        pass
    clock.now += lead_module.PATIENCE - 1
    lead._watch()
    assert lead.taken
    clock.now += 1
    lead._watch()
    assert not lead.taken


async def test_who_waits_for_us_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long we take over what it brought: without the lead all that is left would come one by one."""
    clock = Clock(monkeypatch)
    lead = Lead(lambda: None)
    lead.take("a")
    with lead.work("a"):
        clock.now += 2 * lead_module.PATIENCE
        lead._watch()
        assert lead.taken
    clock.now += lead_module.PATIENCE - 1
    lead._watch()
    assert lead.taken
    clock.now += 1
    lead._watch()
    assert not lead.taken
