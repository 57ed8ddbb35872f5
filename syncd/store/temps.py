"""Finished entries in staging, with their mode and times, a rename away from being live."""

import os
from typing import Final, NamedTuple

from syncd.store import syscalls
from syncd.store.copies import copy_contents, write_at
from syncd.store.staging import Staged, Staging

_CREATE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PRIVATE: Final = 0o600


class Temp(NamedTuple):
    """An entry in the directory `fd`. staged: the object behind it, if it is a staged file."""

    fd: int
    name: bytes
    is_directory: bool = False
    staged: Staged | None = None


class Temps:
    """Makes temps. Every method that makes one raises OSError, and leaves nothing behind then."""

    def __init__(self, staging: Staging) -> None:
        self._staging = staging
        self._fd = staging.fd
        self.now = 0  # ns: the atime that new files get

    def file(self, data: bytes, mode: int, mtime: int, durable: bool) -> Temp:
        """A file with these bytes. durable: they survive a power cut once this returned."""
        name = self._staging.fresh_name()
        fd = os.open(name, _CREATE, _PRIVATE, dir_fd=self._fd)
        try:
            done = os.write(fd, data)
            if done < len(data):
                write_at(fd, memoryview(data)[done:], done)
            os.fchmod(fd, mode)
            os.utime(fd, ns=(self.now, mtime))
            if durable:
                os.fsync(fd)
        except BaseException:
            os.unlink(name, dir_fd=self._fd)
            raise
        finally:
            os.close(fd)
        return Temp(self._fd, name)

    def copy(self, source_fd: int, mode: int, mtime: int, durable: bool) -> Temp:
        """A file with the bytes of an open one."""
        name = self._staging.fresh_name()
        fd = os.open(name, _CREATE, _PRIVATE, dir_fd=self._fd)
        try:
            copy_contents(source_fd, fd, os.fstat(source_fd).st_size)
            self._finish(fd, mode, mtime, durable)
        except BaseException:
            os.unlink(name, dir_fd=self._fd)
            raise
        finally:
            os.close(fd)
        return Temp(self._fd, name)

    def staged(self, staged: Staged, mode: int, mtime: int, durable: bool) -> Temp:
        """The staged file itself. It stays where it is if it does not become live.

        If it cannot be synced it is removed: nobody knows what is on the disk, though it may read as if all were well.
        """
        fd = staged.descriptor()
        self._finish(fd, mode, mtime, False)
        if durable:
            try:
                os.fsync(fd)
            except OSError:
                staged.discard()
                raise
        return Temp(self._fd, staged.name, staged=staged)

    def link(self, target: bytes, mtime: int) -> Temp:
        """A symbolic link."""
        name = self._staging.fresh_name()
        os.symlink(target, name, dir_fd=self._fd)
        try:
            os.utime(name, ns=(self.now, mtime), dir_fd=self._fd, follow_symlinks=False)
        except OSError:
            os.unlink(name, dir_fd=self._fd)
            raise
        return Temp(self._fd, name)

    def directory(self) -> Temp:
        """An empty directory, 0700."""
        name = self._staging.fresh_name()
        os.mkdir(name, 0o700, dir_fd=self._fd)
        return Temp(self._fd, name, is_directory=True)

    def drop(self, temp: Temp) -> None:
        """Remove a temp that did not become live; a staged file stays for another attempt, if it still is there.

        What cannot be removed is removed by the next start.
        """
        try:
            if temp.staged is None:
                self._staging.remove(temp.name)
            else:
                os.chmod(temp.name, _PRIVATE, dir_fd=temp.fd)  # nothing in here can be executed
        except FileNotFoundError:
            if temp.staged is not None:
                temp.staged.close()
        except OSError:
            pass

    def discard(self, temp: Temp) -> None:
        """Remove a temp of which nobody knows what is on the disk; a staged file too."""
        if temp.staged is not None:
            temp.staged.close()
        self.drop(temp._replace(staged=None))

    def sync(self, temps: list[Temp]) -> None:
        """Make all of them durable. Raises OSError: nothing is known of any of them then."""
        try:
            syscalls.sync_file_system(self._fd)
        except OSError as error:
            if error.errno not in syscalls.UNSUPPORTED:
                raise
            os.sync()  # reports no errors, which is why each file is asked about as well
            for temp in temps:
                self._sync_one(temp.name)

    def _sync_one(self, name: bytes) -> None:
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._fd)
        except OSError:  # a symbolic link has nothing to sync, and a file may not be readable
            return
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _finish(self, fd: int, mode: int, mtime: int, durable: bool) -> None:
        os.fchmod(fd, mode)
        os.utime(fd, ns=(self.now, mtime))
        if durable:
            # Not fdatasync: a mode or mtime that a power cut took back would look like somebody's edit.
            os.fsync(fd)
