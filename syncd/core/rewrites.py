"""Files that are rewritten one after the other until hardly any is what it was: an update of everything, or ransomware.

Each of these changes is a user's edit. They are counted, and most files of a folder within minutes are an alarm; or
they are held, if the operator wants that: then all but the first few are gathered until no more of them come.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

WINDOW: Final = 300.0  # seconds within which rewritten files are counted together, and gathered for at most
SHARE: Final = 80  # percent of the files that are an alarm
FEWEST: Final = 100  # files: of a small folder most may change in an everyday update
MOST_COUNTED: Final = 100_000  # files: some 15 MB; so many within minutes are as bad as any share
FIRST: Final = 10  # percent of what would be too many that is published without waiting for more
MOST_FIRST: Final = 100  # files
QUIET: Final = 5.0  # seconds without another one after which no more are waited for: a large file takes its time


class Judgement(NamedTuple):
    """What becomes of rewritten files that were gathered: some of the two is empty."""

    release: list[bytes]
    hold: list[bytes]


class Rewrites:
    """Times: seconds of one monotonic clock. files: live ones of the folder."""

    def __init__(self) -> None:
        self._seen: dict[bytes, float] = {}  # keys, the longest ago first
        self._told = False
        self._gathered: set[bytes] = set()
        self._first = 0.0
        self._last = 0.0
        self._hasty = False

    def note(self, key: bytes, now: float) -> None:
        """A file was found rewritten."""
        self._seen.pop(key, None)
        self._seen[key] = now
        if len(self._seen) > MOST_COUNTED:
            del self._seen[next(iter(self._seen))]

    def forgive(self) -> None:
        """The operator has spoken about all that was judged."""
        self._seen = {key: when for key, when in self._seen.items() if key in self._gathered}

    def _number(self, now: float) -> int:
        while self._seen and now - next(iter(self._seen.values())) >= WINDOW:
            del self._seen[next(iter(self._seen))]
        return len(self._seen)

    # ---- an alarm

    def alarm(self, files: int, now: float) -> str | None:
        """What is to be told, once for each time that it happens."""
        number, many = self._number(now), _many(files)
        if number < many:
            self._told = self._told and 2 * number >= many
            return None
        if self._told:
            return None
        self._told = True
        return (
            f"{number} of {files} files were rewritten here within {WINDOW / 60:.0f} minutes: if nobody meant that, "
            "stop syncd on this node; what they were before is in the archives of its peers (`syncd archive list`)"
        )

    # ---- or they are held

    def few(self, files: int, now: float) -> bool:
        """Whether they may be published at once."""
        return self._number(now) <= min(_many(files) * FIRST / 100, MOST_FIRST)

    def too_many(self, files: int, now: float) -> bool:
        """Whether that is no everyday matter."""
        return self._number(now) >= _many(files)

    def gather(self, keys: Iterable[bytes], now: float) -> None:
        """These were noted, and are not published yet. What is known already prolongs nothing."""
        news = set(keys) - self._gathered
        if news:
            self._first = self._first if self._gathered else now
            self._last = now
            self._gathered |= news

    def forget(self, key: bytes) -> None:
        """The path is fine again, or something else is wrong with it."""
        self._gathered.discard(key)

    def hasten(self) -> None:
        """Wait for no more."""
        self._hasty = True

    def waits(self, key: bytes) -> bool:
        """Whether it was gathered and is to be judged."""
        return key in self._gathered

    @property
    def due(self) -> float | None:
        """When what was gathered has to be judged; None if there is nothing."""
        if not self._gathered:
            return None
        if self._hasty or len(self._gathered) >= MOST_COUNTED:
            return self._last
        return min(self._last + QUIET, self._first + WINDOW)

    def judge(self, files: int, now: float) -> Judgement:
        """What was gathered is due."""
        keys, self._gathered, self._hasty = sorted(self._gathered), set(), False
        return Judgement([], keys) if keys and self.too_many(files, now) else Judgement(keys, [])


def _many(files: int) -> float:
    return min(max(FEWEST, files * SHARE / 100), MOST_COUNTED)
