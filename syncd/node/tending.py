"""Tends the archive while a folder runs: looks for late writes, and removes what has been there long enough."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from syncd.node.findings import Report
from syncd.node.hands import Hands
from syncd.node.retention import Retention

LOOK_INTERVAL: Final = 20.0  # seconds between two looks for late writes
ROUND_INTERVAL: Final = 3_600.0  # seconds between two rounds over the whole archive
HURRIED_INTERVAL: Final = 60.0  # the same while the disk is full: it costs little, and what grows too old makes room

_log = structlog.get_logger()


class Tending:
    """on_report(report): takes what was found."""

    def __init__(self, retention: Retention, hands: Hands, on_report: Callable[[Report], None]) -> None:
        self._retention = retention
        self._hands = hands
        self._on_report = on_report
        self._loop = asyncio.get_running_loop()
        self._due = self._began = float("-inf")  # loop time of the next round, and of the last one
        self._hurried = asyncio.Event()

    def hurry(self) -> None:
        """The disk is full: the next round is due soon."""
        self._due = min(self._due, self._began + HURRIED_INTERVAL)
        if self._due <= self._loop.time():
            self._hurried.set()

    async def run(self) -> None:
        """Work until cancelled. Every step is a call of its own, so that other work goes between."""
        while True:
            self._hurried.clear()
            if self._loop.time() >= self._due:
                self._began = self._loop.time()
                self._due = self._began + ROUND_INTERVAL
                await self._round()
            while (report := await self._hands.run(self._retention.look)) is not None:
                self._on_report(report)
            try:
                async with asyncio.timeout(LOOK_INTERVAL):
                    await self._hurried.wait()
            except TimeoutError:
                pass

    async def _round(self) -> None:
        before = self._retention.removed
        self._retention.begin()
        try:
            while await self._hands.run(self._retention.expire):
                pass
        except OSError as error:  # of the disk: the next round may find it well
            self._on_report(Report(alarms=[f"the archive cannot be looked after: {error.strerror or error}"]))
        self._retention.look_at_all()
        items, size = (now - then for now, then in zip(self._retention.removed, before, strict=True))
        if items:
            _log.info("archive: the oldest were removed", items=items, bytes=size)
