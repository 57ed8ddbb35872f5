"""Disks that are full, or can only be read, under the tree and under the state; they come back while the node runs."""

import contextlib
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.cluster import Cluster, Daemon, await_condition, await_file, differences, snapshot
from tests.lab.machine import cannot_run

pytestmark = pytest.mark.root
MEBIBYTE = 1 << 20


@pytest.fixture(autouse=True)
def _machine() -> None:
    if os.geteuid():
        cannot_run("these tests mount file systems, which needs root")


@contextlib.contextmanager
def mounted(where: Path, *options: str) -> Iterator[Path]:
    """A file system of its own at `where`."""
    where.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", *options, str(where)], check=True)
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


def tmpfs(where: Path, size: int) -> contextlib.AbstractContextManager[Path]:
    return mounted(where, "-t", "tmpfs", "-o", f"size={size}", "tmpfs")


def fill(where: Path) -> Path:
    """Leave no room at all."""
    ballast = where / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(MEBIBYTE))
    with ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(512))
    return ballast


def joined(cluster: Cluster, **options: object) -> tuple[Daemon, Daemon]:
    one = cluster.add("one")
    (one.tree / "old").write_bytes(b"old")
    one.start()
    two = cluster.add("two", knows=[one], **options)
    return one, two


def test_a_full_tree(cluster: Cluster) -> None:
    """The large file waits, small ones go on while they fit, deletions and local edits too; then it comes by itself."""
    one, two = joined(cluster)
    large = random.Random(1).randbytes(12 * MEBIBYTE)
    with tmpfs(two.tree, 8 * MEBIBYTE):
        two.start()
        cluster.converge()
        (one.tree / "large").write_bytes(large)
        one.rescan()
        await_condition(lambda: two.problem("large") is not None, "the full disk is no problem")
        problem = two.problem("large")
        assert problem is not None
        assert "No space left" in problem["reason"]
        (one.tree / "small").write_bytes(b"small")
        await_file(two.tree / "small", b"small")
        (one.tree / "old").unlink()
        await_file(two.tree / "old", None)
        (two.tree / "mine").write_bytes(b"mine")
        await_file(one.tree / "mine", b"mine")
        two.wait(state="error")
        subprocess.run(["mount", "-o", f"remount,size={64 * MEBIBYTE}", str(two.tree)], check=True)
        await_condition(lambda: (two.tree / "large").exists(), "it does not come by itself", 70.0)
        cluster.converge()
        assert differences(snapshot(one.tree), snapshot(two.tree)) == []
        assert two.status()["problems"] == []
        assert two.stop() == 0


def test_a_part_of_the_disk_stays_free(cluster: Cluster) -> None:
    """A peer has far more than there is room for: the rest waits, and is told; what goes makes room."""
    one, two = joined(cluster, options={"min_free": "25%"}, http=True)
    with tmpfs(two.tree, 32 * MEBIBYTE):
        two.start()
        cluster.converge()
        for number in range(40):
            (one.tree / f"f{number:02}").write_bytes(random.Random(number).randbytes(MEBIBYTE // 32))
        one.rescan()
        two.wait(state="in-sync")
        (one.tree / "large").write_bytes(random.Random(99).randbytes(28 * MEBIBYTE))
        for number in range(40, 1_000):
            (one.tree / f"f{number:03}").write_bytes(random.Random(number).randbytes(MEBIBYTE // 32))
        one.rescan()
        await_condition(lambda: two.problem(str(two.tree)) is not None, "what waits is no problem")
        problem = two.problem(str(two.tree))
        assert problem is not None
        assert problem["operation"] == "space"
        assert problem["reason"].startswith(f"less than 25 % free on {two.tree} (")
        assert two.status()["state"] == "error"
        assert two.status()["space"]["scarce"]
        assert two.get("/readyz")[0] == 200, "it is ready all the same"
        free = os.statvfs(two.tree)
        assert free.f_bavail * free.f_frsize >= 7.5 * MEBIBYTE
        (two.tree / "mine").write_bytes(b"mine")
        await_file(one.tree / "mine", b"mine")
        (one.tree / "old").unlink()
        await_file(two.tree / "old", None)
        two.rescan()
        subprocess.run(["mount", "-o", f"remount,size={192 * MEBIBYTE}", str(two.tree)], check=True)
        cluster.converge()
        assert differences(snapshot(one.tree), snapshot(two.tree)) == []
        assert two.status()["problems"] == []
        assert two.stop() == 0


def test_a_full_state_directory(cluster: Cluster) -> None:
    """It lives, serves what it has and says what is wrong; nothing is published or applied until there is room."""
    one, two = joined(cluster, http=True)
    with tmpfs(two.storage, 24 * MEBIBYTE):
        two.start()
        cluster.converge()
        ballast = fill(two.storage)
        for number in range(4_000):
            (one.tree / f"new{number}").write_bytes(b"%d" % number)
        one.rescan()
        await_condition(lambda: two.status()["state"] == "error", "a full disk is no error", 30.0)
        (problem,) = [item for item in two.status()["problems"] if item["operation"] == "index"]
        assert problem["path"].endswith("index.sqlite3")
        assert "full" in problem["reason"]
        assert "make room" in problem["reason"]
        assert two.get("/livez")[0] == 200
        (two.tree / "mine").write_bytes(b"mine")
        three = cluster.add("three", knows=[two]).start()
        await_file(three.tree / "old", b"old")  # it still serves
        assert not (one.tree / "mine").exists()
        ballast.unlink()
        one.wait(state="in-sync")
        cluster.converge()
        for daemon in cluster.daemons:
            assert differences(snapshot(one.tree), snapshot(daemon.tree)) == []
            assert daemon.status()["alarms"] == []
            assert daemon.status()["problems"] == []
        assert (one.tree / "mine").read_bytes() == b"mine"
        assert two.stop() == 0


def test_a_node_with_a_full_state_directory_can_be_stopped(cluster: Cluster) -> None:
    one, two = joined(cluster)
    with tmpfs(two.storage, 24 * MEBIBYTE):
        two.start()
        cluster.converge()
        fill(two.storage)
        for number in range(4_000):
            (one.tree / f"new{number}").write_bytes(b"%d" % number)
        one.rescan()
        await_condition(lambda: two.status()["state"] == "error", "a full disk is no error", 30.0)
        two.stop()
        assert "Traceback" not in two.log_text()


def test_a_tree_that_becomes_read_only(cluster: Cluster) -> None:
    one, two = joined(cluster)
    image = cluster.base / "image"
    image.write_bytes(b"")
    os.truncate(image, 64 * MEBIBYTE)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    with mounted(two.tree, "-o", "loop", str(image)):
        (two.tree / "lost+found").rmdir()
        two.start()
        cluster.converge()
        subprocess.run(["mount", "-o", "remount,ro", str(two.tree)], check=True)
        (one.tree / "new").write_bytes(b"new")
        (one.tree / "large").write_bytes(bytes(range(256)) * 4_000)
        (one.tree / "old").unlink()
        await_condition(lambda: two.status()["state"] == "error", "a read-only tree is no error", 30.0)
        assert {item["reason"] for item in two.status()["problems"]} == {"Read-only file system"}
        two.rescan()
        one.rescan()
        assert (one.tree / "new").exists()
        subprocess.run(["mount", "-o", "remount,rw", str(two.tree)], check=True)
        await_file(two.tree / "new", b"new", 70.0)
        cluster.converge()
        assert differences(snapshot(one.tree), snapshot(two.tree)) == []
        assert two.stop() == 0


def test_stale_temps_are_removed_from_a_full_disk(cluster: Cluster) -> None:
    one, two = joined(cluster)
    with tmpfs(two.tree, 8 * MEBIBYTE):
        two.start()
        cluster.converge()
        two.kill()
        staging = two.tree / ".syncd" / "staging"
        places = [staging, *two.storage.glob("folders/*/staging")]
        place = next(item for item in places if item.is_dir())
        (place / "0123456789ab0").write_bytes(b"left by a kill")
        (place / "directory").mkdir(mode=0)
        fill(place).rename(place / ("ab" * 32))  # of a content that nobody needs any more
        new = random.Random(2).randbytes(5 * MEBIBYTE)
        (one.tree / "new").write_bytes(new)
        one.rescan()
        two.start()
        await_file(two.tree / "new", new, 60.0)
        cluster.converge()
        await_condition(lambda: not two.staging, f"left: {two.staging}")
        assert two.stop() == 0
