"""Calls that look at inodes and directories, and set modes, owners and times."""

import errno
import os
import stat
from collections.abc import Iterator
from typing import Any, Self

from tests.sim.disk.contents import Contents
from tests.sim.disk.events import ATTRIB, tell_change
from tests.sim.disk.inodes import PAGE, Inode
from tests.sim.disk.names import FIRST_FD, READ, Path, refuse

_PLENTY = 1 << 28  # pages of a disk without a capacity


class Metadata(Contents):
    """stat, chmod, chown, utime, access, statvfs, listdir and scandir, and who the process is."""

    def stat(self, path: Path | int, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
        inode = self.find(path, dir_fd, follow_symlinks)
        if inode is None:
            return os.stat(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)
        script = inode.disk.script
        if script.active:
            script.before("stat", inode, None, None)
            inode = self.find(path, dir_fd, follow_symlinks)
            assert inode is not None
        return inode.status()

    def lstat(self, path: Path, *, dir_fd: int | None = None) -> os.stat_result:
        return self.stat(path, dir_fd=dir_fd, follow_symlinks=False)

    def fstat(self, fd: int) -> os.stat_result:
        if fd < FIRST_FD:
            return os.fstat(fd)
        opened = self.table.get(fd)
        if opened is None:
            refuse(errno.EBADF)
        self.before("stat", opened.inode)
        return opened.inode.status()

    def access(
        self, path: Path, mode: int, *, dir_fd: int | None = None, effective_ids: bool = False,
        follow_symlinks: bool = True,
    ) -> bool:  # fmt: skip
        try:
            inode = self.find(path, dir_fd, follow_symlinks)
        except OSError:
            return False
        if inode is None:
            return os.access(
                path, mode, dir_fd=dir_fd, effective_ids=effective_ids, follow_symlinks=follow_symlinks
            )  # fmt: skip
        return self.allows(inode, mode) and not (mode & os.W_OK and inode.disk.script.read_only)

    def statvfs(self, path: Path | int) -> os.statvfs_result:
        inode = self.find(path, None, follow=True)
        if inode is None:
            return os.statvfs(path)
        disk = inode.disk
        total = _PLENTY if disk.capacity is None else disk.capacity // PAGE
        free = max(0, total - disk.used)
        return os.statvfs_result((PAGE, PAGE, total, free, free, 1 << 20, 1 << 19, 1 << 19, 0, 255))

    def fstatvfs(self, fd: int) -> os.statvfs_result:
        return self.statvfs(fd)

    # ---- setting

    def _attribute(self, path: Path | int, dir_fd: int | None, follow: bool, name: str) -> Inode | None:
        inode = self.find(path, dir_fd, follow)
        if inode is None:
            return None
        if type(path) is int and self.table[path].flags & os.O_PATH:
            refuse(errno.EBADF)
        self.before(name, inode)
        return inode

    def _changed(self, inode: Inode) -> None:
        disk = inode.disk
        inode.ctime = disk.clock()
        disk.dirty[inode] = None
        disk.journal.change(inode)
        tell_change(inode, ATTRIB)

    def chmod(self, path: Path | int, mode: int, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> None:
        if not follow_symlinks:
            raise NotImplementedError("chmod: follow_symlinks unavailable on this platform")
        inode = self._attribute(path, dir_fd, True, "chmod")
        if inode is None:
            return os.chmod(path, mode, dir_fd=dir_fd)
        self.need_owner(inode)
        mode &= 0o7777
        if self.euid and self.egid != inode.gid:
            mode &= ~stat.S_ISGID
        inode.mode = stat.S_IFMT(inode.mode) | mode
        self._changed(inode)
        return None

    def fchmod(self, fd: int, mode: int) -> None:
        if fd < FIRST_FD:
            return os.fchmod(fd, mode)
        return self.chmod(fd, mode)

    def chown(
        self, path: Path | int, uid: int, gid: int, *, dir_fd: int | None = None, follow_symlinks: bool = True
    ) -> None:
        inode = self._attribute(path, dir_fd, follow_symlinks, "chown")
        if inode is None:
            return os.chown(path, uid, gid, dir_fd=dir_fd, follow_symlinks=follow_symlinks)
        is_own = self.euid == inode.uid and uid in (-1, inode.uid) and gid in (-1, inode.gid, self.egid)
        if self.euid and not is_own and (uid, gid) != (-1, -1):
            refuse(errno.EPERM, path)
        inode.uid = inode.uid if uid == -1 else uid
        inode.gid = inode.gid if gid == -1 else gid
        if inode.entries is None and not stat.S_ISLNK(inode.mode):
            self._drop_privileges(inode)
        self._changed(inode)
        return None

    def lchown(self, path: Path, uid: int, gid: int) -> None:
        self.chown(path, uid, gid, follow_symlinks=False)

    def fchown(self, fd: int, uid: int, gid: int) -> None:
        if fd < FIRST_FD:
            return os.fchown(fd, uid, gid)
        return self.chown(fd, uid, gid)

    def utime(
        self, path: Path | int, times: tuple[float, float] | None = None, *, ns: tuple[int, int] | None = None,
        dir_fd: int | None = None, follow_symlinks: bool = True,
    ) -> None:  # fmt: skip
        inode = self._attribute(path, dir_fd, follow_symlinks, "utime")
        if inode is None:
            options = {} if ns is None else {"ns": ns}
            return os.utime(path, times, dir_fd=dir_fd, follow_symlinks=follow_symlinks, **options)  # type: ignore
        if ns is None and times is not None:
            ns = (int(times[0] * 1e9), int(times[1] * 1e9))
        if ns is not None:
            self.need_owner(inode)
            inode.atime, inode.mtime = ns
        else:
            inode.atime = inode.mtime = inode.disk.clock()
        self._changed(inode)
        return None

    # ---- directories

    def listdir(self, path: Any = ".") -> list[Any]:
        inode = self._listed(path)
        if inode is None:
            names = os.listdir(path)
            if path == "/proc/self/fd":
                names += map(str, self.table)
            return names
        assert inode.entries is not None
        return list(inode.entries) if isinstance(path, bytes) else [os.fsdecode(name) for name in inode.entries]

    def scandir(self, path: Any = ".") -> Any:
        inode = self._listed(path)
        if inode is None:
            return os.scandir(path)
        assert inode.entries is not None
        return Scan(self, path, list(inode.entries.items()))

    def _listed(self, path: Any) -> Inode | None:
        inode = self.find(path, None, follow=True)
        if inode is None:
            return None
        if inode.entries is None:
            refuse(errno.ENOTDIR, path)
        if type(path) is int and self.table[path].flags & os.O_PATH:
            refuse(errno.EBADF, path)
        if self.euid and type(path) is not int:
            self.need(inode, READ)
        self.before("scandir", inode)
        return inode

    # ---- the process

    def geteuid(self) -> int:
        return self.euid

    def getegid(self) -> int:
        return self.egid

    def seteuid(self, uid: int) -> None:
        self.euid = uid

    def setegid(self, gid: int) -> None:
        self.egid = gid

    def umask(self, mask: int) -> int:
        mask, self.mask = self.mask, mask
        return mask


class Scan:
    """What scandir returns: the entries there were when it was called."""

    def __init__(self, system: Metadata, path: Any, entries: list[tuple[bytes, Inode]]) -> None:
        self._entries = iter([Entry(system, path, name, inode) for name, inode in entries])

    def __iter__(self) -> Iterator["Entry"]:
        return self._entries

    def __next__(self) -> "Entry":
        return next(self._entries)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._entries = iter(())


class Entry:
    """A directory entry, as os.DirEntry."""

    __slots__ = ("_inode", "_name", "_scanned", "_system")

    def __init__(self, system: Metadata, scanned: Any, name: bytes, inode: Inode) -> None:
        self._system, self._scanned, self._name, self._inode = system, scanned, name, inode

    @property
    def name(self) -> Any:
        return self._name if isinstance(self._scanned, bytes) else os.fsdecode(self._name)

    @property
    def path(self) -> Any:
        return self.name if isinstance(self._scanned, int) else os.path.join(self._scanned, self.name)

    def inode(self) -> int:
        return self._inode.ino

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        if isinstance(self._scanned, int):
            return self._system.stat(self._name, dir_fd=self._scanned, follow_symlinks=follow_symlinks)
        return self._system.stat(self.path, follow_symlinks=follow_symlinks)

    def is_symlink(self) -> bool:
        return stat.S_ISLNK(self._inode.mode)

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return self._is(stat.S_ISDIR, follow_symlinks)

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return self._is(stat.S_ISREG, follow_symlinks)

    def _is(self, kind: Any, follow: bool) -> bool:
        try:
            return bool(kind(self.stat().st_mode if follow and self.is_symlink() else self._inode.mode))
        except FileNotFoundError:
            return False
