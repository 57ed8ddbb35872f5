"""Reads files once more whose identity is unchanged, and tells contents that decayed from those that somebody wrote.

A difference is damage only if nothing else explains it: the file is as it was (inode, size, mtime, ctime), is not
young, reads the same twice past the page cache, nobody has it open for writing or mapped, and the file system is one
that notes the time of writes through a mapping. Whatever cannot be told is reported and left as it is.
"""

import fcntl
import mmap
import os
import signal
import time
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Final, NamedTuple

from protocol.record import Kind
from syncd.core.index import Disk
from syncd.store.directories import Directories
from syncd.store.hasher import FileChanged, Hashed, Hasher
from syncd.store.look import OPEN_FILE, Stat
from syncd.store.scanner import Scanner

YOUNG: Final = 2_000_000_000  # ns: a file changed so lately may have changed again without a visible difference
PIECE: Final = 8 << 20  # bytes between two rests
MOST_REST: Final = 1.0  # seconds
_PROBE: Final = b"probe-mapped"
_OLD: Final = 1_000_000_000_000_000_000  # ns, an mtime of long ago


class Verdict(Enum):
    """What reading a file once more told."""

    SOUND = "sound"
    CHANGED = "changed"  # since it was last seen: whoever watches the folder takes care of it
    DAMAGED = "damaged"
    UNSURE = "unsure"
    UNREADABLE = "unreadable"


class Reread(NamedTuple):
    """reason: in words, of what is not sound. found: what is there instead, if it is damaged or may be."""

    verdict: Verdict
    reason: str = ""
    found: Hashed | None = None


class Rereader(Hasher):
    """For one thread; `stop` may be called in any. rest: sleeps as long as it works, so that it takes half a core."""

    def __init__(
        self,
        directories: Directories,
        block_key: bytes,
        scanner: Scanner,
        tells: bool,
        clock: Callable[[], int],
        rest: Callable[[float], None] = time.sleep,
    ) -> None:
        """scanner: on the same directories. tells: whether writes through mappings show. clock: wall time, ns."""
        super().__init__(directories, block_key)
        self._tree = directories
        self._scanner = scanner
        self._tells = tells
        self._clock = clock
        self._rest = rest
        self._worked = time.monotonic()
        self.read = 0  # bytes
        self.stopped = False

    def close(self) -> None:
        """Close the directories."""
        self._tree.close()

    def stop(self) -> None:
        """Whatever is being read ends as changed."""
        self.stopped = True

    def look(self, path: bytes, known: Disk) -> Reread:
        """Read what was last seen there as `known`, a file."""
        try:
            return self._look(path, known)
        except (FileNotFoundError, FileChanged):
            return Reread(Verdict.CHANGED)
        except OSError as error:
            return Reread(Verdict.UNREADABLE, error.strerror or str(error))

    def _look(self, path: bytes, known: Disk) -> Reread:
        stat = self._scanner.stat_one(path)
        if not isinstance(stat, Stat) or stat.kind != Kind.FILE or self._scanner.differs(stat, known):
            return Reread(Verdict.CHANGED)
        first = self._read(path, stat)
        if first.content == known.entry.content:
            return Reread(Verdict.SOUND)
        if self._clock() - stat.ctime_ns < YOUNG:
            return Reread(Verdict.CHANGED)
        written = self._forget_cache(path)
        second = self._read(path, stat)
        if second.content != first.content:
            return Reread(Verdict.UNSURE, "reads differently each time: memory, cable or disk fail", second)
        reason = f"{known.entry.size} bytes are not what they were, though nobody changed the file"
        if written:
            return Reread(Verdict.UNSURE, f"{reason}, {written}", second)
        if not self._tells:
            return Reread(Verdict.UNSURE, f"{reason}, as far as this file system tells", second)
        return Reread(Verdict.DAMAGED, reason, second)

    def _read(self, path: bytes, stat: Stat) -> Hashed:
        hashed = self.hash(path, stat)
        if stat.size <= PIECE:
            self.read += stat.size
            self._pause()
        return hashed

    def _pieces(self, fd: int, status: os.stat_result) -> Iterator[tuple[int, memoryview]]:
        since = 0
        for offset, data in super()._pieces(fd, status):
            if self.stopped:
                raise FileChanged("stopped")
            yield offset, data
            since += len(data)
            if since >= PIECE:
                self.read, since = self.read + since, 0
                self._pause()

    def _pause(self) -> None:
        now = time.monotonic()
        if not self.stopped:
            self._rest(min(MOST_REST, max(0.0, now - self._worked)))
        self._worked = time.monotonic()

    def _forget_cache(self, path: bytes) -> str:
        """Have the next read come from the disk; why the file may be somebody's who is writing, or nothing."""
        parent, name = self._tree.parent(path)
        fd = os.open(name, OPEN_FILE, dir_fd=parent)
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            return _writer(fd)
        finally:
            os.close(fd)


def _writer(fd: int) -> str:
    """Whether somebody has the file open for writing or mapped, in words: the kernel grants no lease then, fcntl(2)."""
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)  # ignored by default, where SIGIO ends the process
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return "but somebody has it open for writing"
    except OSError:
        return "and who has it open cannot be found out"
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return ""


def mapped_writes_show(directory_fd: int) -> bool:
    """Whether the file system notes the time of a write through a mapping: older tmpfs do not.

    Tried with a file in a directory of ours. Raises OSError.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(_PROBE, flags, 0o600, dir_fd=directory_fd)
    try:
        os.ftruncate(fd, mmap.PAGESIZE)
        os.utime(fd, ns=(_OLD, _OLD))
        with mmap.mmap(fd, mmap.PAGESIZE) as memory:
            memory[0] = 1
            memory.flush()
        return os.fstat(fd).st_mtime_ns != _OLD
    finally:
        os.close(fd)
        os.unlink(_PROBE, dir_fd=directory_fd)
