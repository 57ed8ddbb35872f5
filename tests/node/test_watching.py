"""What the watcher tells of is looked at as it has to be."""

import os
from pathlib import Path

import pytest

from protocol.keys import generate_secret
from syncd.core.events import Applied, Observation
from syncd.node import watching
from syncd.node.findings import Report
from tests.lab.inside import Inside


async def test_a_write_in_the_clock_step_of_the_placing(tmp_path: Path) -> None:
    """It leaves size and times as they were when the file was placed: only the event tells of it."""
    inside = Inside(tmp_path, generate_secret(os.urandom(32)))
    (inside.tree / "file").write_bytes(b"placed")
    async with inside.running():
        await inside.folder.watching.rescan()
        before = inside.root

        def place() -> Report:
            """What is there now is what the index takes for the placed file."""
            stat = (inside.tree / "file").stat()
            (row,) = inside.shop.ledger.rows([b"file"]).values()
            assert row.disk is not None
            entry = row.disk.entry._replace(mtime=stat.st_mtime_ns)
            return inside.shop.ledger.handle(
                Applied([Observation(b"file", row.disk._replace(entry=entry, ctime=stat.st_ctime_ns))])
            )

        (inside.tree / "file").write_bytes(b"edited")
        inside.folder.take(await inside.shop.hands.run(place))  # in the queue before the events are read
        await inside.reach(lambda: inside.root != before)
        (record,) = next(iter(inside.shop.ledger.rows([b"file"]).values())).state
        assert (
            record.content
            == inside.shop.ledger.tree.hasher.hash(b"file", inside.shop.ledger.tree.scanner.stat_one(b"file")).content
        )


async def test_a_directory_that_appears_while_the_tree_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a scan has the directories in it watched, and that is not put off for the usual ten minutes."""
    monkeypatch.setattr(watching, "UNWATCHED_INTERVAL", 0.05)
    inside = Inside(tmp_path / "one", generate_secret(os.urandom(32)))
    (inside.tree / "before").touch()
    async with inside.running():
        await inside.folder.watching.rescan()
        reasons = ["the folder was moved"]
        monkeypatch.setattr(inside.folder.watching, "_guard", lambda: reasons[-1] if reasons else None)
        (tmp_path / "new/deep").mkdir(parents=True)
        (tmp_path / "new").rename(inside.tree / "new")
        await inside.reach(lambda: inside.folder.watching.held is not None)
        reasons.clear()
        await inside.reach(lambda: inside.folder.watching.held is None and not inside.folder.watching.scanning)
        (inside.tree / "new/deep/file").write_bytes(b"content")
        await inside.reach(lambda: b"new\0deep\0file" in inside.shop.ledger.rows([b"new/deep/file"]))
