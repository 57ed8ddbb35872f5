"""Losing versions on their way to the archive: what is missing, what is at hand, and what goes wrong."""

import asyncio
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from protocol.content import Block, block_id, build_segments
from protocol.record import Record
from syncd.core.index import Row
from syncd.core.room import Space
from syncd.node.gauge import Gauge
from syncd.node.holdings import Holdings
from syncd.node.keeping import HELD, Keeping
from syncd.node.losers import REASON, Deposit, Losers
from syncd.node.offers import Offers
from syncd.node.sources import Sources
from syncd.store.contents import Contents
from syncd.store.index import SqliteIndex
from tests.core.index_contract import make
from tests.store.trees import FOLDER_ID, KEY, SOME_TIME, Folder


class Rig:
    """A folder whose manifest has losers at its paths."""

    def __init__(self, base: Path) -> None:
        self.folder = Folder(str(base / "tree"))
        self.index = SqliteIndex(base / "index.db", FOLDER_ID, 7)
        self.contents = Contents(self.index)
        ledger: Any = SimpleNamespace(
            index=self.index, contents=self.contents, tops=Offers(), read=lambda work: work(), steadily=self._steadily
        )
        keys: Any = SimpleNamespace(block_key=KEY)
        holdings = Holdings(self.contents, self.folder.directories, self.folder.archive)
        gauge = Gauge(lambda: Space(0, 0), lambda: 0)
        sources = Sources(keys, ledger, self.folder.staging, holdings, gauge, 1, lambda: 0.0)
        self.losers = Losers(ledger, sources, self.folder.staging, self.folder.archive, lambda: 77)

    def _steadily(self, work: Any) -> Any:
        with self.index.transaction():
            return work()

    def lose(self, path: bytes, *contents: bytes) -> list[Record]:
        """These bytes lose at a path."""
        records = [
            make(path, n, content=block_id(KEY, data), size=len(data), mtime=SOME_TIME)
            for n, data in enumerate(contents, 1)
        ]
        with self.index.transaction():
            self.index.store([Row(path, tuple(sorted(records, key=lambda r: r.hash)), None, None)])
            self.index.mark_losing({path: records}, [])
        return records

    def close(self) -> None:
        self.index.close()
        self.folder.close()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.close()


def test_what_is_missing_is_found_in_turn_and_brought(rig: Rig) -> None:
    rig.lose(b"a", b"1", b"2")
    rig.lose(b"b", b"2", b"3")
    first = rig.losers.load((), 2, 4, {block_id(KEY, b"1"): b"1"})
    rest = rig.losers.load({item.loser.content for item in first.items}, 2, 4, {})
    assert (len(first.items), first.more, len(rest.items), rest.more) == (2, True, 1, False)
    assert [item.source for item in (*first.items, *rest.items) if item.source] == [b"1"]
    by_content = {block_id(KEY, data): data for data in (b"1", b"2", b"3")}
    batch = [Deposit(item.loser, by_content[item.loser.content]) for item in (*first.items, *rest.items)]
    report, failed = rig.losers.deposit(batch, [])
    assert (failed, report.alarms) == ([], [])
    assert set(report.kept) == by_content.keys()
    assert rig.folder.archived() == set(by_content.values())
    assert rig.losers.load((), 9, 4, {}) == ([], False)
    (archived,) = rig.contents.archive_find_content(block_id(KEY, b"3"))
    assert (archived.item.path, archived.item.mtime, archived.reason, archived.archived_at) == (
        b"b", SOME_TIME, REASON, 77,
    )  # fmt: skip
    assert rig.folder.archive.changed(archived.item) is None


def test_a_large_one_comes_from_the_staging_and_others_wait_for_room(rig: Rig) -> None:
    data = os.urandom(100_000)
    blocks = [(block_id(KEY, data[:60_000]), 60_000), (block_id(KEY, data[60_000:]), 40_000)]
    content, segments = build_segments(KEY, blocks)
    listed = [Block(blocks[0][0], 0, 60_000), Block(blocks[1][0], 60_000, 40_000)]
    record = make(b"a", content=content, size=len(data))
    with rig.index.transaction():
        rig.index.store([Row(b"a", (record,), None, None)])
        rig.index.mark_losing({b"a": [record]}, [])
    assert rig.losers.load((), 9, 0, {}).items == []
    (item,) = rig.losers.load((), 9, 1, {}).items
    assert item.assembly is not None
    staged = rig.folder.staging.open(content, len(data), listed)
    staged.write(0, data[:60_000])
    staged.write(1, data[60_000:])
    rig.losers.deposit([Deposit(item.loser, staged)], [(content, len(data), segments, listed)])  # type: ignore[list-item]
    assert rig.folder.archived() == {data}
    assert rig.folder.private(b"staging") == []
    assert rig.contents.block_list(content) == listed
    assert rig.losers.load((), 9, 1, {}).items == []


def test_one_whose_conflict_is_settled_is_left_out(rig: Rig) -> None:
    rig.lose(b"a", b"1")
    (item,) = rig.losers.load((), 9, 4, {block_id(KEY, b"1"): b"1"}).items
    with rig.index.transaction():
        rig.index.mark_losing({}, [b"a"])
    report, failed = rig.losers.deposit([Deposit(item.loser, b"1")], [])
    assert (report.kept, failed) == ([], [])
    assert rig.folder.archived() == set()


@pytest.mark.parametrize("call", ["pwrite", "fsync"])
def test_no_room_is_told_and_leaves_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    rig.lose(b"a", b"1")
    (item,) = rig.losers.load((), 9, 4, {block_id(KEY, b"1"): b"1"}).items

    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, no_room)
        report, failed = rig.losers.deposit([Deposit(item.loser, b"1")], [])
    assert [deposit.loser for deposit in failed] == [item.loser]
    assert report.alarms == ["a losing version cannot be kept: No space left on device: a"]
    assert rig.folder.archived() == set()
    assert len(rig.losers.load((), 9, 4, {}).items) == 1


async def test_one_that_rests_is_roused_by_whoever_has_it() -> None:
    woken = asyncio.Event()
    keeping = Keeping(woken.set)
    keeping.under_way |= {b"x", b"y"}
    assert keeping.room == HELD - 2
    keeping.rest(b"x")
    keeping.due = False
    assert (keeping.under_way, keeping.left_alone) == ({b"y"}, {b"x", b"y"})
    keeping.rouse([b"?"])
    assert not keeping.due
    keeping.rouse([b"x"])
    assert keeping.due
    assert keeping.left_alone == {b"y"}


async def test_a_rest_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncd.node.keeping.REST", 0.0)
    woken = asyncio.Event()
    keeping = Keeping(woken.set)
    keeping.rest(b"x")
    async with asyncio.timeout(10):
        await woken.wait()
    assert keeping.due
    assert keeping.left_alone == frozenset()
