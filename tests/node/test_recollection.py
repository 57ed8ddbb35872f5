"""A node that ends between placing something and telling its index: what it finds then is nobody's edit."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.keys import generate_secret
from protocol.record import Kind, Record
from syncd.core.events import Settle, Trusted
from syncd.store.applier import Job
from tests.hostile.peer import Persona
from tests.lab.inside import Inside

PATH = b"it"
Make = Callable[[Persona, int], Record]


def file(persona: Persona, number: int) -> Record:
    return persona.file(PATH, number, b"version %d" % number, context={persona.actor: number - 1} if number > 1 else {})


def link(persona: Persona, number: int) -> Record:
    return persona.link(PATH, number, b"target %d" % number, context={persona.actor: number - 1})


def removal(persona: Persona, number: int) -> Record:
    return persona.delete(PATH, number, context={persona.actor: number - 1})


def directory(persona: Persona, number: int) -> Record:
    return persona.directory(PATH, number, context={persona.actor: number - 1})


def place(inside: Inside, record: Record, *, told: bool) -> None:
    """Bring the disk to what a record of a peer says. told: the index hears of it, too."""
    ledger = inside.shop.ledger
    (action,) = ledger.plan([PATH])
    job = Job(action, b"version %d" % record.dot[1] if record.kind is Kind.FILE else None)
    (result,) = ledger.apply([job], []).results if told else ledger.tree.applier.apply([job], durable=True)
    assert result.outcome.value == "done", result


def receive(inside: Inside, persona: Persona, record: Record) -> None:
    for _ in inside.shop.ledger.receive(persona.message(record)):
        pass


def found(base: Path, make: Make, *, edit: bytes | None = None, first: bool = True) -> tuple[list[Record], Inside]:
    """Version 2 is placed in the place of version 1, the node ends, and version 3 comes before it looks. What it
    publishes then. first: there was a version 1. edit: what somebody writes while it is down.
    """
    secret = generate_secret(os.urandom(32))
    persona = Persona.of(secret)
    inside = Inside(base, secret)
    inside.shop.ledger.handle(Settle(b""))
    if first:
        receive(inside, persona, file(persona, 1))
        place(inside, file(persona, 1), told=True)
    placed = make(persona, 2)
    receive(inside, persona, placed)
    place(inside, placed, told=False)
    inside.shop.close()
    if edit is not None:
        (inside.tree / os.fsdecode(PATH)).write_bytes(edit)
    inside = Inside(base, secret)
    ledger = inside.shop.ledger
    assert ledger.replica.doubtful
    receive(inside, persona, file(persona, 3))
    ledger.handle(Trusted())
    published = [push.record for report in ledger.scan(b"", lambda _: None) for push in report.pushes]
    return published, inside


@pytest.mark.parametrize("make", [file, link, removal, directory])
async def test_what_was_placed_right_before_the_end_is_no_edit(tmp_path: Path, make: Make) -> None:
    published, inside = found(tmp_path, make)
    try:
        assert published == []
        (row,) = inside.shop.ledger.rows([PATH]).values()
        assert [record.dot[1] for record in row.state] == [3]
        assert row.need is not None
    finally:
        inside.shop.close()


async def test_what_was_new_there(tmp_path: Path) -> None:
    published, inside = found(tmp_path, lambda persona, number: persona.file(PATH, number, b"version 2"), first=False)
    inside.shop.close()
    assert published == []


async def test_an_edit_of_it_is_one(tmp_path: Path) -> None:
    published, inside = found(tmp_path, file, edit=b"edited")
    inside.shop.close()
    assert [record.size for record in published] == [6]
