"""`syncd plan` tells what then happens, and changes nothing by telling."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from protocol.keys import generate_secret
from tests.lab.cluster import Cluster, Daemon, free_port, snapshot


def plan(daemon: Daemon, *options: str) -> subprocess.CompletedProcess[str]:
    """What the command says. Its configuration is written as a start does."""
    daemon.write_config()
    return daemon.verb("plan", *options)


def planned(daemon: Daemon, *options: str) -> dict[str, Any]:
    """The plan of the only folder."""
    done = plan(daemon, "--json", *options)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["folders"]
    return dict(found)


def paths(found: dict[str, Any]) -> dict[str, list[str]]:
    """The paths of what would happen, by kind."""
    kinds = {kind: sorted(found[kind]["paths"]) for kind in ("replaced", "removed", "published", "deleted", "lost")}
    return {"fetched": sorted(path for each in found["fetched"] for path in each["paths"]), **kinds}


def fill(tree: Path, **files: str) -> None:
    for name, text in files.items():
        path = tree / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def state_of(daemon: Daemon) -> dict[str, tuple[int, int]]:
    """When everything that the node keeps was written, and how long it is."""
    found = {}
    for place in (daemon.tree / ".syncd", daemon.storage):
        for directory, _, names in os.walk(place):
            for name in names:
                status = os.lstat(os.path.join(directory, name))
                found[os.path.join(directory, name)] = status.st_mtime_ns, status.st_size
    return found


def test_a_node_that_is_new(cluster: Cluster) -> None:
    one = cluster.add("one")
    two = cluster.add("two", knows=[one], folder_options={"priority": [{"class": "first", "match": ["/d/"]}]})
    fill(one.tree, same="same", differs="before", d__theirs="only of one")
    one.start()
    one.wait_settled()
    fill(one.tree, differs="of one")
    one.rescan()
    fill(two.tree, same="same", differs="of two", ours="only of two")
    root, before = one.status()["root"], snapshot(two.tree)
    found = planned(two)
    assert (found["fresh"], found["settled"], found["peer"], found["held"], found["problems"]) == (
        True, True, "one", "", [],
    )  # fmt: skip
    assert paths(found) == {
        "fetched": ["d/theirs", "differs"], "replaced": ["differs"], "removed": [], "published": ["ours"],
        "deleted": [], "lost": ["differs"],
    }  # fmt: skip
    assert [(each["class"], each["files"], each["bytes"]) for each in found["fetched"]] == [
        ("first", 1, 11), ("rest", 1, 6),
    ]  # fmt: skip
    text = plan(two).stdout
    assert "this node is new here" in text
    assert "class first: 1 file, 11 B fetched" in text
    assert "    differs\n" in text

    assert snapshot(two.tree) == before
    assert not two.storage.exists()
    assert not (two.tree / ".syncd").exists()
    assert one.status()["root"] == root
    two.start()
    cluster.converge()
    assert (two.tree / "differs").read_text() == "of one"
    assert (one.tree / "ours").read_text() == "only of two"
    assert two.status()["conflicts"] == found["conflicts"] == 1


def test_a_node_that_was_away(cluster: Cluster) -> None:
    one = cluster.add("one")
    two = cluster.add("two", knows=[one])
    fill(one.tree, both="0", ours="0", theirs="0", gone_here="0", gone_there="0", still="0")
    for daemon in (one, two):
        daemon.start()
    cluster.converge()
    two.stop()
    fill(one.tree, both="of one", theirs="of one", new_there="of one")
    (one.tree / "gone_there").unlink()
    one.rescan()
    fill(two.tree, both="of two", ours="of two", new_here="of two")
    (two.tree / "gone_here").unlink()
    before, kept, root = snapshot(two.tree), state_of(two), one.status()["root"]
    found = planned(two)
    assert not found["fresh"]
    told = paths(found)
    assert told["deleted"] == ["gone_here"]
    assert told["removed"] == ["gone_there"]
    assert sorted([*told["published"], *told["lost"]]) == ["both", "new_here", "ours"]
    assert {"new_there", "theirs"} <= set(told["fetched"])
    assert (snapshot(two.tree), state_of(two), one.status()["root"]) == (before, kept, root)

    two.start()
    cluster.converge()
    assert not (one.tree / "gone_here").exists()
    assert not (two.tree / "gone_there").exists()
    assert (one.tree / "ours").read_text() == "of two"
    assert (two.tree / "theirs").read_text() == "of one"


def test_an_emptied_folder_is_held(cluster: Cluster) -> None:
    one = cluster.add("one")
    two = cluster.add("two", knows=[one])
    fill(one.tree, a="1", b="2")
    for daemon in (one, two):
        daemon.start()
    cluster.converge()
    two.stop()
    for name in "ab":
        (two.tree / name).unlink()
    found = planned(two)
    assert found["held"].startswith("2 files were deleted")
    assert found["deleted"]["files"] == 0
    assert "held, until `syncd approve` or `syncd reject`: 2 files were deleted" in plan(two).stdout


def test_a_reader_publishes_nothing(cluster: Cluster) -> None:
    one = cluster.add("one")
    reader = cluster.add("reader", knows=[one], read_only=True)
    fill(one.tree, a="1")
    one.start()
    one.wait_settled()
    fill(reader.tree, own="2")
    told = paths(planned(reader))
    assert told["published"] == told["lost"] == told["deleted"] == []
    assert told["fetched"] == ["a"]


def test_what_it_cannot_do_is_told_in_a_line(cluster: Cluster) -> None:
    one = cluster.add("one")
    two = cluster.add("two")
    done = plan(two)
    assert (done.returncode, done.stdout) == (os.EX_USAGE, "")
    assert "knows no peer: name one with --peer HOST:PORT" in done.stderr
    done = plan(two, "--peer", f"127.0.0.1:{free_port()}")
    assert done.returncode == os.EX_UNAVAILABLE
    assert "refused (nothing listens there)" in done.stderr
    one.start()
    done = plan(one, "--peer", one.endpoint)
    assert (done.returncode, done.stderr) == (
        os.EX_USAGE, "syncd: the node runs, and has joined: `syncd need` lists what is to come\n",
    )  # fmt: skip
    two.secret = generate_secret(os.urandom(32))
    done = plan(two, "--peer", one.endpoint)
    assert "other secret, or not syncd" in done.stderr
    assert plan(two, "--peer", "x:y").returncode == os.EX_USAGE
    assert plan(two, "--folder", "/elsewhere").returncode == os.EX_USAGE
    assert done.stderr.count("\n") == 1
