"""Conflict copies beside the winners: which are due, which are over, and what becomes of those that users touch.

A copy is listed durably before it gets its name in the tree, so that no start finds one that it does not know: it would
be published. Runs in the folder's worker thread.
"""

import os
from collections.abc import Callable, Container, Iterable, Iterator
from typing import Final

import structlog

from protocol.limits import MAX_PATH
from protocol.paths import ancestors, display, to_key, to_path
from protocol.record import Kind, Record
from syncd.core.copy_names import copy_path
from syncd.node.authors import node_of
from syncd.node.findings import Report
from syncd.node.gauge import Gauge, NoRoom
from syncd.node.ledger import Ledger
from syncd.node.losers import record_of
from syncd.store.archive import Archive, ArchivedItem
from syncd.store.conflict_copies import ConflictCopies
from syncd.store.hasher import FileChanged, Hasher
from syncd.store.index_copies import Copy, CopyState, Place

MOST: Final = 10_000  # copies in a folder: they are for people to look at
AT_ONCE: Final = 8  # made before other work may go between
LOOKED_AT: Final = 256  # looked at, or taken away, before other work may go between
NAMES: Final = 9  # tried for a copy
REASON: Final = "conflict copy"
_START: Final = (b"", b"")

_log = structlog.get_logger()


class Beside:
    """See the module. wanted: whether copies are to be there at all. believed(): whether the tree is the one it was."""

    def __init__(
        self,
        ledger: Ledger,
        copies: ConflictCopies,
        archive: Archive,
        hasher: Hasher,
        gauge: Gauge,
        wanted: bool,
        believed: Callable[[], bool],
    ) -> None:
        self._ledger, self._index = ledger, ledger.index
        self._copies, self._archive, self._hasher, self._gauge = copies, archive, hasher, gauge
        self._wanted, self._believed = wanted, believed
        self._failed: set[Place] = set()  # that were told of
        listed = self._index.copies()
        copies.listed.update((copy.path, copy) for copy in listed if copy.state != CopyState.NONE)
        copies.is_ordinary = self._is_ordinary
        ledger.tree.applier.give_way = self.give_way
        self.idle = not wanted and not listed  # there is nothing to do, ever

    @property
    def unsure(self) -> bool:
        """Whether one has to be looked at once more when it is older."""
        return self._copies.unsure

    @property
    def listed(self) -> Container[bytes]:
        """The paths of those that are in the tree, or about to be."""
        return self._copies.listed

    def round(self) -> Iterator[Report]:
        """Bring everything in step; a report per slice of work."""
        if not self._believed():
            return
        yield from self._look()
        yield from self._clear()
        if self._wanted and not self._ledger.replica.fresh:
            yield from self._fill()
        yield self._let_go()

    def give_way(self, becomes: Iterable[tuple[bytes, Kind | None]]) -> None:
        """These paths are about to become something, or to go (None): no copy may be in the way.

        What loses may lie below a file that wins: then no copy of it is made again.
        """
        if not self._copies.listed:
            return
        for _ in self._clear():
            pass
        kinds = dict(becomes)
        places = {place for path in kinds for place in (path, *ancestors(path))}
        removed = {path for path, kind in kinds.items() if kind is not Kind.DIR}
        for path, copy in list(self._copies.listed.items()):
            if path in places or any(above in removed for above in ancestors(path)):
                self._take_away(copy, stays_listed=True)

    # ---- what is there

    def _look(self) -> Iterator[Report]:
        listed = list(self._copies.listed.values())
        for start in range(0, len(listed), LOOKED_AT):
            gone, there = [], []
            for copy in listed[start : start + LOOKED_AT]:
                if copy.path not in self._copies.listed:
                    continue
                try:
                    is_there = self._copies.look(copy)
                except OSError:  # unknown
                    continue
                if not is_there:
                    gone.append(copy)
                elif copy.state == CopyState.COMING and copy.path in self._copies.listed:
                    there.append(copy._replace(state=CopyState.THERE))
            self._gone(gone, there)
            yield self._let_go()

    def _gone(self, gone: list[Copy], there: list[Copy]) -> None:
        """One that a user removed is not made again; one that an unclean stop kept from its place is."""
        if not gone and not there:
            return
        removed = [copy._replace(state=CopyState.NONE) for copy in gone if copy.state == CopyState.THERE]

        def work() -> None:
            self._index.drop_copies(gone)
            self._index.put_copies([*removed, *there])

        self._ledger.steadily(work)
        for copy in gone:
            self._copies.forget(copy)
        self._copies.listed.update((copy.path, copy) for copy in there)

    def _let_go(self) -> Report:
        """Those that are somebody's own are files like others."""
        if not self._copies.lost:
            return Report()
        lost, self._copies.lost = self._copies.lost, []
        kept = [copy._replace(state=CopyState.NONE) for copy in lost]
        self._ledger.steadily(lambda: self._index.put_copies(kept))
        return self._ledger.observe([copy.path for copy in lost])

    def _is_ordinary(self, path: bytes) -> bool:
        row = self._ledger.rows([path]).get(to_key(path))
        return row is not None and row.disk is not None

    # ---- what is over

    def _clear(self) -> Iterator[Report]:
        """Take away the copies of what was settled, or left the archive."""
        stuck: set[Place] = set()
        while over := [copy for copy in self._over(len(stuck)) if copy[:2] not in stuck]:
            for copy in over:
                if copy.state == CopyState.NONE or copy.path not in self._copies.listed:
                    self._drop(copy, [])
                elif not self._take_away(copy, stays_listed=False):
                    stuck.add(copy[:2])
            yield Report()

    def _over(self, more: int) -> list[Copy]:
        if self._wanted:
            return self._ledger.read(lambda: self._index.copies_over(LOOKED_AT + more))
        return self._ledger.read(self._index.copies)

    def _take_away(self, copy: Copy, *, stays_listed: bool) -> bool:
        try:
            items = self._copies.take_away(copy)
        except OSError as error:  # it is tried again
            self._tell(copy[:2], copy.path, error.strerror or str(error))
            return False
        self._drop(copy, items, stays_listed)
        return True

    def _drop(self, copy: Copy, items: list[ArchivedItem], stays_listed: bool = False) -> None:
        def work() -> None:
            contents = {item.name: copy.content for item in items}
            self._ledger.contents.archive_add(items, self._ledger.now(), REASON, contents)
            if stays_listed:
                self._index.put_copies([copy._replace(state=CopyState.NONE)])
            else:
                self._index.drop_copies([copy])

        self._ledger.steadily(work)
        self._copies.forget(copy)

    # ---- what is due

    def _fill(self) -> Iterator[Report]:
        after = _START
        while True:
            self._gauge.look()
            due = self._ledger.read(lambda after=after: self._index.copies_due(after, AT_ONCE))  # type: ignore[misc]
            for key, content in due:
                if len(self._copies.listed) >= MOST:
                    self._tell((key, content), to_path(key), f"there are {MOST}: the archive has the rest")
                    return
                self._make(key, content)
            yield Report()
            if len(due) < AT_ONCE:
                return
            after = due[-1]

    def _make(self, key: bytes, content: bytes) -> None:
        row = self._ledger.read(lambda: self._index.rows([key])).get(key)
        record = record_of(row, content)
        if record is None or self._gauge.scarce:
            return
        try:
            self._gauge.claim(record.size)
            path = self._free_path(to_path(key), record)
            if path is None:
                none = Copy(key, content, to_path(key), CopyState.NONE)
                self._ledger.steadily(lambda: self._index.put_copies([none]))
            elif (source := self._open(record)) is not None:
                try:
                    self._place(source, Copy(key, content, path, CopyState.COMING), record)
                finally:
                    os.close(source)
        except (NoRoom, FileNotFoundError, NotADirectoryError):  # what it was beside may be gone, or still to come
            return
        except OSError as error:
            self._tell((key, content), to_path(key), error.strerror or str(error))

    def _place(self, source: int, copy: Copy, record: Record) -> None:
        temp = self._copies.prepare(source, copy.path, record.mode, record.mtime)
        self._ledger.steadily(lambda: self._index.put_copies([copy]), durable=True)
        self._copies.listed[copy.path] = copy
        try:
            self._copies.place(temp, copy.path)
        except FileExistsError:  # somebody was faster: another name is found with the next round
            self._drop(copy, [])
            return
        self._gone([], [copy._replace(state=CopyState.THERE)])

    def _free_path(self, path: bytes, record: Record) -> bytes | None:
        """Where to put it. None: nowhere, or a file there has these bytes already. Raises OSError."""
        proof = self._ledger.read(lambda: self._index.proofs({record.proof})).get(record.proof)
        node = node_of(proof.certificate) if proof is not None else record.dot[0]
        for number in range(1, NAMES + 1):
            place = copy_path(path, record.content_stamp, node, number)
            if len(place) > MAX_PATH:
                return None
            row = self._ledger.rows([place]).get(to_key(place))
            if row is not None and (row.need is not None or any(said.live for said in row.state)):
                if record_of(row, record.content) is not None:
                    return None
                continue
            if place in self._copies.listed or (held := self._copies.holds(place, record.content)) is False:
                continue
            return None if held else place
        return None

    def _open(self, record: Record) -> int | None:
        """The archived bytes, if they still are what they were. Raises OSError."""
        found = self._ledger.read(lambda: self._ledger.contents.archive_find_content(record.content))
        for archived in found:
            try:
                fd = self._archive.open(archived.item.name)
            except FileNotFoundError:
                continue
            is_whole = False
            try:
                is_whole = self._hasher.hash_open(fd, archived.item.path).content == record.content
            except FileChanged:
                pass
            finally:
                if not is_whole:
                    os.close(fd)
            if is_whole:
                return fd
        return None

    def _tell(self, place: Place, path: bytes, reason: str) -> None:
        """Once of each."""
        if place not in self._failed:
            self._failed.add(place)
            _log.warning("a conflict copy cannot be made or removed", path=display(path), reason=reason)
