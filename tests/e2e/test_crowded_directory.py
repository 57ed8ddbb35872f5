"""C15: very many names in one directory: looked at, fetched by a fresh node, and looked at again, in bounded memory.

`python -m tests.e2e.test_crowded_directory --names 1000000` does it with a million, in some ten minutes.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.lab.cluster import Cluster, Daemon, await_file

MIB = 1 << 20
NAMES = 100_000
MEMORY = 150 * MIB  # what a node may take at most, but for
PER_NAME = 120  # bytes: the names of a directory are sorted in memory
FILLED = 8  # of so many files one has bytes: empty ones take no room where files are in memory
DEADLINE = 3_000.0  # seconds


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


def most_memory(daemon: Daemon) -> int:
    """Bytes that the process has had resident at once."""
    assert daemon.process is not None
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


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
        one.wait_settled(DEADLINE)
        lap("scanned")
        two = cluster.add("two", knows=[one]).start()
        two.wait(state="in-sync", deadline=DEADLINE)
        lap("synced")
        two.rescan()
        two.wait(state="in-sync", deadline=DEADLINE)
        lap("scanned again")
        (two.tree / f"uploads/{names // 2:08d}.jpg").write_bytes(b"edited")
        (two.tree / "uploads/a new one.jpg").write_bytes(b"new")
        await_file(one.tree / "uploads/a new one.jpg", b"new")
        await_file(one.tree / f"uploads/{names // 2:08d}.jpg", b"edited")
        assert sorted(os.listdir(one.tree / "uploads")) == sorted(os.listdir(two.tree / "uploads"))
        last = (names - 1) // FILLED * FILLED
        assert (two.tree / f"uploads/{last:08d}.jpg").read_bytes() == b"%d" % last
        for daemon in (one, two):
            assert daemon.status()["problems"] == []
            say(f"{daemon.base.name} took {most_memory(daemon) // MIB} MiB")
            assert most_memory(daemon) <= MEMORY + names * PER_NAME


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
