"""Units: directories that are published all at once. Which one a path lies in, and when one has arrived whole.

An author enters all changes of a unit in one transaction, but they travel in several messages, and may pass a relay
that has heard half of them. So what came is held back until a peer was seen to have nothing more.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from protocol.paths import ancestors, to_path
from syncd.core.patterns import Patterns

QUIET: Final = 2.0  # seconds without a change after which an author's unit is settled: an unzip pauses for less
LONGEST: Final = 30.0  # seconds after which it is published though it goes on changing
MOST_PATHS: Final = 50_000  # in a unit that is treated as one: some 100 MB while it is put together

# Seconds without news of a unit, after its range was compared with a peer, until it counts as whole.
CHECKED_WHOLE: Final = 0.2  # with one that has brought its own disk up to that: it had all of it
CHECKED: Final = 5.0  # with one that itself waits for something: a slow link may be bringing it the other half
PATIENCE: Final = 30.0  # seconds after which a unit is taken as it is, though no peer could tell
REPLACEMENT: Final = 5.0  # seconds for which a unit that goes waits for another one that takes its place


class Units:
    """Which directories are units: those that the patterns select, but none within another one."""

    def __init__(self, patterns: Patterns | None = None) -> None:
        self.become(patterns or Patterns())

    def become(self, patterns: Patterns) -> None:
        """Other patterns from now on."""
        self._patterns = patterns
        self.none = patterns.selects_nothing

    def of(self, path: bytes) -> bytes | None:
        """The unit in which a path lies, if that is a directory; a path that is selected lies in itself."""
        if self.none or not path:
            return None
        for above in ancestors(path):
            if self._patterns.match(above, True):
                return above
        return path if self._patterns.match(path, True) else None

    def among(self, keys: Iterable[bytes]) -> set[bytes]:
        """The units in which these keys lie."""
        if self.none:
            return set()
        found = {self.of(to_path(key)) for key in keys}
        return {unit for unit in found if unit is not None}


@dataclass(slots=True)
class _Open:
    """A unit with news. due: when it counts as whole if there are no more."""

    number: int  # of its last news
    due: float
    heard: float  # when they came


@dataclass(slots=True)
class Arrivals:
    """Which units have arrived whole. Times are seconds of one monotonic clock.

    began: when this run did. What was known of a unit then may be a part of something, so every unit waits to be
    compared once.
    """

    began: float
    _open: dict[bytes, _Open] = field(default_factory=dict)
    _whole: set[bytes] = field(default_factory=set)
    _number: int = 0
    _agreed: bool = False  # since the start

    def news(self, units: Iterable[bytes], now: float) -> None:
        """Records of a peer changed something in these."""
        for unit in units:
            self._number += 1
            self._whole.discard(unit)
            self._open[unit] = _Open(self._number, now + PATIENCE, now)

    def mark(self) -> int:
        """For `agreed`: all news until now."""
        return self._number

    def agreed(self, mark: int) -> bool:
        """The manifest as it was at the mark was that of a peer that lacks nothing. Whether that closes anything."""
        done = [unit for unit, item in self._open.items() if item.number <= mark]
        for unit in done:
            del self._open[unit]
        news = bool(done) or not self._agreed
        self._agreed = True
        return news

    def compared(self, covers: Callable[[bytes], bool], whole: bool, now: float) -> None:
        """Units of which `covers` is true were compared with a peer. whole: it lacks nothing of that class."""
        for unit, item in self._open.items():
            if covers(unit):
                item.due = min(item.due, max(now, item.heard) + (CHECKED_WHOLE if whole else CHECKED))

    def is_whole(self, unit: bytes, now: float) -> bool:
        """Whether the unit has arrived. One that was never heard of counts as heard of at the start."""
        item = self._open.get(unit)
        if item is None:
            if self._agreed or unit in self._whole:
                return True
            item = self._open[unit] = _Open(0, self.began + PATIENCE, self.began)
        if item.due > now:
            return False
        del self._open[unit]
        self._whole.add(unit)
        return True

    def due(self, unit: bytes) -> float | None:
        """When the unit is to be asked about again; None if it has arrived."""
        item = self._open.get(unit)
        return None if item is None else item.due
