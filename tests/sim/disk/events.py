"""What inotify tells of: events of directories' entries, and of inodes themselves."""

from typing import Final

from tests.sim.disk.inodes import Inode

MODIFY: Final = 0x2
ATTRIB: Final = 0x4
CLOSE_WRITE: Final = 0x8
MOVED_FROM: Final = 0x40
MOVED_TO: Final = 0x80
CREATE: Final = 0x100
DELETE: Final = 0x200
DELETE_SELF: Final = 0x400
MOVE_SELF: Final = 0x800
ISDIR: Final = 0x40000000


def tell(directory: Inode | None, name: bytes, mask: int, inode: Inode, cookie: int = 0) -> None:
    """Something happened to an entry: those who watch the directory hear of it."""
    if directory is not None and directory.watches:
        if inode.entries is not None:
            mask |= ISDIR
        for watcher, number in list(directory.watches.items()):
            watcher.put(number, mask, cookie, name)


def tell_self(inode: Inode, mask: int) -> None:
    """Something happened to an inode: those who watch it hear of it."""
    if inode.watches:
        for watcher, number in list(inode.watches.items()):
            watcher.put(number, mask, 0, b"")


def tell_change(inode: Inode, mask: int) -> None:
    """The bytes or attributes of an inode are others."""
    tell(inode.parent, inode.name, mask, inode)
    if inode.watches:
        tell_self(inode, mask | (ISDIR if inode.entries is not None else 0))


def tell_gone(inode: Inode) -> None:
    """An inode was freed."""
    if inode.watches:
        tell_self(inode, DELETE_SELF)
        for watcher, number in list(inode.watches.items()):
            watcher.drop(number)
