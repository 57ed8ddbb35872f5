"""A first sync and the scans beside it: neither waits for the other."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from protocol.keys import generate_secret
from syncd.core.index import Row
from syncd.node import ledger as ledger_module
from syncd.node import puller, watching
from syncd.node.findings import Report
from syncd.store import scanner
from tests.lab.inside import Inside
from tests.lab.meeting import running

FILES = 4_000


async def test_a_scan_in_which_nothing_is_different_lets_others_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "SCAN_SLICE_ENTRIES", 256)
    monkeypatch.setattr(scanner, "YOUNG", 0)
    inside = Inside(tmp_path, generate_secret(os.urandom(32)))
    for number in range(1_000):
        (inside.tree / f"{number}").touch()
    async with inside.running():
        await inside.folder.watching.rescan()
        reports = await inside.shop.hands.run(lambda: list(inside.shop.ledger.scan(b"", lambda _path: None)))
        assert sum(report.entries for report in reports) == 1_000
        assert len(reports) >= 4
        await inside.folder.watching.rescan()
        assert inside.folder.watching.scanned_entries == 1_000


async def test_no_scan_is_due_while_a_peer_fills_the_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = Inside(tmp_path, generate_secret(os.urandom(32)))
    (inside.tree / "file").touch()
    asked: list[int] = []

    def is_filling() -> bool:
        asked.append(inside.folder.watching._scans_done)
        return len(asked) < 5

    async with inside.running():
        monkeypatch.setattr(inside.folder.watching, "_is_filling", is_filling)
        inside.folder.watching.become(0.001, look=True)
        await inside.reach(lambda: len(asked) >= 5 and inside.folder.watching._scans_done > asked[4])
        assert len(set(asked[:5])) == 1


async def test_a_first_sync_needs_nothing_and_is_scanned_when_it_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scans are due all the time. None of the files takes the long way of a need."""
    monkeypatch.setattr(watching, "UNWATCHED_INTERVAL", 0.01)
    monkeypatch.setattr(puller, "GATHER_RECORDS", 100)
    secret = generate_secret(os.urandom(32))
    one, two = Inside(tmp_path / "one", secret), Inside(tmp_path / "two", secret)
    (one.tree / "uploads").mkdir()
    for number in range(FILES):
        (one.tree / f"uploads/{number:06d}").touch()
    needed: list[bytes] = []
    store = two.shop.index.store

    def stored(rows: Sequence[Row]) -> None:
        needed.extend(row.key for row in rows if row.need is not None and row.key != b"uploads")
        store(rows)

    filled: list[int] = []  # files that the index knew when a scan began
    scan = two.shop.ledger.scan

    def scanned(below: bytes, on_directory: Callable[[bytes], None]) -> Iterator[Report]:
        filled.append(two.shop.index.totals().files)
        yield from scan(below, on_directory)

    monkeypatch.setattr(two.shop.index, "store", stored)
    monkeypatch.setattr(two.shop.ledger, "scan", scanned)
    async with running(one, two):
        await two.join(one)
        await two.reach(lambda: two.in_sync and two.folder.standing.facts.totals.files == FILES)
        assert needed == []
        assert [files for files in filled if 0 < files < FILES] == []
