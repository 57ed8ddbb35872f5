"""What one look at a path tells, and whether that is what the index last saw there."""

import os
from stat import S_IFDIR, S_IFLNK, S_IFREG
from typing import Final, NamedTuple

from protocol.edit import Entry
from protocol.record import DIRECTORY_CONTENT, LINK_MODE, PERMISSIONS, Kind, link_content
from syncd.core.index import Disk

_LAST: Final = (1 << 63) - 1  # ns
_FIRST: Final = -(1 << 63)  # ns
_KINDS: Final = {S_IFREG: Kind.FILE, S_IFDIR: Kind.DIR, S_IFLNK: Kind.LINK}
_TYPE: Final = 0o170000  # S_IFMT, without its call
OPEN_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # without waiting for a FIFO's writer


class Stat(NamedTuple):
    """A FILE, DIR or LINK that is there.

    mode: permission bits, 0777 for LINK. size: bytes of a FILE, else 0. Times: ns. target: of a LINK, else empty.
    """

    path: bytes
    kind: Kind
    mode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    nlink: int
    uid: int
    target: bytes

    def disk(self, content: bytes | None = None) -> Disk:
        """What the index keeps of it. content: content id of a FILE; a DIR or LINK brings its own."""
        if self.kind is Kind.DIR:
            return directory_disk(self.mode, self.inode)
        if self.kind is Kind.LINK:
            content = link_content(self.target)
        assert content is not None
        entry = Entry(self.kind, content, self.size, self.mode, self.mtime_ns, self.target)
        return Disk(entry, self.inode, self.ctime_ns)


def directory_disk(mode: int, inode: int) -> Disk:
    """What the index keeps of a directory. Its times change with every entry in it and are left out."""
    return Disk(Entry(Kind.DIR, DIRECTORY_CONTENT, 0, mode, 0, b""), inode, 0)


def clamp(time: int) -> int:
    """A time in ns as near as a record can hold it."""
    return time if _FIRST <= time <= _LAST else max(_FIRST, min(_LAST, time))


def kind_of(status: os.stat_result) -> Kind | None:
    """FILE, DIR or LINK; None for anything else."""
    return _KINDS.get(status.st_mode & _TYPE)


def take(path: bytes, kind: Kind, status: os.stat_result, target: bytes = b"") -> Stat:
    """The Stat of an entry of that kind."""
    mode, size = status.st_mode & PERMISSIONS, status.st_size
    if kind is not Kind.FILE:
        size = 0
        if kind is Kind.LINK:
            mode = LINK_MODE
    mtime, ctime = status.st_mtime_ns, status.st_ctime_ns
    if not _FIRST <= mtime <= _LAST or not _FIRST <= ctime <= _LAST:
        mtime, ctime = clamp(mtime), clamp(ctime)
    return Stat(path, kind, mode, size, mtime, ctime, status.st_ino, status.st_nlink, status.st_uid, target)


def differs(stat: Stat, seen: Disk | None) -> bool:
    """Whether `stat` shows another state than the index last saw. Of directories, only kind and mode count."""
    if seen is None:
        return True
    entry = seen.entry
    if stat.kind != entry.kind or stat.mode != entry.mode:
        return True
    if stat.kind is Kind.DIR:
        return False
    return (
        stat.ctime_ns != seen.ctime
        or stat.mtime_ns != entry.mtime
        or stat.size != entry.size
        or stat.inode != seen.inode
        or stat.target != entry.target
    )


def is_as_made(status: os.stat_result, made: os.stat_result, stored_mtime: int) -> bool:
    """Whether nobody has changed an entry since it was made, but for its place.

    stored_mtime: what its mtime becomes when the cache forgets it, ns.
    """
    if (status.st_ino, status.st_mode) != (made.st_ino, made.st_mode):
        return False
    if kind_of(made) is Kind.DIR:
        return True
    is_same_time = status.st_mtime_ns == made.st_mtime_ns or clamp(status.st_mtime_ns) == stored_mtime
    return is_same_time and status.st_size == made.st_size


def as_placed(status: os.stat_result, want: Entry) -> Disk:
    """What the index keeps of what was made for `want` and looks like that."""
    mode, mtime = status.st_mode & PERMISSIONS, clamp(status.st_mtime_ns)
    if want.kind is Kind.DIR:
        return directory_disk(mode, status.st_ino)
    entry = want._replace(mode=LINK_MODE if want.kind is Kind.LINK else mode, mtime=mtime)
    return Disk(entry, status.st_ino, clamp(status.st_ctime_ns))


def is_still(status: os.stat_result, seen: Disk) -> bool:
    """Whether an entry is exactly what the index last saw: kind, and for FILE and LINK inode, size and both times."""
    return is_moved(status, seen) and (seen.entry.kind is Kind.DIR or clamp(status.st_ctime_ns) == seen.ctime)


def is_moved(status: os.stat_result, seen: Disk) -> bool:
    """As `is_still`, for an entry that was renamed since: that changes its ctime."""
    entry = seen.entry
    if kind_of(status) is not entry.kind:
        return False
    if entry.kind is Kind.DIR:
        return True
    if status.st_ino != seen.inode or clamp(status.st_mtime_ns) != entry.mtime:
        return False
    return entry.kind is Kind.LINK or status.st_size == entry.size
