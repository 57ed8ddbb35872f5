"""Bringing the tree to what is planned, a batch at a time, each path by itself.

Order within a batch: all new contents are written into staging, made durable together, and only then renamed into
place one by one; so a power cut leaves the old file or the new one. The renames are durable after the next batch's
sync or after `flush`. Before anything is replaced or removed it is compared with what the index last saw there,
and what comes out is compared again (see placing.py).

Every batch walks to the directories it writes into afresh. Afterwards it walks once more: what was put into a directory
that was moved away meanwhile does not count as done.
"""

import errno
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Final, NamedTuple

from protocol.paths import ancestors, display
from protocol.record import Kind, Record
from syncd.core.events import Action, Observation, Problem
from syncd.core.index import Disk
from syncd.core.unit_plan import UnitPlan
from syncd.store.archive import Archive, ArchivedItem
from syncd.store.changes import Changes
from syncd.store.directories import Directories, names_in
from syncd.store.parents import LocalPolicy, Parents
from syncd.store.placing import Differs
from syncd.store.planter import Planter
from syncd.store.renames import Renames
from syncd.store.root import Root
from syncd.store.shadow import Missing
from syncd.store.staging import Staged, Staging
from syncd.store.temps import Temp, Temps
from syncd.store.unit_places import Placed, UnitPlaces
from syncd.store.unit_trees import CannotBeOne

SYNCED_EACH: Final = 3  # new contents of a batch up to which each is synced by itself instead of the file system
_NAMED: Final = 3  # entries that keep a directory from being removed which its problem names

Source = bytes | Staged | None


class Outcome(Enum):
    """How a job ended."""

    DONE = "done"
    DIFFERS = "differs"  # the disk is not as the index last saw it: look at the path first
    FAILED = "failed"
    WAITS = "waits"  # a directory still has entries
    STOCKED = "stocked"  # its content waits until all of its unit is there
    MISSING = "missing"  # a content that should wait for a unit is not there
    SINGLY = "singly"  # the unit cannot be brought there in one step


class Job(NamedTuple):
    """An action, and the bytes for it: a small content's, or the complete staged file.

    stock: it is a part of a unit: its content is kept until all of that is there.
    """

    action: Action
    source: Source = None
    stock: bool = False


class Result(NamedTuple):
    """What became of a job. disk: what was placed if DONE. made: directories that had to be made above it.

    touched: somebody has changed it since. That should be looked at, but not while the index is fresh, when nothing
    counts as an edit.
    """

    path: bytes
    outcome: Outcome
    disk: Disk | None
    problem: Problem | None
    archived: list[ArchivedItem]
    made: list[Observation]
    touched: bool = False


class UnitResult(NamedTuple):
    """What became of a unit."""

    outcome: Outcome
    problem: Problem | None
    placed: Placed


class Applier:
    """Carries out jobs on one folder, in one thread."""

    def __init__(
        self,
        root: Root,
        directories: Directories,
        staging: Staging,
        archive: Archive,
        policy: LocalPolicy = LocalPolicy(),  # noqa: B008 -- immutable
        clock: Callable[[], int] = time.time_ns,
        takes_part: Callable[[bytes, os.stat_result], bool] = lambda _path, _status: True,
        was_file: Callable[[bytes], bool] = lambda _path: False,
    ) -> None:
        """takes_part(path, status): whether something in a unit, that the index has not seen, is somebody's edit.

        was_file(path): whether the index last saw something else than a directory there.
        """
        self._root = root
        self._directories = directories
        self._policy = policy
        self._clock = clock
        self._temps = Temps(staging)
        self._parents = Parents(directories, policy)
        self._planter = Planter(staging, self._temps, self._parents, policy)
        self._renames = Renames(directories, archive)
        self._changes = Changes(
            directories, archive, self._temps, self._parents, policy, root.capabilities, was_file
        )  # fmt: skip
        self._staging = staging
        self._places = UnitPlaces(
            directories, staging, archive, self._temps, self._parents, self._renames, policy, root.capabilities,
            takes_part,
        )  # fmt: skip
        self.displacements = self._places.displacements
        # give_way((path, what it becomes or None), ...): has what is hidden there, and might be in the way, go away.
        self.give_way: Callable[[Iterable[tuple[bytes, Kind | None]]], None] = lambda _becomes: None

    def apply(self, jobs: Sequence[Job], *, durable: bool) -> list[Result]:
        """Carry out jobs in their order. The failure of one does not stop the others.

        durable: new contents survive a power cut once they are in place. Raises nothing but programming errors.
        """
        if not self._root.in_place():
            reason = "the folder's directory was moved or replaced"
            return [_failed(job, OSError(errno.ESTALE, reason)) for job in jobs]
        self.give_way((job.action.path, job.action.want and job.action.want.kind) for job in jobs)
        self._temps.now = self._clock()
        self._parents.begin()
        temps = self._prepare(jobs, durable)
        results = [
            _failed(job, temp) if isinstance(temp, OSError) else self._carry_out(job, temp)
            for job, temp in zip(jobs, temps, strict=True)
        ]
        moved = self._parents.end()
        if moved:
            results = [_in_moved(result, moved) for result in results]
        return results

    def plant(self, records: Sequence[Record], contents: Mapping[bytes, bytes]) -> list[tuple[Record, Disk]]:
        """Place newcomers durably, see planter.py: those that are in place, and what is there. Raises OSError."""
        if not records:
            return []
        if not self._root.in_place():
            raise OSError(errno.ESTALE, "the folder's directory was moved or replaced")
        self.give_way((record.path, record.kind) for record in records)
        self._temps.now = self._clock()
        self._parents.begin()
        placed = self._planter.plant(records, contents)
        for record, _ in placed:
            self._renames.note(_parent(record.path), False)
        moved = self._parents.end()
        return [item for item in placed if not _is_in(item[0].path, moved)] if moved else placed

    def stock(self, content: bytes, data: bytes) -> None:
        """Keep a small content for a unit. Raises OSError."""
        self._staging.stock(content, data)

    def publish_unit(self, plan: UnitPlan, rewatch: Callable[[list[bytes]], None]) -> UnitResult:
        """Bring a whole unit to what is planned. rewatch(paths): see UnitPlaces.publish."""
        placed = Placed()
        if not self._root.in_place():
            error = OSError(errno.ESTALE, "the folder's directory was moved or replaced")
            return _failed_unit(plan, error, placed)
        self.give_way((part.path, part.want and part.want.kind) for part in plan.parts)
        self._temps.now = self._clock()
        self._parents.begin()
        result = UnitResult(Outcome.DONE, None, placed)
        try:
            self._places.publish(plan, placed, rewatch)
        except Missing as missing:
            self._staging.unstock([missing.content])
            result = UnitResult(Outcome.MISSING, None, placed)
        except CannotBeOne:
            result = UnitResult(Outcome.SINGLY, None, placed)
        except (Differs, NotADirectoryError):
            result = UnitResult(Outcome.DIFFERS, None, placed)
        except FileNotFoundError:  # the directory above is still to be made
            result = UnitResult(Outcome.WAITS, None, placed)
        except OSError as error:
            result = _failed_unit(plan, error, placed)
        if self._parents.end():
            placed.observations.clear()
            result = UnitResult(Outcome.DIFFERS, None, placed)
        return result

    @property
    def durable(self) -> bool:
        """Whether all that was placed and removed before would survive a power cut."""
        return self._renames.durable

    def flush(self) -> None:
        """Make all that was placed and removed before survive a power cut. Raises OSError: it is still to be done."""
        self._renames.sync()

    # ---- before anything is touched

    def _prepare(self, jobs: Sequence[Job], durable: bool) -> list[Temp | OSError | None]:
        brings = [_brings_content(job.action) and not job.stock for job in jobs]
        each = durable and sum(brings) <= SYNCED_EACH
        uses = Counter(id(job.source) for job, needed in zip(jobs, brings, strict=True) if needed)
        temps: list[Temp | OSError | None] = []
        for job, needs_temp in zip(jobs, brings, strict=True):
            try:
                temps.append(self._prepared(job, each, uses) if needs_temp else None)
            except OSError as error:
                temps.append(error)
        if durable and not each:
            written = [temp for temp in temps if isinstance(temp, Temp)]
            try:
                self._temps.sync(written)
            except OSError as error:
                for temp in written:
                    self._temps.discard(temp)
                return [error for _ in jobs]
            self._renames.forget()
        return temps

    def _prepared(self, job: Job, durable: bool, uses: Counter[int]) -> Temp:
        want, source = job.action.want, job.source
        assert want is not None
        if want.kind is Kind.LINK:
            return self._temps.link(want.target, want.mtime)
        mode = self._policy.file(want.mode)
        if isinstance(source, Staged):
            if source.closed or not source.complete or source.size != want.size:
                raise OSError(errno.ENODATA, "its content is not whole")
            uses[id(source)] -= 1
            if uses[id(source)]:  # a later job has the same content: the file itself is for the last one
                return self._temps.copy(source.descriptor(), mode, want.mtime, durable)
            return self._temps.staged(source, mode, want.mtime, durable)
        if source is None or len(source) != want.size:
            raise OSError(errno.ENODATA, "its content is missing")
        return self._temps.file(source, mode, want.mtime, durable)

    # ---- one job

    def _carry_out(self, job: Job, temp: Temp | None) -> Result:
        path, changes = job.action.path, self._changes
        if job.stock:
            return self._stock(job)
        try:
            disk, archived = changes.act(job.action, temp)
            self._note(job.action, archived)
        except (Differs, NotADirectoryError) as difference:
            archived = difference.archived if isinstance(difference, Differs) else []
            self._note(job.action, archived)
            result = Result(path, Outcome.DIFFERS, None, None, archived, changes.made)
        except OSError as error:
            result = _failed(job, error)._replace(made=changes.made)
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST) and _is_directory(job.action.expect):
                problem = Problem(path, "remove", self._what_is_in(path))
                result = result._replace(outcome=Outcome.WAITS, problem=problem)
        else:
            if temp is not None and temp.staged is not None:
                temp.staged.close()
            return Result(path, Outcome.DONE, disk, None, archived, changes.made, changes.touched)
        if temp is not None:
            self._temps.drop(temp)
        return result

    def _stock(self, job: Job) -> Result:
        want = job.action.want
        try:
            if want is not None and job.source is not None:
                self._staging.stock(want.content, job.source)
        except OSError as error:
            return _failed(job, error)
        return Result(job.action.path, Outcome.STOCKED, None, None, [], [])

    def _note(self, action: Action, archived: list[ArchivedItem]) -> None:
        self._renames.note(_parent(action.path), bool(archived))
        if action.want is not None and not _brings_content(action):
            self._renames.note(action.path, False)  # its mode or time was set where it is
        for made in self._changes.made:
            self._renames.note(_parent(made.path), False)
            self._renames.note(made.path, False)

    def _what_is_in(self, path: bytes) -> str:
        try:
            names = sorted(names_in(self._directories.open(path)))
        except OSError:
            return "not empty"
        shown = ", ".join(display(name) for name in names[:_NAMED])
        rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return f"not empty: {shown}{rest}"


def _brings_content(action: Action) -> bool:
    """Whether a new file or link is made for it."""
    want, expect = action.want, action.expect
    if want is None or want.kind is Kind.DIR:
        return False
    return expect is None or (expect.entry.kind, expect.entry.content) != (want.kind, want.content)


def _is_directory(disk: Disk | None) -> bool:
    return disk is not None and disk.entry.kind is Kind.DIR


def _parent(path: bytes) -> bytes:
    return path.rpartition(b"/")[0]


def _failed(job: Job, error: OSError) -> Result:
    path = job.action.path
    operation = "write" if job.action.want is not None else "remove"
    reason = error.strerror or str(error)
    if error.errno == errno.EXDEV:
        reason = "lies on another file system or mount"
    return Result(path, Outcome.FAILED, None, Problem(path, operation, reason), [], [])


def _failed_unit(plan: UnitPlan, error: OSError, placed: Placed) -> UnitResult:
    problem = Problem(plan.unit, "write", error.strerror or str(error))
    return UnitResult(Outcome.FAILED, problem, placed)


def _is_in(path: bytes, moved: set[bytes]) -> bool:
    return not moved.isdisjoint([b"", *ancestors(path)])


def _in_moved(result: Result, moved: set[bytes]) -> Result:
    made = [item for item in result.made if item.path not in moved and _parent(item.path) not in moved]
    if result.outcome is Outcome.DONE and _parent(result.path) in moved:
        return result._replace(outcome=Outcome.DIFFERS, disk=None, made=made)
    return result._replace(made=made)
