"""Most files of a folder are rewritten, and that is to be held: two folders inside this process, one of them holds."""

import asyncio
import os
from pathlib import Path

import pytest

from protocol.keys import generate_secret
from syncd.core import rewrites, units
from syncd.node import yard
from syncd.node.sieve import Holding
from tests.lab.inside import Inside
from tests.lab.meeting import agree, archived, joined, state

FILES = 150  # of which 120 are most
FIRST = 10  # that are published before anything is held


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewrites, "QUIET", 0.3)
    monkeypatch.setattr(units, "QUIET", 0.15)
    monkeypatch.setattr(yard, "LINGER", 0.5)


@pytest.fixture
async def pair(tmp_path: Path) -> tuple[Inside, Inside]:
    """The second one holds."""
    secret = generate_secret(os.urandom(32))
    one = Inside(tmp_path / "one", secret, atomic=("/plugins/*",))
    return one, Inside(tmp_path / "two", secret, atomic=("/plugins/*",), hold_rewrites=True)


def write(inside: Inside, what: str, numbers: range, where: str = "uploads") -> None:
    (inside.tree / where).mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (inside.tree / where / str(number)).write_text(f"{what} {number}")


def texts(inside: Inside, where: str = "uploads") -> list[str]:
    """The first words of all files."""
    return [path.read_text().split()[0] for path in sorted((inside.tree / where).iterdir())]


def held(inside: Inside) -> Holding:
    return inside.folder.standing.facts.held


async def encrypt(one: Inside, two: Inside) -> None:
    """Most files of the second one are rewritten, a few of them first: that is held, and the first one has the few."""
    write(two, "encrypted", range(FIRST))
    await agree(one, two)
    write(two, "encrypted", range(FIRST, 120))
    await two.reach(lambda: held(two).rewrites == 120 - FIRST)
    assert state(two) == "held"
    assert texts(one).count("encrypted") == FIRST


async def test_it_is_held_while_all_else_goes_on_and_a_restart_releases_nothing(
    pair: tuple[Inside, Inside], tmp_path: Path
) -> None:
    one, two = pair
    write(one, "fine", range(FILES))
    async with joined(one, two):
        await encrypt(one, two)
        assert two.folder.standing.held_reason("/srv").startswith("110 files were rewritten: uploads/")
        assert two.folder.troubles.alarms == []
        (two.tree / "new").write_text("new")
        await one.reach(lambda: (one.tree / "new").exists())
        (one.tree / "other").write_text("other")
        await two.reach(lambda: (two.tree / "other").exists())

        write(one, "elsewhere", range(20, 21))  # a peer's change goes on, too
        await two.reach(lambda: held(two).rewrites == 109)
        await two.reach(lambda: (two.tree / "uploads/20").read_text() == "elsewhere 20")
        write(two, "fine", range(21, 22))  # put back
        await two.folder.watching.rescan()
        await two.folder.refresh_now()
        assert held(two).rewrites == 108
        write(two, "encrypted again", range(22, 23))
        write(two, "encrypted late", range(120, 125))  # the rest of it
        await two.reach(lambda: held(two).rewrites == 113)
        assert texts(one).count("encrypted") == FIRST
        assert texts(two).count("encrypted") == FIRST + 113
    again = Inside(tmp_path / "two", two.secret, atomic=("/plugins/*",), hold_rewrites=True)
    async with again.running():
        await again.folder.watching.rescan()
        await again.folder.refresh_now()
        assert held(again).rewrites == 113


@pytest.mark.parametrize("meant", [True, False])
async def test_the_word_of_the_operator(pair: tuple[Inside, Inside], meant: bool) -> None:
    """It is published, or what was there comes back from peers, and what came in its place is in the archive."""
    one, two = pair
    write(one, "fine", range(FILES))
    async with joined(one, two):
        await encrypt(one, two)
        await two.folder.watching.decide(meant)
        await agree(one, two)
        assert held(two) == Holding()
        assert texts(one).count("encrypted") == texts(two).count("encrypted") == (120 if meant else FIRST)
        assert (b"encrypted 119" in archived(two)) is not meant
        write(two, "edited", range(140, 145))  # none of this is counted with what was decided
        await agree(one, two)
        assert texts(one).count("edited") == 5


async def test_fewer_are_published(pair: tuple[Inside, Inside]) -> None:
    one, two = pair
    write(one, "fine", range(FILES))
    async with joined(one, two):
        write(two, "updated", range(119))
        await agree(one, two)
        assert texts(one).count("updated") == 119
        assert held(two) == Holding()


async def test_before_a_node_stops_nothing_is_waited_for(
    pair: tuple[Inside, Inside], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rewrites, "QUIET", 3_600.0)
    one, two = pair
    write(one, "fine", range(FILES))
    async with joined(one, two):
        write(two, "updated", range(50))
        async with asyncio.timeout(60.0):
            await two.folder.watching.catch_up()
        await one.reach(lambda: texts(one).count("updated") == 50)


@pytest.mark.parametrize("meant", [True, False])
async def test_of_a_unit_nothing_is_published_or_all(pair: tuple[Inside, Inside], meant: bool) -> None:
    one, two = pair
    write(one, "fine", range(100))
    write(one, "fine", range(50), "plugins/foo")
    async with joined(one, two):
        write(two, "encrypted", range(100))
        await two.folder.watching.rescan()
        write(two, "encrypted", range(50), "plugins/foo")
        (two.tree / "plugins/foo/how-to-pay").write_text("note")
        await two.reach(lambda: held(two).rewrites == 50)
        await two.folder.watching.rescan()
        assert set(texts(one, "plugins/foo")) == {"fine"}
        await two.folder.watching.decide(meant)
        await agree(one, two)
        assert texts(one, "plugins/foo").count("encrypted") == (50 if meant else 0)
        assert (one.tree / "plugins/foo/how-to-pay").read_text() == "note"
