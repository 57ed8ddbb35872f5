"""A line of three nodes whose middle one may only read: changes pass through it, and none begins there."""

import os
from pathlib import Path

import pytest

from tests.lab.cluster import Cluster, Daemon, await_condition, await_file, snapshot


class Line:
    """a - b - c: b knows a, c knows b, nobody else knows anybody; b has the read-only secret."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.a = cluster.add("a")
        for name in ("themes/one/style.css", "uploads/1.jpg", "uploads/2.jpg"):
            path = self.a.tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"original {name}")
        (self.a.tree / "uploads/large.bin").write_bytes(os.urandom(3_000_000))
        self.a.start()
        self.b = cluster.add("b", knows=[self.a], read_only=True).start()
        self.c = cluster.add("c", knows=[self.b]).start()
        cluster.converge()

    def content(self) -> dict[bytes, tuple[object, ...]]:
        """The tree, which all three must agree about."""
        found = snapshot(self.a.tree)
        assert found == snapshot(self.b.tree) == snapshot(self.c.tree)
        return found


@pytest.fixture
def line(cluster: Cluster) -> Line:
    return Line(cluster)


def connected(daemon: Daemon) -> dict[str, str]:
    """{name of a connected peer: its tier}."""
    return {peer["name"]: peer["tier"] for peer in daemon.status()["peers"] if peer["connected"]}


def is_now(tree: Path, expected: dict[bytes, tuple[object, ...]]) -> bool:
    """Whether the tree, which changes meanwhile, is like that."""
    try:
        return snapshot(tree) == expected
    except OSError:
        return False


def holds(places: list[Path], content: bytes) -> bool:
    """Whether one of the files has this content."""
    return any(path.read_bytes() == content for path in places)


def test_changes_pass_through_a_reader(line: Line) -> None:
    assert connected(line.a) == {"b": "read-only"}
    assert connected(line.b) == {"a": "read-write", "c": "read-write"}
    assert connected(line.c) == {"b": "read-only"}
    for source, target in ((line.a, line.c), (line.c, line.a)):
        name = source.base.name
        (source.tree / f"uploads/from-{name}").write_text(f"from {name}")
        await_file(target.tree / f"uploads/from-{name}", f"from {name}".encode())
        large = os.urandom(1_000_000)
        (source.tree / f"uploads/large-{name}").write_bytes(large)
        await_file(target.tree / f"uploads/large-{name}", large)
        (source.tree / "themes/one/style.css").write_text(f"edited on {name}")
        await_file(target.tree / "themes/one/style.css", f"edited on {name}".encode())
        (source.tree / f"uploads/from-{name}").unlink()
        await_file(target.tree / f"uploads/from-{name}", None)
    line.cluster.converge()
    line.content()
    assert connected(line.c).keys() == {"b"}


def test_changes_on_the_reader_are_reverted_and_archived(line: Line) -> None:
    expected, tree = line.content(), line.b.tree
    root = line.a.status()["root"]

    (tree / "themes/one/style.css").write_bytes(b"edited where nobody may")
    await_file(tree / "themes/one/style.css", b"original themes/one/style.css")
    (tree / "uploads/extra.jpg").write_bytes(b"extra where nobody may")
    await_file(tree / "uploads/extra.jpg", None)
    (tree / "uploads/1.jpg").unlink()
    await_file(tree / "uploads/1.jpg", b"original uploads/1.jpg")
    (tree / "uploads/2.jpg").chmod(0o600)
    os.rename(tree / "uploads/large.bin", tree / "uploads/moved.bin")
    (tree / "mine/deep").mkdir(parents=True)
    (tree / "mine/deep/file").write_bytes(b"deep where nobody may")

    await_condition(lambda: is_now(tree, expected), "the reader's tree did not come back")
    line.cluster.converge()
    assert line.content() == expected
    assert line.a.status()["root"] == line.c.status()["root"] == root, "something of it was published"
    for content in (b"edited where nobody may", b"extra where nobody may", b"deep where nobody may"):
        assert holds(line.b.archive, content)
        assert not holds(line.a.archive + line.c.archive, content)
    assert any("read-only" in alarm for alarm in line.b.status()["alarms"])


def test_changes_made_while_the_reader_is_stopped_are_reverted_too(line: Line) -> None:
    expected, tree = line.content(), line.b.tree
    assert line.b.stop() == 0
    (tree / "themes/one/style.css").write_bytes(b"edited while stopped")
    (tree / "extra").write_bytes(b"extra while stopped")
    (tree / "uploads/1.jpg").unlink()
    (line.a.tree / "uploads/new").write_bytes(b"new")
    line.b.start()
    await_file(line.c.tree / "uploads/new", b"new")
    line.cluster.converge()
    content = line.content()
    assert content.pop(b"uploads/new")[-1] == b"new"
    assert content == expected
    assert holds(line.b.archive, b"edited while stopped")
    assert holds(line.b.archive, b"extra while stopped")


def test_a_reader_passes_on_what_it_cannot_ask_for_any_more(line: Line) -> None:
    """c was away when a changed things, and a is away when c comes back."""
    assert line.c.stop() == 0
    (line.a.tree / "uploads/meanwhile").write_bytes(b"meanwhile")
    (line.a.tree / "uploads/1.jpg").unlink()
    await_file(line.b.tree / "uploads/meanwhile", b"meanwhile")
    await_file(line.b.tree / "uploads/1.jpg", None)
    assert line.a.stop() == 0
    line.c.start()
    await_file(line.c.tree / "uploads/meanwhile", b"meanwhile")
    await_file(line.c.tree / "uploads/1.jpg", None)
    line.c.wait(state="in-sync")
    assert snapshot(line.b.tree) == snapshot(line.c.tree) == snapshot(line.a.tree)
