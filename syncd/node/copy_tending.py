"""Tends the conflict copies beside the winners while a folder runs."""

import asyncio
from collections.abc import Callable
from typing import Final

from syncd.node.beside import Beside
from syncd.node.findings import YOUNG, Report
from syncd.node.hands import Hands

REST: Final = 1.0  # seconds between two rounds: each looks at every copy
_OLD_ENOUGH: Final = YOUNG / 1e9  # seconds

_NOTHING: Final = Report()


class CopyTending:
    """on_report(report): takes what was found."""

    def __init__(self, beside: Beside, hands: Hands, on_report: Callable[[Report], None]) -> None:
        self._beside = beside
        self._hands = hands
        self._on_report = on_report
        self._due = asyncio.Event()

    def kick(self) -> None:
        """Something changed in the folder."""
        self._due.set()

    async def run(self) -> None:
        """Work until cancelled."""
        if self._beside.idle:
            return
        while True:
            self._due.clear()
            reports = self._beside.round()
            while (report := await self._hands.run(next, reports, None)) is not None:
                if report != _NOTHING:
                    self._on_report(report)
            await asyncio.sleep(REST)
            try:
                async with asyncio.timeout(_OLD_ENOUGH if self._beside.unsure else None):
                    await self._due.wait()
            except TimeoutError:
                pass
