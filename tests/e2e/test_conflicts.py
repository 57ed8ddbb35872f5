"""Nobody's edit is on one machine only: what loses a conflict is in the archive of every node that may write."""

import contextlib
import json
import random
import secrets
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab.cluster import Cluster, Daemon, await_condition, await_file, snapshot


def token() -> bytes:
    return secrets.token_hex(16).encode()


def archived(daemon: Daemon) -> set[bytes]:
    """The bytes of all that lies in the archive. What passes through on its way into the tree may be gone again."""
    found = set()
    for item in daemon.archive:
        with contextlib.suppress(FileNotFoundError):
            if not item.is_symlink():
                found.add(item.read_bytes())
    return found


def holds(daemon: Daemon) -> set[bytes]:
    """The bytes of all files, in the tree and in the archive."""
    return archived(daemon) | {entry[3] for entry in snapshot(daemon.tree).values() if entry[0] == "file"}


def await_kept(daemons: list[Daemon], contents: set[bytes]) -> None:
    """Until each of them has all of these contents, somewhere."""

    def are_held(daemon: Daemon) -> bool:
        try:
            return contents <= holds(daemon)
        except FileNotFoundError:  # the tree is still changing
            return False

    for daemon in daemons:
        await_condition(lambda d=daemon: are_held(d), f"{daemon.base.name} lacks what lost")


def mesh(cluster: Cluster, names: str, **files: bytes) -> list[Daemon]:
    """Nodes that know each other and agree about these files."""
    daemons: list[Daemon] = []
    for name in names:
        daemons.append(cluster.add(name, knows=list(daemons)))
    for name, content in files.items():
        (daemons[0].tree / name).write_bytes(content)
    for daemon in daemons:
        daemon.start()
    cluster.converge()
    return daemons


@pytest.mark.heavy
def test_one_wins_and_three_are_kept_everywhere(cluster: Cluster) -> None:
    daemons = mesh(cluster, "abcd", wp=b"before", large=b"before")
    for daemon in daemons:
        daemon.stop()
    tokens = {daemon.base.name: token() for daemon in daemons}
    large = {daemon.base.name: random.Random(daemon.base.name).randbytes(200_000) for daemon in daemons}
    for daemon in daemons:  # each alone: it publishes before it hears of the others
        known, daemon.known_hosts = daemon.known_hosts, []
        daemon.start()
        (daemon.tree / "wp").write_bytes(tokens[daemon.base.name])
        (daemon.tree / "large").write_bytes(large[daemon.base.name])
        daemon.rescan()
        daemon.stop()
        daemon.known_hosts = known
    for daemon in random.Random(5).sample(daemons, 4):
        daemon.start()
    cluster.converge()
    everything = {*tokens.values(), *large.values()}
    await_kept(daemons, everything)
    trees = [snapshot(daemon.tree) for daemon in daemons]
    assert all(tree == trees[0] for tree in trees)
    assert trees[0].keys() == {b"wp", b"large"}, "what loses never gets into the tree"
    shown = {trees[0][b"wp"][3], trees[0][b"large"][3]}
    for daemon in daemons:
        assert everything - shown <= archived(daemon)
        assert daemon.status()["conflicts"] == 6
        assert daemon.status()["state"] == "in-sync"


def syncd(daemon: Daemon, *arguments: str) -> str:
    """What the command says."""
    done = daemon.verb(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def conflicts(daemon: Daemon) -> dict[str, list[dict[str, Any]]]:
    """{path: versions} as the command lists them."""
    listed = json.loads(syncd(daemon, "conflicts", "list", "--json"))["conflicts"]
    return {item["path"]: item["versions"] for item in listed}


def apart(daemons: list[Daemon], act: Callable[[Daemon], None]) -> None:
    """Let something happen on each node while it is alone; then they meet."""
    for daemon in daemons:
        daemon.stop()
    for daemon in daemons:
        known, daemon.known_hosts = daemon.known_hosts, []
        daemon.start()
        act(daemon)
        daemon.rescan()
        daemon.stop()
        daemon.known_hosts = known
    for daemon in daemons:
        daemon.start()


@pytest.mark.heavy
def test_a_version_is_put_back_and_the_rest_dismissed(cluster: Cluster, tmp_path: Path) -> None:
    one, two = mesh(cluster, "ab", f=b"before", g=b"before", deleted=b"deleted")
    tokens = {name: {daemon.base.name: token() for daemon in (one, two)} for name in "fg"}

    def act(daemon: Daemon) -> None:
        for name in "fg":
            (daemon.tree / name).write_bytes(tokens[name][daemon.base.name])

    apart([one, two], act)
    cluster.converge()
    await_kept([one, two], {*tokens["f"].values(), *tokens["g"].values()})
    assert one.status()["conflicts"] == 2
    for daemon in (one, two):
        listed = conflicts(daemon)
        assert listed.keys() == {"f", "g"}
        assert [(v["version"], v["author"], v["size"], v["here"]) for v in listed["f"]] == [(1, "a", 32, True)]
    assert "f: file of 32 B\n  1: 32 B, by a, 2" in syncd(two, "conflicts", "list")

    target = tmp_path / "out"
    syncd(two, "conflicts", "restore", "f", "--to", str(target))
    assert target.read_bytes() == tokens["f"]["a"]
    assert syncd(two, "conflicts", "restore", "f") == "restored: f\n"
    assert (two.tree / "f").read_bytes() == tokens["f"]["a"]
    await_file(one.tree / "f", tokens["f"]["a"])
    assert tokens["f"]["b"] in archived(two)
    assert syncd(one, "conflicts", "dismiss", str(one.tree / "g")) == "dismissed: g\n"
    cluster.converge()
    assert conflicts(one) == conflicts(two) == {}
    assert (two.tree / "g").read_bytes() == tokens["g"]["b"]
    assert two.status()["conflicts"] == 0

    (one.tree / "deleted").unlink()
    await_file(two.tree / "deleted", None)
    two.rescan()
    (item,) = [i for i in json.loads(syncd(two, "archive", "list", "--json"))["items"] if i["path"] == "deleted"]
    assert (item["size"], item["reason"]) == (7, "deleted")
    assert syncd(two, "archive", "restore", item["id"]) == "restored: deleted\n"
    await_file(one.tree / "deleted", b"deleted")
    assert (two.tree / "deleted").read_bytes() == b"deleted"
    latest = json.loads(syncd(two, "archive", "list", "f", "--json"))["items"][0]
    copy = tmp_path / "copy"
    syncd(two, "archive", "restore", latest["id"], "--to", str(copy))
    assert copy.read_bytes() == tokens["f"]["b"]
    cluster.converge()
    assert snapshot(one.tree) == snapshot(two.tree)


def test_what_both_sides_of_a_cut_may_do(cluster: Cluster) -> None:
    """Each path is one case; `a` acts first, so what `b` does is later."""
    before = {"edited": b"1", "removed": b"2", "f2l": b"3", "l2f": b"4", "again": b"5"}
    one, two = mesh(cluster, "ab", **before)
    for daemon in (one, two):
        (daemon.tree / "dir").mkdir(exist_ok=True)
    (one.tree / "dir/file").write_bytes(b"6")
    cluster.converge()
    tokens = {name: token() for name in ("edited", "removed", "f2l", "l2f", "again", "below", "hidden", "inside")}
    same = token()

    def act(daemon: Daemon) -> None:
        tree = daemon.tree
        if daemon is one:
            (tree / "edited").write_bytes(tokens["edited"])
            (tree / "removed").unlink()
            (tree / "f2l").write_bytes(tokens["f2l"])
            (tree / "l2f").unlink()
            (tree / "l2f").symlink_to("target-of-a")
            (tree / "again").unlink()
            daemon.rescan()
            (tree / "again").write_bytes(tokens["again"])
            shutil.rmtree(tree / "dir")
            (tree / "name").write_bytes(tokens["hidden"])
            (tree / "same").write_bytes(same)
        else:
            (tree / "edited").unlink()
            (tree / "removed").write_bytes(tokens["removed"])
            (tree / "f2l").unlink()
            (tree / "f2l").symlink_to("target-of-b")
            (tree / "l2f").write_bytes(tokens["l2f"])
            (tree / "dir/file").write_bytes(tokens["below"])
            (tree / "name").mkdir()
            (tree / "name/inside").write_bytes(tokens["inside"])
            (tree / "same").write_bytes(same)

    apart([one, two], act)
    cluster.converge()
    await_kept([one, two], {*tokens.values()})
    tree = snapshot(one.tree)
    assert snapshot(two.tree) == tree
    shown = {path: entry[-1] for path, entry in tree.items() if entry[0] != "dir"}
    assert shown == {
        b"edited": tokens["edited"],  # an edit is stronger than a deletion, earlier or later
        b"removed": tokens["removed"],
        b"f2l": b"target-of-b",
        b"l2f": tokens["l2f"],
        b"again": tokens["again"],
        b"dir/file": tokens["below"],
        b"name/inside": tokens["inside"],
        b"same": same,
    }
    for daemon in (one, two):
        listed = conflicts(daemon)
        assert {path: [version["kind"] for version in listed[path]] for path in listed} == {
            "f2l": ["file"],
            "l2f": ["link"],
            "name": ["file"],
        }
        assert {tokens["f2l"], tokens["hidden"]} <= archived(daemon)
    assert conflicts(one)["l2f"][0]["target"] == "target-of-a"
    assert syncd(two, "conflicts", "restore", "l2f") == "restored: l2f\n"
    assert (two.tree / "l2f").readlink() == Path("target-of-a")
    cluster.converge()
    assert (one.tree / "l2f").readlink() == Path("target-of-a")


@pytest.mark.heavy
def test_a_version_that_lost_is_edited_on_both_sides(cluster: Cluster) -> None:
    daemons = mesh(cluster, "ab", f=b"before")
    first = {daemon.base.name: token() for daemon in daemons}
    second = {daemon.base.name: token() for daemon in daemons}
    apart(daemons, lambda daemon: void((daemon.tree / "f").write_bytes(first[daemon.base.name])))
    cluster.converge()
    await_kept(daemons, {*first.values()})

    def edit_the_loser(daemon: Daemon) -> None:
        assert syncd(daemon, "conflicts", "restore", "f") == "restored: f\n"
        assert (daemon.tree / "f").read_bytes() == first["a"]
        (daemon.tree / "f").write_bytes(second[daemon.base.name])

    apart(daemons, edit_the_loser)
    cluster.converge()
    await_kept(daemons, {*first.values(), *second.values()})
    for daemon in daemons:
        assert (daemon.tree / "f").read_bytes() == second["b"]
        assert second["a"] in archived(daemon)


def void(_: object) -> None:
    """For lambdas whose value does not count."""


def test_an_edit_that_was_not_seen_yet_when_an_update_came(cluster: Cluster) -> None:
    one, two = mesh(cluster, "ab", f=b"before")
    tokens = [token(), token()]
    assert two.process is not None
    two.process.send_signal(signal.SIGSTOP)
    try:
        (two.tree / "f").write_bytes(tokens[0])
        (one.tree / "f").write_bytes(tokens[1])
        one.rescan()
    finally:
        two.process.send_signal(signal.SIGCONT)
    cluster.converge()
    await_kept([one, two], {*tokens})
    assert snapshot(one.tree) == snapshot(two.tree)


def test_a_fresh_node_brings_its_own_files(cluster: Cluster) -> None:
    full, fresh = cluster.add("full"), cluster.add("fresh")
    tokens = [token(), token()]
    for name, content in (("both", b"same"), ("full", b"1"), ("differ", b"0")):
        (full.tree / name).write_bytes(content)
    for name, content in (("both", b"same"), ("fresh", b"2"), ("differ", tokens[1])):
        (fresh.tree / name).write_bytes(content)
    fresh.known_hosts = [full.endpoint]
    full.start()
    full.wait_settled()
    (full.tree / "differ").write_bytes(tokens[0])
    full.rescan()
    fresh.start()
    cluster.converge()
    await_kept([full, fresh], {*tokens})
    assert snapshot(full.tree) == snapshot(fresh.tree)
    assert snapshot(full.tree).keys() == {b"both", b"full", b"fresh", b"differ"}
    for daemon in (full, fresh):
        assert (daemon.tree / "differ").read_bytes() == tokens[0], "what a fresh node found never wins"
        assert conflicts(daemon).keys() == {"differ"}
        assert tokens[1] in archived(daemon)


@pytest.mark.heavy
def test_a_reader_keeps_no_losers_and_what_nobody_has_delays_nothing(cluster: Cluster) -> None:
    one, two = mesh(cluster, "ab", f=b"before")
    tokens = {daemon.base.name: token() for daemon in (one, two)}
    apart([one, two], lambda daemon: void((daemon.tree / "f").write_bytes(tokens[daemon.base.name])))
    cluster.converge()
    await_kept([one, two], {*tokens.values()})
    for daemon in (one, two):
        for item in daemon.archive:
            item.unlink()
    late = cluster.add("late", knows=[one, two]).start()
    reader = cluster.add("reader", knows=[one, two], read_only=True).start()
    cluster.converge()
    for daemon in (late, reader):
        assert (daemon.tree / "f").read_bytes() == tokens["b"]
        assert daemon.status()["need_files"] == 0
        assert [version["here"] for version in conflicts(daemon)["f"]] == [False]
    assert "are not here yet" in late.verb("conflicts", "restore", "f").stderr
    (two.tree / "copy").write_bytes(tokens["a"])  # the bytes turn up again
    cluster.converge()
    late.stop()
    late.start()
    await_condition(lambda: tokens["a"] in archived(late), "what turned up is not kept")
    assert reader.archive == []


@pytest.mark.heavy
def test_a_copy_beside_the_winner_outlives_a_kill_and_stays_on_its_node(cluster: Cluster) -> None:
    asks = cluster.add("asks", folder_options={"conflict_copies": "beside"})
    other = cluster.add("other", knows=[asks])
    (asks.tree / "f.txt").write_bytes(b"before")
    for daemon in (asks, other):
        daemon.start()
    cluster.converge()
    tokens = {daemon.base.name: token() for daemon in (asks, other)}
    apart([asks, other], lambda daemon: void((daemon.tree / "f.txt").write_bytes(tokens[daemon.base.name])))
    for daemon in (asks, other):
        daemon.wait(state="in-sync")
    await_kept([asks, other], {*tokens.values()})
    await_condition(lambda: len(list(asks.tree.glob("f.sync-conflict-*.txt"))) == 1, "no copy is made")
    (copy,) = asks.tree.glob("f.sync-conflict-*.txt")
    assert copy.read_bytes() == tokens["asks"]
    assert f"copy: {copy.name}" in syncd(asks, "conflicts", "list")
    asks.kill()
    asks.start()
    for daemon in (asks, other):
        daemon.rescan()
        daemon.wait(state="in-sync")
    assert asks.status()["root"] == other.status()["root"]
    assert sorted(asks.tree.glob("*.txt")) == sorted([copy, asks.tree / "f.txt"])
    assert [item.name for item in other.tree.glob("*.txt")] == ["f.txt"]
    syncd(other, "conflicts", "dismiss", "f.txt")
    await_file(copy, None)
    cluster.converge()
    assert snapshot(asks.tree) == snapshot(other.tree)
    assert tokens["asks"] in archived(asks)
