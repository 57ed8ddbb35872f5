"""What stays in the archive: by age, by size, by what loses; and what late writers leave there."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.content import block_id
from protocol.record import Record
from syncd.config.values import Amount
from syncd.core.events import KEPT
from syncd.node.retention import GRACE, ITEMS, LATE, WRITTEN_LATE, ArchiveLimits, Retention
from syncd.store.archive import ArchivedItem
from syncd.store.contents import Contents
from syncd.store.index import SqliteIndex
from tests.core.index_contract import make
from tests.store.trees import FOLDER_ID, KEY, Folder

DAY = 86_400 * 10**9


class Rig:
    """An archive with its list, and a clock that stands still."""

    def __init__(self, base: Path, limits: ArchiveLimits) -> None:
        self.folder = Folder(str(base / "tree"))
        self.index = SqliteIndex(base / "index.db", FOLDER_ID, 7)
        self.contents = Contents(self.index)
        self.now = 1_000 * DAY
        self.limits = limits
        self.open()

    def open(self) -> None:
        """As a start does."""
        folder = self.folder
        self.retention = Retention(
            self.index, self.contents, folder.archive, folder.hasher, self.limits, lambda: self.now
        )

    def keep(self, data: bytes, path: bytes = b"p", content: bytes | None = None) -> ArchivedItem:
        """Have these bytes in the archive, with their content known unless another one is named."""
        item = self.folder.archive.add(data, path, 0o644, 5)
        with self.index.transaction():
            known = block_id(KEY, data) if content is None else content
            self.contents.archive_add([item], self.now, "replaced", {item.name: known})
        return item

    def lose(self, *records: Record) -> None:
        """These records are not shown."""
        with self.index.transaction():
            self.index.mark_losing({b"p": records}, [])

    def expire(self) -> None:
        """A whole round."""
        self.retention.begin()
        while self.retention.expire():
            pass
        names = {archived.item.name for archived in self.contents.archive_list()}
        assert names == set(self.folder.archive.names()), "rows and files are the same"

    def kept(self) -> set[bytes]:
        """The bytes of all items."""
        return self.folder.archived()

    def close(self) -> None:
        self.index.close()
        self.folder.close()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path, ArchiveLimits(Amount(None, 1_000), 30 * 86_400.0))
    yield rig
    rig.close()


def loser(data: bytes) -> Record:
    return make(b"p", content=block_id(KEY, data), size=len(data))


# ---- what goes


def test_what_is_old_goes(rig: Rig) -> None:
    rig.keep(b"old")
    rig.now += DAY
    rig.keep(b"younger")
    rig.now += 29 * DAY
    rig.expire()
    assert rig.kept() == {b"old", b"younger"}
    rig.now += 1
    rig.expire()
    assert rig.kept() == {b"younger"}
    assert rig.retention.removed == (1, 3)


def test_of_too_much_the_oldest_goes_but_not_at_once(rig: Rig) -> None:
    items = [bytes([n]) * 300 for n in range(5)]
    for data in items:
        rig.keep(data)
        rig.now += 1
    rig.expire()
    assert rig.kept() == set(items), "what is put back is read from here"
    rig.now += GRACE
    rig.expire()
    assert rig.kept() == set(items[2:])


def test_what_loses_never_goes_and_takes_no_room_from_others(rig: Rig) -> None:
    rig.keep(b"L" * 900)
    rig.lose(loser(b"L" * 900))
    rig.keep(b"x" * 800)
    rig.now += GRACE + 1
    rig.expire()
    assert rig.kept() == {b"L" * 900, b"x" * 800}
    rig.now += 31 * DAY
    rig.expire()
    assert rig.kept() == {b"L" * 900}
    rig.lose()
    rig.now += 29 * DAY
    rig.expire()
    assert rig.kept() == {b"L" * 900}, "its time runs from when it was needed last"
    rig.now += 2 * DAY
    rig.expire()
    assert rig.kept() == set()


def test_a_round_goes_in_steps(rig: Rig) -> None:
    with rig.index.transaction():
        for n in range(ITEMS + 3):
            item = rig.folder.archive.add(b"%d" % n, b"p", 0o644, 5)
            rig.contents.archive_add([item], rig.now, "", {item.name: block_id(KEY, b"%d" % n)})
    rig.now += 31 * DAY
    rig.retention.begin()
    assert rig.retention.expire(), "sums up"
    assert rig.retention.expire()
    assert len(rig.folder.archive.names()) == 3
    assert not rig.retention.expire()
    assert rig.kept() == set()


# ---- what late writers leave


def displaced(rig: Rig, data: bytes) -> tuple[int, ArchivedItem]:
    """A file that went to the archive while somebody had it open; their descriptor."""
    rig.folder.write(b"p", data, mtime=5)
    fd = os.open(rig.folder.at(b"p"), os.O_WRONLY | os.O_APPEND)
    parent, name = rig.folder.directories.parent(b"p")
    item = rig.folder.archive.put(parent, name, b"p")
    with rig.index.transaction():
        rig.contents.archive_add([item], rig.now, "replaced", {item.name: block_id(KEY, data)})
    return fd, item


def test_what_is_written_late_is_kept_and_told(rig: Rig) -> None:
    fd, item = displaced(rig, b"before")
    rig.lose(loser(b"before"))
    assert rig.index.missing_losers((b"", b""), 9) == []
    os.write(fd, b" and after")
    os.close(fd)
    rig.now += LATE - 1
    assert rig.retention.look() is None
    rig.now += 1
    report = rig.retention.look()
    assert report is not None
    assert [(problem.path, problem.operation) for problem in report.problems] == [(b"p", KEPT)]
    assert item.name.decode() in report.alarms[0]
    assert report.kept == [block_id(KEY, b"before and after")]
    (archived,) = rig.contents.archive_find_content(block_id(KEY, b"before and after"))
    assert (archived.item.name, archived.item.size, archived.reason) == (item.name, 16, WRITTEN_LATE)
    assert rig.contents.archive_find_content(block_id(KEY, b"before")) == []
    assert rig.index.missing_losers((b"", b""), 9) == [(b"p", block_id(KEY, b"before"))], "it is fetched again"
    assert rig.retention.look() is None


def test_a_start_goes_on_where_the_last_one_looked(rig: Rig) -> None:
    fd, _ = displaced(rig, b"first")
    os.close(fd)
    rig.now += LATE
    assert rig.retention.look() is not None
    fd, item = displaced(rig, b"second")
    os.write(fd, b"!")
    os.close(fd)
    rig.now += LATE
    rig.open()
    report = rig.retention.look()
    assert report is not None
    assert [problem.reason for problem in report.problems] == [f"{WRITTEN_LATE}; archive id {item.name.decode()}"]
    assert rig.retention.look() is None


def test_a_round_looks_at_everything_again(rig: Rig) -> None:
    fd, _ = displaced(rig, b"log")
    rig.now += LATE
    assert rig.retention.look() is not None
    os.write(fd, b" line")
    os.close(fd)
    assert rig.retention.look() is None
    rig.retention.look_at_all()
    report = rig.retention.look()
    assert report is not None
    assert report.problems


def test_a_content_that_was_not_known_is_found_out(rig: Rig) -> None:
    large = bytes(range(256)) * 1_000
    rig.lose(loser(b"bytes"))
    rig.keep(b"bytes", b"", content=b"")
    item = rig.keep(large, b"", content=b"")
    rig.now += LATE
    report = rig.retention.look()
    assert report is not None
    assert report.problems == []
    assert rig.contents.archive_protects(block_id(KEY, b"bytes"))
    assert rig.index.missing_losers((b"", b""), 9) == []
    found = rig.contents.archive_find(item.name)
    assert found is not None
    assert rig.contents.block_list(found.content) is not None


def test_a_file_that_is_gone_is_listed_no_more(rig: Rig) -> None:
    item = rig.keep(b"bytes")
    rig.lose(loser(b"bytes"))
    rig.folder.archive.remove([item.name])
    rig.now += LATE
    assert rig.retention.look() is not None
    assert rig.contents.archive_list() == []
    assert len(rig.index.missing_losers((b"", b""), 9)) == 1
