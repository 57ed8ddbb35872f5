"""What a power cut leaves of files is put right from peers, or from the archive, and never published."""

import os
import random
from pathlib import Path

import pytest

from tests.lab.cluster import Cluster, Daemon, await_condition, differences, snapshot

CHANCE = random.Random(7)
FILES = {
    "empty.php": CHANCE.randbytes(3_000),
    "zeroed.php": CHANCE.randbytes(3_000),
    "zeroed.jpg": CHANCE.randbytes(400_000),
    "short.jpg": CHANCE.randbytes(400_000),
    "tail.jpg": CHANCE.randbytes(400_000),
}
EDITED = {"edited.php": CHANCE.randbytes(2_000), "edited.jpg": CHANCE.randbytes(300_000)}


def damage(tree: Path) -> None:
    """What file systems leave of files that were written a moment before the power went."""
    os.truncate(tree / "empty.php", 0)
    (tree / "zeroed.php").write_bytes(bytes(3_000))
    (tree / "zeroed.jpg").write_bytes(bytes(400_000))
    os.truncate(tree / "short.jpg", 250_000)
    os.truncate(tree / "tail.jpg", 250_000)
    os.truncate(tree / "tail.jpg", 400_000)


def paths(daemon: Daemon, operation: str) -> set[str]:
    return {problem["path"] for problem in daemon.status()["problems"] if problem["operation"] == operation}


def test_damage_is_refetched_and_edits_are_published(cluster: Cluster) -> None:
    one = cluster.add("one")
    for name, data in (FILES | EDITED).items():
        (one.tree / name).write_bytes(data)
    one.start()
    two = cluster.add("two", knows=[one]).start()
    cluster.converge()
    root = two.status()["root"]
    one.stop()
    two.kill()
    damage(two.tree)
    two.start()
    two.rescan()
    assert paths(two, "damaged") == set(FILES)
    assert two.status()["root"] == root, "nothing of it is published"
    assert two.status()["need_files"] == len(FILES)
    assert "unclean stop" in two.log_text()
    edits = {name: CHANCE.randbytes(1_000) for name in EDITED}
    for name, data in edits.items():  # also shorter than before, but not by the crash
        (two.tree / name).write_bytes(data)
    one.start()
    cluster.converge()
    expected = FILES | edits
    for daemon in (one, two):
        assert {path.decode(): item[3] for path, item in snapshot(daemon.tree).items()} == expected
        assert daemon.status()["problems"] == []
    assert differences(snapshot(one.tree), snapshot(two.tree)) == []


def test_edits_that_were_made_while_it_was_down_are_no_damage(cluster: Cluster) -> None:
    one = cluster.add("one")
    for name, data in (FILES | EDITED).items():
        (one.tree / name).write_bytes(data)
    one.start()
    two = cluster.add("two", knows=[one]).start()
    cluster.converge()
    two.kill()
    (two.tree / "edited.php").write_bytes(b"short")
    (two.tree / "edited.jpg").write_bytes(CHANCE.randbytes(100_000))
    (two.tree / "empty.php").unlink()
    two.start()
    cluster.converge()
    assert (one.tree / "edited.php").read_bytes() == b"short"
    assert (one.tree / "edited.jpg").stat().st_size == 100_000
    assert not (one.tree / "empty.php").exists()


@pytest.mark.parametrize("name", ["empty.php", "short.jpg"])
def test_who_truncates_a_file_of_a_running_node_means_it(cluster: Cluster, name: str) -> None:
    one = cluster.add("one")
    (one.tree / name).write_bytes(FILES[name])
    one.start()
    two = cluster.add("two", knows=[one]).start()
    cluster.converge()
    two.kill()
    two.start()
    two.wait(state="in-sync")
    two.rescan()
    os.truncate(two.tree / name, 0)
    await_condition(lambda: (one.tree / name).stat().st_size == 0, "the edit does not come")


def test_damage_is_put_right_from_the_archive(cluster: Cluster) -> None:
    """Alone, with the bytes in the archive: an older version that is shown again, say."""
    one = cluster.add("one")
    target = one.tree / "f.php"
    target.write_bytes(FILES["empty.php"])
    one.start()
    two = cluster.add("two", knows=[one]).start()
    cluster.converge()
    (one.tree / "f.php").write_bytes(b"another version")
    cluster.converge()
    (one.tree / "f.php").write_bytes(FILES["empty.php"])
    cluster.converge()
    one.kill()
    two.kill()
    os.truncate(two.tree / "f.php", 0)
    two.start()
    await_condition(lambda: (two.tree / "f.php").read_bytes() == FILES["empty.php"], "it is not healed")
