"""A peer whose manifest has no end: its answers lead to ever more questions, or back to where they came from."""

import asyncio
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from protocol import limits
from protocol.keys import derive_read_only, generate_secret
from protocol.messages import AskLeaves, AskPages, AskRecords, Leaves, Message, Pages, Records, Status
from tests.hostile.guest import Guest
from tests.hostile.peer import Persona
from tests.lab.cluster import snapshot
from tests.lab.inside import Inside

TOP = limits.MAX_LEVELS - 1
LATE = 1 << 39  # id of the request whose answer shows that nothing more will be asked
MOST_ASKED = 4 * limits.MAX_LEVELS  # questions about a manifest that differs everywhere, and has a page on each level
ENDLESS = 60.0  # seconds


def status(level: int = TOP) -> Status:
    return Status(level, os.urandom(32), True, 0, 0, (), True, "in-sync", False)


def deeper(ask: Message) -> Message | None:
    """Every page is another one than the folder's, on every level, and below it are others."""
    if isinstance(ask, AskPages):
        return Pages(ask.id, ask.level, ((ask.lo, os.urandom(32), 1 << 40),), None)
    if isinstance(ask, AskLeaves):
        return Leaves(ask.id, ((ask.lo or b"a", os.urandom(32), 1),), None)
    if isinstance(ask, AskRecords):
        return Records(ask.id, (), (), (), None, True)
    return None


def standing_still(ask: Message) -> Message | None:
    """The rest is where it began."""
    if isinstance(ask, AskPages):
        return Pages(ask.id, ask.level, (), ask.lo or b"a")
    return deeper(ask)


def climbing(ask: Message) -> Message | None:
    """Below a page is a level above it, by its word."""
    if isinstance(ask, AskPages):
        return Pages(ask.id, min(TOP, ask.level + 1), ((ask.lo, os.urandom(32), 1),), None)
    return deeper(ask)


def turning_back(ask: Message) -> Message | None:
    """Records go on with what was there before."""
    if isinstance(ask, AskRecords):
        return Records(ask.id, (), (), (), ask.lo or b"a", True)
    return deeper(ask)


def creeping() -> Callable[[Message], Message | None]:
    """Each answer has one page and a next key that is a hair further: for ever, by the peer's word."""
    numbers = itertools.count(1)

    def answer(ask: Message) -> Message | None:
        if isinstance(ask, AskPages):
            number = next(numbers)
            return Pages(ask.id, ask.level, ((ask.lo, os.urandom(32), 1),), b"a%08d" % number)
        return deeper(ask)

    return answer


async def questions(guest: Guest, answer: Callable[[Message], Message | None], most: int) -> int:
    """Answer until the folder asks no more, hangs up, or has asked too much; how much it asked.

    It may put its first question off for a moment, in which what differs could be on its way.
    """
    asked = 0
    late: Iterator[int] = itertools.count(LATE)
    waits = next(late)
    guest.say(AskPages(waits, 0, b"", None))
    async with asyncio.timeout(ENDLESS):
        while asked <= most:
            answers = []
            quiet = False
            for message in await guest.hear():
                reply = answer(message)
                if reply is not None:
                    asked += 1
                    answers.append(reply)
                quiet |= isinstance(message, Pages) and message.id == waits
            if guest.reason is not None or (quiet and not answers and asked):
                return asked
            if answers or quiet:
                waits = next(late)
                guest.say(*answers, AskPages(waits, 0, b"", None))
    return asked


async def inside(base: Path) -> tuple[Inside, Persona]:
    secret = generate_secret(os.urandom(32))
    victim = Inside(base, secret)
    for number in range(200):
        (victim.tree / f"f{number}").write_bytes(b"%d" % number)
    return victim, Persona.of(derive_read_only(secret))


@pytest.mark.parametrize("answer", [deeper, climbing])
async def test_a_manifest_that_differs_everywhere_is_asked_about_once_per_level(
    tmp_path: Path, answer: Callable[[Message], Message | None]
) -> None:
    victim, persona = await inside(tmp_path)
    async with victim.running():
        before, root = snapshot(victim.tree), victim.root
        guest = Guest(victim, persona)
        for _ in range(20):  # it says each time that it has changed
            guest.say(status())
            asked = await questions(guest, answer, MOST_ASKED)
            assert 0 < asked <= MOST_ASKED
        assert guest.reason is None
        assert (victim.root, snapshot(victim.tree)) == (root, before)


@pytest.mark.parametrize("answer", [standing_still, turning_back])
async def test_answers_that_lead_back_end_the_session(
    tmp_path: Path, answer: Callable[[Message], Message | None]
) -> None:
    victim, persona = await inside(tmp_path)
    async with victim.running():
        root = victim.root
        guest = Guest(victim, persona)
        guest.say(status())
        assert await questions(guest, answer, MOST_ASKED) <= MOST_ASKED
        assert guest.reason is not None
        assert victim.root == root


async def test_one_that_creeps_keeps_nobody_waiting(tmp_path: Path) -> None:
    """It may go on for as long as it likes: others are heard meanwhile, and nothing piles up here."""
    victim, persona = await inside(tmp_path / "victim")
    other = Inside(tmp_path / "other", victim.secret)
    async with victim.running(), other.running(settled=False):
        guest = Guest(victim, persona)
        guest.say(status(0))
        most = 2_000
        creep = asyncio.create_task(questions(guest, creeping(), most))
        await other.join(victim)
        await other.reach(lambda: len(snapshot(other.tree)) == 200)
        assert await creep > most or guest.reason is not None
        (other.tree / "new").write_bytes(b"new")
        await victim.reach((victim.tree / "new").exists)
