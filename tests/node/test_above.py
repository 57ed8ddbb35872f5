"""Something is found, or to be placed, below what was no directory before: what that was is published as gone."""

import os
from pathlib import Path

from protocol.keys import generate_secret
from protocol.paths import to_key
from protocol.record import Kind
from syncd.core.events import Settle
from syncd.node.findings import Report
from syncd.node.ledger import Ledger
from syncd.store.applier import Job, Outcome
from tests.hostile.peer import Persona
from tests.lab.inside import Inside


def published(report: Report) -> dict[bytes, Kind]:
    return {push.record.path: push.record.kind for push in report.pushes}


async def test_the_directory_in_the_place_of_a_file_is_published_with_what_is_below_it(tmp_path: Path) -> None:
    """The watcher tells of the new file alone, as it may. The old one would only be hidden, and come back with the end
    of the directory."""
    inside = Inside(tmp_path, generate_secret(os.urandom(32)))
    ledger = inside.shop.ledger
    ledger.handle(Settle(b""))
    (inside.tree / "a").write_bytes(b"a file")
    assert published(ledger.observe([b"a"])) == {b"a": Kind.FILE}
    (inside.tree / "a").unlink()
    (inside.tree / "a/b").mkdir(parents=True)
    (inside.tree / "a/b/c").write_bytes(b"below it")
    assert published(ledger.observe([b"a/b/c"])) == {b"a": Kind.DIR, b"a/b": Kind.DIR, b"a/b/c": Kind.FILE}


def place(ledger: Ledger, path: bytes, data: bytes) -> list[Outcome]:
    """Do what is needed for a file at the path."""
    jobs = [Job(action, data if action.path == path else None) for action in ledger.plan([to_key(path)])]
    return [result.outcome for result in ledger.apply(jobs, []).results]


async def test_a_file_that_went_right_before_a_directory_comes_is_published_as_gone(tmp_path: Path) -> None:
    """Whatever is placed below it does not make the directory before the removal was seen."""
    secret = generate_secret(os.urandom(32))
    inside, persona = Inside(tmp_path, secret), Persona.of(secret)
    ledger = inside.shop.ledger
    ledger.handle(Settle(b""))
    for name in ("a", "other"):
        (inside.tree / name).write_bytes(b"a file")
    ledger.observe([b"a", b"other"])
    for _ in ledger.receive(persona.message(persona.file(b"a/b/c", 1, b"below it"))):
        pass
    (inside.tree / "a").unlink()
    assert place(ledger, b"a/b/c", b"below it") == [Outcome.DIFFERS] * 3
    assert not (inside.tree / "a").exists()
    assert published(ledger.observe([b"a", b"a/b", b"a/b/c"])) == {b"a": Kind.DELETE}
    assert place(ledger, b"a/b/c", b"below it") == [Outcome.DONE] * 3
    assert (inside.tree / "a/b/c").read_bytes() == b"below it"
    assert published(ledger.observe([b"a", b"a/b", b"a/b/c"])) == {}
