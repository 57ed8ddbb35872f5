"""SimOS: what code under test has in place of `os` and `fcntl`, and below `syncd.store.syscalls`."""

import ctypes
import errno
import fcntl
import os
import posixpath
import stat
from collections.abc import Iterator
from typing import Any

from tests.sim.disk.metadata import Metadata
from tests.sim.disk.names import FIRST_FD, refuse

_FICLONE = 0x40049409
_STATX_SIZE = 256
_STATX_MNT_ID = 0x1000
_STATX_MNT_ID_OFFSET = 144


class SimOS(Metadata):
    """The calls of `os` on simulated disks. What is not theirs, by path or descriptor, is the machine's; so is every
    other name of `os`. For one thread at a time."""

    def __init__(self, clock: Any) -> None:
        super().__init__(clock)
        self.path = SimPaths(self)
        self.fcntl = SimFcntl(self)
        self.syscalls = SimSyscalls(self)

    def __getattr__(self, name: str) -> Any:
        value = getattr(os, name)
        if not callable(value) or isinstance(value, type) or name in _HARMLESS:
            self.__dict__[name] = value  # the next time it is found at once
            return value
        raise NotImplementedError(f"os.{name} is not simulated")

    def makedirs(self, name: Any, mode: int = 0o777, exist_ok: bool = False) -> None:
        head, tail = posixpath.split(name)
        if not tail:
            head, tail = posixpath.split(head)
        if head and tail and not self.path.exists(head):
            try:
                self.makedirs(head, exist_ok=exist_ok)
            except FileExistsError:
                pass
        try:
            self.mkdir(name, mode)
        except OSError:
            if not exist_ok or not self.path.isdir(name):
                raise

    def walk(self, top: Any) -> Iterator[tuple[Any, list[Any], list[Any]]]:
        directories, files = [], []
        for entry in self.scandir(top):
            (directories if entry.is_dir() else files).append(entry.name)
        yield top, directories, files
        for name in directories:
            below = posixpath.join(top, name)
            if not self.path.islink(below):
                yield from self.walk(below)


_HARMLESS = frozenset({
    "strerror", "fsencode", "fsdecode", "fspath", "getpid", "getuid", "getgid", "urandom", "cpu_count", "getcwd",
    "pipe", "eventfd", "eventfd_read", "eventfd_write", "waitpid", "fork", "_exit", "kill", "waitstatus_to_exitcode",
    "makedev", "major", "minor", "sched_yield", "getcwdb",
})  # fmt: skip


class SimPaths:
    """os.path on a SimOS."""

    def __init__(self, system: Metadata) -> None:
        self._system = system

    def __getattr__(self, name: str) -> Any:
        value = getattr(os.path, name)
        self.__dict__[name] = value
        return value

    def _mode(self, path: Any, follow: bool) -> int:
        try:
            return self._system.stat(path, follow_symlinks=follow).st_mode
        except (OSError, ValueError):
            return 0

    def exists(self, path: Any) -> bool:
        return bool(self._mode(path, True))

    def lexists(self, path: Any) -> bool:
        return bool(self._mode(path, False))

    def isdir(self, path: Any) -> bool:
        return stat.S_ISDIR(self._mode(path, True))

    def isfile(self, path: Any) -> bool:
        return stat.S_ISREG(self._mode(path, True))

    def islink(self, path: Any) -> bool:
        return stat.S_ISLNK(self._mode(path, False))

    def getsize(self, path: Any) -> int:
        return self._system.stat(path).st_size


class SimFcntl:
    """fcntl on a SimOS: flock, and FICLONE of ioctl."""

    def __init__(self, system: Metadata) -> None:
        self._system = system

    def __getattr__(self, name: str) -> Any:
        return getattr(fcntl, name)

    def flock(self, fd: int, operation: int) -> None:
        if fd < FIRST_FD:
            return fcntl.flock(fd, operation)
        opened = self._system.opened(fd)
        if opened.flags & os.O_PATH:
            refuse(errno.EBADF)
        inode = opened.inode
        self._system.before("flock", inode)
        locks = inode.locks = inode.locks or {}
        if operation & fcntl.LOCK_UN:
            locks.pop(opened, None)
            return None
        exclusive = bool(operation & fcntl.LOCK_EX)
        if any(holder is not opened and (exclusive or other) for holder, other in locks.items()):
            assert operation & fcntl.LOCK_NB, "would wait for a lock forever"
            locks.pop(opened, None)  # as Linux: a lock is given up before the other kind is asked for
            refuse(errno.EWOULDBLOCK)
        locks[opened] = exclusive
        return None

    def ioctl(self, fd: int, request: int, argument: Any = 0, *rest: Any) -> Any:
        if fd < FIRST_FD:
            return fcntl.ioctl(fd, request, argument, *rest)
        target = self._system.opened(fd)
        self._system.before("clone", target.inode)
        if request != _FICLONE:
            refuse(errno.ENOTTY)
        if argument < FIRST_FD:
            refuse(errno.EXDEV)
        source = self._system.opened(argument)
        if not target.inode.disk.supports_clone:
            refuse(errno.EOPNOTSUPP)
        if source.inode.disk is not target.inode.disk:
            refuse(errno.EXDEV)
        size = source.inode.size
        data = source.inode.read(0, size)
        self._system.ftruncate(fd, size)
        if size:
            target.inode.disk.room(target.inode, 0, size)
            target.inode.write(0, data)
            target.inode.pages = dict(source.inode.pages)
        return 0


class SimSyscalls:
    """The C functions that syncd.store.syscalls binds: -1 and errno for a failure."""

    def __init__(self, system: Metadata) -> None:
        self._system = system

    def renameat2(self, source_fd: int, source: bytes, target_fd: int, target: bytes, flags: int) -> int:
        return _as_in_c(self._system.rename_with, source_fd, source, target_fd, target, flags)

    def syncfs(self, fd: int) -> int:
        return _as_in_c(self._system.sync_file_system, fd)

    def fallocate(self, fd: int, mode: int, offset: int, length: int) -> int:
        return _as_in_c(self._reserve, fd, offset, length)

    def _reserve(self, fd: int, offset: int, length: int) -> None:
        opened = self._system.opened(fd)
        self._system.before("fallocate", opened.inode)
        if opened.flags & os.O_PATH:
            refuse(errno.EBADF)
        if offset < 0 or length <= 0:
            refuse(errno.EINVAL)
        if not opened.flags & os.O_ACCMODE:
            refuse(errno.EBADF)
        opened.inode.disk.reserve(opened.inode, offset, length)
        opened.inode.mtime = opened.inode.ctime = opened.inode.disk.clock()
        opened.inode.disk.dirty[opened.inode] = None

    def statx(self, fd: int, name: bytes, flags: int, mask: int, buffer: Any) -> int:
        return _as_in_c(self._mount_of, fd, name, buffer)

    def _mount_of(self, fd: int, name: bytes, buffer: Any) -> None:
        device = self._system.stat(name, dir_fd=fd, follow_symlinks=False).st_dev
        raw = bytearray(_STATX_SIZE)
        raw[:4] = _STATX_MNT_ID.to_bytes(4, "little")
        raw[_STATX_MNT_ID_OFFSET : _STATX_MNT_ID_OFFSET + 8] = device.to_bytes(8, "little")
        ctypes.memmove(buffer, bytes(raw), _STATX_SIZE)


def _as_in_c(function: Any, *arguments: Any) -> int:
    try:
        function(*arguments)
    except OSError as error:
        ctypes.set_errno(error.errno or errno.EIO)
        return -1
    return 0
