"""Calls that make, move and remove names."""

import errno
import os
import stat
from typing import Any, Final

from tests.sim.disk.events import (
    CREATE,
    DELETE,
    MOVE_SELF,
    MOVED_FROM,
    MOVED_TO,
    tell,
    tell_gone,
    tell_self,
)  # fmt: skip
from tests.sim.disk.inodes import Inode
from tests.sim.disk.names import NAME_MAX, SEARCH, WRITE, Names, Path, refuse

RENAME_NOREPLACE: Final = 1
RENAME_EXCHANGE: Final = 2
_DOTS: Final = frozenset({b".", b".."})
_TARGET_MAX: Final = 4095


class Entries(Names):
    """mkdir, rmdir, unlink, rename, link, symlink, readlink, mkfifo, mknod and renameat2."""

    _cookie = 0  # of the last move

    def mkdir(self, path: Path, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        place = self.place(path, dir_fd)
        if place is None:
            return os.mkdir(path, mode, dir_fd=dir_fd)
        self.before("mkdir", *place)
        directory, name = place
        inode = self._made(directory, name, stat.S_IFDIR | (mode & ~self.mask & 0o1777), path)
        inode.nlink = 2
        directory.nlink += 1
        return None

    def symlink(
        self, target: Path, path: Path, target_is_directory: bool = False, *, dir_fd: int | None = None
    ) -> None:
        text = os.fsencode(target)
        if b"\0" in text or b"\0" in os.fsencode(path):
            raise ValueError("embedded null byte")
        if not text:
            refuse(errno.ENOENT, path)
        place = self.place(path, dir_fd)
        if place is None:
            return os.symlink(target, path, dir_fd=dir_fd)
        self.before("symlink", *place)
        if len(text) > _TARGET_MAX:
            refuse(errno.ENAMETOOLONG, path)
        inode = self._made(*place, stat.S_IFLNK | 0o777, path)
        inode.target, inode.size = text, len(text)
        return None

    def mknod(self, path: Path, mode: int = 0o600, device: int = 0, *, dir_fd: int | None = None) -> None:
        place = self.place(path, dir_fd)
        if place is None:
            return os.mknod(path, mode, device, dir_fd=dir_fd)
        self.before("mknod", *place)
        kind = stat.S_IFMT(mode) or stat.S_IFREG
        self._made(*place, kind | (mode & ~self.mask & 0o7777), path).device = device
        return None

    def mkfifo(self, path: Path, mode: int = 0o666, *, dir_fd: int | None = None) -> None:
        self.mknod(path, stat.S_IFIFO | mode & 0o7777, dir_fd=dir_fd)

    def _made(self, directory: Inode, name: bytes, mode: int, path: Any) -> Inode:
        """A new inode under a name."""
        assert directory.entries is not None
        if name in _DOTS or name in directory.entries:
            refuse(errno.EEXIST, path)
        if not directory.nlink or len(name) > NAME_MAX:
            self.missing(directory, name, path)
        if self.euid:
            self.need(directory, WRITE | SEARCH)
        disk = directory.disk
        gid = self.egid
        if directory.mode & stat.S_ISGID:
            gid = directory.gid
            if stat.S_ISDIR(mode):
                mode |= stat.S_ISGID
        inode: Inode = disk.new(mode, self.euid, gid)
        inode.parent, inode.name = directory, name
        directory.entries[name] = inode
        disk.journal.add((directory, name, inode), changes=(inode,))
        self._touched(directory, inode.ctime)
        tell(directory, name, CREATE, inode)
        return inode

    def _touched(self, directory: Inode, now: int) -> None:
        directory.mtime = directory.ctime = now
        directory.disk.dirty[directory] = None

    # ---- removal

    def unlink(self, path: Path, *, dir_fd: int | None = None) -> None:
        place = self.place(path, dir_fd)
        if place is None:
            return os.unlink(path, dir_fd=dir_fd)
        self.before("unlink", *place)
        directory, name = place
        assert directory.entries is not None
        inode = directory.entries.get(name)
        if inode is None:
            if name in _DOTS:
                refuse(errno.EISDIR, path)
            self.missing(directory, name, path)
        if self.euid:
            self._need_delete(directory, inode)
        if inode.entries is not None:
            refuse(errno.EISDIR, path)
        now = directory.disk.clock()
        del directory.entries[name]
        directory.disk.journal.add((directory, name, None), changes=(inode,))
        self._touched(directory, now)
        tell(directory, name, DELETE, inode)
        self._unnamed(inode, now)
        return None

    remove = unlink

    def rmdir(self, path: Path, *, dir_fd: int | None = None) -> None:
        place = self.place(path, dir_fd)
        if place is None:
            return os.rmdir(path, dir_fd=dir_fd)
        self.before("rmdir", *place)
        directory, name = place
        assert directory.entries is not None
        if name in _DOTS:
            is_root = directory is directory.disk.root and not os.fsencode(path).endswith(b".")
            refuse(errno.EBUSY if is_root else errno.EINVAL if name == b"." else errno.ENOTEMPTY, path)
        inode = directory.entries.get(name)
        if inode is None:
            self.missing(directory, name, path)
        if self.euid:
            self._need_delete(directory, inode)
        if inode.entries is None:
            refuse(errno.ENOTDIR, path)
        if inode.entries:
            refuse(errno.ENOTEMPTY, path)
        now = directory.disk.clock()
        del directory.entries[name]
        directory.nlink -= 1
        directory.disk.journal.add((directory, name, None), also=inode)
        self._touched(directory, now)
        tell(directory, name, DELETE, inode)
        self._unnamed(inode, now)
        return None

    def _need_delete(self, directory: Inode, inode: Inode) -> None:
        self.need(directory, WRITE | SEARCH)
        if directory.mode & stat.S_ISVTX and self.euid not in (inode.uid, directory.uid):
            refuse(errno.EPERM)

    def _unnamed(self, inode: Inode, now: int) -> None:
        """One name less."""
        inode.ctime = now
        inode.nlink = 0 if inode.entries is not None else inode.nlink - 1
        if inode.nlink or inode.opened:
            inode.disk.dirty[inode] = None
        else:
            tell_gone(inode)
            inode.disk.forget(inode)

    # ---- second names

    def link(
        self, source: Path, target: Path, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None,
        follow_symlinks: bool = True,
    ) -> None:  # fmt: skip
        if b"\0" in os.fsencode(target):
            raise ValueError("embedded null byte")
        follows = follow_symlinks and (src_dir_fd is not None or dst_dir_fd is not None)
        found = self.find(source, src_dir_fd, follows)
        new = self.place(target, dst_dir_fd)
        if (found is None) is not (new is None):
            refuse(errno.EXDEV, target)
        if found is None or new is None:
            return os.link(
                source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, follow_symlinks=follow_symlinks
            )  # fmt: skip
        self.before("link", found, other=new)
        inode = self.find(source, src_dir_fd, follows)
        assert inode is not None
        directory, name = new
        assert directory.entries is not None
        if name in _DOTS or name in directory.entries:
            refuse(errno.EEXIST, target)
        if inode.disk is not directory.disk:
            refuse(errno.EXDEV, target)
        if not directory.nlink or not inode.nlink or len(name) > NAME_MAX:
            self.missing(directory, name, target)
        if self.euid:
            self.need(directory, WRITE | SEARCH)
        if inode.entries is not None:
            refuse(errno.EPERM, source)
        inode.ctime = now = directory.disk.clock()
        inode.nlink += 1
        inode.disk.dirty[inode] = None
        directory.entries[name] = inode
        directory.disk.journal.add((directory, name, inode), changes=(inode,))
        self._touched(directory, now)
        tell(directory, name, CREATE, inode)
        return None

    def readlink(self, path: Path, *, dir_fd: int | None = None) -> Any:
        inode = self.find(path, dir_fd, follow=False)
        if inode is None:
            return os.readlink(path, dir_fd=dir_fd)
        self.before("readlink", inode)
        name = os.fsencode(path)
        if name.startswith(b"/proc/self/fd/"):
            from tests.sim.disk.script import path_of

            text = path_of(inode)
        elif stat.S_ISLNK(inode.mode):
            text = inode.target
        else:
            refuse(errno.EINVAL, path)
        return text if isinstance(path, bytes) else os.fsdecode(text)

    # ---- moving

    def rename(
        self, source: Path, target: Path, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None
    ) -> None:
        old, new = self._pair(source, src_dir_fd, target, dst_dir_fd)
        if old is None or new is None:
            return os.rename(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        self.before("rename", *old, other=new)
        return self._rename(*old, *new, 0)

    replace = rename

    def rename_with(self, source_fd: int, source: bytes, target_fd: int, target: bytes, flags: int) -> None:
        """renameat2."""
        old, new = self._pair(source, source_fd, target, target_fd)
        if old is None or new is None:  # no code under test exchanges with the machine's own
            refuse(errno.EXDEV)
        self.before("rename", *old, other=new)
        if flags not in (0, RENAME_NOREPLACE, RENAME_EXCHANGE):
            refuse(errno.EINVAL)
        if flags and not old[0].disk.supports_rename_flags:
            refuse(errno.EINVAL)
        self._rename(*old, *new, flags)

    def _pair(self, source: Path, source_fd: int | None, target: Path, target_fd: int | None) -> tuple[Any, Any]:
        if b"\0" in os.fsencode(target):
            raise ValueError("embedded null byte")
        old, new = self.place(source, source_fd), self.place(target, target_fd)
        if (old is None) is not (new is None):
            refuse(errno.EXDEV, target)
        return old, new

    def _rename(self, old: Inode, name: bytes, new: Inode, other: bytes, flags: int) -> None:
        assert old.entries is not None
        assert new.entries is not None
        if old.disk is not new.disk:
            refuse(errno.EXDEV)
        if name in _DOTS or (other in _DOTS and not flags & RENAME_NOREPLACE):
            refuse(errno.EBUSY)
        inode = old.entries.get(name)
        if other in _DOTS:
            refuse(errno.EEXIST)
        present = new.entries.get(other)
        if inode is None:
            self.missing(old, name)
        if present is None and len(other) > NAME_MAX:
            self.missing(new, other)
        if present is not None and flags & RENAME_NOREPLACE:
            refuse(errno.EEXIST)
        if present is None and flags & RENAME_EXCHANGE:
            refuse(errno.ENOENT)
        if inode.entries is not None and _is_within(new, inode):
            refuse(errno.EINVAL)
        if present is not None and present.entries is not None and _is_within(old, present):
            refuse(errno.EINVAL if flags & RENAME_EXCHANGE else errno.ENOTEMPTY)
        if inode is present:
            return
        self._check_rename(old, inode, new, present, flags)
        self._move(old, name, inode, new, other, present, bool(flags & RENAME_EXCHANGE))

    def _check_rename(self, old: Inode, inode: Inode, new: Inode, present: Inode | None, flags: int) -> None:
        is_directory = inode.entries is not None
        if self.euid:
            self._need_delete(old, inode)
        if present is not None:
            if self.euid:
                self._need_delete(new, present)
            if not flags & RENAME_EXCHANGE:
                if is_directory and present.entries is None:
                    refuse(errno.ENOTDIR)
                if not is_directory and present.entries is not None:
                    refuse(errno.EISDIR)
        else:
            if not new.nlink:
                refuse(errno.ENOENT)
            if self.euid:
                self.need(new, WRITE | SEARCH)
        if old is not new and self.euid:
            for moved in (inode, present if flags & RENAME_EXCHANGE else None):
                if moved is not None and moved.entries is not None:
                    self.need(moved, WRITE)
        if present is not None and present.entries and not flags & RENAME_EXCHANGE:
            refuse(errno.ENOTEMPTY)

    def _move(
        self, old: Inode, name: bytes, inode: Inode, new: Inode, other: bytes, present: Inode | None, exchange: bool
    ) -> None:
        assert old.entries is not None
        assert new.entries is not None
        now = old.disk.clock()
        gone = None if exchange else present
        left = present if exchange else None
        if left is None:
            del old.entries[name]
        else:
            old.entries[name] = left
            left.parent, left.name = old, name
        new.entries[other] = inode
        inode.parent, inode.name = new, other
        old.nlink += (left is not None and left.entries is not None) - (inode.entries is not None)
        new.nlink += (inode.entries is not None) - (present is not None and present.entries is not None)
        moves = old is not new and (inode.entries is not None or (left is not None and left.entries is not None))
        for moved in (inode, left):
            if moved is not None:
                moved.ctime = now
                moved.disk.dirty[moved] = None
        old.disk.journal.add(
            (old, name, left), (new, other, inode), moves=moves,
            changes=(inode,) if left is None else (inode, left),
            also=gone if gone is not None and gone.entries is not None else None,
        )  # fmt: skip
        self._touched(old, now)
        self._touched(new, now)
        self._tell_move(old, name, new, other, inode)
        if left is not None:
            self._tell_move(new, other, old, name, left)
        if gone is not None:
            self._unnamed(gone, now)

    def _tell_move(self, old: Inode, name: bytes, new: Inode, other: bytes, inode: Inode) -> None:
        self._cookie += 1
        tell(old, name, MOVED_FROM, inode, self._cookie)
        tell(new, other, MOVED_TO, inode, self._cookie)
        tell_self(inode, MOVE_SELF)


def _is_within(directory: Inode, above: Inode) -> bool:
    inode: Inode | None = directory
    while inode is not None:
        if inode is above:
            return True
        inode = inode.parent
    return False
