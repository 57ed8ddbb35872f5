"""Two whole folders with conflict copies: they do not travel, and what a user makes of one does."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.keys import derive_read_only, generate_secret
from syncd.core import guard, units
from syncd.node import copy_tending
from tests.lab.cluster import snapshot
from tests.lab.inside import Inside
from tests.lab.meeting import agree, archived, joined, part

MARK = b".sync-conflict-"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy_tending, "REST", 0.05)
    monkeypatch.setattr(guard, "QUIET", 0.1)
    monkeypatch.setattr(units, "QUIET", 0.1)


@pytest.fixture
def secret() -> str:
    return generate_secret(os.urandom(32))


def copies(inside: Inside) -> dict[bytes, bytes]:
    """{path: bytes} of the files that are named like conflict copies."""
    return {path: item[3] for path, item in snapshot(inside.tree).items() if MARK in path}


async def conflict(one: Inside, two: Inside, path: str = "f.txt") -> None:
    """Both edit it while they are apart; the second one wins."""
    await part(one, two)
    for inside, data in ((one, b"of one"), (two, b"of two")):
        (inside.tree / path).write_bytes(data)
        await inside.folder.watching.rescan()
    await two.join(one)


async def reach(inside: Inside, reached: Callable[[], bool]) -> None:
    """Look after every refresh, and have the next one soon: a copy alone changes no status."""

    def so() -> bool:
        inside.folder._pace.changed()
        return reached()

    await inside.reach(so)


async def test_a_copy_is_made_and_stays_where_it_is_asked_for(tmp_path: Path, secret: str) -> None:
    one = Inside(tmp_path / "one", secret, conflict_copies="beside")
    two = Inside(tmp_path / "two", secret)
    (one.tree / "f.txt").write_bytes(b"before")
    async with joined(one, two):
        await conflict(one, two)
        await reach(one, lambda: len(copies(one)) == 1)
        ((name, data),) = copies(one).items()
        assert data == b"of one"
        assert name.startswith(b"f" + MARK)
        assert name.endswith(one.identity.node_id.hex()[:8].encode() + b".txt")
        assert (one.tree / "f.txt").read_bytes() == b"of two"
        for inside in (one, two):
            await inside.folder.watching.rescan()
        root = one.root
        assert root == two.root
        assert copies(two) == {}
        for inside in (one, two):
            await reach(inside, lambda inside=inside: b"of one" in archived(inside))  # type: ignore[misc]

        one.folder.take(await one.shop.hands.run(one.shop.curator.dismiss, b"f.txt"))
        await reach(one, lambda: not copies(one))
        await agree(one, two)
        assert snapshot(one.tree).keys() == {b"f.txt"}


async def test_what_a_user_makes_of_one_goes_everywhere(tmp_path: Path, secret: str) -> None:
    """Also to nodes that have a copy under that very name, which gives way."""
    one = Inside(tmp_path / "one", secret, conflict_copies="beside")
    two = Inside(tmp_path / "two", secret, conflict_copies="beside")
    (one.tree / "f.txt").write_bytes(b"before")
    async with joined(one, two):
        await conflict(one, two)
        await reach(one, lambda: len(copies(one)) == 1)
        await reach(two, lambda: len(copies(two)) == 1)
        assert copies(one) == copies(two)
        (name,) = copies(one)
        (one.tree / os.fsdecode(name)).write_bytes(b"edited by a user")
        await agree(one, two)
        assert copies(one) == copies(two) == {name: b"edited by a user"}
        (two.tree / os.fsdecode(name)).rename(two.tree / "f.txt")
        await agree(one, two)
        assert snapshot(one.tree).keys() == {b"f.txt"}
        assert (one.tree / "f.txt").read_bytes() == b"edited by a user"


async def test_one_that_a_user_removes_is_forgotten(tmp_path: Path, secret: str) -> None:
    one = Inside(tmp_path / "one", secret, conflict_copies="beside")
    two = Inside(tmp_path / "two", secret, conflict_copies="beside")
    (one.tree / "f.txt").write_bytes(b"before")
    async with joined(one, two):
        await conflict(one, two)
        await reach(one, lambda: len(copies(one)) == 1)
        await reach(two, lambda: len(copies(two)) == 1)
        (name,) = copies(one)
        (one.tree / os.fsdecode(name)).unlink()
        await one.folder.watching.catch_up()
        await agree_apart(one, two)
        assert (copies(one), len(copies(two))) == ({}, 1)


async def agree_apart(one: Inside, two: Inside) -> None:
    """One manifest, whatever copies there are."""
    for inside in (one, two):
        await inside.folder.watching.rescan()
        await inside.reach(lambda inside=inside: inside.in_sync)  # type: ignore[misc]
    assert one.root == two.root


async def test_in_a_unit_it_stays_while_the_unit_is_replaced(tmp_path: Path, secret: str) -> None:
    options = {"atomic": ("/plugins/*",)}
    one = Inside(tmp_path / "one", secret, conflict_copies="beside", **options)
    two = Inside(tmp_path / "two", secret, **options)
    plugin = one.tree / "plugins/p"
    plugin.mkdir(parents=True)
    for name in ("a.php", "b.php"):
        (plugin / name).write_bytes(b"1")
    async with joined(one, two):
        await conflict(one, two, "plugins/p/a.php")
        await reach(one, lambda: len(copies(one)) == 1)
        (name,) = copies(one)
        (two.tree / "plugins/p/b.php").write_bytes(b"2")
        (two.tree / "plugins/p/new.php").write_bytes(b"3")
        await two.folder.watching.rescan()
        await reach(one, lambda: (plugin / "new.php").exists())
        assert (plugin / "b.php").read_bytes() == b"2"
        await agree_apart(one, two)
        assert copies(one) == {name: b"of one"}
        assert copies(two) == {}


async def test_a_directory_with_a_copy_in_it_is_deleted_elsewhere(tmp_path: Path, secret: str) -> None:
    one = Inside(tmp_path / "one", secret, conflict_copies="beside")
    two = Inside(tmp_path / "two", secret)
    (one.tree / "d").mkdir()
    (one.tree / "d/f").write_bytes(b"before")
    async with joined(one, two):
        await conflict(one, two, "d/f")
        await reach(one, lambda: len(copies(one)) == 1)
        (two.tree / "d/f").unlink()
        (two.tree / "d").rmdir()
        await agree(one, two)
        assert snapshot(one.tree) == {}
        assert {b"of one", b"of two"} <= archived(one)


async def test_after_a_start_the_copy_is_known(tmp_path: Path, secret: str) -> None:
    one = Inside(tmp_path / "one", secret, conflict_copies="beside")
    two = Inside(tmp_path / "two", secret)
    (one.tree / "f.txt").write_bytes(b"before")
    async with two.running(settled=False):
        async with one.running():
            await two.join(one)
            await agree(one, two)
            await conflict(one, two)
            await reach(one, lambda: len(copies(one)) == 1)
            before = copies(one)
            await part(one, two)
        root = two.root
        one = Inside(tmp_path / "one", secret, conflict_copies="beside")
        async with one.running():
            await two.join(one)
            await agree_apart(one, two)
            assert (copies(one), copies(two), one.root) == (before, {}, root)
            await part(one, two)
        one = Inside(tmp_path / "one", secret)
        async with one.running():
            await two.join(one)
            await reach(one, lambda: not copies(one))
            await agree(one, two)
            assert one.root == root


async def test_a_reader_has_none(tmp_path: Path, secret: str) -> None:
    """What loses is kept by those who may write."""
    reader = Inside(tmp_path / "reader", derive_read_only(secret), conflict_copies="beside")
    assert reader.shop.beside.idle
    reader.shop.close()
