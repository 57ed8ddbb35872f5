"""`symlinks`: links that a node refuses are neither made nor published there, nor ever taken for edits."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.cluster import Cluster, await_condition, await_file, snapshot

INWARD = {b"near": b"file", b"d/up": b"../file"}
OUTWARD = {b"absolute": b"/etc/hostname", b"d/escaping": b"../../../etc/hostname"}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        yield cluster


def links(tree: Path) -> dict[bytes, bytes]:
    return {path: item[2] for path, item in snapshot(tree).items() if item[0] == "link"}


def make_links(tree: Path) -> None:
    (tree / "d").mkdir(exist_ok=True)
    (tree / "file").write_text("file")
    for path, target in {**INWARD, **OUTWARD}.items():
        os.symlink(target, os.fsencode(tree) + b"/" + path)


def test_refused_links(cluster: Cluster) -> None:
    one = cluster.add("one")
    make_links(one.tree)
    one.start()
    inside = cluster.add("inside", knows=[one], folder_options={"symlinks": "inside"})
    none = cluster.add("none", knows=[one], read_only=True, folder_options={"symlinks": "none"})
    inside.start()
    none.start()
    cluster.converge()
    assert links(one.tree) == {**INWARD, **OUTWARD}
    assert links(inside.tree) == INWARD
    assert links(none.tree) == {}
    for daemon, refused in ((inside, OUTWARD), (none, {**INWARD, **OUTWARD})):
        told = {item["path"]: item for item in daemon.status()["problems"]}
        assert set(told) == {os.fsdecode(path) for path in refused}
        assert {item["operation"] for item in told.values()} == {"skip"}
        assert all("symlinks" in item["reason"] for item in told.values())
    assert "absolute path" in (inside.problem("absolute") or {})["reason"]

    # a restart, a scan, and links that users make on the node that refuses them
    inside.stop()
    inside.start()
    (inside.tree / "mine").symlink_to("/etc/passwd")
    (inside.tree / "here").symlink_to("d")
    (inside.tree / "edited").write_text("edited")
    await_file(one.tree / "edited", b"edited")
    cluster.converge()
    assert links(one.tree) == {**INWARD, **OUTWARD, b"here": b"d"}
    assert (inside.tree / "mine").is_symlink()
    assert {item["path"] for item in inside.status()["problems"]} == {"absolute", "d/escaping", "mine"}

    # what takes the place of a refused link arrives, and its problem goes
    (one.tree / "absolute").unlink()
    (one.tree / "absolute").write_text("a file now")
    await_file(inside.tree / "absolute", b"a file now")
    await_condition(lambda: inside.problem("absolute") is None, "the problem stays")
    (inside.tree / "near").unlink()
    await_condition(lambda: not (one.tree / "near").is_symlink(), "the deletion does not arrive")


def test_links_that_were_there_before_the_rule_stay_everywhere(cluster: Cluster) -> None:
    one = cluster.add("one")
    make_links(one.tree)
    one.start()
    two = cluster.add("two", knows=[one]).start()
    cluster.converge()
    assert links(two.tree) == {**INWARD, **OUTWARD}
    two.stop()
    two.folder_options["symlinks"] = "none"
    two.start()
    cluster.converge()
    (two.tree / "d/new").write_text("new")
    await_file(one.tree / "d/new", b"new")
    cluster.converge()
    assert links(one.tree) == links(two.tree) == {**INWARD, **OUTWARD}
    assert {item["operation"] for item in two.status()["problems"]} == {"skip"}
    assert two.status()["problem_count"] == 4
