"""Where a file has bytes, and how they get into another one."""

import errno
import os
from collections.abc import Iterator
from typing import Final

from syncd.store import syscalls

_STEP: Final = 8 << 20  # bytes per copy_file_range: a large step is one call, yet can be interrupted
_BUFFER: Final = 1 << 20  # bytes per read where the kernel cannot copy


def data_runs(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """The runs [start, end) of a file that may hold other bytes than zeros, in order; holes lie between them."""
    position = 0
    while position < size:
        try:
            start = os.lseek(fd, position, os.SEEK_DATA)
            end = os.lseek(fd, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole is left
                return
            if error.errno not in syscalls.UNSUPPORTED:
                raise
            start, end = position, size
        end = min(end, size)
        if start >= end:
            return
        yield start, end
        position = end


def copy_contents(source_fd: int, target_fd: int, size: int) -> None:
    """Make the empty target hold the `size` bytes of the source, shared if the file system can, holes left out.

    Raises OSError; a source that is shorter fails with EIO.
    """
    if syscalls.clone(source_fd, target_fd):
        return
    os.ftruncate(target_fd, size)
    for start, end in list(data_runs(source_fd, size)):
        _copy_run(source_fd, target_fd, start, end)


def _copy_run(source_fd: int, target_fd: int, start: int, end: int) -> None:
    while start < end:
        try:
            done = os.copy_file_range(source_fd, target_fd, min(_STEP, end - start), start, start)
        except OSError:
            done = 0
        if not done:  # it cannot, or failed; if it failed for a reason, that is met again in a moment
            _copy_through_buffer(source_fd, target_fd, start, end)
            return
        start += done


def _copy_through_buffer(source_fd: int, target_fd: int, start: int, end: int) -> None:
    while start < end:
        data = os.pread(source_fd, min(_BUFFER, end - start), start)
        if not data:
            raise OSError(errno.EIO, "the file became shorter while it was copied")
        write_at(target_fd, data, start)
        start += len(data)


def write_at(fd: int, data: bytes | memoryview, offset: int) -> None:
    """pwrite all of `data`. Raises OSError."""
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, offset)
        view = view[done:]
        offset += done
