"""What ended sessions leave behind is collected, once for many."""

import asyncio
import gc
import weakref

import pytest

from syncd.node import memory
from syncd.node.memory import Memory


class Loop:
    """A cycle of objects, as an ended session is one."""

    def __init__(self) -> None:
        self.me = self


async def test_what_ended_sessions_held_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "DELAY", 0.01)
    collected = asyncio.Event()
    collections = []

    def collect() -> None:
        collections.append(original())
        collected.set()

    original = gc.collect
    monkeypatch.setattr(gc, "collect", collect)
    gc.disable()
    try:
        watched = Memory()
        session = Loop()
        alive = weakref.ref(session)
        del session
        for _ in range(100):
            watched.session_ended()
        assert alive() is not None
        async with asyncio.timeout(10):
            await collected.wait()
    finally:
        gc.enable()
    assert alive() is None
    assert len(collections) == 1


def test_garbage_is_collected_when_all_is_imported() -> None:
    thresholds = gc.get_threshold()
    gc.disable()
    try:
        memory.settle_down()
        assert gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()
        gc.set_threshold(*thresholds)
