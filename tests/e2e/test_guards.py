"""Too many changes at once are held until the operator has said what they were."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncd.core.guard import BURST_PATHS
from tests.lab.cluster import Cluster, Daemon, await_condition, await_file, snapshot

MANY = BURST_PATHS + 10


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        yield cluster


def populate(tree: Path, number: int = MANY) -> None:
    """That many files in directories of a hundred, and one beside them."""
    for item in range(number):
        path = tree / f"uploads/{item // 100}/{item}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"token %d" % item)
    (tree / "beside").write_bytes(b"beside")


def pair(cluster: Cluster) -> tuple[Daemon, Daemon]:
    """Two daemons in sync, of which the second one knows the first."""
    one = cluster.add("one")
    populate(one.tree)
    one.start()
    two = cluster.add("two", knows=[one]).start()
    cluster.converge()
    return one, two


def await_held(daemon: Daemon, what: str, number: int) -> None:
    """Wait until that many changes of a kind are held."""
    await_condition(lambda: bool(daemon.status()["held"][what] == number), f"not {number} {what} are held")
    assert daemon.status()["state"] == "held"


@pytest.mark.heavy
def test_a_burst_of_deletions_is_held_whatever_happens_meanwhile(cluster: Cluster) -> None:
    one, two = pair(cluster)
    shutil.rmtree(two.tree / "uploads")
    await_held(two, "deletions", MANY)
    status = two.status()
    assert "uploads/0" in status["held"]["sample"]
    assert f"syncd approve {two.tree}" in status["reason"]
    assert f"syncd reject {two.tree}" in status["reason"]

    # Everything else goes on, both ways.
    (two.tree / "beside").unlink()
    await_file(one.tree / "beside", None)
    (one.tree / "new").write_bytes(b"new")
    await_file(two.tree / "new", b"new")
    (two.tree / "newer").write_bytes(b"newer")
    await_file(one.tree / "newer", b"newer")

    # What peers change is applied, what is made anew is published: neither is held any more.
    (one.tree / "uploads/0/1").write_bytes(b"changed elsewhere")
    await_condition(lambda: (two.tree / "uploads/0/1").exists(), "a change of a held path is not applied")
    assert (two.tree / "uploads/0/1").read_bytes() == b"changed elsewhere"
    (two.tree / "uploads/3").mkdir()
    (two.tree / "uploads/3/333").write_bytes(b"made anew")
    await_file(one.tree / "uploads/3/333", b"made anew")
    await_held(two, "deletions", MANY - 2)

    # Neither a scan nor a restart releases anything.
    two.rescan()
    await_held(two, "deletions", MANY - 2)
    two.kill()
    two.start()
    two.rescan()
    await_held(two, "deletions", MANY - 2)
    assert len(list((one.tree / "uploads").rglob("*"))) == MANY + (MANY + 99) // 100

    assert two.get("/v1/approve", method="POST")[0] == 200
    cluster.converge()
    assert {path.name for path in (one.tree / "uploads").rglob("*")} == {"0", "1", "3", "333"}
    assert snapshot(one.tree) == snapshot(two.tree)
    assert two.status()["held"]["deletions"] == 0


@pytest.mark.heavy
def test_what_was_deleted_while_stopped_is_held(cluster: Cluster) -> None:
    one, two = pair(cluster)
    before = snapshot(one.tree)
    two.stop()
    shutil.rmtree(two.tree / "uploads")
    (two.tree / "beside").unlink()
    two.start()
    await_held(two, "deletions", MANY + 1)
    two.rescan()
    assert snapshot(one.tree) == before
    one.stop()
    code, answer = two.get(f"/v1/reject?folder={two.tree}", method="POST")
    assert (code, answer["peers"], answer["paths"]) == (200, 0, MANY + 2 + (MANY + 99) // 100)
    one.start()
    cluster.converge()
    assert snapshot(one.tree) == before == snapshot(two.tree)
    code, answer = two.get("/v1/reject", method="POST")
    assert (code, answer["error"]) == (409, f"nothing is held in {two.tree}")


def test_an_emptied_folder_is_held_however_little_was_in_it(cluster: Cluster) -> None:
    one = cluster.add("one")
    populate(one.tree, 5)
    before = snapshot(one.tree)
    one.start()
    two = cluster.add("two", knows=[one]).start()
    cluster.converge()
    shutil.rmtree(two.tree / "uploads")
    (two.tree / "beside").unlink()
    await_held(two, "deletions", 6)
    assert two.get("/readyz")[1]["reason"] == "rest: the folder is held"
    (two.tree / "new").write_bytes(b"new")
    await_file(one.tree / "new", b"new")
    await_held(two, "deletions", 6)
    assert two.get("/v1/reject", method="POST")[0] == 200
    cluster.converge()
    (one.tree / "new").unlink()
    cluster.converge()
    assert snapshot(one.tree) == before == snapshot(two.tree)


@pytest.mark.heavy
def test_a_restored_backup_is_held(cluster: Cluster, tmp_path: Path) -> None:
    one, two = pair(cluster)
    shutil.copytree(two.tree / "uploads", tmp_path / "backup")
    for item in range(MANY):
        (one.tree / f"uploads/{item // 100}/{item}").write_bytes(b"edited %d" % item)
    cluster.converge()
    edited = snapshot(one.tree)

    def restore() -> None:
        two.stop()
        shutil.copytree(tmp_path / "backup", two.tree / "uploads", dirs_exist_ok=True)
        two.start()

    restore()
    await_held(two, "reverts", MANY)
    two.rescan()
    assert snapshot(one.tree) == edited
    (one.tree / "uploads/0/1").write_bytes(b"edited again")
    await_file(two.tree / "uploads/0/1", b"edited again")
    await_held(two, "reverts", MANY - 1)
    assert two.get("/v1/reject", method="POST")[0] == 200
    cluster.converge()
    assert (two.tree / "uploads/0/1").read_bytes() == b"edited again"
    assert (two.tree / "uploads/1/100").read_bytes() == b"edited 100"

    restore()
    await_held(two, "reverts", MANY)
    assert two.get("/v1/approve", method="POST")[0] == 200
    cluster.converge()
    assert snapshot(one.tree) == snapshot(two.tree)
    assert (one.tree / "uploads/1/100").read_bytes() == b"token 100"


def test_fewer_changes_are_published(cluster: Cluster) -> None:
    one, two = pair(cluster)
    for item in range(BURST_PATHS):
        (two.tree / f"uploads/{item // 100}/{item}").unlink()
    two.rescan()
    assert two.status()["held"]["deletions"] == 0
    cluster.converge()
    assert sum(os.path.isfile(path) for path in (one.tree / "uploads").rglob("*")) == MANY - BURST_PATHS
