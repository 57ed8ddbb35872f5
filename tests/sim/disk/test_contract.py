"""The simulated disk and the machine's answer the same calls alike."""

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.sim.disk.system import SimOS
from tests.sim.disk.twins import RealCalls, SimCalls, Twin, random_call
from tests.store.trees import NOBODY

SEQUENCES = 100
CALLS = 60  # in a sequence
LOOKED_AT = 4  # calls between two looks at everything


@contextmanager
def user(uid: int, system: SimOS) -> Iterator[None]:
    """Act as somebody on both sides."""
    before = os.geteuid(), os.getegid(), os.umask(0o022)
    if uid != before[0]:
        os.setegid(uid)
        os.seteuid(uid)
    system.euid, system.egid = os.geteuid(), os.getegid()
    try:
        yield
    finally:
        os.umask(before[2])
        if uid != before[0]:
            os.seteuid(before[0])
            os.setegid(before[1])
        system.euid, system.egid = os.geteuid(), os.getegid()


def compare_trees(real: Twin, simulated: Twin, history: str) -> None:
    """As root, whom no mode keeps from looking."""
    if os.geteuid():
        return
    wanted, got = real.tree(), simulated.tree()
    for path in sorted(wanted.keys() | got.keys()):
        assert got.get(path) == wanted.get(path), f"{path!r}: {history}"


def run_sequence(seed: int, top: Path, uid: int) -> None:
    random = Random(seed)
    system = SimOS(time.time_ns)
    system.mount("/outer")
    top.mkdir()
    (top / "top").mkdir()
    os.chown(top / "top", uid, uid)
    system.mkdir("/outer/top")
    system.chown("/outer/top", uid, uid)
    real, simulated = Twin(RealCalls(), os.fsencode(top / "top")), Twin(SimCalls(system), b"/outer/top")
    history: list[str] = []
    with user(uid, system):
        for number in range(CALLS):
            text, call = random_call(random, len(real.slots))
            history.append(text)
            wanted, got = real.do(call), simulated.do(call)
            assert got == wanted, f"seed {seed}: {got} instead of {wanted}\n" + "\n".join(history)
            if number % LOOKED_AT == 0:
                compare_trees(real, simulated, f"seed {seed}\n" + "\n".join(history))
    compare_trees(real, simulated, f"seed {seed}\n" + "\n".join(history))
    real.close()
    simulated.close()
    assert not system.table
    shutil.rmtree(top, ignore_errors=True)


@pytest.mark.parametrize("uid", sorted({os.geteuid(), NOBODY} if not os.geteuid() else {os.geteuid()}))
def test_random_calls_have_the_same_results(tmp_path: Path, uid: int) -> None:
    for seed in range(SEQUENCES):
        run_sequence(seed, tmp_path / str(seed), uid)


# ---- what moves which times

CREATE = os.O_RDWR | os.O_CREAT


def held(calls: Any, fd: int, name: bytes, work: Callable[[int], object], flags: int = os.O_RDWR) -> None:
    opened = calls.open(name, flags, dir_fd=fd)
    work(opened)
    calls.close(opened)


# In each directory there are two files "f" and "g", a directory "d", a link "l", and "h", another name of "f".
MOVERS: dict[str, Callable[[Any, int], object]] = {
    "nothing": lambda c, fd: None,
    "open and read": lambda c, fd: held(c, fd, b"f", lambda f: c.pread(f, 5, 0), os.O_RDONLY),
    "open to write": lambda c, fd: held(c, fd, b"f", lambda f: None),
    "write": lambda c, fd: held(c, fd, b"f", lambda f: c.write(f, b"1")),
    "write nothing": lambda c, fd: held(c, fd, b"f", lambda f: c.write(f, b"")),
    "truncate": lambda c, fd: held(c, fd, b"f", lambda f: c.ftruncate(f, 9)),
    "truncate to what it is": lambda c, fd: held(c, fd, b"f", lambda f: c.ftruncate(f, 4)),
    "open and truncate": lambda c, fd: held(c, fd, b"f", lambda f: None, os.O_RDWR | os.O_TRUNC),
    "reserve": lambda c, fd: held(c, fd, b"f", lambda f: c.reserve(f, 0, 9_000)),
    "copy": lambda c, fd: held(c, fd, b"f", lambda f: held(c, fd, b"g", lambda g: c.copy_file_range(g, f, 3, 0, 0))),
    "fsync": lambda c, fd: held(c, fd, b"f", c.fsync),
    "create": lambda c, fd: held(c, fd, b"new", lambda f: None, CREATE),
    "chmod": lambda c, fd: c.chmod(b"f", 0o600, dir_fd=fd),
    "chmod to what it is": lambda c, fd: c.chmod(b"f", 0o644, dir_fd=fd),
    "chown to nobody": lambda c, fd: c.chown(b"f", -1, -1, dir_fd=fd),
    "utime": lambda c, fd: c.utime(b"f", ns=(1, 2), dir_fd=fd),
    "utime of a link": lambda c, fd: c.utime(b"l", ns=(1, 2), dir_fd=fd, follow_symlinks=False),
    "link": lambda c, fd: c.link(b"f", b"new", src_dir_fd=fd, dst_dir_fd=fd),
    "unlink": lambda c, fd: c.unlink(b"h", dir_fd=fd),
    "rename": lambda c, fd: c.rename(b"f", b"new", src_dir_fd=fd, dst_dir_fd=fd),
    "rename over": lambda c, fd: c.rename(b"g", b"h", src_dir_fd=fd, dst_dir_fd=fd),
    "rename into": lambda c, fd: c.rename(b"g", b"d/g", src_dir_fd=fd, dst_dir_fd=fd),
    "rename to itself": lambda c, fd: c.rename(b"f", b"h", src_dir_fd=fd, dst_dir_fd=fd),
    "exchange": lambda c, fd: c.renameat2(fd, b"g", fd, b"d", 2),
    "mkdir": lambda c, fd: c.mkdir(b"d/new", dir_fd=fd),
    "rmdir": lambda c, fd: c.rmdir(b"d", dir_fd=fd),
    "symlink": lambda c, fd: c.symlink(b"x", b"new", dir_fd=fd),
}


def set_up(calls: Any, top: int, name: bytes) -> tuple[int, dict[bytes, tuple[int, os.stat_result]]]:
    """A directory of its own, and descriptors of what is in it with their states."""
    calls.mkdir(name, dir_fd=top)
    fd = calls.open(name, os.O_RDONLY, dir_fd=top)
    for file in (b"f", b"g"):
        opened = calls.open(file, CREATE, 0o644, dir_fd=fd)
        calls.write(opened, b"1234")
        calls.close(opened)
    calls.link(b"f", b"h", src_dir_fd=fd, dst_dir_fd=fd)
    calls.mkdir(b"d", dir_fd=fd)
    calls.symlink(b"f", b"l", dir_fd=fd)
    held_open = {
        entry: calls.open(entry, os.O_PATH | os.O_NOFOLLOW, dir_fd=fd) for entry in (b".", b"f", b"g", b"d", b"l")
    }
    return fd, {entry: (opened, calls.fstat(opened)) for entry, opened in held_open.items()}


def moved(calls: Any, states: dict[bytes, tuple[int, os.stat_result]]) -> dict[bytes, tuple[bool, bool]]:
    """For each entry: whether its mtime and its ctime are others."""
    return {
        name: (before.st_mtime_ns != now.st_mtime_ns, before.st_ctime_ns != now.st_ctime_ns)
        for name, (before, now) in {n: (s, calls.fstat(fd)) for n, (fd, s) in states.items()}.items()
    }


def test_the_same_times_move(tmp_path: Path) -> None:
    now = [1_900_000_000_000_000_000]
    system = SimOS(lambda: now[0])
    system.mount("/top")
    real = Twin(RealCalls(), os.fsencode(tmp_path))
    simulated = Twin(SimCalls(system), b"/top")
    places = {
        twin: {name: set_up(twin.calls, twin.slots[0], name.encode()) for name in MOVERS} for twin in (real, simulated)
    }
    deadline = time.monotonic() + 10
    probe = tmp_path / "probe"
    probe.touch()
    last = max(status.st_ctime_ns for _, states in places[real].values() for _, status in states.values())
    while probe.stat().st_ctime_ns <= last:  # the clock of a file system has steps
        assert time.monotonic() < deadline
        probe.touch()
    now[0] += 1
    for name, mover in MOVERS.items():
        found = []
        for twin in (real, simulated):
            fd, states = places[twin][name]
            mover(twin.calls, fd)
            found.append(moved(twin.calls, states))
        assert found[1] == found[0], name


def test_locks_links_and_disks(tmp_path: Path) -> None:
    """What random calls meet too seldom: the same on both sides, as it happens to be."""
    system = SimOS(time.time_ns)
    system.mount("/top")
    system.mount("/other")
    real, simulated = Twin(RealCalls(), os.fsencode(tmp_path)), Twin(SimCalls(system), b"/top")
    results = []
    for twin, locks, top in ((real, fcntl, os.fsencode(tmp_path)), (simulated, system.fcntl, b"/top")):
        calls, fd, seen = twin.calls, twin.slots[0], []

        def attempt(call: Callable[[Any, list[int]], Any], twin: Twin = twin, seen: list[object] = seen) -> None:
            seen.append(twin.do(call))

        first, second = (calls.open(b"lock", CREATE, dir_fd=fd) for _ in range(2))
        third = calls.dup(first)
        for holder, kind in (
            (first, fcntl.LOCK_EX), (second, fcntl.LOCK_EX), (third, fcntl.LOCK_EX), (second, fcntl.LOCK_SH),
            (third, fcntl.LOCK_UN), (second, fcntl.LOCK_SH), (first, fcntl.LOCK_SH), (first, fcntl.LOCK_EX),
        ):  # fmt: skip
            attempt(lambda c, f, h=holder, k=kind, lk=locks: lk.flock(h, k | fcntl.LOCK_NB))
        calls.close(second)
        attempt(lambda c, f, h=first, lk=locks: lk.flock(h, fcntl.LOCK_EX | fcntl.LOCK_NB))
        calls.symlink(b"loop", b"loop", dir_fd=fd)
        calls.symlink(top + b"/made", b"dangling", dir_fd=fd)
        attempt(lambda c, f, t=top: c.stat(t + b"/loop"))
        attempt(lambda c, f, t=top: c.stat(t + b"/dangling"))
        attempt(lambda c, f, t=top: c.close(c.open(t + b"/dangling", CREATE)))
        attempt(lambda c, f, t=top: c.stat(t + b"/dangling").st_size)
        attempt(lambda c, f, t=top: c.listdir(t))
        attempt(lambda c, f, h=first: c.stat(b"/proc/self/fd/%d" % h).st_size)
        attempt(lambda c, f, t=top: c.stat(t + b"/lock/x"))
        attempt(lambda c, f, t=top: c.readlink(t + b"/" + b"x" * 5000))
        calls.close(first)
        attempt(lambda c, f, h=third: c.fstat(h))
        calls.close(third)
        attempt(lambda c, f, h=third: c.fstat(h))
        results.append(seen)
    assert results[1] == results[0]
    with pytest.raises(OSError, match=os.strerror(errno.EXDEV)):
        system.rename("/top/lock", "/other/lock")
    with pytest.raises(OSError, match=os.strerror(errno.EXDEV)):
        system.rename("/top/lock", tmp_path / "taken")
    assert system.stat("/top").st_dev != system.stat("/other").st_dev
