"""The same calls on a simulated disk and on a real directory, and how they are compared."""

import os
import stat
from collections.abc import Callable
from random import Random
from typing import Any

from syncd.store import syscalls
from tests.sim.disk.system import SimOS

LONG_AGO = 1_000_000_000_000_000_000  # ns: times below are set by calls, others are the moment's
NAMES = (b"a", b"b", b"c", b"d")
ODD = (
    b".",
    b"..",
    b"a/b",
    b"a/../b",
    b"./c",
    b"c/d/a",
    b"x" * 256,
    b"",
    b"nul\0",
    b"no/such/way",
    b"b/.",
)
SIZES = (0, 1, 100, 4095, 4096, 4097, 9000, 20_000)
MODES = (0o644, 0o600, 0o755, 0o4755, 0o2775, 0o1777, 0o000)
FLAGS = (
    os.O_RDONLY, os.O_RDWR, os.O_WRONLY, os.O_RDONLY | os.O_DIRECTORY, os.O_PATH | os.O_NOFOLLOW,
    os.O_RDWR | os.O_CREAT, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
    os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY, os.O_PATH | os.O_DIRECTORY, os.O_WRONLY | os.O_APPEND,
    os.O_RDWR | os.O_TRUNC,
)  # fmt: skip


class RealCalls:
    """The machine's calls under the names that SimOS has."""

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def renameat2(self, *arguments: Any) -> None:
        syscalls.rename(*arguments)

    def reserve(self, *arguments: Any) -> None:
        syscalls.reserve(*arguments)

    def syncfs(self, fd: int) -> None:
        """Not what is compared, and slow."""


class SimCalls:
    """A SimOS's."""

    def __init__(self, system: SimOS) -> None:
        self._system = system

    def __getattr__(self, name: str) -> Any:
        return getattr(self._system, name)

    def renameat2(self, *arguments: Any) -> None:
        if any(b"\0" in name for name in arguments if isinstance(name, bytes)):
            raise ValueError("embedded null byte")
        self._system.rename_with(*arguments)

    def reserve(self, fd: int, offset: int, length: int) -> None:
        try:
            self._system.syscalls._reserve(fd, offset, length)
        except OSError as error:
            if error.errno not in syscalls.UNSUPPORTED:
                raise

    def syncfs(self, fd: int) -> None:
        self._system.sync_file_system(fd)


class Twin:
    """One of the two: its calls, and its descriptors by number of the slot."""

    def __init__(self, calls: Any, top: bytes) -> None:
        self.calls = calls
        self.slots: list[int] = [calls.open(top, os.O_RDONLY | os.O_DIRECTORY)]

    def do(self, call: Callable[[Any, list[int]], Any]) -> object:
        """What comes of a call, in a form that can be compared."""
        try:
            result = call(self.calls, self.slots)
        except OSError as error:
            return type(error), error.errno
        except ValueError:
            return ValueError
        if isinstance(result, os.stat_result):
            return seen(result)
        return sorted(result) if isinstance(result, list) else result

    def tree(self) -> dict[bytes, object]:
        """Everything below the top, and behind the descriptors; inodes as the order in which they are met."""
        found: dict[bytes, object] = {}
        met: dict[int, int] = {}
        for slot, fd in enumerate(self.slots[1:]):
            status = self.calls.fstat(fd)
            found[b"fd %d" % slot] = (met.setdefault(status.st_ino, len(met)), seen(status))
        pending = [(b"", self.calls.dup(self.slots[0]))]
        while pending:
            above, directory = pending.pop()
            for name in sorted(self.calls.listdir(directory)):
                status = self.calls.stat(name, dir_fd=directory, follow_symlinks=False)
                path = above + b"/" + os.fsencode(name)
                content: object = b""
                if stat.S_ISDIR(status.st_mode):
                    pending.append((path, self.calls.open(os.fsencode(name), os.O_RDONLY, dir_fd=directory)))
                elif stat.S_ISLNK(status.st_mode):
                    content = self.calls.readlink(os.fsencode(name), dir_fd=directory)
                elif stat.S_ISREG(status.st_mode):
                    content = self._bytes_of(directory, os.fsencode(name))
                found[path] = (met.setdefault(status.st_ino, len(met)), seen(status), content)
            self.calls.close(directory)
        return found

    def _bytes_of(self, directory: int, name: bytes) -> bytes:
        fd = self.calls.open(name, os.O_RDONLY, dir_fd=directory)
        try:
            return bytes(self.calls.pread(fd, 1 << 20, 0))
        finally:
            self.calls.close(fd)

    def close(self) -> None:
        for fd in self.slots:
            self.calls.close(fd)


def seen(status: os.stat_result) -> tuple[object, ...]:
    """What must be equal. Of sizes of directories and of moments nothing is said."""
    size = status.st_size if not stat.S_ISDIR(status.st_mode) else 0
    full = status.st_blocks * 512 >= size if stat.S_ISREG(status.st_mode) else None
    mtime = status.st_mtime_ns if status.st_mtime_ns < LONG_AGO else "a moment"
    return status.st_mode, status.st_nlink, size, full, status.st_uid, status.st_gid, mtime


def random_call(random: Random, slots: int) -> tuple[str, Callable[[Any, list[int]], Any]]:
    """(what it is, the call) for `slots` descriptors."""
    kind = random.choice(list(_MAKERS))
    arguments = _Arguments(random, slots)
    return _MAKERS[kind](arguments, kind)


class _Arguments:
    def __init__(self, random: Random, slots: int) -> None:
        self.random = random
        self.slots = slots

    def name(self) -> bytes:
        return self.random.choice(NAMES if self.random.random() < 0.85 else ODD)

    def slot(self) -> int:
        return 0 if self.random.random() < 0.5 else self.random.randrange(self.slots)

    def size(self) -> int:
        return self.random.choice(SIZES)


Maker = Callable[[_Arguments, str], tuple[str, Callable[[Any, list[int]], Any]]]


def _open(a: _Arguments, kind: str) -> Any:
    slot, name, flags, mode = a.slot(), a.name(), a.random.choice(FLAGS) | os.O_NONBLOCK, a.random.choice(MODES)

    def call(calls: Any, fds: list[int]) -> str:
        fds.append(calls.open(name, flags, mode, dir_fd=fds[slot]))
        return "open"

    return f"open {name!r} {flags:o} {mode:o} at {slot}", call


def _close(a: _Arguments, kind: str) -> Any:
    if a.slots == 1:
        return _open(a, kind)
    slot = a.random.randrange(1, a.slots)
    return f"close {slot}", lambda calls, fds: calls.close(fds.pop(slot))


def _dup(a: _Arguments, kind: str) -> Any:
    slot = a.slot()
    return f"dup {slot}", lambda calls, fds: fds.append(calls.dup(fds[slot]))


def _named(a: _Arguments, kind: str) -> Any:
    slot, name, mode = a.slot(), a.name(), a.random.choice(MODES)
    times = (a.random.randrange(LONG_AGO), a.random.randrange(LONG_AGO))
    follow = a.random.random() < 0.5
    target = a.random.choice((*NAMES, b"../a", b"a/b", b"", b"gone", b"x" * 300))
    calls: dict[str, Callable[[Any, list[int]], Any]] = {
        "mkdir": lambda c, f: c.mkdir(name, mode, dir_fd=f[slot]),
        "mkfifo": lambda c, f: c.mkfifo(name, mode, dir_fd=f[slot]),
        "rmdir": lambda c, f: c.rmdir(name, dir_fd=f[slot]),
        "unlink": lambda c, f: c.unlink(name, dir_fd=f[slot]),
        "symlink": lambda c, f: c.symlink(target, name, dir_fd=f[slot]),
        "readlink": lambda c, f: c.readlink(name, dir_fd=f[slot]),
        "stat": lambda c, f: c.stat(name, dir_fd=f[slot], follow_symlinks=follow),
        "chmod": lambda c, f: c.chmod(name, mode, dir_fd=f[slot]),
        "utime": lambda c, f: c.utime(name, ns=times, dir_fd=f[slot], follow_symlinks=follow),
        "access": lambda c, f: c.access(name, mode & 7, dir_fd=f[slot], effective_ids=True),
        "chown": lambda c, f: c.chown(name, -1, -1, dir_fd=f[slot], follow_symlinks=follow),
    }
    return f"{kind} {name!r} at {slot} ({mode:o}, {target!r}, follow={follow})", calls[kind]


def _of_two(a: _Arguments, kind: str) -> Any:
    slot, name, other_slot, other = a.slot(), a.name(), a.slot(), a.name()
    follow = a.random.random() < 0.5

    def at(fds: list[int]) -> dict[str, int]:
        return {"src_dir_fd": fds[slot], "dst_dir_fd": fds[other_slot]}

    calls: dict[str, Callable[[Any, list[int]], Any]] = {
        "rename": lambda c, f: c.rename(name, other, **at(f)),
        "link": lambda c, f: c.link(name, other, **at(f), follow_symlinks=follow),
        "exchange": lambda c, f: c.renameat2(f[slot], name, f[other_slot], other, 2),
        "noreplace": lambda c, f: c.renameat2(f[slot], name, f[other_slot], other, 1),
    }
    return f"{kind} {name!r} at {slot} -> {other!r} at {other_slot} (follow={follow})", calls[kind]


def _of_descriptor(a: _Arguments, kind: str) -> Any:
    slot, other, size, offset = a.random.randrange(a.slots), a.random.randrange(a.slots), a.size(), a.size()
    mode, times = a.random.choice(MODES), (a.random.randrange(LONG_AGO), a.random.randrange(LONG_AGO))
    data = bytes([a.random.randrange(256)]) * size
    whence = a.random.choice((os.SEEK_SET, os.SEEK_CUR, os.SEEK_END, os.SEEK_DATA, os.SEEK_HOLE))
    calls: dict[str, Callable[[Any, list[int]], Any]] = {
        "read": lambda c, f: c.read(f[slot], size),
        "pread": lambda c, f: c.pread(f[slot], size, offset),
        "preadv": lambda c, f: c.preadv(f[slot], [bytearray(10), bytearray(size)], offset),
        "write": lambda c, f: c.write(f[slot], data),
        "pwrite": lambda c, f: c.pwrite(f[slot], data, offset),
        "ftruncate": lambda c, f: c.ftruncate(f[slot], offset),
        "lseek": lambda c, f: c.lseek(f[slot], offset, whence),
        "copy_file_range": lambda c, f: c.copy_file_range(f[slot], f[other], size, offset, 0),
        "fstat": lambda c, f: c.fstat(f[slot]),
        "fchmod": lambda c, f: c.fchmod(f[slot], mode),
        "futime": lambda c, f: c.utime(f[slot], ns=times),
        "listdir": lambda c, f: c.listdir(f[slot]),
        "scandir": lambda c, f: _scanned(c, f[slot]),
        "fdatasync": lambda c, f: c.fdatasync(f[slot]),
        "syncfs": lambda c, f: c.syncfs(f[0]),
    }

    def call(real_or_not: Any, fds: list[int]) -> object:
        """FIFOs have another life than files, and directories other offsets."""
        kinds = {stat.S_IFMT(real_or_not.fstat(fds[number]).st_mode) for number in (slot, other)}
        if stat.S_IFIFO in kinds or (kind == "lseek" and kinds != {stat.S_IFREG}):
            return None
        return calls[kind](real_or_not, fds)

    return f"{kind} {slot} ({size}, {offset}, {whence}, {other}, {mode:o})", call


def _scanned(calls: Any, fd: int) -> list[tuple[object, ...]]:
    with calls.scandir(fd) as entries:
        return [(entry.name, entry.is_dir(follow_symlinks=False), entry.is_symlink()) for entry in entries]


_MAKERS: dict[str, Maker] = {
    **dict.fromkeys(("open", "open 2", "open 3", "open 4"), _open),
    **dict.fromkeys(("close", "close 2"), _close),
    "dup": _dup,
    **dict.fromkeys(
        ("mkdir", "mkfifo", "rmdir", "unlink", "symlink", "readlink", "stat", "chmod", "utime", "access", "chown"),
        _named,
    ),
    **dict.fromkeys(("rename", "link", "exchange", "noreplace"), _of_two),
    **dict.fromkeys(
        ("read", "pread", "preadv", "write", "pwrite", "ftruncate", "lseek", "copy_file_range", "fstat",
         "fchmod", "futime", "listdir", "scandir", "fdatasync", "syncfs"),
        _of_descriptor,
    ),
}  # fmt: skip
