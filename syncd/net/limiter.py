"""A token bucket: bytes per second, shared by everybody who takes from it."""

from collections.abc import Callable
from typing import Final, NamedTuple

BURST_SECONDS: Final = 0.05  # of the rate that may be taken at once: small, so that a limit holds over short times too


class Limiter:
    """rate: bytes per second, 0 for no limit. clock: seconds, monotonic."""

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.become(rate)

    def become(self, rate: float) -> None:
        """Another rate from now on; debts are forgiven."""
        self._rate = rate
        self._burst = rate * BURST_SECONDS
        self._tokens = self._burst
        self._stamp = self._clock()

    def delay(self) -> float:
        """Seconds until something may be taken; 0 if now."""
        if self._rate <= 0:
            return 0.0
        self._refill()
        return max(0.0, -self._tokens / self._rate)

    def take(self, size: int) -> None:
        """Take `size` bytes. The bucket may go into debt by one message, which later ones wait for."""
        if self._rate > 0:
            self._refill()
            self._tokens -= size

    def _refill(self) -> None:
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._stamp) * self._rate)
        self._stamp = now


class Limits(NamedTuple):
    """The bandwidth limits of a node."""

    upload: Limiter
    download: Limiter
