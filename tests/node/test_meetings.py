"""Two whole folders in this process: what their users do apart, at once, or on a network that breaks."""

import asyncio
import os
import random
import shutil
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import xxhash

from protocol.keys import generate_secret
from syncd.core import guard
from syncd.core.priority import PriorityClass
from syncd.node import pace
from tests.lab.cluster import snapshot
from tests.lab.inside import Inside
from tests.lab.meeting import agree, archived, joined, leave, part, problems, running, state

SECRET_OF_XXH3 = bytes.fromhex("b8fe6c3923a44bbe7c01812cf721ad1c")  # the first bytes of its public default


@pytest.fixture
async def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Inside, Inside]:
    """Bursts end soon."""
    monkeypatch.setattr(guard, "QUIET", 0.1)
    secret = generate_secret(os.urandom(32))
    return Inside(tmp_path / "one", secret), Inside(tmp_path / "two", secret)


def write(tree: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)


def files(tree: Path) -> dict[str, bytes]:
    return {os.fsdecode(path): item[3] for path, item in snapshot(tree).items() if item[0] == "file"}


def conflicts(inside: Inside) -> int:
    return inside.folder.standing.facts.totals.conflicts


async def test_directories_that_are_moved_into_each_other(pair: tuple[Inside, Inside]) -> None:
    """`mv x y/` here and `mv y x/` there: each file is where its user put it, and nothing is in a circle."""
    one, two = pair
    write(one.tree, {"x/of-x": b"of x", "y/of-y": b"of y"})
    async with joined(one, two):
        await part(one, two)
        (one.tree / "x").rename(one.tree / "y/x")
        (two.tree / "y").rename(two.tree / "x/y")
        for inside in pair:
            await inside.folder.watching.rescan()
        await two.join(one)
        await agree(one, two)
        assert files(one.tree) == {"y/x/of-x": b"of x", "x/y/of-y": b"of y"}
        assert problems(one) == problems(two) == []
        assert conflicts(one) == 0


@pytest.mark.parametrize(
    ("settled", "number"),
    [
        pytest.param(False, 500, id="fresh"),
        pytest.param(True, 500, id="published on both sides"),
        pytest.param(False, 10_000, id="many", marks=pytest.mark.heavy),
    ],
)
async def test_identical_trees_meet(pair: tuple[Inside, Inside], settled: bool, number: int) -> None:
    """Files that both have: no conflict, and next to nothing of them crosses the wire."""
    one, two = pair
    chance = random.Random(1)
    write(one.tree, {f"uploads/{n % 10}/{n}": chance.randbytes(30_000) for n in range(number)})
    shutil.copytree(one.tree, two.tree, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".syncd"))
    before = snapshot(two.tree)
    async with one.running(), two.running(settled=settled):
        await two.join(one)
        await agree(one, two)
        assert snapshot(one.tree) == snapshot(two.tree) == before
        assert conflicts(one) == conflicts(two) == 0
        assert archived(one) == archived(two) == set()
        sent = one.folder.peers.bytes_out + two.folder.peers.bytes_out
        assert sent < number * 30_000 * 0.02
        assert one.folder.fetcher.fetched_bytes == two.folder.fetcher.fetched_bytes == 0


async def test_deleted_and_written_anew_while_a_peer_is_away(pair: tuple[Inside, Inside]) -> None:
    """The new content, and no conflict with the old one."""
    one, two = pair
    write(one.tree, {"f": b"old", "d/f": b"old", "g": b"old"})
    async with joined(one, two):
        await part(one, two)
        (one.tree / "f").unlink()
        shutil.rmtree(one.tree / "d")
        (one.tree / "g").unlink()
        await one.folder.watching.rescan()
        gone = one.root
        write(one.tree, {"f": b"other", "d/f": b"other"})
        (one.tree / "g").mkdir()
        await one.folder.watching.rescan()
        assert one.root != gone
        await two.join(one)
        await agree(one, two)
        assert files(two.tree) == {"f": b"other", "d/f": b"other"}
        assert (two.tree / "g").is_dir()
        assert conflicts(one) == conflicts(two) == 0
        assert problems(one) == problems(two) == []
        assert archived(two) == {b"old"}


async def test_a_directory_moved_in_and_out(pair: tuple[Inside, Inside], tmp_path: Path) -> None:
    """From and to outside of the folder, as the kernel tells of it: it appears on the peer, and goes to its archive."""
    one, two = pair
    write(one.tree, {"stays": b"stays"})
    write(tmp_path / "outside", {"moved/a": b"a", "moved/deep/b": b"b"})
    async with joined(one, two):
        await one.reach(lambda: one.folder.watching.armed)
        (tmp_path / "outside/moved").rename(one.tree / "moved")
        await two.reach(lambda: files(two.tree) == {"stays": b"stays", "moved/a": b"a", "moved/deep/b": b"b"})
        (one.tree / "moved/deep").rename(tmp_path / "outside/deep")
        await two.reach(lambda: files(two.tree) == {"stays": b"stays", "moved/a": b"a"})
        await two.reach(lambda: archived(two) == {b"b"})
        (one.tree / "moved").rename(tmp_path / "outside/moved")
        await two.reach(lambda: files(two.tree) == {"stays": b"stays"} and not (two.tree / "moved").exists())
        await agree(one, two)
        assert files(tmp_path / "outside") == {"deep/b": b"b", "moved/a": b"a"}


def in_place(tree: Path, new: dict[str, bytes]) -> None:
    shutil.rmtree(tree / "plugins/shop")
    write(tree, new)


def aside(tree: Path, new: dict[str, bytes]) -> None:
    """As WordPress does it."""
    (tree / "upgrade").mkdir()
    write(tree / "upgrade", new)
    (tree / "plugins/shop").rename(tree / "upgrade/old")
    (tree / "upgrade/plugins/shop").rename(tree / "plugins/shop")
    shutil.rmtree(tree / "upgrade")


@pytest.mark.parametrize("update", [in_place, aside])
async def test_a_plugin_is_updated(
    pair: tuple[Inside, Inside], update: Callable[[Path, dict[str, bytes]], None]
) -> None:
    """Removed and unpacked anew, with other files in it: most of a small folder, which is no disaster."""
    one, two = pair
    old = {f"plugins/shop/{n % 9}/{n}.php": b"<?php // %d" % n for n in range(300)}
    new = {f"plugins/shop/{n % 11}/{n}.php": b"<?php // %d" % (n if n % 3 else n * 7) for n in range(100, 400)}
    write(one.tree, {**old, "index.php": b"index", "plugins/hello.php": b"hello"})
    async with joined(one, two):
        update(one.tree, new)
        await agree(one, two)
        assert files(two.tree) == {**new, "index.php": b"index", "plugins/hello.php": b"hello"}
        assert one.folder.standing.facts.held.paths == 0
        assert conflicts(one) == 0
        assert set(old.values()) - set(new.values()) <= archived(two)


def flap(path: Path) -> None:
    for number in range(1_000):
        path.write_bytes(b"%d" % number)
        path.unlink()


async def test_a_file_that_comes_and_goes(pair: tuple[Inside, Inside]) -> None:
    """A thousand times: in the end it is gone everywhere, and one record tells so."""
    one, two = pair
    write(one.tree, {"other": b"other"})
    async with joined(one, two):
        paths = one.folder.standing.facts.root.count
        await asyncio.to_thread(flap, one.tree / "flapping")
        await agree(one, two)
        assert files(one.tree) == files(two.tree) == {"other": b"other"}
        for inside in pair:
            assert inside.folder.standing.facts.root.count <= paths + 1
            rows = inside.shop.index.span(b"", None, 100)
            assert sum(len(row.state) for row in rows) <= paths + 1
            assert all(len(record.raw) < 1_000 for row in rows for record in row.state)
            assert (problems(inside), conflicts(inside)) == ([], 0)


def collision() -> tuple[bytes, bytes]:
    """Two contents with one xxh3, of 64 and of 128 bits: each makes a factor of the same product zero."""
    low, high = struct.unpack("<QQ", SECRET_OF_XXH3)
    any_number = 0x1122_3344_5566_7788
    first = struct.pack("<QQ", low, any_number)
    second = struct.pack("<QQ", (low + any_number - high) % (1 << 64), high)
    return first + bytes(16), second + bytes(16)


async def test_contents_with_one_xxh3_are_two(pair: tuple[Inside, Inside]) -> None:
    """As two files, and as two versions of one with the same size and time."""
    one, two = pair
    first, second = collision()
    assert first != second
    assert xxhash.xxh3_128_digest(first) == xxhash.xxh3_128_digest(second)
    assert xxhash.xxh3_64_digest(first) == xxhash.xxh3_64_digest(second)
    write(one.tree, {"a": first, "b": second, "version": first})
    async with joined(one, two):
        status = (one.tree / "version").stat()
        (one.tree / "version").write_bytes(second)
        os.utime(one.tree / "version", ns=(status.st_atime_ns, status.st_mtime_ns))
        await agree(one, two)
        assert files(two.tree) == {"a": first, "b": second, "version": second}
        assert first in archived(two)


async def test_both_dial_at_once(pair: tuple[Inside, Inside]) -> None:
    """Again and again: one session stays, the same one on both sides."""
    one, two = pair
    write(one.tree, {"file": b"content"})
    async with running(one, two):
        for _ in range(10):
            await asyncio.gather(one.join(two), two.join(one), return_exceptions=True)
            await agree(one, two)
            (of_one,), (of_two,) = one.folder.peers.all(), two.folder.peers.all()
            assert of_one.session.initiator != of_two.session.initiator
            dialler = min(one.identity.node_id, two.identity.node_id)
            assert of_one.session.initiator == (one.identity.node_id == dialler)
            await part(one, two)


async def test_one_file_that_cannot_be_synced(pair: tuple[Inside, Inside]) -> None:
    """Everything else arrives; the node does not say that it is in sync, but which path is missing and why."""
    one, two = pair
    write(one.tree, {"before": b"before"})
    async with joined(one, two):
        os.mkfifo(two.tree / "blocked")
        write(one.tree, {"blocked": b"blocked", "other": b"other"})
        await one.folder.watching.rescan()
        await two.reach(lambda: (two.tree / "other").exists() and state(two) == "error")
        reasons = [problem.reason for problem in problems(two) if problem.path == b"blocked"]
        assert reasons
        assert all(reasons)
        assert not two.in_sync
        await one.reach(lambda: any(peer.status.in_sync is False for peer in one.folder.peers.all() if peer.status))
        (two.tree / "blocked").unlink()
        await agree(one, two)
        assert (two.tree / "blocked").read_bytes() == b"blocked"
        assert problems(two) == []


@pytest.mark.parametrize("classes", [(), (PriorityClass("themes", ["/themes/"]),)], ids=["one", "one without files"])
async def test_a_calm_pair_hears_of_all_that_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, classes: tuple[PriorityClass, ...]
) -> None:
    """While nothing is under way nobody looks again and again: what changes tells of itself."""
    monkeypatch.setattr(pace, "CALM_INTERVAL", 1e6)
    secret = generate_secret(os.urandom(32))
    pair = tuple(Inside(tmp_path / name, secret, priority=classes) for name in ("one", "two"))
    one, two = pair
    write(one.tree, {"here": b"first"})
    async with joined(one, two):
        for author, other, content in ((one, two, b"edited"), (two, one, b"edited again")):
            await calm(*pair)
            write(author.tree, {"here": content})
            await other.reach(partial(holds, other, content))
        await calm(*pair)
        await leave(two, one)
        await one.reach(lambda: state(one) == "waiting")
        assert not one.folder._calm


async def calm(*insides: Inside) -> None:
    """Each becomes so at a look of its own."""
    for inside in insides:
        await inside.reach(lambda inside=inside: inside.folder._calm)  # type: ignore[misc]


def holds(inside: Inside, content: bytes) -> bool:
    return files(inside.tree)["here"] == content
