"""The archive is tended while a folder runs: a round at the start, then looks for late writes."""

import asyncio
import contextlib
import errno
from typing import Any

import pytest

from syncd.node.findings import Report
from syncd.node.hands import Hands
from syncd.node.tending import Tending


class FakeRetention:
    """Notes what it is asked; two steps to a round, one report to a look. failing: steps that the disk refuses."""

    def __init__(self, failing: int = 0) -> None:
        self.asked: list[str] = []
        self.failing = failing
        self.removed = (0, 0)
        self.reports: list[Report] = []

    def begin(self) -> None:
        self.asked.append("begin")
        self.steps = 2

    def expire(self) -> bool:
        self.asked.append("expire")
        if self.failing:
            self.failing -= 1
            raise OSError(errno.EIO, "Input/output error")
        self.removed = self.removed[0] + 1, self.removed[1] + 10
        self.steps -= 1
        return self.steps > 0

    def look_at_all(self) -> None:
        self.asked.append("all")
        self.reports.append(Report(entries=len(self.asked)))

    def look(self) -> Report | None:
        self.asked.append("look")
        return self.reports.pop() if self.reports else None


async def first_report(retention: Any, monkeypatch: pytest.MonkeyPatch) -> Report:
    """The first one that the archive's tending brings."""
    monkeypatch.setattr("syncd.node.tending.LOOK_INTERVAL", 0.0)
    told: asyncio.Queue[Report] = asyncio.Queue()
    hands = Hands("test")
    tending = asyncio.create_task(Tending(retention, hands, told.put_nowait).run())
    try:
        async with asyncio.timeout(10):
            report = await told.get()
        assert not tending.done()
        return report
    finally:
        tending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await tending
        hands.close()


async def test_a_round_and_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    retention = FakeRetention()
    report = await first_report(retention, monkeypatch)
    assert report.entries == 4
    assert retention.asked[:5] == ["begin", "expire", "expire", "all", "look"]
    assert retention.asked.count("begin") == 1, "the next round is an hour later"


async def test_a_disk_that_fails_is_told_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    retention = FakeRetention(failing=1)
    report = await first_report(retention, monkeypatch)
    assert report.alarms == ["the archive cannot be looked after: Input/output error"]
    assert retention.asked[:3] == ["begin", "expire", "all"]
