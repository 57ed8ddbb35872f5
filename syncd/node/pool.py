"""Lets what arrives come together for a moment: every batch costs hops between threads, a sync and a transaction."""

import asyncio
from collections.abc import Callable
from typing import Final

ENOUGH: Final = 4 << 20  # bytes that make a batch at once; fewer wait for more that is on its way
SECONDS: Final = 0.02  # that they wait at most: a page that needs the file can wait as long


class Pool:
    """wake: set whenever something happens."""

    def __init__(self, wake: asyncio.Event) -> None:
        self._wake = wake
        self._size = 0

    def add(self, size: int) -> None:
        """So many bytes came."""
        self._size += size

    async def wait(self, more: Callable[[], bool], meanwhile: Callable[[], None]) -> None:
        """Return when there is enough, when nothing more is on its way, or after SECONDS. meanwhile(): at each step."""
        if not 0 < self._size < ENOUGH or not more():
            self._size = 0
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + SECONDS
        timer = loop.call_at(until, self._wake.set)  # cheaper than a timeout around each wait
        try:
            while 0 < self._size < ENOUGH and more() and loop.time() < until:
                meanwhile()
                await self._wake.wait()
                self._wake.clear()
        finally:
            timer.cancel()
        self._size = 0
