"""Inodes: files as pages, directories as names, and beside each what of it would survive a power cut.

Pages are immutable, so remembering what was durable is copying a dictionary.
"""

import os
import stat
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from tests.sim.disk.journal import Operation

PAGE: Final = 4096  # bytes: the block of the file systems that are stood for
_ZEROS: Final = bytes(PAGE)
_SECOND: Final = 1_000_000_000  # ns

Pages = dict[int, bytes]  # by number; a page may be short, and what is missing is zeros


class Attributes(NamedTuple):
    """What chmod, chown and utime set. Times: ns."""

    mode: int
    uid: int
    gid: int
    atime: int
    mtime: int
    ctime: int


class Inode:
    """One file, directory, link or special file. mode: with the type."""

    __slots__ = (
        "atime", "born", "born_mode", "changed", "ctime", "device", "disk", "durable_attributes", "durable_entries",
        "durable_pages", "durable_size", "entries", "generation", "gid", "ino", "last", "locks", "mode", "mtime",
        "name", "nlink", "opened", "pages", "parent", "reserved", "size", "synced", "target", "uid", "watches",
    )  # fmt: skip

    def __init__(self, disk: Any, ino: int, generation: int, mode: int, uid: int, gid: int, now: int) -> None:
        self.disk = disk
        self.ino = ino
        self.generation = generation  # in the order of creation, never used twice
        self.mode = self.born_mode = mode
        self.uid = uid
        self.gid = gid
        self.atime = self.mtime = self.ctime = now
        self.nlink = 1
        self.size = 0
        self.opened = 0
        self.device = 0
        self.target = b""
        self.pages: Pages = {}
        self.reserved: set[int] | None = None  # pages that fallocate asked for
        self.entries: dict[bytes, Inode] | None = {} if stat.S_ISDIR(mode) else None
        self.parent: Inode | None = None
        self.name = b""
        self.locks: dict[object, bool] | None = None
        self.last: Operation | None = None  # of a directory: the last operation on its names
        self.born: Operation | None = None  # the operation that made it
        self.watches: dict[Any, int] | None = None  # who hears of it, and under which number
        self.changed: Operation | None = None  # the last operation on its attributes
        self.synced = 0  # the last operation that a sync of its attributes made void
        self.durable_entries: dict[bytes, Inode] | None = {} if self.entries is not None else None
        self.durable_pages: Pages | None = None
        self.durable_size = 0
        self.durable_attributes: Attributes | None = None

    def attributes(self) -> Attributes:
        return Attributes(self.mode, self.uid, self.gid, self.atime, self.mtime, self.ctime)

    def set_attributes(self, attributes: Attributes) -> None:
        self.mode, self.uid, self.gid, self.atime, self.mtime, self.ctime = attributes

    def status(self) -> os.stat_result:
        """What stat tells."""
        atime, mtime, ctime = self.atime, self.mtime, self.ctime
        if self.entries is not None:
            size, blocks = PAGE, PAGE // 512
        else:
            size = self.size
            blocks = (len(self.pages) + len(self.reserved or ())) * (PAGE // 512)
        return os.stat_result((
            self.mode, self.ino, self.disk.device, self.nlink, self.uid, self.gid, size,
            atime // _SECOND, mtime // _SECOND, ctime // _SECOND, atime / _SECOND, mtime / _SECOND, ctime / _SECOND,
            atime, mtime, ctime, PAGE, blocks, self.device,
        ))  # fmt: skip

    # ---- bytes

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes at `offset`; fewer at the end."""
        end = min(offset + length, self.size)
        if offset >= end:
            return b""
        if end <= PAGE:
            page = self.pages.get(0, b"")
            if len(page) < end:
                page += bytes(end - len(page))
            return page[offset:end]
        first = offset // PAGE
        get = self.pages.get
        parts = [get(number, _ZEROS) for number in range(first, -(-end // PAGE))]
        for number, page in enumerate(parts):
            if len(page) < PAGE:
                parts[number] = page + bytes(PAGE - len(page))
        start = first * PAGE
        return b"".join(parts)[offset - start : end - start]

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Put bytes there; there must be room for them."""
        length = len(data)
        end = offset + length
        pages, reserved = self.pages, self.reserved
        if not offset and end <= PAGE and self.size <= end:
            pages[0] = bytes(data)
            if reserved:
                reserved.discard(0)
            self.size = end
            return
        done = 0
        while done < length:
            number, within = divmod(offset + done, PAGE)
            piece = bytes(data[done : done + PAGE - within])
            done += len(piece)
            if len(piece) < PAGE:
                old = pages.get(number, b"")
                if len(old) < within:
                    old += bytes(within - len(old))
                piece = old[:within] + piece + old[within + len(piece) :]
            pages[number] = piece
            if reserved:
                reserved.discard(number)
        if end > self.size:
            self.size = end

    def resize(self, size: int) -> None:
        """Cut off, or add a hole."""
        if size < self.size:
            cut_pages(self.pages, size)
            if self.reserved:
                self.reserved = {number for number in self.reserved if number * PAGE < size}
        self.size = size

    def next_data(self, offset: int) -> int | None:
        """The first byte from `offset` on that lies in a page, None if only holes are left."""
        if offset >= self.size:
            return None
        first, last = offset // PAGE, (self.size - 1) // PAGE
        if first in self.pages:
            return offset
        number = min((number for number in self.pages if first < number <= last), default=None)
        return None if number is None else number * PAGE

    def next_hole(self, offset: int) -> int | None:
        """The first byte from `offset` on that lies in a hole or is the end."""
        if offset >= self.size:
            return None
        number = offset // PAGE
        if number not in self.pages:
            return offset
        while number in self.pages:
            number += 1
        return min(number * PAGE, self.size)


def cut_pages(pages: Pages, size: int) -> None:
    """Remove what lies at `size` and behind it."""
    last, within = divmod(size, PAGE)
    for number in [number for number in pages if number > last or (number == last and not within)]:
        del pages[number]
    if within and last in pages:
        pages[last] = pages[last][:within]
