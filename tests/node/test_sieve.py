"""What is held and what is not, in a folder that runs inside this process and finds five changes too many."""

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.keys import generate_secret
from syncd.core import guard
from syncd.node.sieve import Holding
from tests.lab.inside import Inside

FEW = 5
DEADLINE = 120.0  # seconds


@pytest.fixture
async def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inside:
    monkeypatch.setattr(guard, "BURST_PATHS", FEW)
    monkeypatch.setattr(guard, "QUIET", 0.1)
    for number in range(2 * FEW):
        path = tmp_path / f"tree/many/{number % 2}/{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % number)
    (tmp_path / "tree/other").mkdir()
    (tmp_path / "tree/other/file").write_bytes(b"other")
    return Inside(tmp_path, generate_secret(os.urandom(32)))


async def until(inside: Inside, reached: Callable[[Holding], bool]) -> Holding:
    """Wait until what is held is so."""
    async with asyncio.timeout(DEADLINE):
        while not reached(inside.folder.standing.facts.held):
            await inside.folder.wait_refresh()
    return inside.folder.standing.facts.held


def live(inside: Inside) -> int:
    """Live files of the manifest."""
    return inside.folder.standing.facts.totals.files


async def take_away(inside: Inside) -> None:
    """`many` is moved out of the folder."""
    (inside.tree / "many").rename(inside.tree.parent / "aside")
    held = await until(inside, lambda held: held.deletions > 0)
    assert (held.deletions, held.directories, held.reverts) == (2 * FEW, 3, 0)
    assert live(inside) == 2 * FEW + 1


async def test_what_is_put_back_is_held_no_more(inside: Inside) -> None:
    async with inside.running():
        await inside.folder.watching.rescan()
        root = inside.root
        await take_away(inside)
        (inside.tree.parent / "aside").rename(inside.tree / "many")
        await until(inside, lambda held: held.paths == 0)
        await inside.folder.watching.rescan()
        assert inside.root == root
        assert inside.folder.standing.state([]) != "held"


async def test_most_files_rewritten_are_an_alarm(tmp_path: Path) -> None:
    """They are published all the same: each is an edit."""
    inside = Inside(tmp_path, generate_secret(os.urandom(32)))
    for number in range(150):
        (inside.tree / f"{number}").write_bytes(b"%d" % number)
    async with inside.running():
        await inside.folder.watching.rescan()
        root = inside.root
        for number in range(119):
            (inside.tree / f"{number}").write_bytes(b"encrypted %d" % number)
        await inside.folder.watching.rescan()
        assert inside.folder.troubles.alarms == []
        (inside.tree / "119").write_bytes(b"encrypted 119")
        await inside.folder.watching.rescan()
        await inside.reach(lambda: len(inside.folder.troubles.alarms) == 1)
        assert inside.folder.troubles.alarms[0].startswith("120 of 150 files were rewritten here within 5 minutes")
        assert inside.root != root
        assert inside.folder.standing.facts.held == Holding()


async def test_few_go_through_while_many_are_held(inside: Inside) -> None:
    async with inside.running():
        await inside.folder.watching.rescan()
        await take_away(inside)
        (inside.tree / "other/file").unlink()
        (inside.tree / "other").rmdir()
        await inside.folder.watching.rescan()
        await inside.folder.refresh_now()
        assert live(inside) == 2 * FEW
        assert inside.folder.standing.facts.held.deletions == 2 * FEW


async def test_what_is_held_is_not_taken_along(inside: Inside) -> None:
    """A directory that comes back and goes again; and a file in the place of one."""
    async with inside.running():
        await inside.folder.watching.rescan()
        await take_away(inside)
        (inside.tree / "many").mkdir()
        await until(inside, lambda held: held.directories == 2)
        (inside.tree / "many").rmdir()
        await until(inside, lambda held: held.directories == 3)
        (inside.tree / "many").write_bytes(b"a file now")
        await inside.folder.watching.rescan()
        await inside.folder.refresh_now()
        assert live(inside) == 2 * FEW + 1
        await inside.folder.watching.decide(True)
        await inside.folder.watching.rescan()
        await inside.folder.refresh_now()
        assert live(inside) == 2
        assert inside.folder.standing.facts.held == Holding()


async def test_a_rejected_file_in_the_place_of_a_directory_is_kept(inside: Inside) -> None:
    async with inside.running():
        await inside.folder.watching.rescan()
        shutil.rmtree(inside.tree / "many")
        (inside.tree / "many").write_bytes(b"a file now")
        await until(inside, lambda held: held.deletions == 2 * FEW)
        await inside.folder.watching.decide(False)
        async with asyncio.timeout(DEADLINE):
            while not inside.folder.standing.need_files:
                await inside.folder.wait_refresh()
        assert live(inside) == 2 * FEW + 1
        kept = [
            path.read_bytes() for path in inside.tree.parent.rglob("*") if path.is_file() and path.stat().st_size < 99
        ]
        assert b"a file now" in kept
