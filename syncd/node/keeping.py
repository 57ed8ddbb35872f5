"""The losing versions that are under way to the archive, and those that rest because nobody has them."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from protocol.limits import MAX_CLASSES

HELD: Final = 64  # under way at most: 4 MiB if they are small
LARGE: Final = 4  # of more than a block among them: the staging asks for their room in advance
REST: Final = 60.0  # seconds until one that nobody has, or that could not be written, is tried again
RESTING: Final = 65_536  # that are remembered to rest; of more, the first ones are tried sooner
RANK: Final = MAX_CLASSES  # of their requests: behind every class


class Keeping:
    """By content. due: whether some may have to be started. wake(): called when the rest of one is over."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.due = True
        self.under_way: set[bytes] = set()
        self._wake = wake
        self._loop = asyncio.get_running_loop()
        self._resting: dict[bytes, float] = {}  # loop time of the next try
        self._timer: asyncio.TimerHandle | None = None

    @property
    def room(self) -> int:
        """How many more may be started."""
        return HELD - len(self.under_way)

    @property
    def left_alone(self) -> frozenset[bytes]:
        """What is not to be started now."""
        return frozenset([*self.under_way, *self._resting])

    def rest(self, content: bytes) -> None:
        """It cannot be had, or not be written: try again later."""
        self.under_way.discard(content)
        if len(self._resting) >= RESTING:
            del self._resting[next(iter(self._resting))]
        self._resting[content] = self._loop.time() + REST
        self._arm()

    def rouse(self, contents: Iterable[bytes] | None = None) -> None:
        """Somebody may have these now, or any."""
        for content in list(self._resting) if contents is None else contents:
            self.due |= self._resting.pop(content, None) is not None

    def _arm(self) -> None:
        if self._timer is None and self._resting:
            self._timer = self._loop.call_at(min(self._resting.values()), self._fire)

    def _fire(self) -> None:
        self._timer = None
        now = self._loop.time()
        self.rouse([content for content, due in self._resting.items() if due <= now])
        self._arm()
        self._wake()
