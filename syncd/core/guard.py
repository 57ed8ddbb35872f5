"""What disasters bring by the thousand: deletions, files that go back to an earlier content, files that are rewritten.

Each of these changes alone is a user's edit. So they are gathered until no more of them come, and judged together: a
few are published, too many are held until the operator has said what they were. Rewritten files have a measure of
their own, in `rewrites`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, NamedTuple

from protocol.paths import to_path
from protocol.record import Kind
from syncd.core.fresh import known_contents
from syncd.core.index import Disk, Row
from syncd.core.planner import entry, is_directory

# A plugin has some hundred files, so an update or a removal of one goes through; a site has thousands.
BURST_PATHS: Final = 1_000  # changes of a kind that are always published
BURST_SHARE: Final = 4  # of a larger folder, this part of its files: a quarter
QUIET: Final = 1.0  # seconds without another one that end a burst: `rm -r` on a slow disk pauses for less
LONGEST: Final = 30.0  # seconds after which a burst is judged though it goes on: a steady trickle is no disaster
PAUSE: Final = 5.0  # seconds for which what was published still counts: a busy disk may pause for longer than QUIET
MOST_GATHERED: Final = 100_000  # paths: some 20 MB; more are judged at once


class Suspicion(IntEnum):
    """What is suspicious about a change. The numbers are stored."""

    DELETED = 0
    DIRECTORY = 1  # a directory is none any more: what is below goes with it. Counts for nothing by itself
    REVERTED = 2
    REWRITTEN = 3


class Suspect(NamedTuple):
    """A suspicious change. needed: peers have changed the path too, and the disk did not have that yet.

    overtaken: so that what was there does not count any more, or is in the archive here. Otherwise everybody might wait
    for it for ever, since nobody else may have its bytes: then only its deletion, or the operator, ends that.
    """

    why: Suspicion
    needed: bool
    overtaken: bool = False


def suspicion(row: Row, disk: Disk | None) -> Suspicion | None:
    """Whether what was found at a path is such a change. row: what is known of the path."""
    before, after = entry(row), disk.entry if disk else None
    if is_directory(before) and not is_directory(after):
        return Suspicion.DIRECTORY
    if after is None:
        return Suspicion.DELETED if before and any(record.live for record in row.state) else None
    if after.kind == Kind.DIR or (before and before.content == after.content):
        return None
    alive = {record.content for record in row.state if record.live}
    if after.content in known_contents(row.state):
        return Suspicion.REVERTED if after.content not in alive else None
    return Suspicion.REWRITTEN if before and {before.kind, after.kind} == {Kind.FILE} else None


def too_many(number: int, files: int) -> bool:
    """Whether that many changes of a kind are no everyday matter in a folder of so many live files."""
    return number > max(BURST_PATHS, files // BURST_SHARE)


class Judgement(NamedTuple):
    """What becomes of a burst: keys that may be published, and those that are held."""

    release: list[bytes]
    hold: dict[bytes, Suspicion]


@dataclass(slots=True)
class _Kind:
    """Bursts of one kind of change. released: (time, number) of what was published of late."""

    released: list[tuple[float, int]] = field(default_factory=list)
    held_tops: set[bytes] = field(default_factory=set)  # directories of the root in which something was held of late
    held_at: float = float("-inf")

    def is_disaster(self, number: int, files: int, now: float) -> bool:
        """Whether that many more are too many, with those that were published just before."""
        self.released = [(when, some) for when, some in self.released if now - when < PAUSE]
        return too_many(number + sum(some for _, some in self.released), files)

    def belongs(self, key: bytes, now: float) -> bool:
        """Whether the change is the rest of a burst that was held: it may have paused for longer than QUIET."""
        return now - self.held_at < LONGEST and _top(key) in self.held_tops

    def hold(self, keys: Iterable[bytes], now: float) -> None:
        """These are held."""
        if now - self.held_at >= LONGEST:
            self.held_tops = set()
        self.held_tops.update(filter(None, map(_top, keys)))
        self.held_at = now


def _top(key: bytes) -> bytes:
    """The directory of the root that a key lies in; empty for an entry of the root itself."""
    return key[: max(key.find(b"\0"), 0)]


@dataclass(slots=True)
class Burst:
    """Suspicious changes that are gathered. Times: seconds of one monotonic clock.

    unit_of(path): the directory in which all changes count as one, if there is such a one.
    """

    unit_of: Callable[[bytes], bytes | None] = lambda _path: None
    gathered: dict[bytes, Suspicion] = field(default_factory=dict)
    judged: int = 0  # number of judgements so far
    _first: float = 0.0
    _last: float = 0.0
    _deletions: _Kind = field(default_factory=_Kind)
    _reverts: _Kind = field(default_factory=_Kind)

    def note(self, suspects: Mapping[bytes, Suspicion], now: float) -> None:
        """These changes were found. What is known already does not prolong the burst."""
        if not suspects.keys() - self.gathered.keys():
            return
        if not self.gathered:
            self._first = now
        self._last = now
        self.gathered.update(suspects)

    def forget(self, key: bytes) -> None:
        """The path is fine again."""
        self.gathered.pop(key, None)

    @property
    def due(self) -> float | None:
        """When the burst has to be judged; None if there is none."""
        if not self.gathered:
            return None
        if len(self.gathered) >= MOST_GATHERED:
            return self._last
        return min(self._last + QUIET, self._first + LONGEST)

    def judge(self, files: int, emptied: bool, now: float) -> Judgement:
        """The burst is due. files: live ones of the folder. emptied: nothing at all is left in the folder."""
        gathered, self.gathered = self.gathered, {}
        self.judged += 1
        judgement = Judgement([], {})
        reverted = {key: why for key, why in gathered.items() if why == Suspicion.REVERTED}
        deleted = {key: why for key, why in gathered.items() if why != Suspicion.REVERTED}
        for kind, keys, all_of_it in ((self._deletions, deleted, emptied), (self._reverts, reverted, False)):
            number = self._count(keys)
            disaster = all_of_it or kind.is_disaster(number, files, now)
            hold = {key: why for key, why in keys.items() if disaster or kind.belongs(key, now)}
            release = [key for key in keys if key not in hold]
            judgement.hold.update(hold)
            judgement.release.extend(release)
            if hold:
                kind.hold(hold, now)
            if release:
                kind.released.append((now, self._count({key: keys[key] for key in release})))
        return judgement

    def _count(self, keys: Mapping[bytes, Suspicion]) -> int:
        """How many changes that is."""
        return len({self.unit_of(to_path(key)) or key for key, why in keys.items() if why != Suspicion.DIRECTORY})
