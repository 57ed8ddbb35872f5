"""A timer that is moved on with nearly every message: to set it anew each time would cost as much as the message."""

import asyncio
from typing import Final

LEAST: Final = 0.05  # seconds between now and any alarm


class Alarm:
    """wake: set when the moment has come that was told last, or earlier, when one of those told before has."""

    def __init__(self, wake: asyncio.Event) -> None:
        self._wake = wake
        self._timer: asyncio.TimerHandle | None = None

    def at(self, moment: float | None) -> None:
        """Wake at a time of the loop (seconds) at the latest; None: not on account of this."""
        if moment is None:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._timer is not None:
            if now < self._timer.when() <= moment:
                return
            self._timer.cancel()
        self._timer = loop.call_at(max(moment, now + LEAST), self._wake.set)
