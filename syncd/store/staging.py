"""Collecting the blocks of contents in private files, until they are whole and become the live file.

A staged file is named by its content id, so a transfer goes on after a restart where it stood: what is in the file is
found out by hashing it, and no list beside it can be wrong.
"""

import errno
import itertools
import os
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Container, Iterable, Iterator
from stat import S_ISREG
from typing import Final

from protocol.content import ID_SIZE, Block, block_id
from protocol.errors import RemoteError
from syncd.store import syscalls
from syncd.store.copies import write_at
from syncd.store.directories import names_in
from syncd.store.moves import lstat, unlock

_OPEN_FILES: Final = 64  # descriptors held at once; more staged files are opened again when written to
_RESERVED: Final = 1 << 20  # bytes from which room for a file is asked for in advance
# Bytes asked for at a time, and ahead of what is written: enough for long extents. All at once would have the first
# block of a large file wait for that, on file systems that reserve page by page.
_RESERVED_AHEAD: Final = 64 << 20
_FLAGS: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_PRIVATE: Final = 0o600
_SECTOR: Final = 512  # bytes: what st_blocks counts, whatever the file system's blocks


class WrongBlock(RemoteError):
    """Bytes that are not the block they were sent as."""


class Staging:
    """The staging directory of one folder, for one thread. fd: its directory, which stays the caller's."""

    def __init__(self, fd: int, block_key: bytes, draw: Callable[[int], bytes] = secrets.token_bytes) -> None:
        """block_key: the folder's, 32 bytes. draw(n): random bytes."""
        self.fd = fd
        self.block_key = block_key
        self._staged: dict[bytes, Staged] = {}
        self._open: OrderedDict[bytes, int] = OrderedDict()
        self._stocked: set[bytes] = set()  # contents that lie here whole, since this start
        self._prefix = draw(6).hex()
        self._numbers = itertools.count()

    @property
    def owed(self) -> int:
        """Bytes that are still to be written to open staged files, and for which the disk has set no room aside."""
        return sum(staged.owed for staged in self._staged.values())

    def has(self, content: bytes) -> bool:
        """Whether there is a staged file of a content, of this start or an earlier one. Raises OSError."""
        if content in self._staged:
            return True
        try:
            lstat(self.fd, content.hex().encode())
        except FileNotFoundError:
            return False
        return True

    def fresh_name(self) -> bytes:
        """A name that nothing here has."""
        return f"{self._prefix}{next(self._numbers):x}".encode()

    def open(self, content: bytes, size: int, blocks: list[Block]) -> "Staged":
        """The staged file of a content of `size` bytes, the same object until it is closed.

        Finds out which blocks an earlier start brought. Raises OSError: ENOSPC if there is no room for it.
        """
        staged = self._staged.get(content)
        if staged is None:
            staged = Staged(self, content, size, blocks)
            self._staged[content] = staged
            try:
                staged.begin()
            except BaseException:
                staged.close()
                raise
        return staged

    # ---- whole contents that wait until all of a unit is there

    def stock(self, content: bytes, source: "bytes | Staged") -> None:
        """Keep a whole content until it is taken: bytes, or a complete staged file, which is closed. Raises OSError."""
        if content in self._stocked:
            return
        if isinstance(source, Staged):
            if not source.complete:
                raise OSError(errno.ENODATA, "its content is not whole")
            source.close()
        else:
            name = content.hex().encode()
            self.remove(name)
            fd = os.open(name, _FLAGS | os.O_CREAT | os.O_EXCL, _PRIVATE, dir_fd=self.fd)
            try:
                write_at(fd, source, 0)
            finally:
                os.close(fd)
        self._stocked.add(content)

    def stocks(self, content: bytes) -> bool:
        """Whether a whole content is kept here."""
        return content in self._stocked

    def read(self, content: bytes, size: int) -> bytes | None:
        """The bytes of a small content that is kept; None if they cannot be read."""
        try:
            fd = os.open(content.hex().encode(), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.fd)
        except OSError:
            return None
        try:
            return os.read(fd, size + 1)
        finally:
            os.close(fd)

    def unstock(self, contents: Iterable[bytes]) -> None:
        """These contents are not needed here any more. Raises OSError."""
        for content in contents:
            self._stocked.discard(content)
            self.remove(content.hex().encode())

    # ---- what is here

    def clean(self, keep: Container[bytes]) -> None:
        """Remove all but the staged files of the contents in `keep`, which has all that are open.

        Raises OSError.
        """
        self._stocked = {content for content in self._stocked if content in keep}
        for name in names_in(self.fd):
            if not _is_kept(name, keep):
                self.remove(name)

    def remove(self, name: bytes) -> None:
        """Remove a file, or a directory with everything in it. Directories move up first, so no depth is too much.

        Raises OSError.
        """
        pending = [name]
        while pending:
            name = pending.pop()
            try:
                os.unlink(name, dir_fd=self.fd)
            except IsADirectoryError:
                pending += self._empty(name)
                os.rmdir(name, dir_fd=self.fd)
            except FileNotFoundError:
                pass

    def _empty(self, name: bytes) -> list[bytes]:
        """Remove what is in a directory but for directories, which are moved out. Returns their new names."""
        moved = []
        unlock(self.fd, name)
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.fd)
        try:
            for entry in names_in(fd):
                try:
                    os.unlink(entry, dir_fd=fd)
                except IsADirectoryError:
                    unlock(fd, entry)  # moving a directory takes the right to write to it
                    moved.append(self.fresh_name())
                    os.rename(entry, moved[-1], src_dir_fd=fd, dst_dir_fd=self.fd)
        finally:
            os.close(fd)
        return moved

    def close(self) -> None:
        """Close all descriptors; the files stay for the next start."""
        for staged in list(self._staged.values()):
            staged.close()

    def _descriptor(self, name: bytes, flags: int = 0) -> int:
        fd = self._open.get(name)
        if fd is None:
            try:
                fd = os.open(name, _FLAGS | flags, _PRIVATE, dir_fd=self.fd)
            except PermissionError:  # it has its final mode already, from an attempt to apply it
                os.chmod(name, _PRIVATE, dir_fd=self.fd)
                fd = os.open(name, _FLAGS | flags, _PRIVATE, dir_fd=self.fd)
            self._open[name] = fd
            if len(self._open) > _OPEN_FILES:
                os.close(self._open.popitem(last=False)[1])
        else:
            self._open.move_to_end(name)
        return fd

    def _drop_foreign(self, name: bytes) -> None:
        """Remove what was not made here: others may hold it open, or have another name for it outside."""
        status = lstat(self.fd, name)
        if not S_ISREG(status.st_mode) or status.st_nlink != 1 or status.st_uid != os.geteuid():
            self.remove(name)

    def _release(self, content: bytes, name: bytes) -> None:
        self._staged.pop(content, None)
        fd = self._open.pop(name, None)
        if fd is not None:
            os.close(fd)


class Staged:
    """A file that is being put together. owed: bytes to be written for which the disk has set no room aside."""

    def __init__(self, staging: Staging, content: bytes, size: int, blocks: list[Block]) -> None:
        """For `Staging.open` only."""
        self.content = content
        self.size = size
        self.name = content.hex().encode()
        self._staging = staging
        self._blocks = blocks
        self._missing = {number: None for number, block in enumerate(blocks) if block.id is not None}
        self._unreserved: deque[tuple[int, int]] = deque()  # (start, length) of runs to ask room for, in order
        self._closed = False
        self.owed = 0

    @property
    def missing(self) -> Collection[int]:
        """Numbers of the blocks that are still to come, in order. A view: it shrinks with every write."""
        return self._missing.keys()

    @property
    def complete(self) -> bool:
        """Whether all bytes are there."""
        return not self._missing

    @property
    def closed(self) -> bool:
        """Whether this object is of no use any more."""
        return self._closed

    def begin(self) -> None:
        """Make the file, or find out what is in it. Raises OSError."""
        try:
            fd = self._staging._descriptor(self.name, os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            self._staging._drop_foreign(self.name)
            fd = self._staging._descriptor(self.name, os.O_CREAT)
            os.ftruncate(fd, self.size)
            for number in list(self._missing):
                block = self._blocks[number]
                if self._is_block(number, os.pread(fd, block.length, block.offset)):
                    del self._missing[number]
            self._count_owed(fd)
            return
        try:
            os.ftruncate(fd, self.size)
            if self.size >= _RESERVED:
                self._unreserved.extend(_runs(self._blocks))
            self._reserve(fd, 0)
            self._count_owed(fd)
        except OSError:
            self.discard()
            raise

    def write(self, number: int, data: bytes | memoryview) -> None:
        """Write a block. One that is there already is left alone. Raises WrongBlock, OSError."""
        if not self._is_block(number, data):
            raise WrongBlock(f"block {number} of {self.content.hex()} has other bytes than its id says")
        self.put(number, data)

    def copy_from(self, fd: int, offset: int, number: int) -> bool:
        """Copy a block from another file; False if that has other bytes there. Raises OSError.

        The bytes come through memory: to hash them they must be read in any case, and writing what was hashed is a
        tenth of the cost of copy_file_range for blocks of this size (measured on ext4 and tmpfs).
        """
        data = os.pread(fd, self._blocks[number].length, offset)
        if not self._is_block(number, data):
            return False
        self.put(number, data)
        return True

    def descriptor(self) -> int:
        """The open file, to be used before the next call on the staging. Raises OSError, ValueError if closed."""
        if self._closed:
            raise ValueError("the staged file was closed")
        return self._staging._descriptor(self.name)

    def close(self) -> None:
        """Close it; what is in the file is found again by the next `Staging.open`, unless it was moved away."""
        if not self._closed:
            self._closed = True
            self._staging._release(self.content, self.name)

    def discard(self) -> None:
        """Close it and remove the file. Raises OSError."""
        if not self._closed:
            self.close()
            try:
                os.unlink(self.name, dir_fd=self._staging.fd)
            except FileNotFoundError:
                pass

    def put(self, number: int, data: bytes | memoryview) -> None:
        """Write a block whose bytes were found to be what its id says. One that is there is left alone.

        Raises WrongBlock for another length than the list says, OSError.
        """
        if number in self._missing:
            if len(data) != self._blocks[number].length:
                raise WrongBlock(f"block {number} of {self.content.hex()} has {len(data)} bytes")
            fd, offset = self.descriptor(), self._blocks[number].offset
            if self._unreserved:
                self._reserve(fd, offset)
            write_at(fd, data, offset)
            del self._missing[number]
            self.owed = max(0, self.owed - len(data))

    def _is_block(self, number: int, data: bytes | memoryview) -> bool:
        block = self._blocks[number]
        return len(data) == block.length and block_id(self._staging.block_key, data) == block.id

    def _count_owed(self, fd: int) -> None:
        self.owed = max(0, content_bytes(self._blocks) - os.fstat(fd).st_blocks * _SECTOR)

    def _reserve(self, fd: int, offset: int) -> None:
        """Ask for room up to some way behind `offset`."""
        while self._unreserved and self._unreserved[0][0] < offset + _RESERVED_AHEAD:
            start, length = self._unreserved.popleft()
            syscalls.reserve(fd, start, length)


def _runs(blocks: Iterable[Block]) -> Iterator[tuple[int, int]]:
    """(start, length) of what is not a hole, in order, cut to what is asked for at a time."""
    start = end = 0
    for block in blocks:
        if block.id is None:
            continue
        if block.offset != end or end - start >= _RESERVED_AHEAD:
            if start < end:
                yield start, end - start
            start = block.offset
        end = block.offset + block.length
    if start < end:
        yield start, end - start


def content_bytes(blocks: Iterable[Block]) -> int:
    """Bytes that the blocks of a content take; holes take none."""
    return sum(block.length for block in blocks if block.id is not None)


def _is_kept(name: bytes, keep: Container[bytes]) -> bool:
    try:
        return len(name) == 2 * ID_SIZE and bytes.fromhex(name.decode("ascii")) in keep
    except ValueError:
        return False
