"""What an operator asks of conflicts and of the archive. Runs in the folder's worker thread."""

import os
from collections.abc import Callable
from typing import Final, NamedTuple

from protocol.edit import Entry, entry_of
from protocol.paths import display, to_key, to_path
from protocol.record import LINK_MODE, Kind, Record, link_content
from syncd.core.events import Dismiss, Put
from syncd.core.replica import Refused
from syncd.node.authors import node_of
from syncd.node.findings import Report, StoredContent
from syncd.node.ledger import Ledger
from syncd.store.archive import Archive, ArchivedItem
from syncd.store.hasher import FileChanged, Hashed, Hasher
from syncd.store.index_archive import Archived
from syncd.store.index_copies import CopyState

LISTED: Final = 10_000  # paths or items in one list
ROWS_AT_ONCE: Final = 500


class Version(NamedTuple):
    """A version that lost. number: from 1, the newest first. node: id of its author's node, or empty."""

    number: int
    record: Record
    node: bytes
    here: bool  # its bytes
    copy: bytes  # path of the copy in the tree, or empty


class Conflict(NamedTuple):
    """A path with versions that lost. shown: what is there."""

    path: bytes
    shown: Entry | None
    versions: list[Version]


class Handout(NamedTuple):
    """Verified bytes for somebody else. fd: to be read from its beginning, and closed by who takes it. mtime: ns."""

    fd: int
    size: int
    mode: int
    mtime: int


class Curator:
    """See the module. clock: wall time, ns. Methods raise Refused with a line for the operator, OSError."""

    def __init__(self, ledger: Ledger, archive: Archive, hasher: Hasher, clock: Callable[[], int]) -> None:
        self._ledger = ledger
        self._archive = archive
        self._hasher = hasher
        self._clock = clock

    # ---- conflicts

    def conflicts(self) -> list[Conflict]:
        """All of them, LISTED at most, in order of paths."""
        found: list[Conflict] = []
        after = b""
        while len(found) < LISTED:
            keys = self._ledger.index.losing(after, ROWS_AT_ONCE)
            found += [self._conflict(key) for key in keys]
            if len(keys) < ROWS_AT_ONCE:
                break
            after = keys[-1]
        return found[:LISTED]

    def _conflict(self, key: bytes) -> Conflict:
        shown, records = self._ledger.replica.versions(key)
        proofs = self._ledger.index.proofs({record.proof for record in records})
        listed = self._ledger.index.copies_at(key)
        copies = {copy.content: copy.path for copy in listed if copy.state == CopyState.THERE}
        versions = []
        for number, record in enumerate(records, 1):
            proof = proofs.get(record.proof)
            node = node_of(proof.certificate) if proof is not None else b""
            versions.append(Version(number, record, node, self._is_here(record), copies.get(record.content, b"")))
        return Conflict(to_path(key), shown, versions)

    def _is_here(self, record: Record) -> bool:
        return record.kind != Kind.FILE or bool(self._ledger.contents.archive_find_content(record.content))

    def dismiss(self, path: bytes) -> Report:
        """What loses at the path is wanted by nobody any more, anywhere."""
        return self._ledger.enact(Dismiss(path), [])

    def restore_version(self, path: bytes, number: int) -> Report:
        """Put a version that lost back to its path; what is there goes to the archive."""
        record = self._version(path, number)
        contents = []
        if record.kind == Kind.FILE:
            fd, hashed, item = self._find(record)
            os.close(fd)
            contents = self._stored(hashed)
            self._renew(item)
        return self._ledger.enact(Put(path, entry_of(record)), contents)

    def hand_out_version(self, path: bytes, number: int) -> Handout:
        """The bytes of a version that lost."""
        record = self._version(path, number)
        if record.kind != Kind.FILE:
            raise Refused(_not_a_file(path, record.kind, record.target))
        fd, _, _ = self._find(record)
        return Handout(fd, record.size, record.mode, record.mtime)

    def _version(self, path: bytes, number: int) -> Record:
        _, records = self._ledger.replica.versions(to_key(path))
        if not records:
            raise Refused(f"there is no conflict at {display(path)}")
        if not 1 <= number <= len(records):
            raise Refused(f"{display(path)} has {len(records)} losing versions: name one of 1 to {len(records)}")
        return records[number - 1]

    def _find(self, record: Record) -> tuple[int, Hashed, ArchivedItem]:
        """Open an archived file that really has the content of a record."""
        for archived in self._ledger.contents.archive_find_content(record.content):
            try:
                fd, hashed = self._open(archived.item)
            except (OSError, FileChanged):
                continue
            if hashed.content == record.content:
                return fd, hashed, archived.item
            os.close(fd)
        raise Refused(f"the bytes of this version of {display(record.path)} are not here yet")

    # ---- the archive

    def items(self, path: bytes | None) -> list[Archived]:
        """What was displaced at the path or below it, or anywhere; the latest first, LISTED at most."""
        return self._ledger.contents.archive_latest(path, LISTED)

    def restore_item(self, name: bytes | None, path: bytes) -> Report:
        """Put an item back to where it was. name: of the item; None: the latest that was at the path."""
        item = self._item(name, path)
        if not item.path:
            raise Refused("it is not known where this was: copy it out with --to FILE")
        if item.kind == Kind.LINK:
            target = self._archive.target(item.name)
            link = Entry(Kind.LINK, link_content(target), 0, LINK_MODE, item.mtime, target)
            return self._ledger.enact(Put(item.path, link), [])
        fd, hashed = self._opened(item)
        os.close(fd)
        with self._ledger.index.transaction():
            if (hashed.disk.entry.size, hashed.disk.entry.mtime) == (item.size, item.mtime):
                self._ledger.contents.archive_settle(item.name, hashed.content)
        self._renew(item)
        entry = Entry(Kind.FILE, hashed.content, hashed.disk.entry.size, item.mode, item.mtime, b"")
        return self._ledger.enact(Put(item.path, entry), self._stored(hashed))

    def hand_out_item(self, name: bytes | None, path: bytes) -> Handout:
        """The bytes of an item, as for `restore_item`."""
        item = self._item(name, path)
        if item.kind != Kind.FILE:
            raise Refused(_not_a_file(item.path, item.kind, self._archive.target(item.name)))
        fd, hashed = self._opened(item)
        return Handout(fd, hashed.disk.entry.size, item.mode, item.mtime)

    def path_of(self, name: bytes | None) -> bytes:
        """Where an item was; empty if that is not known."""
        return self._item(name, b"").path

    def _item(self, name: bytes | None, path: bytes) -> ArchivedItem:
        if name is not None:
            found = self._ledger.contents.archive_find(name)
            if found is None:
                raise Refused(f"nothing in the archive has the id {display(name)}")
            return found.item
        at_path = [archived.item for archived in self.items(path) if archived.item.path == path]
        if not at_path:
            raise Refused(f"the archive has nothing that was at {display(path)}")
        return at_path[0]

    # ---- both

    def look(self, path: bytes) -> Report:
        """Before a decision: what is at the path and was not seen yet is an edit, and is kept."""
        return self._ledger.observe([path])

    def _open(self, item: ArchivedItem) -> tuple[int, Hashed]:
        fd = self._archive.open(item.name)
        try:
            return fd, self._hasher.hash_open(fd, item.path)
        except BaseException:
            os.close(fd)
            raise

    def _opened(self, item: ArchivedItem) -> tuple[int, Hashed]:
        try:
            return self._open(item)
        except FileChanged:
            raise Refused("somebody is still writing to it: try again") from None
        except FileNotFoundError:
            raise Refused("it is not in the archive any more") from None

    def _renew(self, item: ArchivedItem) -> None:
        """It is about to be needed: it must not expire meanwhile."""
        with self._ledger.index.transaction():
            self._ledger.contents.archive_renew([item.name], self._clock())

    @staticmethod
    def _stored(hashed: Hashed) -> list[StoredContent]:
        if hashed.small is not None:
            return []
        return [StoredContent(hashed.content, hashed.disk.entry.size, hashed.segments, hashed.blocks)]

    def applied(self, path: bytes) -> bool:
        """Whether the disk holds at the path what it has to."""
        row = self._ledger.index.rows([to_key(path)]).get(to_key(path))
        return row is None or row.need is None


def _not_a_file(path: bytes, kind: Kind, target: bytes) -> str:
    what = f"a link to {display(target)}" if kind == Kind.LINK else "a directory"
    return f"{display(path)} is {what}: there are no bytes to copy out"
