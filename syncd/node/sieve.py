"""Keeps back what may be a disaster: suspicious changes gather here, and are held if they are too many.

What is kept back is not taken into the index: a scan finds it anew, after a restart too. Which paths are held is stored
with the index. Everything here runs in the folder's worker thread, except where it says otherwise.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import structlog

from protocol.paths import display, to_key, to_path
from protocol.record import Kind
from syncd.core.events import Observation
from syncd.core.guard import Burst, Suspicion
from syncd.core.replica import Replica
from syncd.core.rewrites import Rewrites
from syncd.core.units import Units
from syncd.store.index import SqliteIndex
from syncd.store.index_held import Held

SAMPLE: Final = 3  # held paths that are named

_log = structlog.get_logger()


class Holding(NamedTuple):
    """How much is held. sample: a few of the paths."""

    deletions: int = 0
    directories: int = 0
    reverts: int = 0
    sample: tuple[bytes, ...] = ()

    @property
    def paths(self) -> int:
        """All that is held."""
        return self.deletions + self.directories + self.reverts

    @property
    def text(self) -> str:
        """What is held, in words."""
        gone = f"{self.deletions} files were deleted" if self.deletions else ""
        if not gone and self.directories:
            gone = f"{self.directories} directories were removed"
        old = f"{self.reverts} files went back to an earlier content" if self.reverts else ""
        named = ", ".join(map(display, self.sample))
        return f"{' and '.join(part for part in (gone, old) if part)}: {named}{', ...' if self.paths > SAMPLE else ''}"


class Sifted(NamedTuple):
    """What becomes of observations. drop: keys that are held no more; None: all of them."""

    publish: list[Observation]
    concede: list[Observation]  # no edits: peers have changed these held paths since
    drop: list[bytes] | None


class Sieve:
    """monotonic: seconds. is_emptied(): whether nothing is left in the folder. believing: nothing is kept back.

    units: each of them counts as one change.
    """

    def __init__(
        self,
        index: SqliteIndex,
        replica: Replica,
        monotonic: Callable[[], float],
        is_emptied: Callable[[], bool],
        believing: bool,
        units: Units,
    ) -> None:
        self._index = index
        self._replica = replica
        self._monotonic = monotonic
        self._is_emptied = is_emptied
        self.believing = believing
        self._burst = Burst(units.of)
        self._rewrites = Rewrites()
        self.held = Held(index.database)
        if self.held.counts():
            _log.warning("changes are still held, nothing of them is published", changes=self.holding().text)

    # ---- what others ask, from any thread

    @property
    def due(self) -> float | None:
        """When what was gathered has to be judged; None if nothing was."""
        return self._burst.due

    @property
    def judged(self) -> int:
        """How often it was judged."""
        return self._burst.judged

    # ---- observations

    def sift(self, observations: Sequence[Observation]) -> Sifted:
        """Take out what is suspicious."""
        if self.believing:
            return Sifted(list(observations), [], list(self.held.among([to_key(item.path) for item in observations])))
        if self._replica.fresh:  # publishes nothing that it misses: there is nothing to keep back
            self._burst.gathered.clear()
            return Sifted(list(observations), [], None if self.held.counts() else [])
        keys = [to_key(item.path) for item in observations]
        suspects = self._replica.suspects(observations)
        self._count_rewrites(keys, observations)
        held = self.held.among(keys)
        gathered = {}
        publish: list[Observation] = []
        concede: list[Observation] = []
        drop = []
        for key, item in zip(keys, observations, strict=True):
            suspect = suspects.get(key)
            if key in held:
                if suspect is not None and not suspect.needed:
                    continue
                (publish if suspect is None else concede).append(item)
                drop.append(key)
            elif suspect is None or (suspect.needed and suspect.why != Suspicion.DIRECTORY):
                publish.append(item)
                self._burst.forget(key)
            else:
                gathered[key] = suspect.why
        self._burst.note(gathered, self._monotonic())
        return Sifted(publish, concede, drop)

    def sift_unit(self, observations: Sequence[Observation]) -> Sifted:
        """As `sift`, for a unit that is there: all that changed in it is one change. What is held of it stays held."""
        sifted = self.sift(observations)
        gathered = [item for item in observations if to_key(item.path) in self._burst.gathered]
        for item in gathered:
            self._burst.forget(to_key(item.path))
        sifted.publish.extend(gathered)
        return sifted

    def _count_rewrites(self, keys: Sequence[bytes], observations: Sequence[Observation]) -> None:
        rows, now = self._index.rows(keys), self._monotonic()
        for key, (_, disk) in zip(keys, observations, strict=True):
            before = rows[key].disk if key in rows else None
            if disk is None or before is None or {disk.entry.kind, before.entry.kind} != {Kind.FILE}:
                continue
            if disk.entry.content != before.entry.content:
                self._rewrites.note(key, now)

    def alarms(self) -> list[str]:
        """What has to be told of all that was found until now; once."""
        alarm = self._rewrites.alarm(self._index.totals().files, self._monotonic())
        return [] if alarm is None else [alarm]

    def doubtful(self, observations: Sequence[Observation]) -> Sifted:
        """Which of these are still suspicious, now that the operator does not want them."""
        suspects = self._replica.suspects(observations)
        sifted = Sifted([], [], [])
        for item in observations:
            (sifted.concede if to_key(item.path) in suspects else sifted.publish).append(item)
        return sifted

    def held_above(self, paths: Iterable[bytes]) -> list[bytes]:
        """Those of these directories that are held."""
        return [to_path(key) for key in self.held.among([to_key(path) for path in paths])]

    # ---- judgement

    def judge(self, first_look: bool) -> list[bytes]:
        """What was gathered is due: hold it, or return the paths to be published.

        first_look: the tree was found like this, nobody watched it become so.
        """
        gathered = list(self._burst.gathered.values())
        emptied = self._is_emptied() and (first_look or gathered.count(Suspicion.DELETED) > 1)
        judgement = self._burst.judge(self._index.totals().files, emptied, self._monotonic())
        hold = judgement.hold
        release = []
        for key in judgement.release:
            # What is below a directory goes with it: what is held there would be published.
            if self.held.any_below(key):
                hold[key] = Suspicion.DIRECTORY
            else:
                release.append(to_path(key))
        if hold:
            with self._index.transaction(durable=True):
                self.held.put(hold)
            _log.warning("changes are held, nothing of them is published", changes=self.holding().text)
        return release

    def holding(self) -> Holding:
        """What is held now."""
        counts = self.held.counts()
        if not counts:
            return Holding()
        sample = tuple(to_path(key) for key in self.held.list(b"", SAMPLE))
        deleted, directories, reverted = (counts.get(why, 0) for why in Suspicion)
        return Holding(deleted, directories, reverted, sample)
