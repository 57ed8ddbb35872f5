"""Files that change while they are read, are other kinds of things in between, or are mostly holes."""

import contextlib
import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.cluster import Cluster, await_condition, await_file, snapshot

SIZE = 600_000  # bytes: several blocks
CHANGES = 8  # contents that the receiver has to show
BURST = 300  # changes at full speed, of which the last one stays until it is shown: nobody can hash each in time


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        yield cluster


def alternate(tree: Path, aside: Path, shown: Any, stop: Any) -> None:
    """One pattern after the other as the whole file, at full speed; a pipe in between now and then."""
    number = 0
    while not stop.is_set():
        number += 1
        if number % 7 == 0:
            os.mkfifo(aside / "pipe")
            os.rename(aside / "pipe", tree / "file")
        fresh = aside / "fresh"
        fresh.write_bytes(bytes([number % 251]) * SIZE)
        os.rename(fresh, tree / "file")
        os.utime(tree / "file", ns=(1, 1))
        if number % BURST == 0:
            shown.wait(5.0)  # a pattern comes again after 251 others
            shown.clear()


@pytest.mark.heavy
def test_a_receiver_never_shows_a_mixture(cluster: Cluster) -> None:
    one = cluster.add("one").start()
    two = cluster.add("two", knows=[one]).start()
    two.wait_settled()
    context = multiprocessing.get_context("fork")
    shown, stop = context.Event(), context.Event()
    writer = context.Process(target=alternate, args=(one.tree, one.base, shown, stop))
    writer.start()
    seen: set[int] = set()

    def look() -> bool:
        with contextlib.suppress(FileNotFoundError):
            data = (two.tree / "file").read_bytes()
            assert len(data) == SIZE
            assert data == data[:1] * SIZE, "two versions in one file"
            if data[0] not in seen:
                seen.add(data[0])
                shown.set()
        return len(seen) >= CHANGES

    try:
        await_condition(look, "it does not keep up")
    finally:
        stop.set()
        shown.set()
        writer.join(10)
    (one.base / "last").write_bytes(b"last")
    os.rename(one.base / "last", one.tree / "file")
    await_file(two.tree / "file", b"last", deadline=60.0)
    cluster.converge()


def test_a_terabyte_of_nothing(cluster: Cluster) -> None:
    one = cluster.add("one")
    size, middle = 1 << 40, 300 << 30
    with (one.tree / "sparse").open("wb") as file:
        os.pwrite(file.fileno(), b"x" * 4_096, middle)
        file.truncate(size)
    one.start()
    two = cluster.add("two", knows=[one]).start()
    cluster.converge()
    arrived = two.tree / "sparse"
    assert arrived.stat().st_size == size
    assert arrived.stat().st_blocks * 512 < 1 << 20
    with arrived.open("rb") as file:
        assert os.pread(file.fileno(), 4_098, middle - 1) == b"\0" + b"x" * 4_096 + b"\0"
    assert one.status()["bytes_out"] < 1 << 20
    (one.tree / "sparse").unlink()
    await_condition(lambda: not arrived.exists(), "the deletion does not arrive")


def clamped(tree: Path) -> dict[bytes, int]:
    """Modification times as a record can hold them: what is beyond stays as it is where it was made."""
    return {path: min((1 << 63) - 1, item[2]) for path, item in snapshot(tree).items()}


def test_times_at_the_ends_of_what_can_be(cluster: Cluster) -> None:
    """-1 s, 0 and the far future: stored or clamped, and never taken for edits of each other."""
    one = cluster.add("one")
    times = [-1, 0, 1, -1_500_000_000, 1 << 62, (1 << 63) - 1, -(1 << 63) + 1, 253_402_300_800 * 10**9]
    for number, time in enumerate(times):
        path = one.tree / f"{number}"
        path.write_text(f"{number}")
        with contextlib.suppress(OSError, OverflowError):
            os.utime(path, ns=(0, time))
    one.start()
    two = cluster.add("two", knows=[one]).start()
    cluster.converge()
    assert clamped(one.tree) == clamped(two.tree)
    root = one.status()["root"]
    (one.tree / "0").touch()
    os.utime(one.tree / "0", ns=(0, -1))
    two.rescan()
    cluster.converge()
    assert one.status()["root"] == root
    assert two.status()["problem_count"] == 0
