"""`max_file_size`: two folders inside this process, the second of which takes no file of more than 100 bytes."""

import os
from pathlib import Path

import pytest

from protocol.keys import generate_secret
from tests.lab.inside import Inside
from tests.lab.meeting import agree, archived, joined, part, problems, running, state

LARGEST = 100
SECRET = generate_secret(os.urandom(32))
LARGE, LARGER, SMALL = b"L" * 200, b"M" * 100_000, b"s" * LARGEST


@pytest.fixture
async def pair(tmp_path: Path) -> tuple[Inside, Inside]:
    return inside(tmp_path / "one"), inside(tmp_path / "two", LARGEST)


def inside(base: Path, largest: int | None = None) -> Inside:
    return Inside(base, SECRET, max_file_size=largest, atomic=("/plugins/*",))


async def alike(one: Inside, two: Inside) -> None:
    """Both say that they are in sync, and have one manifest. Their trees differ."""
    for each in (one, two):
        await each.folder.watching.rescan()
    for each in (one, two):
        await each.reach(lambda: {state(one), state(two)} == {"in-sync"} and one.root == two.root)


def told(inside: Inside) -> dict[str, str]:
    """Paths and operations of all problems, each of which says what to do."""
    found = problems(inside)
    assert all("max_file_size (100): raise that, or add the path to `ignore`" in problem.reason for problem in found)
    return {os.fsdecode(problem.path): problem.operation for problem in found}


async def test_it_is_neither_fetched_nor_published(pair: tuple[Inside, Inside], tmp_path: Path) -> None:
    one, two = pair
    (one.tree / "d").mkdir()
    (one.tree / "d/large").write_bytes(LARGE)
    (one.tree / "d/larger").write_bytes(LARGER)
    (one.tree / "small").write_bytes(SMALL)
    (two.tree / "mine").write_bytes(LARGE)
    async with running(one, two):
        await two.join(one)
        await alike(one, two)
        assert sorted(path.name for path in two.tree.rglob("*") if ".syncd" not in path.parts) == ["d", "mine", "small"]
        assert not (one.tree / "mine").exists()
        assert told(two) == {"d/large": "skip", "d/larger": "skip", "mine": "skip"}
        assert told(one) == {}

        (one.tree / "d/large").write_bytes(SMALL)  # now it takes part
        await two.reach(lambda: (two.tree / "d/large").exists())
        assert (two.tree / "d/large").read_bytes() == SMALL
        await alike(one, two)
        assert told(two) == {"d/larger": "skip", "mine": "skip"}
        (one.tree / "d/larger").unlink()
        await two.reach(lambda: told(two) == {"mine": "skip"})
        (two.tree / "mine").write_bytes(SMALL)
        await two.reach(lambda: (one.tree / "mine").exists() and told(two) == {})
        assert (one.tree / "mine").read_bytes() == SMALL
        await alike(one, two)
        assert told(two) == {}


async def test_what_is_there_is_neither_overwritten_nor_deleted(pair: tuple[Inside, Inside]) -> None:
    """A large file of this node's own, where peers have another one, or one that they change or delete."""
    one, two = pair
    for name in ("changed", "deleted"):
        (one.tree / name).write_bytes(SMALL)
    async with joined(one, two):
        for name in ("changed", "deleted", "new"):
            (two.tree / name).write_bytes(LARGE)
        await two.folder.watching.rescan()
        await two.folder.refresh_now()
        assert told(two) == {"changed": "read", "deleted": "read", "new": "skip"}
        assert state(two) == "error", "the disk has what peers do not get"
        (one.tree / "changed").write_bytes(b"changed")
        (one.tree / "deleted").unlink()
        (one.tree / "new").write_bytes(b"new")
        await one.folder.watching.rescan()
        await two.reach(lambda: two.root == one.root)
        await two.folder.watching.rescan()
        await two.folder.refresh_now()
        assert {name: (two.tree / name).read_bytes() for name in ("changed", "deleted", "new")} == {
            "changed": LARGE, "deleted": LARGE, "new": LARGE,
        }  # fmt: skip
        assert (one.tree / "changed").read_bytes() == b"changed"
        assert state(two) != "in-sync"
        for name in ("changed", "deleted", "new"):
            (two.tree / name).unlink()
        await agree(one, two)
        assert told(two) == {}
        assert (two.tree / "new").read_bytes() == b"new"
        assert not (one.tree / "deleted").exists()


async def test_a_large_version_that_lost_is_not_fetched_either(pair: tuple[Inside, Inside]) -> None:
    one, two = pair
    (one.tree / "f").write_bytes(SMALL)
    async with joined(one, two):
        await part(one, two)
        (one.tree / "f").write_bytes(LARGER)
        await one.folder.watching.rescan()
        (two.tree / "f").write_bytes(b"wins")
        await two.folder.watching.rescan()
        await two.join(one)
        await agree(one, two)
        assert (one.tree / "f").read_bytes() == b"wins"
        assert one.folder.standing.facts.totals.conflicts == two.folder.standing.facts.totals.conflicts == 1
        assert LARGER in archived(one)
        assert LARGER not in archived(two)


async def test_who_skips_a_file_is_no_keeper_of_it(pair: tuple[Inside, Inside], tmp_path: Path) -> None:
    one, two = pair
    three = inside(tmp_path / "three")
    (one.tree / "small").write_bytes(SMALL)
    async with joined(one, two):
        reached = one.folder.outgoing.reached
        await one.reach(lambda: not reached.outstanding)
        (one.tree / "large").write_bytes(LARGE)
        await alike(one, two)
        await one.folder.refresh_now()
        assert reached.unreached == [b"large"]
        async with three.running(settled=False):
            await three.join(one)
            await one.reach(lambda: not reached.outstanding)
            assert (three.tree / "large").read_bytes() == LARGE


async def test_a_rule_that_comes_and_goes_deletes_nothing(tmp_path: Path) -> None:
    """What was there before it stays; what somebody removes meanwhile is fetched when it takes part again."""
    one, two = inside(tmp_path / "one"), inside(tmp_path / "two")
    for name in ("stays", "removed"):
        (one.tree / name).write_bytes(LARGE)
    async with one.running():
        async with two.running(settled=False):
            await two.join(one)
            await agree(one, two)
        two = inside(tmp_path / "two", LARGEST)
        async with two.running():
            await two.join(one)
            (two.tree / "removed").unlink()
            await alike(one, two)
            assert (one.tree / "removed").read_bytes() == (two.tree / "stays").read_bytes() == LARGE
            assert told(two) == {"removed": "skip", "stays": "skip"}
        two = inside(tmp_path / "two")
        async with two.running():
            await two.join(one)
            await agree(one, two)
            assert (two.tree / "removed").read_bytes() == LARGE


async def test_in_a_unit_all_else_arrives(pair: tuple[Inside, Inside]) -> None:
    one, two = pair
    (one.tree / "plugins/foo").mkdir(parents=True)
    (one.tree / "plugins/foo/foo.php").write_bytes(SMALL)
    (one.tree / "plugins/foo/film").write_bytes(LARGER)
    async with running(one, two):
        await two.join(one)
        await alike(one, two)
        assert (two.tree / "plugins/foo/foo.php").read_bytes() == SMALL
        (two.tree / "plugins/foo/own").write_bytes(LARGE)
        (one.tree / "plugins/foo/foo.php").write_bytes(b"new")
        await two.reach(lambda: (two.tree / "plugins/foo/foo.php").read_bytes() == b"new")
        await alike(one, two)
        assert (two.tree / "plugins/foo/own").read_bytes() == LARGE
        assert told(two) == {"plugins/foo/film": "skip", "plugins/foo/own": "skip"}
