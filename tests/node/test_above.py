"""A path is looked at below something that was no directory before: what that was is published as gone."""

import os
from pathlib import Path

from protocol.keys import generate_secret
from protocol.record import Kind
from syncd.core.events import Settle
from syncd.node.findings import Report
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
