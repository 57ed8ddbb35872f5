"""After an unclean stop: nothing is published before a peer has answered, so that what it knows counts first."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from syncd.core.events import Event, Trusted
from syncd.core.replica import Replica
from syncd.node.hands import Hands

# Seconds until what is found after a power cut is published though no peer has said what it knows. A peer that did not
# notice our end is silent for 15 s before it dials again, and a switch may take half a minute to come up.
PATIENCE_AFTER_POWER_CUT: Final = 60.0

_log = structlog.get_logger()


class Caution:
    """handle(event): in the worker thread."""

    def __init__(self, replica: Replica, hands: Hands, handle: Callable[[Event], object]) -> None:
        self._replica, self._hands, self._handle = replica, hands, handle
        self._over = asyncio.Event()

    async def wait(self, folder: str, alone: float) -> None:
        """Returns when the disk may be believed. alone: seconds without any peer after which it is, at the earliest."""
        if not self._replica.cautious:
            return
        _log.warning("the last stop was unclean: looking for damage; peers are asked first", dir=folder)
        if self._replica.power_was_cut:
            alone = max(alone, PATIENCE_AFTER_POWER_CUT)
        try:
            async with asyncio.timeout(alone):
                await self._over.wait()
        except TimeoutError:
            pass
        await self._hands.run(self._handle, Trusted())

    def counters_compared(self) -> None:
        """With those of a peer. After a power cut that is not enough: the index may have lost what it knew."""
        if not self._replica.power_was_cut:
            self._over.set()

    def merged(self) -> None:
        """All that a peer knows is known here."""
        self._over.set()
