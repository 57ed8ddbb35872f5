"""Trees that a node meets for the first time: emptied with their marker, copied from another node, restored."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.cluster import Cluster, Daemon, snapshot

Snapshot = dict[bytes, tuple[object, ...]]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def full(cluster: Cluster) -> Daemon:
    """A running, settled node with some files."""
    full = cluster.add("full")
    for name in ("themes/one/style.css", "uploads/picture", "index.php"):
        (full.tree / name).parent.mkdir(parents=True, exist_ok=True)
        (full.tree / name).write_bytes(os.urandom(100_000))
    full.start()
    full.wait_settled()
    return full


def copy_tree(source: Daemon, target: Daemon) -> None:
    """As `cp -a` does."""
    shutil.rmtree(target.tree)
    shutil.copytree(source.tree, target.tree, symlinks=True)


def test_an_emptied_tree_without_a_marker_is_refilled(cluster: Cluster, full: Daemon) -> None:
    two = cluster.add("two", knows=[full]).start()
    cluster.converge()
    before, root = snapshot(full.tree), full.status()["root"]
    two.stop()
    shutil.rmtree(two.tree)
    two.tree.mkdir()
    two.start()
    cluster.converge()
    assert snapshot(full.tree) == before == snapshot(two.tree)
    assert full.status()["root"] == root  # nothing was published
    assert two.status()["held"]["deletions"] == 0


@pytest.mark.parametrize("with_leftovers", [False, True])
def test_a_copied_tree_is_a_seed(cluster: Cluster, full: Daemon, with_leftovers: bool) -> None:
    before, root = snapshot(full.tree), full.status()["root"]
    seeded = cluster.add("seeded", knows=[full])
    copy_tree(full, seeded)
    marker = (full.tree / ".syncd/marker").read_bytes()
    if with_leftovers:
        for place in ("staging", "archive"):
            (seeded.tree / ".syncd" / place).mkdir(exist_ok=True)
            (seeded.tree / ".syncd" / place / "1234abcd").write_bytes(b"left over")
        (seeded.tree / ".syncd/staging/ff00").mkdir()
    seeded.start()
    cluster.converge()
    assert snapshot(full.tree) == before == snapshot(seeded.tree)
    assert full.status()["root"] == root  # nothing was published
    status = seeded.status()
    assert (status["fetched_bytes"], status["conflicts"], status["held"]["deletions"]) == (0, 0, 0)
    assert (full.tree / ".syncd/marker").read_bytes() == marker != (seeded.tree / ".syncd/marker").read_bytes()
    assert seeded.staging == []
    assert [path.read_bytes() for path in seeded.archive] == [b"left over"] * with_leftovers
    # It is a node like any other now: what it deletes is deleted.
    (seeded.tree / "index.php").unlink()
    cluster.converge()
    assert not (full.tree / "index.php").exists()


def test_a_restored_tree_publishes_nothing(cluster: Cluster, full: Daemon, tmp_path: Path) -> None:
    """A backup with its marker, older than the index: what was changed, added and deleted since is not undone."""
    two = cluster.add("two", knows=[full]).start()
    cluster.converge()
    shutil.copytree(two.tree, tmp_path / "backup", symlinks=True)
    (full.tree / "index.php").write_bytes(b"changed since")
    (full.tree / "themes/one/style.css").unlink()
    (full.tree / "uploads/new").write_bytes(b"new since")
    cluster.converge()
    two.stop()
    two.start()  # the marker of the backup is not the one of the last start
    cluster.converge()
    before, root = snapshot(full.tree), full.status()["root"]
    two.stop()
    shutil.rmtree(two.tree)
    shutil.copytree(tmp_path / "backup", two.tree, symlinks=True)
    (two.tree / "only in the backup").write_bytes(b"kept")
    two.start()
    cluster.converge()
    after = snapshot(full.tree)
    assert after.pop(b"only in the backup")[3] == b"kept"
    assert after == before
    assert snapshot(two.tree) == snapshot(full.tree)
    assert full.status()["root"] != root
    assert two.status()["conflicts"] == 0
    assert any("is not the tree of the last start" in alarm for alarm in two.status()["alarms"])
