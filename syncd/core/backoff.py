"""When to dial again: exponential back-off, half of it drawn by chance, so that many nodes do not dial in step."""

from dataclasses import dataclass
from typing import Final

FIRST_DELAY: Final = 0.25  # seconds
LONGEST_DELAY: Final = 5.0  # seconds: a rebuilt peer is found again within it
GROWTH: Final = 2.0


@dataclass(slots=True)
class Backoff:
    """The failures so far of one address."""

    failures: int = 0

    def failed(self, chance: float) -> float:
        """Seconds to wait after one more failure. chance: drawn evenly from [0, 1)."""
        ceiling = min(LONGEST_DELAY, FIRST_DELAY * GROWTH**self.failures)
        self.failures = min(self.failures + 1, 16)
        return ceiling * (0.5 + chance / 2)

    def succeeded(self) -> None:
        """Start again from the first delay."""
        self.failures = 0


def survivor(mine: bytes, theirs: bytes, first_initiator_is_me: bool, same_start: bool) -> bool:
    """Of two sessions with one peer, whether the first one stays.

    mine, theirs: node ids. same_start: both sessions are with the same run of the peer; if not, the peer was restarted
    and the first session is a ghost. Otherwise the session begun by the node with the smaller id stays, at both ends.
    """
    if not same_start:
        return False
    smaller_is_me = mine < theirs
    return first_initiator_is_me == smaller_is_me
