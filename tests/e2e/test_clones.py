"""Nodes that were made by copying another one."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.cluster import Cluster, Daemon, await_condition, await_file, snapshot


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        yield cluster


def populate(tree: Path) -> None:
    for name in ("themes/one/style.css", "uploads/picture", "index.php"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(os.urandom(1000))


def copy_of(cluster: Cluster, original: Daemon, name: str, *, knows: list[Daemon]) -> Daemon:
    """A daemon whose state and tree are copied, with all times."""
    daemon = cluster.add(name, knows=knows)
    for part in ("tree", "state"):
        shutil.rmtree(daemon.base / part, ignore_errors=True)
        ignore = shutil.ignore_patterns("control.sock")
        shutil.copytree(original.base / part, daemon.base / part, symlinks=True, ignore=ignore)
    return daemon


def node_id(daemon: Daemon) -> str:
    return str(daemon.get("/v1/status")[1]["node"]["id"])


def are_two(one: Daemon, two: Daemon) -> bool:
    """Whether they have two identities; whoever takes a new one does not answer for a moment."""
    try:
        return node_id(one) != node_id(two)
    except OSError:
        return False


def check_both_work(cluster: Cluster, one: Daemon, two: Daemon) -> None:
    """What either writes arrives in all, and nothing was lost on the way."""
    for daemon in (one, two):
        name = f"uploads/from-{daemon.base.name}"
        (daemon.tree / name).write_bytes(daemon.base.name.encode())
        for other in cluster.daemons:
            await_file(other.tree / name, daemon.base.name.encode(), deadline=30.0)
    cluster.converge()
    assert len({str(sorted(snapshot(daemon.tree).items())) for daemon in cluster.daemons}) == 1


def test_a_copied_node_is_another_one(cluster: Cluster) -> None:
    """Neither copy knows the other: both dial a third node, and would take each other's place there."""
    hub = cluster.add("hub")
    populate(hub.tree)
    hub.start()
    original = cluster.add("original", knows=[hub]).start()
    cluster.converge()
    before = snapshot(hub.tree)
    original.stop()
    clone = copy_of(cluster, original, "clone", knows=[hub])
    original.start()
    clone.start()
    cluster.converge()
    assert {peer["name"] for peer in hub.status()["peers"] if peer["connected"]} == {"original", "clone"}
    assert node_id(clone) != node_id(original)
    assert any("was copied" in alarm for alarm in clone.status()["alarms"])
    assert original.status()["alarms"] == []
    assert snapshot(hub.tree) == before
    assert snapshot(clone.tree) == before
    check_both_work(cluster, original, clone)
    clone.stop()
    clone.start()
    assert clone.status()["alarms"] == []


def as_if_never_copied(daemon: Daemon) -> None:
    """As after a snapshot of a virtual machine: nothing on the disk tells that it is a copy."""
    status = (daemon.storage / "node.key").stat()
    (daemon.storage / "node.place").write_text(f"{status.st_ino} {status.st_ctime_ns}\n")


@pytest.mark.heavy
def test_copies_that_meet_at_a_third_node_become_two(cluster: Cluster) -> None:
    hub = cluster.add("hub")
    populate(hub.tree)
    hub.start()
    original = cluster.add("original", knows=[hub]).start()
    cluster.converge()
    original.stop()
    clone = copy_of(cluster, original, "clone", knows=[hub])
    as_if_never_copied(clone)
    original.start()
    clone.start()
    await_condition(lambda: are_two(original, clone), "both have the same identity")
    assert any("two nodes have the identity" in alarm for alarm in hub.status()["alarms"])
    check_both_work(cluster, original, clone)


@pytest.mark.heavy
def test_copies_that_meet_become_two(cluster: Cluster) -> None:
    original = cluster.add("original")
    populate(original.tree)
    original.start()
    original.wait_settled()
    before = snapshot(original.tree)
    key = node_id(original)
    original.stop()
    clone = copy_of(cluster, original, "clone", knows=[original])
    as_if_never_copied(clone)
    original.known_hosts = [clone.endpoint]
    original.start()
    clone.start()
    await_condition(lambda: are_two(original, clone), "both have the same identity")
    cluster.converge()
    renewed = [daemon for daemon in (original, clone) if node_id(daemon) != key]
    assert all(any("was copied" in alarm for alarm in daemon.status()["alarms"]) for daemon in renewed)
    assert "has the identity of this one" in renewed[0].log_text()
    assert snapshot(original.tree) == before == snapshot(clone.tree)
    check_both_work(cluster, original, clone)


def test_a_node_that_dials_itself_stays_itself(cluster: Cluster) -> None:
    alone = cluster.add("alone")
    alone.known_hosts = [alone.endpoint]
    populate(alone.tree)
    alone.start()
    alone.wait_settled()
    key = node_id(alone)
    await_condition(lambda: not alone.status()["peers"], "it does not find itself")  # known to be its own address
    assert node_id(alone) == key
    alone.stop()
    assert "identity of this one" not in alone.log_text()
    assert "handshake" not in alone.log_text(), "nobody strange was there"
