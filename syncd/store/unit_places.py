"""Making a unit what it shall be in one step: its shadow and the live directory exchange their places."""

import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from protocol.edit import Entry
from protocol.record import Kind
from syncd.core.events import Observation
from syncd.core.unit_plan import Turn, UnitPlan
from syncd.store import syscalls
from syncd.store.archive import Archive
from syncd.store.capabilities import Capabilities
from syncd.store.directories import Directories
from syncd.store.displaced import Displaced, Displacements
from syncd.store.look import as_placed, clamp, is_as_made, kind_of
from syncd.store.moves import exchange, lstat, move_to_free_name
from syncd.store.parents import LocalPolicy, Parents
from syncd.store.placing import Differs
from syncd.store.renames import Renames
from syncd.store.shadow import Shadow, ShadowBuilder, check_live
from syncd.store.staging import Staging
from syncd.store.temps import Temps
from syncd.store.unit_trees import CannotBeOne, Listing, listing

_NO_EXCHANGE: Final = syscalls.UNSUPPORTED | {errno.EXDEV, errno.EBUSY}  # overlay's lower layers; mount points


@dataclass(slots=True)
class Placed:
    """What is where after a unit was published. shared: paths whose inodes have another ctime, whatever happened.

    edited: whether somebody's edits of the same instant are in the tree, to be looked at.
    """

    observations: list[Observation] = field(default_factory=list)
    displaced: Displaced | None = None
    shared: list[bytes] = field(default_factory=list)
    edited: bool = False


class UnitPlaces:
    """Of one folder, in one thread. takes_part(path, status): whether something that the index has not is an edit."""

    def __init__(
        self,
        directories: Directories,
        staging: Staging,
        archive: Archive,
        temps: Temps,
        parents: Parents,
        renames: Renames,
        policy: LocalPolicy,
        capabilities: Capabilities,
        takes_part: Callable[[bytes, os.stat_result], bool],
    ) -> None:
        self._directories = directories
        self._staging = staging
        self._archive = archive
        self._parents = parents
        self._renames = renames
        self._capabilities = capabilities
        self._takes_part = takes_part
        self._immovable: dict[bytes, int] = {}  # units that could not be exchanged, and their inodes
        self._builder = ShadowBuilder(directories, staging, temps, parents, policy)
        self.displacements = Displacements(directories, archive)

    def publish(self, plan: UnitPlan, placed: Placed, rewatch: Callable[[list[bytes]], None]) -> None:
        """Bring the unit to what is planned. placed: gets what became of it, also if it raises.

        rewatch(paths): called with all directories of the unit once they are live, and before they are looked at.
        Raises Differs, Missing, CannotBeOne, OSError. It raises none once the exchange was done.
        """
        fd, name = self._parents.enter(plan.unit)
        live = self._look(fd, name, plan)
        others = check_live(plan, live, self._takes_part)
        displaced: Displaced | None
        made: Mapping[bytes, os.stat_result] = {}
        if plan.turn is Turn.GONE:
            if others:
                raise CannotBeOne("something in it stays")
            displaced = self._take_away(plan, live)
        else:
            displaced, made = self._show(plan, live, others, placed)
        self._renames.note(plan.unit.rpartition(b"/")[0], displaced is not None)
        placed.displaced = displaced
        edited = self._edits(displaced) if displaced is not None else set()
        rewatch([part.path for part in plan.parts if part.want is not None and part.want.kind is Kind.DIR])
        self._look_again(plan, placed, edited, made)

    def _look(self, fd: int, name: bytes, plan: UnitPlan) -> Listing:
        try:
            return listing(fd, name, plan.unit)
        except (FileNotFoundError, NotADirectoryError):
            if plan.turn is Turn.NEW:
                return {}
            raise Differs from None

    # ---- the step

    def _show(
        self, plan: UnitPlan, live: Listing, others: set[bytes], placed: Placed
    ) -> tuple[Displaced | None, Mapping[bytes, os.stat_result]]:
        """What was displaced, and what was made anew in the unit."""
        top = live.get(plan.unit)
        if top is not None and (not self._capabilities.exchange or self._immovable.get(plan.unit) == top.st_ino):
            raise CannotBeOne("the file system does not exchange it")
        shadow = self._builder.build(plan, live, others)
        placed.shared = sorted(shadow.shared)
        self._directories.forget(b"")
        try:
            fd, name = self._parents.enter(plan.unit)
            if plan.turn is Turn.NEW:
                move_to_free_name(self._staging.fd, shadow.name, fd, name)
                slot = b""
            else:
                slot = self._exchange(shadow, fd, name, live[plan.unit])
                self._immovable.pop(plan.unit, None)
        except FileExistsError:
            self._builder.drop(shadow)
            raise Differs from None
        except CannotBeOne:  # building it anew each time would cost, on an overlay, a copy of all
            self._builder.drop(shadow)
            self._immovable[plan.unit] = live[plan.unit].st_ino
            raise
        except BaseException:
            self._builder.drop(shadow)
            raise
        self._staging.unstock(shadow.contents)
        return self._displaced(plan, slot, live, shadow.shared, others) if slot else None, shadow.made

    def _exchange(self, shadow: Shadow, fd: int, name: bytes, live: os.stat_result) -> bytes:
        """Through the archive, so that what comes out of the tree is there in the same instant, whatever happens."""
        slot = self._archive.slot()
        os.rename(shadow.name, slot, src_dir_fd=self._staging.fd, dst_dir_fd=self._archive.fd)
        try:
            exchange(self._archive.fd, slot, fd, name)
        except OSError as error:
            os.rename(slot, shadow.name, src_dir_fd=self._archive.fd, dst_dir_fd=self._staging.fd)
            if error.errno == errno.ENOENT:
                raise Differs from None
            if error.errno in _NO_EXCHANGE:
                raise CannotBeOne("the file system does not exchange it") from None
            raise
        if lstat(self._archive.fd, slot).st_ino == live.st_ino:
            return slot
        exchange(self._archive.fd, slot, fd, name)  # somebody has put another directory there
        os.rename(slot, shadow.name, src_dir_fd=self._archive.fd, dst_dir_fd=self._staging.fd)
        raise Differs

    def _take_away(self, plan: UnitPlan, live: Listing) -> Displaced:
        slot = self._archive.slot()
        fd, name = self._parents.enter(plan.unit)
        try:
            os.rename(name, slot, src_dir_fd=fd, dst_dir_fd=self._archive.fd)
        except OSError as error:
            if error.errno in _NO_EXCHANGE:
                raise CannotBeOne("the file system does not move it") from None
            raise
        self._directories.forget(plan.unit)
        if lstat(self._archive.fd, slot).st_ino != live[plan.unit].st_ino:
            move_to_free_name(self._archive.fd, slot, fd, name)
            raise Differs
        return self._displaced(plan, slot, live, set(), set())

    def _displaced(
        self, plan: UnitPlan, slot: bytes, live: Listing, shared: set[bytes], others: set[bytes]
    ) -> Displaced:
        contents = {part.path: part.have.entry.content for part in plan.parts if part.have is not None}
        return Displaced(slot, plan.unit, live, frozenset(shared), self._inodes(plan), frozenset(others), contents)

    def _inodes(self, plan: UnitPlan) -> dict[bytes, int]:
        """What was just placed, by path."""
        self._directories.forget(b"")
        found = {}
        for part in plan.parts:
            if part.want is not None and part.want.kind is not Kind.DIR:
                try:
                    fd, name = self._directories.parent(part.path)
                    found[part.path] = lstat(fd, name).st_ino
                except OSError:
                    continue
        return found

    def _edits(self, displaced: Displaced) -> set[bytes]:
        """What somebody did in the same instant; all that changed, if it cannot be told."""
        try:
            return self.displacements.compare(displaced)
        except (OSError, CannotBeOne):
            return set(displaced.placed)

    # ---- what the index is to know

    def _look_again(
        self, plan: UnitPlan, placed: Placed, edited: set[bytes], made: Mapping[bytes, os.stat_result]
    ) -> None:
        """Whatever was done since to what was made is done to what was placed, as in Changes."""
        self._directories.forget(b"")
        placed.edited = bool(edited)
        for path, _, want, _ in plan.parts:
            if path in edited:
                continue
            if want is None:
                placed.observations.append(Observation(path, None))
                continue
            status, was = self._status(path), made.get(path)
            stored = self._capabilities.stored_mtime(want.mtime)
            if status is not None and (_is(status, want, stored) if was is None else is_as_made(status, was, stored)):
                placed.observations.append(Observation(path, as_placed(status, want)))
                continue
            placed.edited = True
            if was is not None:
                placed.observations.append(Observation(path, as_placed(was, want)))

    def _status(self, path: bytes) -> os.stat_result | None:
        try:
            return lstat(*self._directories.parent(path))
        except OSError:
            return None


def _is(status: os.stat_result, want: Entry, stored_mtime: int) -> bool:
    """Whether something has the kind, size and time of what is wanted."""
    if kind_of(status) is not want.kind:
        return False
    is_timely = clamp(status.st_mtime_ns) in (want.mtime, stored_mtime)
    return want.kind is Kind.DIR or (is_timely and (want.kind is Kind.LINK or status.st_size == want.size))
