"""Reading files for their content ids: each one wholly in one state, or not at all."""

import errno
import os
from collections.abc import Iterator
from itertools import chain
from stat import S_ISREG
from typing import Final, NamedTuple

from protocol.chunking import cut
from protocol.content import Block, block_id, build_segments
from protocol.limits import SMALL_FILE
from protocol.record import Kind
from syncd.core.index import Disk
from syncd.store.copies import data_runs
from syncd.store.directories import Directories
from syncd.store.look import OPEN_FILE, Stat, take

# A hole is a longest run of whole units of zeros, counted from the file's start, whether or not the file system
# stores them: so the same bytes have the same content id on every file system.
UNIT: Final = 65_536  # bytes
_WINDOW: Final = 8 << 20  # bytes read at once
_ZEROS: Final = bytes(UNIT)
_STAT_BLOCK: Final = 512  # bytes that st_blocks counts in
_OTHERS_WRITE: Final = 0o022
_OTHERS_READ: Final = 0o004


class FileChanged(Exception):
    """The file is not what it was looked at as, or changes while it is read: look at it again later."""


class Hashed(NamedTuple):
    """A file's content. segments: of the block list, {id: bytes}, none for a small file. small: such a file's bytes."""

    disk: Disk
    content: bytes
    blocks: list[Block]
    segments: dict[bytes, bytes]
    small: bytes | None


class Hasher:
    """Hashes files of one folder, in one thread. block_key: the folder's, 32 bytes."""

    def __init__(self, directories: Directories, block_key: bytes) -> None:
        self._directories = directories
        self._key = block_key
        self._buffer = bytearray()

    def hash(self, path: bytes, stat: Stat) -> Hashed:
        """Hash the regular file that `stat` saw at `path`.

        Raises FileChanged if there is another one or it changes meanwhile, FileNotFoundError, other OSError.
        """
        fd, before = self._open(path, stat)
        try:
            if before.st_nlink > 1 and not os.geteuid():
                self._refuse_foreign(path, before)
            return self._hash(fd, stat, before)
        finally:
            os.close(fd)

    def hash_open(self, fd: int, path: bytes) -> Hashed:
        """Hash a regular file that was just opened. path: a word for it.

        Raises FileChanged if it changes meanwhile, OSError.
        """
        status = os.fstat(fd)
        return self._hash(fd, take(path, Kind.FILE, status), status)

    def _hash(self, fd: int, stat: Stat, before: os.stat_result) -> Hashed:
        size = before.st_size
        small, blocks = None, []
        if size <= SMALL_FILE:
            small = os.read(fd, size + 1)
        else:
            blocks = self._blocks(fd, before)
        after = take(stat.path, Kind.FILE, os.fstat(fd))
        if not _is_same(after, stat) or (small is not None and len(small) != size):
            raise FileChanged(stat.path)
        if small is not None:
            content = block_id(self._key, small)
            return Hashed(stat.disk(content), content, [Block(content, 0, size)], {}, small)
        content, segments = build_segments(self._key, [(block.id, block.length) for block in blocks])
        return Hashed(stat.disk(content), content, blocks, segments, None)

    def _open(self, path: bytes, stat: Stat) -> tuple[int, os.stat_result]:
        """The open file, if it still is what `stat` saw. A kept directory may have gone elsewhere: looks twice."""
        for trusting in (True, False):
            if not trusting:
                self._directories.forget(b"")
            parent, name = self._directories.parent(path)
            try:
                fd = os.open(name, OPEN_FILE, dir_fd=parent)
            except FileNotFoundError:
                if trusting:
                    continue
                raise
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENXIO):  # a symbolic link or a socket by now
                    raise FileChanged(path) from None
                raise
            status = os.fstat(fd)
            if S_ISREG(status.st_mode) and _is_same(take(path, Kind.FILE, status), stat):
                return fd, status
            os.close(fd)
        raise FileChanged(path)

    def _refuse_foreign(self, path: bytes, status: os.stat_result) -> None:
        """Raise PermissionError for a hard link by which somebody may want root to read what they cannot."""
        above = os.fstat(self._directories.parent(path)[0])
        planted = above.st_mode & _OTHERS_WRITE and not status.st_mode & _OTHERS_READ
        if status.st_uid != above.st_uid or planted:
            raise PermissionError(errno.EPERM, "skipped: a hard link to a file that may not belong here")

    def _blocks(self, fd: int, status: os.stat_result) -> list[Block]:
        blocks: list[Block] = []
        end = 0
        for offset, data in self._pieces(fd, status):
            if offset > end:
                blocks.append(Block(None, end, offset - end))
            end = offset + len(data)
            blocks.append(Block(block_id(self._key, data), offset, len(data)))
        if end < status.st_size:
            blocks.append(Block(None, end, status.st_size - end))
        return blocks

    def _pieces(self, fd: int, status: os.stat_result) -> Iterator[tuple[int, memoryview]]:
        """(offset, bytes) of all blocks in order, holes left out. The bytes are valid until the next piece."""
        if not self._buffer:
            self._buffer = bytearray(_WINDOW)
        view = memoryview(self._buffer)
        for position, end in _extents(fd, status):
            while position < end:
                length = min(_WINDOW - position % UNIT, end - position)
                _read_fully(fd, view[:length], position)
                following = position + length
                for begin, stop in _data(self._buffer, position, length):
                    final = stop < length or following == end
                    for size in cut(view[begin:stop], final):
                        yield position + begin, view[begin : begin + size]
                        begin += size
                    if begin < stop:  # the beginning of a block: read again, with what follows
                        following = position + begin
                position = following


def _is_same(stat: Stat, other: Stat) -> bool:
    return (stat.inode, stat.size, stat.mtime_ns, stat.ctime_ns) == (
        other.inode, other.size, other.mtime_ns, other.ctime_ns,
    )  # fmt: skip


def _extents(fd: int, status: os.stat_result) -> Iterator[tuple[int, int]]:
    """The runs [start, end) to read, from one unit's start to another's end. Apart from them all units are zeros."""
    size = status.st_size
    if status.st_blocks * _STAT_BLOCK >= size:
        yield 0, size
        return
    start = end = 0
    tail = (size - size % UNIT, size)
    for data_start, data_end in chain(data_runs(fd, size), [tail]):
        data_start -= data_start % UNIT
        if data_start > end:
            if start < end:
                yield start, end
            start = data_start
        end = min(size, data_end + -data_end % UNIT)
    if start < end:
        yield start, end


def _data(buffer: bytearray, position: int, length: int) -> Iterator[tuple[int, int]]:
    """The longest runs in buffer[:length] without a whole unit of zeros. position: where in the file the buffer is.

    What stands before the first unit or behind the last one counts as data.
    """
    begin = 0
    for unit in range(-position % UNIT, length - UNIT + 1, UNIT):
        if buffer.startswith(_ZEROS, unit):
            if begin < unit:
                yield begin, unit
            begin = unit + UNIT
    if begin < length:
        yield begin, length


def _read_fully(fd: int, view: memoryview, offset: int) -> None:
    while view:
        done = os.preadv(fd, [view], offset)
        if not done:
            raise FileChanged("became shorter")
        view = view[done:]
        offset += done
