"""Calls that open files, and read, write and sync them."""

import errno
import os
import stat
from typing import Any, Final

from tests.sim.disk.entries import Entries
from tests.sim.disk.events import MODIFY, tell_change
from tests.sim.disk.inodes import Inode
from tests.sim.disk.names import FIRST_FD, READ, WRITE, Opened, Path, refuse

_MADE: Final = os.O_CREAT | os.O_EXCL


class Contents(Entries):
    """open, close, dup, read, write and their kin, lseek, truncate, fsync."""

    def open(self, path: Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        place = self.place(path, dir_fd)
        if place is None:
            return os.open(path, flags, mode, dir_fd=dir_fd)
        directory, name = place
        inode = self.child(directory, name)
        script = directory.disk.script
        if script.active:
            makes = flags & os.O_CREAT and (inode is None or flags & os.O_EXCL)
            script.before("create" if makes else "open", directory, name, None)
            inode = self.child(directory, name)
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            refuse(errno.EOPNOTSUPP, path)
        if inode is None:
            return self._create(directory, name, flags, mode, path)
        if flags & _MADE == _MADE:
            refuse(errno.EEXIST, path)
        if stat.S_ISLNK(inode.mode):
            if flags & os.O_NOFOLLOW:
                if flags & os.O_DIRECTORY:
                    refuse(errno.ENOTDIR, path)
                if not flags & os.O_PATH:
                    refuse(errno.ELOOP, path)
            else:
                directory, name = self.through(directory, inode)
                inode = self.child(directory, name)
                if inode is None:
                    return self._create(directory, name, flags, mode, path)
        return self._open_present(inode, flags, path)

    def _create(self, directory: Inode, name: bytes, flags: int, mode: int, path: Any) -> int:
        if not flags & os.O_CREAT:
            self.missing(directory, name, path)
        inode = self._made(directory, name, stat.S_IFREG | (mode & ~self.mask & 0o7777), path)
        return self._descriptor(inode, flags)

    def _open_present(self, inode: Inode, flags: int, path: Any) -> int:
        if flags & os.O_PATH:
            if flags & os.O_DIRECTORY and inode.entries is None:
                refuse(errno.ENOTDIR, path)
            return self._descriptor(inode, flags)
        access = flags & os.O_ACCMODE
        if inode.entries is not None:
            if access != os.O_RDONLY or flags & (os.O_CREAT | os.O_TRUNC):
                refuse(errno.EISDIR, path)
        elif flags & os.O_DIRECTORY:
            refuse(errno.ENOTDIR, path)
        if self.euid:
            self.need(inode, (WRITE if access or flags & os.O_TRUNC else 0) | (READ if access != os.O_WRONLY else 0))
        if inode.entries is None and not stat.S_ISREG(inode.mode):
            is_heard = access != os.O_WRONLY or self._has_reader(inode)
            if not (stat.S_ISFIFO(inode.mode) and is_heard):
                refuse(errno.ENXIO, path)
            if not flags & os.O_NONBLOCK and access == os.O_RDONLY:
                raise AssertionError("would wait for the writer of a FIFO forever")
        if flags & os.O_TRUNC and stat.S_ISREG(inode.mode):
            self._resize(inode, 0)
        return self._descriptor(inode, flags)

    def _has_reader(self, inode: Inode) -> bool:
        access = os.O_ACCMODE | os.O_PATH
        return any(o.inode is inode and o.flags & access in (os.O_RDONLY, os.O_RDWR) for o in self.table.values())

    def _descriptor(self, inode: Inode, flags: int) -> int:
        inode.opened += 1
        return self.add(Opened(inode, flags))

    def close(self, fd: int) -> None:
        if fd < FIRST_FD:
            return os.close(fd)
        opened = self.table.get(fd)
        if opened is not None:
            self.before("close", opened.inode)
        self.release(fd)
        return None

    def dup(self, fd: int) -> int:
        if fd < FIRST_FD:
            return os.dup(fd)
        opened = self.opened(fd)
        opened.references += 1
        return self.add(opened)

    # ---- reading

    def read(self, fd: int, length: int) -> bytes:
        if fd < FIRST_FD:
            queue = self.queues.get(fd)
            return os.read(fd, length) if queue is None else queue().take(length)
        opened = self._readable(fd, "read")
        data = opened.inode.read(opened.offset, length)
        opened.offset += len(data)
        return data

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        if fd < FIRST_FD:
            return os.pread(fd, length, offset)
        if offset < 0 or length < 0:
            refuse(errno.EINVAL)
        return self._readable(fd, "read").inode.read(offset, length)

    def preadv(self, fd: int, buffers: Any, offset: int, flags: int = 0) -> int:
        if fd < FIRST_FD:
            return os.preadv(fd, buffers, offset, flags)
        if offset < 0:
            refuse(errno.EINVAL)
        inode = self._readable(fd, "read").inode
        done = 0
        for buffer in buffers:
            view = memoryview(buffer).cast("B")
            data = inode.read(offset + done, len(view))
            view[: len(data)] = data
            done += len(data)
        return done

    def _readable(self, fd: int, name: str) -> Opened:
        opened = self.table.get(fd)
        if opened is None or opened.flags & (os.O_ACCMODE | os.O_PATH) not in (os.O_RDONLY, os.O_RDWR):
            refuse(errno.EBADF)
        inode = opened.inode
        if inode.disk.script.active:
            inode.disk.script.before(name, inode, None, None)
        if inode.entries is not None:
            refuse(errno.EISDIR)
        return opened

    # ---- writing

    def write(self, fd: int, data: Any) -> int:
        if fd < FIRST_FD:
            return os.write(fd, data)
        opened = self._writable(fd, "write")
        if opened.flags & os.O_APPEND:
            opened.offset = opened.inode.size
        done = self._put(opened.inode, opened.offset, data)
        opened.offset += done
        return done

    def pwrite(self, fd: int, data: Any, offset: int) -> int:
        if fd < FIRST_FD:
            return os.pwrite(fd, data, offset)
        if offset < 0:
            refuse(errno.EINVAL)
        opened = self._writable(fd, "write")
        return self._put(opened.inode, opened.inode.size if opened.flags & os.O_APPEND else offset, data)

    def _writable(self, fd: int, name: str) -> Opened:
        opened = self.table.get(fd)
        if opened is None or opened.flags & os.O_PATH or not opened.flags & os.O_ACCMODE:
            refuse(errno.EBADF)
        inode = opened.inode
        if inode.disk.script.active:
            inode.disk.script.before(name, inode, None, None)
        return opened

    def _put(self, inode: Inode, offset: int, data: Any) -> int:
        length = len(data)
        if not length:
            return 0
        disk = inode.disk
        fits = disk.room(inode, offset, length)
        inode.write(offset, data if fits == length else memoryview(data)[:fits])
        inode.mtime = inode.ctime = disk.clock()
        if self.euid:
            self._drop_privileges(inode)
        disk.dirty[inode] = None
        tell_change(inode, MODIFY)
        return fits

    def _drop_privileges(self, inode: Inode) -> None:
        inode.mode &= ~stat.S_ISUID
        if inode.mode & stat.S_IXGRP:
            inode.mode &= ~stat.S_ISGID

    def lseek(self, fd: int, offset: int, whence: int) -> int:
        if fd < FIRST_FD:
            return os.lseek(fd, offset, whence)
        opened = self.opened(fd)
        inode = opened.inode
        if opened.flags & os.O_PATH:
            refuse(errno.EBADF)
        self.before("lseek", inode)
        if whence in (os.SEEK_DATA, os.SEEK_HOLE):
            found = None
            if offset >= 0:
                found = inode.next_data(offset) if whence == os.SEEK_DATA else inode.next_hole(offset)
            if found is None:
                refuse(errno.ENXIO)
        else:
            found = offset + {os.SEEK_SET: 0, os.SEEK_CUR: opened.offset, os.SEEK_END: inode.size}[whence]
            if found < 0:
                refuse(errno.EINVAL)
        opened.offset = found
        return found

    def copy_file_range(
        self, source: int, target: int, count: int, offset_src: int | None = None, offset_dst: int | None = None
    ) -> int:
        if source < FIRST_FD and target < FIRST_FD:
            return os.copy_file_range(source, target, count, offset_src, offset_dst)
        if source < FIRST_FD or target < FIRST_FD:
            refuse(errno.EXDEV)
        both = self.opened(source), self.opened(target)
        if any(opened.flags & os.O_PATH for opened in both):
            refuse(errno.EBADF)
        if any(opened.inode.entries is not None for opened in both):
            refuse(errno.EISDIR)
        reader, writer = self._readable(source, "read"), self._writable(target, "copy_file_range")
        if writer.flags & os.O_APPEND:
            refuse(errno.EBADF)
        start = reader.offset if offset_src is None else offset_src
        place = writer.offset if offset_dst is None else offset_dst
        data = reader.inode.read(start, count)
        if reader.inode is writer.inode and start < place + len(data) and place < start + len(data):
            refuse(errno.EINVAL)
        done = self._put(writer.inode, place, data)
        if offset_src is None:
            reader.offset += done
        if offset_dst is None:
            writer.offset += done
        return done

    def ftruncate(self, fd: int, length: int) -> None:
        if fd < FIRST_FD:
            return os.ftruncate(fd, length)
        if length < 0:
            refuse(errno.EINVAL)
        opened = self.opened(fd)
        if opened.flags & os.O_PATH:
            refuse(errno.EBADF)
        if not opened.flags & os.O_ACCMODE or not stat.S_ISREG(opened.inode.mode):
            refuse(errno.EINVAL)
        self.before("truncate", opened.inode)
        return self._resize(opened.inode, length)

    def truncate(self, path: Path | int, length: int) -> None:
        if type(path) is int:
            return self.ftruncate(path, length)
        inode = self.find(path, None, follow=True)
        if inode is None:
            return os.truncate(path, length)
        self.before("truncate", inode)
        if inode.entries is not None:
            refuse(errno.EISDIR, path)
        if length < 0 or not stat.S_ISREG(inode.mode):
            refuse(errno.EINVAL, path)
        self.need(inode, WRITE)
        return self._resize(inode, length)

    def _resize(self, inode: Inode, size: int) -> None:
        disk = inode.disk
        disk.resize(inode, size)
        inode.mtime = inode.ctime = disk.clock()
        if self.euid:
            self._drop_privileges(inode)
        disk.dirty[inode] = None
        tell_change(inode, MODIFY)

    # ---- durability

    def fsync(self, fd: int) -> None:
        self._sync(fd, "fsync")

    def fdatasync(self, fd: int) -> None:
        self._sync(fd, "fdatasync")

    def _sync(self, fd: int, name: str) -> None:
        if fd < FIRST_FD:
            return getattr(os, name)(fd)  # type: ignore[no-any-return]
        opened = self.opened(fd)
        inode = opened.inode
        if opened.flags & os.O_PATH:
            refuse(errno.EBADF)
        try:
            self.before(name, inode)
        except OSError:
            inode.disk.lose([inode])
            raise
        if inode.entries is None and not stat.S_ISREG(inode.mode):
            refuse(errno.EINVAL)
        inode.disk.sync_inode(inode, attributes=name == "fsync")
        return None

    def sync(self) -> None:
        """All simulated disks, not the machine's."""
        for disk in self.disks.values():
            try:
                self.before("sync", disk.root)
            except OSError:  # sync tells nobody
                disk.lose(list(disk.dirty))
            else:
                disk.sync()

    def sync_file_system(self, fd: int) -> None:
        """syncfs."""
        opened = self.opened(fd)
        if opened.flags & os.O_PATH:
            refuse(errno.EBADF)
        disk = opened.inode.disk
        try:
            self.before("syncfs", opened.inode)
        except OSError:
            disk.lose(list(disk.dirty))
            raise
        disk.sync()
