"""Rests between two looks at all needs while room is scarce: most of them wait, and to find that out takes time."""

import asyncio
from collections.abc import Callable
from typing import Final

SHORTEST: Final = 1.0  # seconds; deletions and new modes wait so long at most, if there are few needs
SHARE: Final = 4  # a rest is so many times as long as the look before it


class Rests:
    """wake(): called when a rest is over."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._loop = asyncio.get_running_loop()
        self._began: float | None = None  # loop time of the first window of the look under way
        self._until = 0.0

    @property
    def over(self) -> bool:
        """Whether needs may be looked at."""
        return self._loop.time() >= self._until

    def looked(self, *, scarce: bool, more: bool, began: float) -> None:
        """A window of needs was looked at. more: others are left of this look. began: loop time of its begin."""
        if not scarce:
            self._began = None
            return
        self._began = began if self._began is None else self._began
        if not more:
            now = self._loop.time()
            self._until = now + max(SHORTEST, SHARE * (now - self._began))
            self._began = None
            self._loop.call_at(self._until, self._wake)

    def end(self) -> None:
        """There is room again."""
        self._until = 0.0
