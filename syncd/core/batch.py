"""Paths that changed, gathered until it has been quiet for a while: then they are one batch."""

from collections.abc import Iterable
from typing import Final

MAX_PATHS: Final = (
    4_096  # that are listed; of more it is only known that they are many. They are stored with each change
)
LONGEST: Final = 300.0  # seconds after which a batch is due though changes go on: uploads of a busy site never pause


class Paths:
    """A set that is bounded: many: more than can be listed, and then nothing is listed."""

    def __init__(self, paths: Iterable[bytes] = (), many: bool = False) -> None:
        self.listed: set[bytes] = set()
        self.many = many
        self.add(paths)

    def add(self, paths: Iterable[bytes]) -> bool:
        """Whether that is more than was known already."""
        if self.many:
            return False
        before = len(self.listed)
        self.listed.update(paths)
        if len(self.listed) > MAX_PATHS:
            self.many = True
            self.listed.clear()
        return self.many or len(self.listed) > before

    def __bool__(self) -> bool:
        return self.many or bool(self.listed)


class Quiet:
    """When a batch is due: after `quiet` seconds without a further change. Times are seconds of one clock."""

    def __init__(self, quiet: float) -> None:
        self._quiet = quiet
        self._first: float | None = None
        self._last = 0.0

    def note(self, now: float) -> None:
        """Something changed."""
        self._last = now
        if self._first is None:
            self._first = now

    @property
    def due(self) -> float | None:
        """When the batch is due; None if there is none."""
        return None if self._first is None else min(self._last + self._quiet, self._first + LONGEST)

    def begin(self) -> None:
        """The batch is taken; what changes from now on is another one."""
        self._first = None
