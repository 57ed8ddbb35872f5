"""When the standing of a folder is looked at anew: soon after a change, seldom while much is going on."""

import asyncio
from typing import Final

IDLE_INTERVAL: Final = 1.0  # seconds between two looks though nothing changed: something lasts, and only time ends it
CALM_INTERVAL: Final = 5.0  # the same while nothing lasts; the folder's room is looked at as often
GATHER: Final = 0.02  # seconds in which changes gather before peers are told
BUSY: Final = 0.25  # the same while much is going on, unless it ends


class Pace:
    """Of one folder."""

    def __init__(self) -> None:
        self._changed, self._decided = asyncio.Event(), asyncio.Event()

    def changed(self) -> None:
        """Something is not as it was."""
        self._changed.set()

    def decided(self) -> None:
        """Much that was going on is over: whoever waits for that should not wait longer."""
        self._decided.set()
        self._changed.set()

    async def due(self, calm: bool = False) -> None:
        """Return when it is time to look. calm: nothing is under way, and all is well."""
        await _wait(self._changed, CALM_INTERVAL if calm else IDLE_INTERVAL)
        self._changed.clear()
        self._decided.clear()

    async def rest(self, busy: bool) -> None:
        """After a look: let changes gather. busy: whether much is going on."""
        if busy:
            await _wait(self._decided, BUSY)
        else:
            await asyncio.sleep(GATHER)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
