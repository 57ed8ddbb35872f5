"""Says, now and then, who knocked and was not let in."""

from collections.abc import Callable
from typing import Final

import structlog

LINES_PER_WINDOW: Final = 5  # log lines in a window; the rest are counted
WINDOW: Final = 10.0  # seconds

_log = structlog.get_logger()


class Strangers:
    """clock: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._window_began = clock()
        self._lines = 0
        self._unsaid = 0
        self.total = 0

    def note(self, address: str, reason: str) -> None:
        """An incoming connection that did not authenticate."""
        self.total += 1
        now = self._clock()
        if now - self._window_began >= WINDOW:
            if self._unsaid:
                _log.warning("more handshakes failed", count=self._unsaid)
            self._window_began, self._lines, self._unsaid = now, 0, 0
        if self._lines >= LINES_PER_WINDOW:
            self._unsaid += 1
            return
        self._lines += 1
        _log.warning(f"handshake from {address or 'an unknown address'} failed: {reason}")
