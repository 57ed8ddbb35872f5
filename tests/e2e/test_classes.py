"""The site comes up first: themes before the rest, readiness that is true at the moment it is said."""

import os
import random
import select
import time
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.lab.cluster import PRIORITY, STEP, Cluster, Daemon, await_condition, await_file, snapshot

LIMIT = 20_000  # kB/s that the holder sends
CLASSES = {"priority": PRIORITY, "ready": {"classes": ["themes", "plugins"]}}
DEADLINE = 60.0


def fill(tree: Path) -> None:
    """A wp-content of 120 MB: 4 of themes, 16 of plugins, 100 of uploads."""
    chance = random.Random(11)
    for directory, files, size in (("themes", 200, 20_000), ("plugins", 400, 40_000), ("uploads", 250, 160_000)):
        for number in range(files):
            path = tree / directory / f"{number % 7}" / f"{number:04d}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(chance.randbytes(size))
    (tree / "uploads/film.mp4").write_bytes(chance.randbytes(60_000_000))


def part(tree: Path, top: str) -> dict[bytes, tuple[object, ...]]:
    """What of a tree lies below one of its directories."""
    try:
        return snapshot(tree / top)
    except FileNotFoundError:
        return {}


def holder(cluster: Cluster, limit: int = LIMIT) -> Daemon:
    """A node that has everything."""
    full = cluster.add("full", options={"upload_limit": limit}, folder_options=CLASSES)
    fill(full.tree)
    full.start()
    await_condition(lambda: bool(full.status()["settled"]), "the holder does not settle")
    return full


def first_answer(daemon: Daemon, path: str) -> tuple[int, str]:
    """The first thing that the health port of a starting daemon says."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        try:
            return daemon.health(path)
        except (OSError, HTTPException):
            select.select([], [], [], 0.005)
    raise AssertionError(f"no health port\n{daemon.log_text()}")


def test_ready_says_the_truth_and_says_it_early(cluster: Cluster) -> None:
    full = holder(cluster)
    new = cluster.add("new", knows=[full], http=True, folder_options=CLASSES).start(wait=False)
    status, reason = first_answer(new, "/readyz?class=themes")
    began = time.monotonic()
    assert status == 503, reason
    while status != 200:
        assert time.monotonic() - began < DEADLINE, reason
        select.select([], [], [], STEP)
        assert new.health("/readyz")[0] == 503
        status, reason = new.health("/readyz?class=themes")
    themes, passed = part(new.tree, "themes"), time.monotonic() - began
    uploads = part(new.tree, "uploads")
    assert themes == part(full.tree, "themes")
    assert uploads != part(full.tree, "uploads")
    assert new.health("/readyz?class=uploads")[0] == 503
    assert passed < 2.0, f"{passed:.2f} s"

    new.wait(ready="plugins")
    assert new.health("/readyz") == (200, "ready")
    assert part(new.tree, "plugins") == part(full.tree, "plugins")
    uploading = new.status()["classes"][2]
    assert not uploading["complete"]
    assert new.status()["state"] == "syncing"

    (full.tree / "themes/0/0000").write_bytes(b"changed while uploads stream")
    await_file(new.tree / "themes/0/0000", b"changed while uploads stream")
    large = os.urandom(500_000)
    (full.tree / "themes/0/new").write_bytes(large)
    await_file(new.tree / "themes/0/new", large)
    assert part(new.tree, "uploads") != part(full.tree, "uploads"), "uploads were faster than the themes"
    assert new.health("/readyz")[0] == 200

    cluster.converge()
    assert snapshot(new.tree) == snapshot(full.tree)
    assert new.health("/readyz?class=uploads")[0] == 200


def test_an_empty_node_does_not_make_another_ready(cluster: Cluster) -> None:
    one = cluster.add("one", http=True, folder_options=CLASSES).start()
    two = cluster.add("two", knows=[one], http=True, folder_options=CLASSES).start()
    await_condition(lambda: bool(one.peer("two") and two.peer("one")), "they do not connect")
    for daemon in (one, two):
        daemon.rescan()
        for path in ("/readyz", "/readyz?class=themes", "/readyz?class=uploads"):
            assert daemon.health(path)[0] == 503
        assert daemon.get("/v1/wait?class=themes&timeout=0.5")[0] == 504
        assert daemon.status()["state"] == "waiting"

    third = cluster.add("third", knows=[one, two], folder_options=CLASSES)
    (third.tree / "themes").mkdir()
    (third.tree / "themes/style.css").write_text("at last")
    third.start()
    for daemon in (one, two):
        await_file_below(daemon.tree / "themes/style.css", b"at last")
        daemon.wait(ready="themes")
        assert daemon.health("/readyz?class=themes") == (200, "ready")
        status, reason = daemon.health("/readyz?class=plugins")
        assert (status, "nothing is known of plugins" in reason) == (503, True)


def await_file_below(path: Path, content: bytes) -> None:
    """As await_file, where the directory may be missing still."""
    await_condition(path.parent.is_dir, f"{path.parent} does not come")
    await_file(path, content)


@pytest.mark.heavy
def test_a_ready_node_is_ready_again_at_once(cluster: Cluster) -> None:
    full = holder(cluster, 0)
    new = cluster.add("new", knows=[full], http=True, folder_options=CLASSES).start()
    new.wait(state="in-sync")
    assert full.stop() == 0
    for stop in (new.stop, new.kill):
        stop()
        new.start(wait=False)
        assert first_answer(new, "/readyz") == (200, "ready")
        assert new.health("/readyz?class=themes") == (200, "ready")
        new.wait_started()
        assert new.status()["state"] != "in-sync", "nobody is there to be in sync with"
