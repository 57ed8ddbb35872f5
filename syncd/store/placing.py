"""Making a temp live, and what was live an archived item, without losing what somebody does in the same instant.

Each step is one rename whose outcome is looked at: if what came out of the tree is not what the index last saw there,
it is somebody's edit, and goes back.
"""

import errno
import os
from typing import Final

from protocol.record import Kind
from syncd.core.index import Disk
from syncd.store import syscalls
from syncd.store.archive import Archive, ArchivedItem
from syncd.store.directories import names_in
from syncd.store.look import is_moved
from syncd.store.moves import exchange, lstat, move_to_free_name
from syncd.store.temps import Temp

_NO_EXCHANGE: Final = syscalls.UNSUPPORTED | {errno.EXDEV}  # the latter of directories in an overlay's lower layer


class Differs(Exception):
    """The disk is not as the index last saw it. archived: what had to go to the archive nevertheless."""

    def __init__(self, archived: list[ArchivedItem] | None = None) -> None:
        self.archived = archived or []


class Placer:
    """Places temps in directories of the tree, given by descriptor and name. Every method raises OSError and Differs.

    If one raises, the temp lies where it was, and what was live is live.
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def create(self, temp: Temp, fd: int, name: bytes) -> None:
        """Make it live where nothing is."""
        try:
            move_to_free_name(temp.fd, temp.name, fd, name)
        except FileExistsError:
            if name not in names_in(fd):
                raise OSError(errno.EEXIST, "the file system takes another name there for the same") from None
            raise Differs from None

    def replace(self, temp: Temp, fd: int, name: bytes, expect: Disk, path: bytes) -> list[ArchivedItem]:
        """Make it live in the place of what `expect` says, which goes to the archive; an empty directory just goes.

        The temp passes through the archive, so that what comes out of the tree is in the archive in the same instant.
        """
        if expect.entry.kind is Kind.DIR:
            _refuse_contents(fd, name)
        ours = lstat(temp.fd, temp.name).st_ino
        slot = self._archive.slot()
        os.rename(temp.name, slot, src_dir_fd=temp.fd, dst_dir_fd=self._archive.fd)
        try:
            exchange(self._archive.fd, slot, fd, name)
        except OSError as error:
            self._back_to_staging(slot, temp)
            if error.errno == errno.ENOENT:
                raise Differs from None
            if error.errno not in _NO_EXCHANGE:
                raise
            return self._replace_in_steps(temp, fd, name, expect, path)
        out = lstat(self._archive.fd, slot)
        if is_moved(out, expect):
            if expect.entry.kind is not Kind.DIR:
                return [self._archive.admit(slot, path, out)]
            try:
                os.rmdir(slot, dir_fd=self._archive.fd)
            except OSError:
                self._undo(temp, slot, fd, name, ours, path)
                raise
            return []
        raise Differs(self._undo(temp, slot, fd, name, ours, path))

    def remove(self, fd: int, name: bytes, expect: Disk, path: bytes) -> list[ArchivedItem]:
        """Move what `expect` says to the archive; remove it if it is an empty directory."""
        if expect.entry.kind is Kind.DIR:
            os.rmdir(name, dir_fd=fd)
            return []
        return [self._archive.admit(*self._take_away(fd, name, expect, path))]

    def _take_away(self, fd: int, name: bytes, expect: Disk, path: bytes) -> tuple[bytes, bytes, os.stat_result]:
        """Move it to a slot of the archive, if it is what is expected. Returns (slot, path, status there)."""
        slot = self._archive.slot()
        try:
            os.rename(name, slot, src_dir_fd=fd, dst_dir_fd=self._archive.fd)
        except FileNotFoundError:
            raise Differs from None
        out = lstat(self._archive.fd, slot)
        if is_moved(out, expect):
            return slot, path, out
        raise Differs(self._put_back(slot, fd, name, path))

    def _put_back(self, slot: bytes, fd: int, name: bytes, path: bytes) -> list[ArchivedItem]:
        """Move from the archive to where it was; if that is not possible any more it stays as an item."""
        try:
            move_to_free_name(self._archive.fd, slot, fd, name)
        except OSError:
            return self._archive.admit_all(slot, path)
        return []

    def _undo(self, temp: Temp, slot: bytes, fd: int, name: bytes, ours: int, path: bytes) -> list[ArchivedItem]:
        """Exchange once more: what came out is somebody's, and so is what may have taken our place since."""
        try:
            exchange(self._archive.fd, slot, fd, name)
        except OSError:  # nothing is there any more: what we had placed is gone
            return self._put_back(slot, fd, name, path)
        if lstat(self._archive.fd, slot).st_ino == ours:
            self._back_to_staging(slot, temp)
            return []
        try:  # ours was replaced within the instant: that is the newest, and what came out first stays as an item
            exchange(self._archive.fd, slot, fd, name)
        except OSError:
            return self._put_back(slot, fd, name, path)
        return self._archive.admit_all(slot, path)

    def _back_to_staging(self, slot: bytes, temp: Temp) -> None:
        os.rename(slot, temp.name, src_dir_fd=self._archive.fd, dst_dir_fd=temp.fd)

    def _replace_in_steps(self, temp: Temp, fd: int, name: bytes, expect: Disk, path: bytes) -> list[ArchivedItem]:
        """As `replace`, without an exchange.

        With hard links: what is live gets a second name in the archive, and is then replaced, so nobody ever finds
        nothing there; an edit that replaces it between the two is lost. Otherwise: it is taken away first.
        """
        if expect.entry.kind is Kind.DIR:
            os.rmdir(name, dir_fd=fd)
            try:
                self.create(temp, fd, name)
            except OSError:
                os.mkdir(name, expect.entry.mode, dir_fd=fd)
                raise
            return []
        slot = self._archive.slot()
        try:
            if temp.is_directory:
                raise OSError(errno.EISDIR, "no file can be replaced by a directory")
            os.link(name, slot, src_dir_fd=fd, dst_dir_fd=self._archive.fd, follow_symlinks=False)
        except OSError:
            return self._replace_by_removal(temp, fd, name, expect, path)
        try:
            if not is_moved(lstat(self._archive.fd, slot), expect):
                raise Differs
            os.rename(temp.name, name, src_dir_fd=temp.fd, dst_dir_fd=fd)
        except BaseException:
            self._archive.remove([slot])
            raise
        return self._archive.admit_all(slot, path)

    def _replace_by_removal(self, temp: Temp, fd: int, name: bytes, expect: Disk, path: bytes) -> list[ArchivedItem]:
        taken = self._take_away(fd, name, expect, path)
        try:
            self.create(temp, fd, name)
        except (OSError, Differs) as error:
            archived = self._put_back(taken[0], fd, name, path)
            if archived:
                raise Differs(archived) from error
            raise
        return [self._archive.admit(*taken)]


def _refuse_contents(fd: int, name: bytes) -> None:
    """Raise OSError with ENOTEMPTY for a directory that has entries, before anything moves."""
    directory = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
    try:
        if names_in(directory):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
    finally:
        os.close(directory)
