"""A folder whose root was taken away is held, and goes on as the operator says."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.cluster import Cluster, Daemon, await_condition, await_file, snapshot

Snapshot = dict[bytes, tuple[object, ...]]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        yield cluster


def pair(cluster: Cluster) -> tuple[Daemon, Daemon, Snapshot]:
    """Two daemons in sync, and what they hold."""
    one = cluster.add("one")
    for name in ("themes/one/style.css", "uploads/picture", "index.php"):
        (one.tree / name).parent.mkdir(parents=True, exist_ok=True)
        (one.tree / name).write_bytes(os.urandom(1000))
    one.start()
    two = cluster.add("two", knows=[one]).start()
    cluster.converge()
    return one, two, snapshot(one.tree)


def emptied(daemon: Daemon) -> None:
    """`.syncd` is gone too."""
    for item in daemon.tree.iterdir():
        shutil.rmtree(item) if item.is_dir() else item.unlink()


def replaced(daemon: Daemon) -> None:
    """Another directory, with something else in it."""
    daemon.tree.rename(daemon.base / "aside")
    daemon.tree.mkdir()
    (daemon.tree / "other").write_bytes(b"other")


def linked(daemon: Daemon) -> None:
    daemon.tree.rename(daemon.base / "aside")
    (daemon.base / "elsewhere").mkdir()
    daemon.tree.symlink_to(daemon.base / "elsewhere")


def unmarked(daemon: Daemon) -> None:
    """Only the marker is gone, and a file."""
    (daemon.tree / ".syncd/marker").unlink()
    (daemon.tree / "index.php").unlink()


TAKEN = [emptied, replaced, linked, unmarked]


def take(daemon: Daemon, way: Callable[[Daemon], None]) -> None:
    way(daemon)
    daemon.rescan()
    daemon.wait(state="held")
    assert f"syncd approve {daemon.tree}" in daemon.status()["reason"]


def decide(daemon: Daemon, verb: str) -> None:
    """The node starts again, so that it does not answer for a moment."""
    before = daemon.get("/v1/status")[1]["node"]["uptime_seconds"]
    code, answer = daemon.get(f"/v1/{verb}", method="POST")
    assert code == 200, answer

    def is_anew() -> bool:
        try:
            return bool(daemon.get("/v1/status")[1]["node"]["uptime_seconds"] < before)
        except OSError:
            return False

    await_condition(is_anew, "it does not start again")


@pytest.mark.parametrize("way", TAKEN)
def test_what_was_taken_away_comes_back(cluster: Cluster, way: Callable[[Daemon], None]) -> None:
    one, two, before = pair(cluster)
    take(two, way)
    assert snapshot(one.tree) == before
    decide(two, "reject")
    cluster.converge()
    expected = dict(before)
    if way is replaced:
        expected[b"other"] = snapshot(two.tree)[b"other"]
    assert snapshot(one.tree) == expected == snapshot(two.tree)


@pytest.mark.parametrize("way", [emptied, replaced, unmarked])
def test_what_was_taken_away_may_be_meant(cluster: Cluster, way: Callable[[Daemon], None]) -> None:
    one, two, _ = pair(cluster)
    take(two, way)
    left = snapshot(two.tree)
    decide(two, "approve")
    await_file(one.tree / "index.php", None, deadline=30.0)
    if left:
        cluster.converge()
    await_condition(lambda: snapshot(one.tree) == left, "not all of it is published")
    assert snapshot(two.tree) == left
    # The next disaster is held again.
    (one.tree / "a").write_bytes(b"a")
    (one.tree / "b").write_bytes(b"b")
    await_file(two.tree / "b", b"b")
    cluster.converge()
    for name in snapshot(two.tree):
        if (two.tree / os.fsdecode(name)).is_file():
            (two.tree / os.fsdecode(name)).unlink()
    for name in sorted(snapshot(two.tree), reverse=True):
        (two.tree / os.fsdecode(name)).rmdir()
    two.wait(state="held")
    assert (one.tree / "a").exists()


def test_a_folder_that_is_put_back_goes_on(cluster: Cluster) -> None:
    one, two, before = pair(cluster)
    two.tree.rename(two.base / "aside")
    two.rescan()
    two.wait(state="held")
    code, answer = two.get("/v1/reject", method="POST")
    assert code == 409
    assert "put the folder back" in answer["error"]
    (two.base / "aside").rename(two.tree)
    cluster.converge()
    assert snapshot(one.tree) == before == snapshot(two.tree)
