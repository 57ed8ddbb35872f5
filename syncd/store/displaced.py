"""What was displaced as a whole: it is compared with what it was, and taken apart when nobody reads it any more.

Whoever opened the directory before the exchange goes on reading it, so for a while it stays whole, in the archive's
directory. What differs from what the shadow was made from is somebody's edit of the same instant, and goes forward into
the live directory. After an unclean stop the archive adopts what is left here.
"""

import contextlib
import os
from collections.abc import Mapping
from typing import NamedTuple

from protocol.paths import ancestors
from protocol.record import Kind
from syncd.store.archive import Archive, ArchivedItem
from syncd.store.directories import Directories
from syncd.store.look import clamp, kind_of
from syncd.store.moves import exchange, lstat, move_to_free_name, unlock
from syncd.store.unit_trees import Found, Listing, walk


class Displaced(NamedTuple):
    """A directory in the archive's. was: what was in it when it was looked at last before, by path of the tree.

    shared: paths whose inodes had a live name as well. placed: {path: inode} of what took their places. others: paths
    that take no part. contents: content ids of the files among `was`, where they are known.
    """

    slot: bytes
    unit: bytes
    was: Listing
    shared: frozenset[bytes]
    placed: Mapping[bytes, int]
    others: frozenset[bytes]
    contents: Mapping[bytes, bytes]


class TakenApart(NamedTuple):
    """deleted, replaced: items of the archive. contents: {name of an item: content id}. shared: as in Displaced.

    forward: paths of the tree that got a late edit.
    """

    deleted: list[ArchivedItem]
    replaced: list[ArchivedItem]
    contents: dict[bytes, bytes]
    shared: list[bytes]
    forward: list[bytes]


class Displacements:
    """Of one folder, in one thread."""

    def __init__(self, directories: Directories, archive: Archive) -> None:
        self._directories = directories
        self._archive = archive

    def compare(self, displaced: Displaced) -> set[bytes]:
        """Bring edits forward. Returns the paths of the tree at which there is now what somebody wanted there."""
        edited: set[bytes] = set()
        there: set[bytes] = set()
        for found in walk(self._archive.fd, displaced.slot, displaced.unit):
            there.add(found.path)
            if not self._is_as_it_was(found, displaced) and self._forward(found, displaced):
                edited.add(found.path)
        for path in sorted(displaced.was.keys() - there - {displaced.unit}, reverse=True):
            if self._remove(path, displaced):
                edited.add(path)
        return edited

    def take_apart(self, displaced: Displaced) -> TakenApart:
        """Bring late edits forward, drop what was shared or took no part, and archive the rest. Raises OSError."""
        taken = TakenApart([], [], {}, sorted(displaced.shared), [])
        unlock(self._archive.fd, displaced.slot)
        for found in walk(self._archive.fd, displaced.slot, displaced.unit):
            if kind_of(found.status) is Kind.DIR:
                unlock(found.fd, found.name)
            elif found.path not in displaced.was and self._forward(found, displaced):
                taken.forward.append(found.path)
            elif found.path in displaced.shared or found.path in displaced.others or kind_of(found.status) is None:
                os.unlink(found.name, dir_fd=found.fd)
            else:
                self._keep(found, displaced, taken)
        taken.replaced.extend(self._archive.admit_all(displaced.slot, displaced.unit))  # what came in the last instant
        return taken

    # ---- edits of the instant

    def _is_as_it_was(self, found: Found, displaced: Displaced) -> bool:
        was, status = displaced.was.get(found.path), found.status
        if was is None or kind_of(was) is not kind_of(status):
            return False
        if kind_of(status) is Kind.DIR:
            return True
        if was.st_ino == status.st_ino and found.path in displaced.shared:
            return True  # whatever was written to it is live
        return (was.st_ino, was.st_mtime_ns, was.st_size) == (status.st_ino, status.st_mtime_ns, status.st_size)

    def _forward(self, found: Found, displaced: Displaced) -> bool:
        """Move it to its path in the tree, unless something newer of somebody is there."""
        try:
            fd, name = self._enter(found.path)
            if kind_of(found.status) is Kind.DIR:
                os.mkdir(name, found.status.st_mode & 0o7777, dir_fd=fd)
                return True
            try:
                move_to_free_name(found.fd, found.name, fd, name)
            except FileExistsError:
                if lstat(fd, name).st_ino != displaced.placed.get(found.path):
                    return False
                exchange(found.fd, found.name, fd, name)
        except OSError:  # it stays where it is, and goes to the archive
            return False
        return True

    def _enter(self, path: bytes) -> tuple[int, bytes]:
        """The directory in the tree; those that are missing above it are made."""
        self._directories.forget(b"")
        for above in ancestors(path):
            with contextlib.suppress(FileExistsError):
                fd, name = self._directories.parent(above)
                os.mkdir(name, 0o755, dir_fd=fd)
        return self._directories.parent(path)

    def _remove(self, path: bytes, displaced: Displaced) -> bool:
        """Somebody removed it in that instant; what came in its place stays."""
        status = displaced.was[path]
        if path in displaced.others or (kind_of(status) is not Kind.DIR and path not in displaced.shared):
            return False
        self._directories.forget(b"")
        try:
            fd, name = self._directories.parent(path)
            if kind_of(status) is Kind.DIR:
                os.rmdir(name, dir_fd=fd)
            elif lstat(fd, name).st_ino == status.st_ino:
                os.unlink(name, dir_fd=fd)
            else:
                return False
        except OSError:
            return False
        return True

    # ---- the end of it

    def _keep(self, found: Found, displaced: Displaced, taken: TakenApart) -> None:
        was = displaced.was.get(found.path)
        item = self._archive.put(found.fd, found.name, found.path)
        content = displaced.contents.get(found.path)
        is_same = was is not None and (was.st_size, clamp(was.st_mtime_ns)) == (found.status.st_size, item.mtime)
        if content is not None and is_same:
            taken.contents[item.name] = content
        (taken.replaced if self._is_there(found.path) else taken.deleted).append(item)

    def _is_there(self, path: bytes) -> bool:
        try:
            fd, name = self._directories.parent(path)
            lstat(fd, name)
        except OSError:
            return False
        return True
