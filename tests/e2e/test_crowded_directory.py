"""C15: very many names in one directory: looked at, fetched by a fresh node, and looked at again, in bounded memory.

`python -m tests.e2e.test_crowded_directory --names 1000000` does it with a million, in some ten minutes.
"""

import argparse
import os
import select
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from benchmarks.measure import cpu_and_peak
from tests.lab.cluster import Cluster, Daemon, await_file

MIB = 1 << 20
NAMES = 100_000
MEMORY = 150 * MIB  # what a node may take at most, but for
PER_NAME = 120  # bytes: the names of a directory are sorted in memory
FILLED = 8  # of so many files one has bytes: empty ones take no room where files are in memory
DEADLINE = 3_000.0  # seconds, of each step
TELL = 10.0  # seconds between two lines about how far it is
STEP = 0.25  # seconds between two looks


def fill(directory: Path, names: int) -> None:
    """That many files."""
    directory.mkdir()
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    for number in range(names):
        file = os.open(f"{number:08d}.jpg", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644, dir_fd=fd)
        if number % FILLED == 0:
            os.write(file, b"%d" % number)
        os.close(file)
    os.close(fd)


def until(done: Callable[[], bool], daemons: list[Daemon], say: Callable[[str], None]) -> None:
    """Wait until it is so, and tell now and then how far they are. Raises AssertionError after the deadline."""
    begin = told = time.monotonic()
    while not done():
        now = time.monotonic()
        assert now < begin + DEADLINE, [daemon.log_text() for daemon in daemons]
        if now >= told + TELL:
            told = now
            say("; ".join(progress(daemon) for daemon in daemons))
        select.select([], [], [], STEP)


def progress(daemon: Daemon) -> str:
    """One node in a line."""
    now = daemon.status()
    return f"{daemon.base.name} {now['state']}, {now['files']} files, {now['need_files']} needed, {taken(daemon)}"


def taken(daemon: Daemon) -> str:
    """Of the machine."""
    seconds, peak = used(daemon)
    return f"{peak // MIB} MiB and {seconds:.0f} s of CPU"


def used(daemon: Daemon) -> tuple[float, int]:
    """CPU seconds so far, and most bytes of memory."""
    assert daemon.process is not None
    return cpu_and_peak(daemon.process.pid)


def assert_alike(one: Path, two: Path) -> None:
    """The same names, sizes, modes, times and bytes."""
    names = sorted(os.listdir(one))
    assert names == sorted(os.listdir(two))
    for name in names:
        mine, other = (one / name).lstat(), (two / name).lstat()
        assert (mine.st_size, mine.st_mode, mine.st_mtime_ns) == (other.st_size, other.st_mode, other.st_mtime_ns), name
        assert not mine.st_size or (one / name).read_bytes() == (two / name).read_bytes(), name


def check(base: Path, names: int, say: Callable[[str], None]) -> None:
    """All of it. say(what was measured). Raises AssertionError."""
    began = time.monotonic()

    def lap(what: str) -> None:
        nonlocal began
        say(f"{what} in {time.monotonic() - began:.0f} s")
        began = time.monotonic()

    with Cluster(base) as cluster:
        one = cluster.add("one")
        fill(one.tree / "uploads", names)
        lap("made")
        one.start()
        until(lambda: bool(one.status()["settled"]), [one], say)
        lap(f"scanned: {taken(one)}")
        two = cluster.add("two", knows=[one]).start()
        until(lambda: two.status()["state"] == "in-sync", [one, two], say)
        lap(f"synced: one {taken(one)}, two {taken(two)}")
        two.rescan(DEADLINE)
        until(lambda: two.status()["state"] == "in-sync", [two], say)
        lap("scanned again")
        (two.tree / f"uploads/{names // 2:08d}.jpg").write_bytes(b"edited")
        (two.tree / "uploads/a new one.jpg").write_bytes(b"new")
        await_file(one.tree / "uploads/a new one.jpg", b"new")
        await_file(one.tree / f"uploads/{names // 2:08d}.jpg", b"edited")
        lap("two changes went back")
        assert_alike(one.tree / "uploads", two.tree / "uploads")
        lap(f"{len(os.listdir(two.tree / 'uploads'))} files found to be alike")
        for daemon in (one, two):
            assert daemon.status()["problems"] == []
            say(f"{daemon.base.name} took {taken(daemon)}")
            assert used(daemon)[1] <= MEMORY + names * PER_NAME


@pytest.mark.heavy
def test_very_many_names_in_one_directory(tmp_path: Path) -> None:
    check(tmp_path, NAMES, print)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--names", type=int, default=NAMES)
    parser.add_argument("--below", help="directory for the trees")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.below) as directory:
        check(Path(directory), options.names, partial(print, flush=True))
