"""From paths and descriptors to inodes: mounts, open files, symbolic links, permissions."""

import errno
import os
import stat
from collections.abc import Callable
from random import Random
from typing import Any, Final, NoReturn

from tests.sim.disk.disk import Disk
from tests.sim.disk.events import CLOSE_WRITE, tell_change, tell_gone
from tests.sim.disk.inodes import Inode

FIRST_FD: Final = 1 << 20  # descriptors below this one are the machine's own
NAME_MAX: Final = 255
_PATH_MAX: Final = 4096
_LINKS_MAX: Final = 40
_SPECIAL: Final = frozenset({b"", b".", b".."})
_PROC: Final = b"/proc/self/fd/"
READ, WRITE, SEARCH = 4, 2, 1

Path = str | bytes | os.PathLike[Any]


def refuse(code: int, path: Any = None) -> NoReturn:
    """Raise the OSError of an errno."""
    raise OSError(code, os.strerror(code), path)


class Opened:
    """An open file: what dup and the table of descriptors share."""

    __slots__ = ("flags", "inode", "offset", "references")

    def __init__(self, inode: Inode, flags: int) -> None:
        self.inode = inode
        self.flags = flags
        self.offset = 0
        self.references = 1


class Names:
    """Mounts, descriptors and the way along a path. euid, egid: who the process is; its own file mode mask in mask."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self.clock = clock
        self.euid, self.egid = os.geteuid(), os.getegid()
        self.mask = 0o022
        self.table: dict[int, Opened] = {}
        self.disks: dict[bytes, Disk] = {}
        self._next_fd = FIRST_FD
        self.queues: dict[int, Any] = {}  # of inotify, by their descriptors, which are the machine's

    def mount(
        self, top: str | bytes, *, clock: Callable[[], int] | None = None, capacity: int | None = None,
        supports_clone: bool = False, supports_rename_flags: bool = True, ordered: bool = True,
    ) -> Disk:  # fmt: skip
        """A new empty disk at an absolute path, which need not exist on the machine and hides what does."""
        place = os.fsencode(top).rstrip(b"/")
        device = 0x51D00 + len(self.disks)
        disk = Disk(place, device, clock or self.clock, capacity, supports_clone, supports_rename_flags, ordered)
        disk.root.uid, disk.root.gid = self.euid, self.egid
        disk.sync()
        self.disks[place] = disk
        return disk

    def power_cut(self, disk: Disk, random: Random) -> None:
        """The machine of this disk loses power and starts again: descriptors die, and what was not synced may be old,
        new, or (bytes) zeros or cut short."""
        self._drop_descriptors(disk)
        disk.cut(random)
        disk.script.dead = False

    def restart(self, disk: Disk) -> None:
        """The process that used this disk is gone, and another one starts: descriptors die, and nothing else."""
        self._drop_descriptors(disk)
        disk.script.dead = False

    def _drop_descriptors(self, disk: Disk) -> None:
        for queue in [reference() for reference in self.queues.values()]:
            if queue is not None:
                queue.forget(disk)
        for fd in [fd for fd, opened in self.table.items() if opened.inode.disk is disk]:
            self.release(fd)

    # ---- descriptors

    def add(self, opened: Opened) -> int:
        """A new descriptor."""
        fd = self._next_fd
        self._next_fd = fd + 1  # never one twice, so that using a closed one always shows
        self.table[fd] = opened
        return fd

    def opened(self, fd: int) -> Opened:
        opened = self.table.get(fd)
        if opened is None:
            refuse(errno.EBADF)
        return opened

    def release(self, fd: int) -> None:
        opened = self.table.pop(fd, None)
        if opened is None:
            refuse(errno.EBADF)
        opened.references -= 1
        if not opened.references:
            inode = opened.inode
            inode.opened -= 1
            if inode.locks:
                inode.locks.pop(opened, None)
            if opened.flags & os.O_ACCMODE and not opened.flags & os.O_PATH:
                tell_change(inode, CLOSE_WRITE)
            if not inode.opened and not inode.nlink:
                tell_gone(inode)
                inode.disk.forget(inode)

    def before(self, name: str, inode: Inode, entry: bytes | None = None, other: Any = None) -> None:
        """Every call passes here before it does anything."""
        script = inode.disk.script
        if script.active:
            script.before(name, inode, entry, other)

    # ---- permissions

    def allows(self, inode: Inode, bits: int) -> bool:
        """Whether the process may read, write or search it."""
        if not self.euid:
            return not bits & SEARCH or inode.entries is not None or bool(inode.mode & 0o111)
        shift = 6 if self.euid == inode.uid else 3 if self.egid == inode.gid else 0
        return (inode.mode >> shift) & bits == bits

    def need(self, inode: Inode, bits: int) -> None:
        if self.euid and not self.allows(inode, bits):
            refuse(errno.EACCES)

    def need_owner(self, inode: Inode) -> None:
        if self.euid and self.euid != inode.uid:
            refuse(errno.EPERM)

    # ---- the way along a path

    def place(self, path: Path, dir_fd: int | None) -> tuple[Inode, bytes] | None:
        """(directory, last component, which is not followed), None for a path of the machine's own. Raises OSError."""
        if dir_fd is not None and type(path) is bytes and path not in _SPECIAL and b"/" not in path:
            opened = self.table.get(dir_fd)
            if opened is not None:
                directory = opened.inode
                if b"\0" in path:
                    raise ValueError("embedded null byte")
                if directory.entries is None:
                    refuse(errno.ENOTDIR, path)
                if self.euid and not self.allows(directory, SEARCH):
                    refuse(errno.EACCES, path)
                return directory, path
        start = self._start(path, dir_fd)
        if start is None:
            return None
        directory, rest = start
        above, _, name = rest.rstrip(b"/").rpartition(b"/")
        if above:
            directory = self._walk(directory, above, True, [0])
        if directory.entries is None:
            refuse(errno.ENOTDIR, path)
        self.need(directory, SEARCH)
        return directory, name or b"."

    def find(self, path: Path | int, dir_fd: int | None, follow: bool) -> Inode | None:
        """The inode at a path or behind a descriptor, None if that is the machine's own. Raises OSError."""
        if type(path) is int:
            if path < FIRST_FD:
                return None
            return self.opened(path).inode
        if dir_fd is not None and type(path) is bytes and not follow:
            opened = self.table.get(dir_fd)
            if opened is not None and opened.inode.entries is not None:
                inode = opened.inode.entries.get(path)  # neither "." nor a path is in there
                if inode is not None and not self.euid:
                    return inode
        start = self._start(path, dir_fd)
        if start is None:
            return None
        return self._walk(*start, follow or start[1].endswith(b"/"), [0])

    def child(self, directory: Inode, name: bytes) -> Inode | None:
        """An entry, "." and ".." included."""
        assert directory.entries is not None
        if name in _SPECIAL:
            return directory if name != b".." else directory.parent or directory
        return directory.entries.get(name)

    def missing(self, directory: Inode, name: bytes, path: Any = None) -> NoReturn:
        """Nothing has this name: raise the OSError that says so."""
        refuse(errno.ENAMETOOLONG if len(name) > NAME_MAX and directory.nlink else errno.ENOENT, path)

    def follow(self, directory: Inode, target: bytes) -> Inode:
        """What a symbolic link in a directory leads to. Raises OSError."""
        return self._leads_to(directory, target, [1])

    def through(self, directory: Inode, link: Inode) -> tuple[Inode, bytes]:
        """(directory, name) that symbolic links lead to in the end, where nothing need be. Raises OSError."""
        links = [0]
        inode: Inode | None = link
        name = b""
        while inode is not None and stat.S_ISLNK(inode.mode):
            links[0] += 1
            if links[0] > _LINKS_MAX:
                refuse(errno.ELOOP)
            above, slash, name = inode.target.rpartition(b"/")
            if slash:
                directory = self._leads_to(directory, above + slash, links)
            if directory.entries is None:
                refuse(errno.ENOTDIR)
            self.need(directory, SEARCH)
            name = name or b"."
            inode = self.child(directory, name)
        return directory, name

    def _start(self, path: Path, dir_fd: int | None) -> tuple[Inode, bytes] | None:
        name = os.fsencode(path)
        if b"\0" in name:
            raise ValueError("embedded null byte")
        if name.startswith(b"/"):
            return self._mounted(name)
        if dir_fd is None or dir_fd < FIRST_FD:
            return None
        opened = self.opened(dir_fd)
        if not name:
            refuse(errno.ENOENT, path)
        if len(name) >= _PATH_MAX:
            refuse(errno.ENAMETOOLONG, path)
        if opened.inode.entries is None:
            refuse(errno.ENOTDIR, path)
        return opened.inode, name

    def _mounted(self, name: bytes) -> tuple[Inode, bytes] | None:
        if name.startswith(_PROC):
            number = name[len(_PROC) :]
            if not number.isdigit() or int(number) < FIRST_FD:
                return None
            return self.opened(int(number)).inode, b""
        for top, disk in self.disks.items():
            if name.startswith(top) and name[len(top) : len(top) + 1] in (b"", b"/"):
                if len(name) >= _PATH_MAX:
                    refuse(errno.ENAMETOOLONG, name)
                return disk.root, name[len(top) :]
        return None

    def _walk(self, inode: Inode, path: bytes, follow: bool, links: list[int]) -> Inode:
        parts = [part for part in path.split(b"/") if part]
        if path.endswith(b"/") and parts:
            parts.append(b".")
        last = len(parts) - 1
        for number, part in enumerate(parts):
            if inode.entries is None:
                refuse(errno.ENOTDIR, path)
            self.need(inode, SEARCH)
            if part == b".":
                continue
            if part == b"..":
                inode = inode.parent or inode
                continue
            if len(part) > NAME_MAX:
                refuse(errno.ENAMETOOLONG, path)
            below = inode.entries.get(part)
            if below is None:
                refuse(errno.ENOENT, path)
            if stat.S_ISLNK(below.mode) and (number < last or follow):
                links[0] += 1
                if links[0] > _LINKS_MAX:
                    refuse(errno.ELOOP, path)
                below = self._leads_to(inode, below.target, links)
            inode = below
        return inode

    def _leads_to(self, directory: Inode, target: bytes, links: list[int]) -> Inode:
        if not target.startswith(b"/"):
            return self._walk(directory, target, True, links)
        start = self._mounted(target)
        if start is None:  # the machine's own files are not there for links on a simulated disk
            refuse(errno.ENOENT, target)
        return self._walk(*start, True, links)
