"""Gives back the memory of ended sessions: they are cycles of objects, and the allocator keeps what was freed.

Otherwise a few peers that send all that they may, one after the other, would leave the process as large as all of them
together had been.
"""

import asyncio
import ctypes
import gc
from typing import Final

# Batches make objects by the thousand that no cycle holds; collecting all of them is left to `Memory`.
THRESHOLDS: Final = (50_000, 20, 50)
ARENAS: Final = 2  # in which threads allocate; each keeps what was freed in it for itself, and there would be 16
DELAY: Final = 0.25  # seconds from the end of a session, in which others may end: a collection takes some milliseconds


# Buffers of messages come and go; each that the allocator gives back to the kernel and fetches again costs a fault per
# page, which is more than what is done with it.
MAPPED: Final = 4 << 20  # bytes from which something is mapped on its own
KEPT: Final = 24 << 20  # bytes that may lie free at the end of an arena
_M_ARENA_MAX, _M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -8, -3, -1  # of mallopt(3)


def settle_down() -> None:
    """To be called when all is imported: what is there by now stays, so collections need not look at it.

    Garbage is collected from here on, also if it was not before.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in ((_M_ARENA_MAX, ARENAS), (_M_MMAP_THRESHOLD, MAPPED), (_M_TRIM_THRESHOLD, KEPT)):
            mallopt(option, value)
    gc.set_threshold(*THRESHOLDS)
    gc.freeze()
    gc.enable()


def give_back() -> None:
    """Return to the kernel what was freed: much work is over."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of the GNU library only; others give back on their own
    if trim is not None:
        trim(0)


class Memory:
    """For one event loop."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None

    def session_ended(self) -> None:
        """What it held is given back soon."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DELAY, self._give_back)

    def _give_back(self) -> None:
        self._timer = None
        gc.collect()
        give_back()
