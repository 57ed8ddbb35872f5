"""Where displaced bytes go: a flat private directory of randomly named files and links on the tree's file system.

What lies there, and why, is in the index. An inode comes here by rename, so nothing is copied and nothing is ever in
neither place; and none has a name here and another one in the tree.
"""

import itertools
import os
import secrets
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from protocol.record import Kind
from syncd.store import syscalls
from syncd.store.copies import copy_contents, write_at
from syncd.store.directories import names_in
from syncd.store.look import OPEN_FILE, clamp, kind_of, take
from syncd.store.moves import lstat, move_to_free_name, unlock

SYNCED_EACH: Final = 3  # files up to which each is synced by itself instead of the file system
_PRIVATE: Final = 0o600
_PREFIX_BYTES: Final = 12  # random, so that no two starts name alike
_CREATE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class ArchivedItem(NamedTuple):
    """Something in the archive. path: where it was, b"" if that is not known. size: bytes, mtime: ns."""

    name: bytes
    path: bytes
    kind: Kind
    size: int
    mode: int
    mtime: int


class Archive:
    """The archive of one folder. fd: its directory, which stays the caller's. draw(n): random bytes."""

    def __init__(self, fd: int, draw: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self.fd = fd
        self._prefix = draw(_PREFIX_BYTES).hex()
        self._numbers = itertools.count()

    def slot(self) -> bytes:
        """A name that nothing has."""
        return f"{self._prefix}{next(self._numbers):08x}".encode()

    def put(self, parent_fd: int, name: bytes, path: bytes) -> ArchivedItem:
        """Move a file or link here. path: what it was in the tree. Raises OSError."""
        slot = self.slot()
        os.rename(name, slot, src_dir_fd=parent_fd, dst_dir_fd=self.fd)
        return self.admit(slot, path, lstat(self.fd, slot))

    def admit(self, slot: bytes, path: bytes, status: os.stat_result) -> ArchivedItem:
        """Keep the file or link that was moved to `slot` already, and is there as `status` says. Raises OSError."""
        kind = kind_of(status) or Kind.FILE
        seen = take(path, kind, status)
        item = ArchivedItem(slot, path, kind, seen.size, seen.mode, seen.mtime_ns)
        if kind is Kind.FILE:
            if status.st_nlink > 1:
                return self._separated(item)
            try:
                os.chmod(slot, _PRIVATE, dir_fd=self.fd)
            except PermissionError:  # another user's file; nobody else can enter this directory anyway
                pass
        return item

    def admit_all(self, slot: bytes, path: bytes) -> list[ArchivedItem]:
        """Keep whatever was moved to `slot`: of a directory, the files in it. Raises OSError."""
        status = lstat(self.fd, slot)
        if kind_of(status) is Kind.DIR:
            return list(self._dissolve(slot, path))
        return [self.admit(slot, path, status)]

    def add(self, data: bytes, path: bytes, mode: int, mtime: int) -> ArchivedItem:
        """Keep bytes that were in no tree here. Raises OSError."""
        slot = self.slot()
        fd = os.open(slot, _CREATE, _PRIVATE, dir_fd=self.fd)
        try:
            write_at(fd, data, 0)
            os.utime(fd, ns=(mtime, mtime))
        except OSError:
            os.unlink(slot, dir_fd=self.fd)
            raise
        finally:
            os.close(fd)
        return ArchivedItem(slot, path, Kind.FILE, len(data), mode, mtime)

    def date(self, item: ArchivedItem) -> ArchivedItem:
        """Give an archived file the mtime that its item says. Returns the item as it is then. Raises OSError."""
        os.utime(item.name, ns=(item.mtime, item.mtime), dir_fd=self.fd, follow_symlinks=False)
        return item._replace(mtime=clamp(lstat(self.fd, item.name).st_mtime_ns))

    def sync(self, items: Sequence[ArchivedItem]) -> None:
        """Make files that were written here survive a power cut. Raises OSError: nothing is known of any then."""
        if len(items) > SYNCED_EACH:
            try:
                syscalls.sync_file_system(self.fd)
            except OSError as error:
                if error.errno not in syscalls.UNSUPPORTED:
                    raise
            else:
                return
        for item in items:
            fd = self.open(item.name)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def open(self, name: bytes) -> int:
        """A descriptor to read an archived file from, for the caller to close. Raises OSError."""
        return os.open(name, OPEN_FILE, dir_fd=self.fd)

    def target(self, name: bytes) -> bytes:
        """The target of an archived link. Raises OSError."""
        return os.readlink(name, dir_fd=self.fd)

    def restore(self, item: ArchivedItem, parent_fd: int, name: bytes) -> None:
        """Put a copy into a directory, where nothing has that name. The item stays.

        Raises FileExistsError, other OSError.
        """
        slot = self.slot()
        try:
            if item.kind is Kind.LINK:
                os.symlink(self.target(item.name), slot, dir_fd=self.fd)
                os.utime(slot, ns=(item.mtime, item.mtime), dir_fd=self.fd, follow_symlinks=False)
            else:
                self._copy(item, slot, item.mode)
            move_to_free_name(self.fd, slot, parent_fd, name)
        except BaseException:
            self.remove([slot])
            raise

    def changed(self, item: ArchivedItem) -> ArchivedItem | None:
        """The item as it is now if somebody who held it open wrote to it since, else None. Raises OSError."""
        status = lstat(self.fd, item.name)
        now = item._replace(
            size=status.st_size if item.kind is Kind.FILE else 0, mtime=clamp(status.st_mtime_ns)
        )  # fmt: skip
        return None if now == item else now

    def remove(self, names: Iterable[bytes]) -> None:
        """Destroy items; those that are not there are passed over. Raises OSError."""
        for name in names:
            try:
                os.unlink(name, dir_fd=self.fd)
            except FileNotFoundError:
                pass

    def names(self) -> list[bytes]:
        """The names of all that is here, in no order. Raises OSError."""
        return names_in(self.fd)

    def adopt(self, known: Container[bytes]) -> list[ArchivedItem]:
        """Items for what is here under names that the index does not know, after an unclean stop. Raises OSError."""
        return [item for name in self.names() if name not in known for item in self._adopted(name)]

    def _adopted(self, name: bytes) -> list[ArchivedItem]:
        status = lstat(self.fd, name)
        if kind_of(status) is Kind.FILE and status.st_nlink > 1:
            os.unlink(name, dir_fd=self.fd)  # stopped between linking it here and replacing it there
            return []
        if kind_of(status) is Kind.DIR:  # a unit that was displaced: what stayed as it was has a name in the tree, too
            return list(self._dissolve(name, b"", drop_linked=True))
        return self.admit_all(name, b"")

    def _dissolve(self, name: bytes, path: bytes, *, drop_linked: bool = False) -> Iterator[ArchivedItem]:
        """Items for all files of a directory. Each one moves up, so no depth is too much.

        drop_linked: none for what has another name.
        """
        pending = [name]
        while pending:
            directory = pending.pop()
            unlock(self.fd, directory)
            fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.fd)
            try:
                for entry in names_in(fd):
                    slot = self.slot()
                    status = lstat(fd, entry)
                    if drop_linked and kind_of(status) is not Kind.DIR and status.st_nlink > 1:
                        os.unlink(entry, dir_fd=fd)
                        continue
                    if kind_of(status) is Kind.DIR:
                        unlock(fd, entry)  # moving a directory takes the right to write to it
                    os.rename(entry, slot, src_dir_fd=fd, dst_dir_fd=self.fd)
                    status = lstat(self.fd, slot)
                    if kind_of(status) is Kind.DIR:
                        pending.append(slot)
                    else:
                        yield self.admit(slot, path, status)
            finally:
                os.close(fd)
            os.rmdir(directory, dir_fd=self.fd)

    def _separated(self, item: ArchivedItem) -> ArchivedItem:
        """The item as a copy, because its inode has another name too, by which it may be written to."""
        slot = self.slot()
        try:
            self._copy(item, slot, _PRIVATE)
        except OSError:  # no room: better kept like this than not at all
            self.remove([slot])
            return item
        self.remove([item.name])
        return item._replace(name=slot)

    def _copy(self, item: ArchivedItem, slot: bytes, mode: int) -> None:
        source = self.open(item.name)
        try:
            target = os.open(slot, _CREATE, _PRIVATE, dir_fd=self.fd)
            try:
                copy_contents(source, target, os.fstat(source).st_size)
                os.fchmod(target, mode)
                os.utime(target, ns=(item.mtime, item.mtime))
                os.fsync(target)
            finally:
                os.close(target)
        finally:
            os.close(source)
