"""Waiting until an index can be used again that failed: disks become free, mounts come back."""

import threading
from collections.abc import Callable
from typing import Final

from syncd.store.index_database import IndexUnavailable

FIRST_WAIT: Final = 0.5  # seconds
LONGEST_WAIT: Final = 15.0  # seconds: as long as an operator who made room may have to wait


class Patience:
    """Used by the thread that works on the index; `trouble` may be read and `stop` called by any.

    There is none until `begin`: a node that cannot start says so and ends.
    """

    def __init__(self) -> None:
        self.trouble: str | None = None
        self._on_trouble: Callable[[str | None], object] | None = None
        self._stopped = threading.Event()
        self._failures = 0

    def begin(self, on_trouble: Callable[[str | None], object]) -> None:
        """From now on failures are waited for.

        on_trouble(reason): called in the index's thread when trouble begins, and with None when it is over.
        """
        self._on_trouble = on_trouble

    def wait(self, error: IndexUnavailable) -> None:
        """Wait before another try, longer every time. Raises the error before `begin` and after `stop`."""
        if self._on_trouble is None or self._stopped.is_set():
            raise error
        if self.trouble != str(error):
            self.trouble = str(error)
            self._on_trouble(self.trouble)
        pause = min(LONGEST_WAIT, FIRST_WAIT * 2**self._failures)
        self._failures = min(self._failures + 1, 16)
        if self._stopped.wait(pause):
            raise error

    def over(self) -> None:
        """The index works."""
        if self.trouble is not None and self._on_trouble is not None:
            self.trouble = None
            self._failures = 0
            self._on_trouble(None)

    def stop(self) -> None:
        """Wait no more: the node ends."""
        self._stopped.set()
