"""The lead: which one peer a node that has nothing takes the manifest from first, with the contents of small files.

Small files come many times faster along with their records than one by one. They must not come from two peers at once,
so the others wait to be asked until the lead is given up, or its holder brings nothing any more.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

PATIENCE: Final = 10.0  # seconds of waiting for an answer after which the lead is lost


class Lead:
    """Of one folder. on_free(): nobody has it any more."""

    def __init__(self, on_free: Callable[[], None]) -> None:
        self._on_free = on_free
        self._loop = asyncio.get_running_loop()
        self._holder: object | None = None
        self._seen = 0.0
        self._works = False  # on what the holder brought: nobody waits for more of it
        self._timer: asyncio.TimerHandle | None = None

    def is_held_by(self, holder: object) -> bool:
        """Whether it is `holder` who has it."""
        return self._holder is holder

    @property
    def taken(self) -> bool:
        """Whether anybody has it."""
        return self._holder is not None

    def take(self, holder: object) -> None:
        """`holder` has it from now on; nobody may have it yet."""
        assert self._holder is None
        self._holder = holder
        self._works = False
        self._seen = self._loop.time()
        self._watch()

    @contextmanager
    def work(self, holder: object) -> Iterator[None]:
        """`holder` brought something. While the with statement works on it, it loses nothing by our being slow."""
        if self._holder is holder:
            self._works = True
        try:
            yield
        finally:
            if self._holder is holder:
                self._works, self._seen = False, self._loop.time()

    def free(self, holder: object) -> None:
        """`holder` does not need it any more."""
        if self._holder is holder:
            self._holder = None
            if self._timer is not None:
                self._timer.cancel()
            self._on_free()

    def _watch(self) -> None:
        holder, due = self._holder, (self._loop.time() if self._works else self._seen) + PATIENCE
        if due <= self._loop.time():
            self.free(holder)
        else:
            self._timer = self._loop.call_at(due, self._watch)
