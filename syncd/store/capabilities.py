"""What the file system under a folder can do, found out by trying it."""

import contextlib
import errno
import os
from collections.abc import Callable
from typing import Final, NamedTuple

from syncd.store import syscalls

_FIRST: Final = -(1 << 63)  # ns
_LAST: Final = (1 << 63) - 1  # ns
_STEPS: Final = (1, 100, 1_000, 1_000_000, 1_000_000_000, 2_000_000_000)  # ns: those in use, finest first
_ODD_TIME: Final = 1_234_567_891_123_456_789  # ns: an odd second, so that a step of two seconds shows
_PASSING: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})  # says nothing of what the file system can do
_NAMES: Final = (b"probe-1", b"probe-2", b"probe-3")


class Capabilities(NamedTuple):
    """What works; each False has a slower or weaker way round it, and is told in the status."""

    create: bool = True  # renameat2(NOREPLACE)
    exchange: bool = True  # renameat2(EXCHANGE)
    hard_links: bool = True
    clone: bool = True  # FICLONE: absence costs speed only
    mtime_step: int = 1  # ns
    mtime_first: int = _FIRST  # ns
    mtime_last: int = _LAST  # ns

    def stored_mtime(self, mtime: int) -> int:
        """What the file system makes of an mtime (ns) that it is told to set."""
        mtime = max(self.mtime_first, min(self.mtime_last, mtime))
        return mtime - mtime % self.mtime_step

    def lacking(self) -> list[str]:
        """What is done less well here, one line each."""
        told = []
        if not self.create:
            told.append("no rename without replacing: new files are linked into place")
        if not self.exchange:
            told.append("no atomic exchange: a file that somebody replaces in the same instant may be lost")
        if not self.hard_links and not (self.create and self.exchange):
            told.append("no hard links: a replaced file is missing for an instant")
        if self.mtime_step > 1:
            told.append(f"modification times are kept in steps of {self.mtime_step} ns")
        return told


def probe(directory_fd: int) -> Capabilities:
    """Try everything in a directory of ours. Raises OSError if files cannot even be made there."""
    _remove_leftovers(directory_fd)
    first, second, third = _NAMES
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(first, flags, 0o600, dir_fd=directory_fd)
    try:
        other = os.open(second, flags, 0o600, dir_fd=directory_fd)
        try:
            with contextlib.suppress(OSError):  # a full disk must not keep us from removing what fills it
                os.write(fd, b"probe")
            can_clone = syscalls.clone(fd, other)
        finally:
            os.close(other)
        exchange = _works(lambda: syscalls.rename(directory_fd, first, directory_fd, second, syscalls.RENAME_EXCHANGE))
        hard_links = _works(lambda: _link(directory_fd, first, third))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(third, dir_fd=directory_fd)
        create = _works(lambda: syscalls.rename(directory_fd, first, directory_fd, third, syscalls.RENAME_NOREPLACE))
        return Capabilities(create, exchange, hard_links, can_clone, *_times(fd))
    finally:
        os.close(fd)
        _remove_leftovers(directory_fd)


def _link(directory_fd: int, name: bytes, other: bytes) -> None:
    os.link(name, other, src_dir_fd=directory_fd, dst_dir_fd=directory_fd, follow_symlinks=False)


def _works(attempt: Callable[[], None]) -> bool:
    try:
        attempt()
    except OSError as error:
        return error.errno in _PASSING
    return True


def _times(fd: int) -> tuple[int, int, int]:
    """(step, first, last) of the times that can be kept, in ns."""
    kept = _kept_time(fd, _ODD_TIME)
    step = next((step for step in _STEPS if _ODD_TIME - _ODD_TIME % step == kept), 1)
    first, last = _kept_time(fd, _FIRST), _kept_time(fd, _LAST)
    if first - first % step == _FIRST - _FIRST % step:
        first = _FIRST
    if last == _LAST - _LAST % step:
        last = _LAST
    return step, max(first, _FIRST), min(last, _LAST)


def _kept_time(fd: int, time: int) -> int:
    try:
        os.utime(fd, ns=(time, time))
    except OSError:  # refused instead of clamped; such a file system says so again when it matters
        return time
    return os.fstat(fd).st_mtime_ns


def _remove_leftovers(directory_fd: int) -> None:
    for name in _NAMES:
        try:
            os.unlink(name, dir_fd=directory_fd)
        except FileNotFoundError:
            pass
