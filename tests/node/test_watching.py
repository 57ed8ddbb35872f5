"""What the watcher tells of is looked at as it has to be."""

import os
from pathlib import Path

from protocol.keys import generate_secret
from syncd.core.events import Applied, Observation
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
