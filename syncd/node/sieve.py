"""Keeps back what may be a disaster: suspicious changes gather here, and are held if they are too many.

What is kept back is not taken into the index: a scan finds it anew, after a restart too. Which paths are held is stored
with the index. Everything here runs in the folder's worker thread, except where it says otherwise.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
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
    rewrites: int = 0
    sample: tuple[bytes, ...] = ()

    @property
    def paths(self) -> int:
        """All that is held."""
        return self.deletions + self.directories + self.reverts + self.rewrites

    @property
    def text(self) -> str:
        """What is held, in words."""
        gone = f"{self.deletions} files were deleted" if self.deletions else ""
        if not gone and self.directories:
            gone = f"{self.directories} directories were removed"
        old = f"{self.reverts} files went back to an earlier content" if self.reverts else ""
        new = f"{self.rewrites} files were rewritten" if self.rewrites else ""
        named = ", ".join(map(display, self.sample))
        what = " and ".join(part for part in (gone, old, new) if part)
        return f"{what}: {named}{', ...' if self.paths > SAMPLE else ''}"


class Sifted(NamedTuple):
    """What becomes of observations. drop: keys that are held no more; None: all of them."""

    publish: list[Observation]
    concede: list[Observation]  # no edits: at these held paths peers have replaced what was there
    drop: list[bytes] | None


class Sieve:
    """monotonic: seconds. is_emptied(): whether nothing is left in the folder. believing: nothing is kept back.

    units: each of them counts as one change. holds_rewrites: rewritten files are held, too, if they are most of all.
    """

    def __init__(
        self,
        index: SqliteIndex,
        replica: Replica,
        monotonic: Callable[[], float],
        is_emptied: Callable[[], bool],
        believing: bool,
        units: Units,
        holds_rewrites: bool = False,
    ) -> None:
        self._index = index
        self._replica = replica
        self._monotonic = monotonic
        self._is_emptied = is_emptied
        self.believing = believing
        self._judged = 0
        self._burst = Burst(units.of)
        self._rewrites = Rewrites()
        self._holds_rewrites = holds_rewrites
        self.held = Held(index.database)
        if self.held.counts():
            _log.warning("changes are still held, nothing of them is published", changes=self.holding().text)

    # ---- what others ask, from any thread

    @property
    def due(self) -> float | None:
        """When what was gathered has to be judged; None if nothing was."""
        return min((due for due in (self._burst.due, self._rewrites.due) if due is not None), default=None)

    def hasten(self) -> None:
        """Rewritten files are not waited for any more: the node is about to stop."""
        self._rewrites.hasten()

    @property
    def judged(self) -> int:
        """How often something was judged."""
        return self._judged

    @property
    def to_judge(self) -> int:
        """How many judgements it takes for all that was gathered."""
        return sum(due is not None for due in (self._burst.due, self._rewrites.due))

    # ---- observations

    def sift(self, observations: Sequence[Observation]) -> Sifted:
        """Take out what is suspicious."""
        if self.believing:
            return Sifted(list(observations), [], list(self.held.among([to_key(item.path) for item in observations])))
        if self._replica.fresh:  # publishes nothing that it misses: there is nothing to keep back
            self._burst.gathered.clear()
            return Sifted(list(observations), [], None if self.held.counts() else [])
        keys = [to_key(item.path) for item in observations]
        suspects = self._replica.suspects(observations, self._holds_rewrites)
        held = self.held.among(keys)
        self._count_rewrites(keys, observations, held)
        first = not self._holds_rewrites or self._rewrites.few(self._index.totals().files, self._monotonic())
        gathered = {}
        rewritten = []
        publish: list[Observation] = []
        concede: list[Observation] = []
        drop = []
        for key, item in zip(keys, observations, strict=True):
            suspect = suspects.get(key)
            if key in held:
                if suspect is not None and not suspect.overtaken:
                    continue
                (publish if suspect is None else concede).append(item)
                drop.append(key)
            elif suspect is None or (suspect.needed and suspect.why != Suspicion.DIRECTORY):
                publish.append(item)
                self._forget(key)
            elif suspect.why is Suspicion.REWRITTEN:
                self._burst.forget(key)
                if first:
                    publish.append(item)
                else:
                    rewritten.append(key)
            else:
                self._rewrites.forget(key)
                gathered[key] = suspect.why
        self._burst.note(gathered, self._monotonic())
        self._rewrites.gather(rewritten, self._monotonic())
        return Sifted(publish, concede, drop)

    def _forget(self, key: bytes) -> None:
        self._burst.forget(key)
        self._rewrites.forget(key)

    def sift_unit(self, observations: Sequence[Observation]) -> Sifted:
        """As `sift`, for a unit that is there: all that changed in it is one change. What is held of it stays held.

        If that is because it was rewritten, nothing of the unit is published: half of it would be worse.
        """
        sifted = self.sift(observations)
        keys = {to_key(item.path): item for item in observations}
        rewritten = [key for key in keys if self._rewrites.waits(key)]
        if rewritten and self._rewrites.too_many(self._index.totals().files, self._monotonic()):
            self._hold(dict.fromkeys(rewritten, Suspicion.REWRITTEN))
        held, dropped = self.held.among(list(keys)), set(sifted.drop or ())
        if any(why is Suspicion.REWRITTEN and key not in dropped for key, why in held.items()):
            for key in keys:
                self._forget(key)
            return Sifted([], sifted.concede, [to_key(item.path) for item in sifted.concede])
        gathered = [key for key in keys if key in self._burst.gathered or self._rewrites.waits(key)]
        for key in gathered:
            self._forget(key)
        sifted.publish.extend(keys[key] for key in gathered)
        return sifted

    def _count_rewrites(
        self, keys: Sequence[bytes], observations: Sequence[Observation], held: Mapping[bytes, Suspicion]
    ) -> None:
        rows, now = self._index.rows(keys), self._monotonic()
        for key, (_, disk) in zip(keys, observations, strict=True):
            before = rows[key].disk if key in rows else None
            if key in held or disk is None or before is None or {disk.entry.kind, before.entry.kind} != {Kind.FILE}:
                continue
            if disk.entry.content != before.entry.content:
                self._rewrites.note(key, now)

    def alarms(self) -> list[str]:
        """What has to be told of all that was found until now; once."""
        if self._holds_rewrites:
            return []
        alarm = self._rewrites.alarm(self._index.totals().files, self._monotonic())
        return [] if alarm is None else [alarm]

    def doubtful(self, observations: Sequence[Observation]) -> Sifted:
        """Which of these are still suspicious, now that the operator does not want them."""
        suspects = self._replica.suspects(observations, rewrites=True)
        held = self.held.among([to_key(item.path) for item in observations])
        sifted = Sifted([], [], [])
        for item in observations:
            key = to_key(item.path)
            suspect = suspects.get(key)
            if suspect is not None and suspect.why is Suspicion.REWRITTEN and held.get(key) is not suspect.why:
                suspect = None  # written anew after something else happened to it
            (sifted.publish if suspect is None else sifted.concede).append(item)
        return sifted

    def held_above(self, paths: Iterable[bytes]) -> list[bytes]:
        """Those of these paths that are held because they are directories no more."""
        held = self.held.among([to_key(path) for path in paths])
        return [to_path(key) for key, why in held.items() if why is Suspicion.DIRECTORY]

    # ---- judgement

    def judge(self, first_look: bool) -> list[bytes]:
        """What was gathered is due: hold it, or return the paths to be published.

        first_look: the tree was found like this, nobody watched it become so.
        """
        now = self._monotonic()
        release: list[bytes] = []
        hold: dict[bytes, Suspicion] = {}
        for due, judge in ((self._burst.due, self._judge_burst), (self._rewrites.due, self._judge_rewrites)):
            if due is not None and (first_look or due <= now):
                self._judged += 1
                released, held = judge(first_look, now)
                release += released
                hold |= held
        if hold:
            self._hold(hold)
        return [to_path(key) for key in release]

    def _judge_burst(self, first_look: bool, now: float) -> tuple[list[bytes], dict[bytes, Suspicion]]:
        gathered = list(self._burst.gathered.values())
        emptied = self._is_emptied() and (first_look or gathered.count(Suspicion.DELETED) > 1)
        judgement = self._burst.judge(self._index.totals().files, emptied, now)
        # What is below a directory goes with it: what is held there would be published.
        kept = {key: Suspicion.DIRECTORY for key in judgement.release if self.held.any_below(key)}
        return [key for key in judgement.release if key not in kept], judgement.hold | kept

    def _judge_rewrites(self, _first_look: bool, now: float) -> tuple[list[bytes], dict[bytes, Suspicion]]:
        judgement = self._rewrites.judge(self._index.totals().files, now)
        return judgement.release, dict.fromkeys(judgement.hold, Suspicion.REWRITTEN)

    def _hold(self, hold: Mapping[bytes, Suspicion]) -> None:
        with self._index.transaction(durable=True):
            self.held.put(hold)
        _log.warning("changes are held, nothing of them is published", changes=self.holding().text)

    def decided(self) -> None:
        """The operator has spoken: what was rewritten until now counts no more."""
        self._rewrites.forgive()

    def holding(self) -> Holding:
        """What is held now."""
        counts = self.held.counts()
        if not counts:
            return Holding()
        sample = tuple(to_path(key) for key in self.held.list(b"", SAMPLE))
        deleted, directories, reverted, rewritten = (counts.get(why, 0) for why in Suspicion)
        return Holding(deleted, directories, reverted, rewritten, sample)
