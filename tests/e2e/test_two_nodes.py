"""Two real daemons on loopback keep a folder the same."""

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.cluster import Cluster, await_file, snapshot


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        yield cluster


def populate(tree: Path, seed: int) -> None:
    """Files of many sizes, directories (an empty one too), links, odd modes."""
    chance = random.Random(seed)
    for directory in ("themes/one", "plugins/a/b/c", "uploads/2024", "empty"):
        (tree / directory).mkdir(parents=True, exist_ok=True)
    for number, size in enumerate((0, 1, 100, 65_536, 65_537, 300_000, 3_000_000)):
        for directory in ("themes/one", "plugins/a/b", "uploads/2024"):
            path = tree / directory / f"file-{number}"
            path.write_bytes(chance.randbytes(size))
            os.utime(path, ns=(chance.randrange(1 << 60), chance.randrange(1 << 60)))
    (tree / "themes/one/style.css").symlink_to("file-2")
    (tree / "plugins/broken").symlink_to("/nowhere/at/all")
    (tree / "plugins/a/b/file-1").chmod(0o600)
    (tree / "plugins/a/b/file-2").chmod(0o755)
    (tree / "empty").chmod(0o700)


def test_an_empty_node_fills_from_another(cluster: Cluster) -> None:
    full = cluster.add("full")
    populate(full.tree, 1)
    expected = snapshot(full.tree)
    full.start()
    empty = cluster.add("empty", knows=[full]).start()
    cluster.converge()
    assert snapshot(empty.tree) == expected
    assert snapshot(full.tree) == expected


def test_different_starts_become_the_union(cluster: Cluster) -> None:
    one, two = cluster.add("one"), cluster.add("two")
    populate(one.tree, 1)
    populate(two.tree, 1)
    (one.tree / "only-one").write_bytes(b"1")
    (two.tree / "only-two").write_bytes(b"2")
    shutil.rmtree(two.tree / "themes")
    two.known_hosts = [one.endpoint]
    one.start()
    two.start()
    cluster.converge()
    assert snapshot(one.tree) == snapshot(two.tree)
    assert {b"only-one", b"only-two", b"themes/one/file-3"} <= snapshot(one.tree).keys()


def test_changes_travel_both_ways(cluster: Cluster) -> None:
    one = cluster.add("one")
    populate(one.tree, 2)
    one.start()
    two = cluster.add("two", knows=[one]).start()
    cluster.converge()
    for source, target in ((one, two), (two, one)):
        name = source.base.name
        (source.tree / f"new-{name}").write_bytes(b"new")
        await_file(target.tree / f"new-{name}", b"new")
        with (source.tree / f"new-{name}").open("ab") as file:
            file.write(b" and more")
        await_file(target.tree / f"new-{name}", b"new and more")
        (source.tree / f"new-{name}").rename(source.tree / f"moved-{name}")
        await_file(target.tree / f"moved-{name}", b"new and more")
        await_file(target.tree / f"new-{name}", None)
        (source.tree / f"moved-{name}").unlink()
        await_file(target.tree / f"moved-{name}", None)
    (one.tree / "empty").rmdir()
    (one.tree / "empty").write_bytes(b"a file now")
    await_file(two.tree / "empty", b"a file now")
    (two.tree / "empty").unlink()
    (two.tree / "empty").mkdir()
    (two.tree / "empty/inside").write_bytes(b"a directory again")
    cluster.converge()
    shutil.rmtree(two.tree / "plugins")
    cluster.converge()
    assert snapshot(one.tree) == snapshot(two.tree)
    assert not (one.tree / "plugins").exists()
    assert (one.tree / "empty/inside").read_bytes() == b"a directory again"


def test_changes_made_while_stopped_are_found(cluster: Cluster) -> None:
    one = cluster.add("one")
    populate(one.tree, 3)
    one.start()
    two = cluster.add("two", knows=[one]).start()
    cluster.converge()
    assert two.stop() == 0
    (two.tree / "while-stopped").write_bytes(b"x")
    (two.tree / "themes/one/file-3").write_bytes(b"changed")
    (two.tree / "themes/one/file-4").unlink()
    (one.tree / "meanwhile").write_bytes(b"y")
    two.start()
    cluster.converge()
    assert snapshot(one.tree) == snapshot(two.tree)
    assert (one.tree / "while-stopped").read_bytes() == b"x"
    assert (one.tree / "themes/one/file-3").read_bytes() == b"changed"
    assert not (one.tree / "themes/one/file-4").exists()
    assert (two.tree / "meanwhile").read_bytes() == b"y"
