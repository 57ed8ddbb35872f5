"""A deletion is held, and peers change the path: what becomes of a content that nobody else has."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from protocol.keys import generate_secret
from protocol.record import Kind, Record
from syncd.core import guard
from syncd.core.events import Settle
from syncd.core.guard import Suspicion
from syncd.node import resting
from syncd.node.findings import Report
from syncd.node.judging import Judging
from syncd.node.verdicts import decide
from tests.hostile.peer import Persona
from tests.lab.inside import Inside
from tests.lab.meeting import agree, joined, part, problems

PATH = b"a"
LATER = 1 << 61  # ns: later than whatever is written here
Make = Callable[[Persona, Record], Record]


def of_a_fresh_index(persona: Persona, ours: Record) -> Record:
    return persona.file(PATH, 1, b"another", found=True)


def that_loses(persona: Persona, ours: Record) -> Record:
    return persona.file(PATH, 1, b"another")


def that_wins(persona: Persona, ours: Record) -> Record:
    return persona.file(PATH, 1, b"another", stamp=LATER)


def below_it(persona: Persona, ours: Record) -> Record:
    return persona.file(PATH + b"/b/c", 1, b"another")


def in_its_place(persona: Persona, ours: Record) -> Record:
    return persona.file(PATH, 1, b"another", stamp=LATER, context={ours.dot[0]: ours.dot[1]})


class Held:
    """A node whose only file was published and is gone: that is held. kinds: what was published since then."""

    def __init__(self, base: Path) -> None:
        secret = generate_secret(os.urandom(32))
        self.inside, self.persona = Inside(base, secret), Persona.of(secret)
        self.ledger = self.inside.shop.ledger
        self.judging = Judging(self.ledger)
        self.kinds: list[tuple[bytes, Kind]] = []
        self.ledger.handle(Settle(b""))
        file = self.inside.tree / os.fsdecode(PATH)
        file.write_bytes(b"ours")
        (push,) = self.ledger.observe([PATH]).pushes
        self.ours = push.record
        file.unlink()
        self.take([self.ledger.observe([PATH])])
        self.take(self.judging.judge(first_look=True))

    def take(self, reports: Iterable[Report]) -> None:
        self.kinds += [(push.record.path, push.record.kind) for report in reports for push in report.pushes]

    def come(self, make: Make) -> None:
        """Something comes from a peer, and the disk is looked at, at all of these paths."""
        record = make(self.persona, self.ours)
        self.take(self.ledger.receive(self.persona.message(record)))
        for _ in range(2):
            self.take([self.ledger.observe([PATH, record.path])])

    @property
    def deletions(self) -> int:
        return self.ledger.sieve.held.counts().get(Suspicion.DELETED, 0)

    def counts(self) -> bool:
        """Whether somebody may have to fetch what is gone."""
        (row,) = self.ledger.rows([PATH]).values()
        return any(record.live and record.content == self.ours.content for record in row.state)


@pytest.fixture
async def held(tmp_path: Path) -> Held:
    held = Held(tmp_path)
    assert (held.deletions, held.kinds) == (1, [])
    return held


@pytest.mark.parametrize("make", [of_a_fresh_index, that_loses, that_wins, below_it])
async def test_it_stays_held_while_the_content_counts(held: Held, make: Make) -> None:
    """If it were taken for nobody's doing, all would wait for bytes that are nowhere, for ever."""
    held.come(make)
    assert (held.deletions, held.kinds, held.counts()) == (1, [], True)
    held.take(held.judging.decide(True))
    assert (held.deletions, held.kinds, held.counts()) == (0, [(PATH, Kind.DELETE)], False)
    (row,) = held.ledger.rows([make(held.persona, held.ours).path]).values()
    assert (row.need is not None) is (make is not of_a_fresh_index), "what a peer wrote comes; what it found gives way"
    held.inside.shop.close()


async def test_what_took_its_place_is_not_deleted(held: Held) -> None:
    held.come(in_its_place)
    assert (held.deletions, held.kinds, held.counts()) == (0, [], False)
    (row,) = held.ledger.rows([PATH]).values()
    assert (row.disk, row.need is not None) == (None, True)
    held.inside.shop.close()


@pytest.mark.parametrize("meant", [True, False])
async def test_the_word_of_the_operator_lets_the_version_of_a_peer_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meant: bool
) -> None:
    """At once, however long the path would have rested for not being what was last seen there."""
    monkeypatch.setattr(guard, "QUIET", 0.1)
    for name in ("FIRST_RETRY", "LAST_RETRY"):
        monkeypatch.setattr(resting, name, 1e6)
    secret = generate_secret(os.urandom(32))
    one, two = (Inside(tmp_path / name, secret) for name in ("one", "two"))
    (one.tree / "keeps").write_bytes(b"keeps the folder from being empty")
    async with joined(one, two):
        await part(one, two)
        (two.tree / "a").write_bytes(b"ours")
        await two.folder.watching.rescan()
        for file in (two.tree / "a", two.tree / "keeps"):
            file.unlink()
        await two.folder.watching.rescan()
        await two.reach(lambda: two.folder.standing.facts.held.deletions == 2)
        (one.tree / "a").write_bytes(b"another")
        await one.folder.watching.rescan()
        await two.join(one)
        await two.reach(lambda: [problem.reason for problem in problems(two)] == [resting.UNPUBLISHED])
        assert two.folder.standing.facts.held.deletions == 2
        await decide([two.folder], meant)
        await agree(one, two)
        assert (two.tree / "a").read_bytes() == b"another"
        assert (two.tree / "keeps").exists() is not meant
