"""Conflict copies beside the winners: made once, never over anything, the users' own as soon as they touch them."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from protocol.content import block_id
from protocol.edit import Entry
from protocol.paths import to_key
from protocol.record import Kind, Record
from syncd.config.values import Amount
from syncd.core.copy_names import copy_path
from syncd.core.index import Row
from syncd.core.room import Space
from syncd.node import beside
from syncd.node.beside import Beside
from syncd.node.findings import Report
from syncd.node.gauge import Gauge
from syncd.store.applier import Outcome
from syncd.store.conflict_copies import ConflictCopies
from syncd.store.contents import Contents
from syncd.store.directories import Directories
from syncd.store.hasher import Hasher
from syncd.store.index import SqliteIndex
from syncd.store.index_copies import CopyState
from syncd.store.scanner import Scanner
from tests.core.index_contract import make
from tests.store.trees import FOLDER_ID, KEY, SOME_TIME, Folder, file_entry

YEARS = 1 << 62  # ns: a time at which no file is young


class Rig:
    """A folder with an index, and copies in it. observed: paths that were given to the ledger to be looked at."""

    def __init__(self, base: Path, wanted: bool = True) -> None:
        self.base = base
        self.folder = Folder(str(base / "tree"))
        self.index = SqliteIndex(base / "index.db", FOLDER_ID, 7)
        self.contents = Contents(self.index)
        self.observed: list[bytes] = []
        self.believed = True
        self.now = YEARS
        self.open(wanted)

    def open(self, wanted: bool = True) -> None:
        """As a start does."""
        folder = self.folder
        self.replica = SimpleNamespace(fresh=False)
        self.ledger: Any = SimpleNamespace(
            index=self.index, contents=self.contents, read=lambda work: work(), steadily=self._steadily,
            rows=lambda paths: self.index.rows([to_key(path) for path in paths]), observe=self._observe,
            now=lambda: 77, replica=self.replica, tree=SimpleNamespace(applier=folder.applier),
        )  # fmt: skip
        self.directories = Directories(folder.root.fd)
        self.copies = ConflictCopies(
            self.directories, folder.staging, folder.archive, Hasher(self.directories, KEY), folder.policy,
            lambda: self.now,
        )  # fmt: skip
        folder.scanner = Scanner(folder.directories, lambda _path, _directory: False, hides=self.copies.hides)
        self.room = Space(0, 0)
        gauge = Gauge(lambda: self.room, lambda: 0)
        self.beside = Beside(
            self.ledger, self.copies, folder.archive, folder.hasher, gauge, wanted, lambda: self.believed
        )

    def _steadily(self, work: Callable[[], Any], durable: bool = False) -> Any:
        with self.index.transaction(durable):
            return work()

    def _observe(self, paths: list[bytes]) -> Report:
        self.observed += paths
        return Report()

    def lose(self, path: bytes, *contents: bytes, archived: bool = True) -> list[bytes]:
        """These bytes lose at a path; the paths that copies of them have."""
        records = [
            make(path, n << 32, content=block_id(KEY, data), size=len(data), mtime=SOME_TIME, mode=0o640)
            for n, data in enumerate(contents, 1)
        ]
        self.settle(path, records)
        if archived:
            items = [self.folder.archive.add(data, path, 0o640, SOME_TIME) for data in contents]
            named = {item.name: record.content for item, record in zip(items, records, strict=True)}
            self._steadily(lambda: self.contents.archive_add(items, 1, "lost", named))
        return [copy_path(path, record.content_stamp, record.dot[0]) for record in records]

    def settle(self, path: bytes, losing: list[Record] = []) -> None:  # noqa: B006 -- never changed
        """Nothing but these loses at a path."""
        with self.index.transaction():
            state = tuple(sorted(losing, key=lambda record: record.hash))
            self.index.store([Row(to_key(path), state, None, None)])
            self.index.mark_losing({to_key(path): losing} if losing else {}, [] if losing else [to_key(path)])

    def publish(self, path: bytes, data: bytes) -> None:
        """The manifest has a file."""
        with self.index.transaction():
            self.index.store([Row(to_key(path), (make(path, content=block_id(KEY, data)),), None, None)])

    def round(self) -> None:
        for _ in self.beside.round():
            pass

    def states(self) -> list[tuple[bytes, CopyState]]:
        return [(copy.path, copy.state) for copy in self.index.copies()]

    def files(self) -> dict[bytes, bytes]:
        """The bytes of the files in the tree, by path."""
        return {path: item[1] for path, item in self.folder.tree().items() if item[0] is Kind.FILE}

    def found(self) -> list[bytes]:
        """The paths of what a scan comes upon."""
        return [item.path for item in self.folder.scanner.walk()]

    def close(self) -> None:
        self.directories.close()
        self.index.close()
        self.folder.close()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.close()


def test_what_lost_lies_beside_the_winner_and_takes_no_part(rig: Rig) -> None:
    rig.folder.write(b"d/a.txt", b"winner")
    one, two = rig.lose(b"d/a.txt", b"1", b"2")
    rig.lose(b"d/b", b"not here yet", archived=False)
    rig.round()
    assert rig.files() == {b"d/a.txt": b"winner", one: b"1", two: b"2"}
    assert one == b"d/a.sync-conflict-19700101-000004-00000001.txt"
    kind, _, mode, mtime = rig.folder.tree()[one]
    assert (kind, mode, mtime) == (Kind.FILE, 0o640, SOME_TIME)
    assert rig.found() == [b"d", b"d/a.txt"]
    assert rig.folder.scanner.stat_one(one) is None
    assert sorted(rig.states()) == [(one, CopyState.THERE), (two, CopyState.THERE)]
    assert rig.folder.private(b"staging") == []
    assert rig.folder.archived() == {b"1", b"2"}
    rig.round()
    assert rig.observed == []


def test_a_copy_that_somebody_edits_is_theirs(rig: Rig) -> None:
    (copy,) = rig.lose(b"a", b"1")
    rig.round()
    rig.folder.write(copy, b"edited")
    assert rig.found() == [copy]
    rig.round()
    assert rig.observed == [copy]
    assert rig.states() == [(copy, CopyState.NONE)]
    rig.settle(b"a")
    rig.round()
    assert rig.files() == {copy: b"edited"}, "settling the conflict does not touch what is somebody's own"
    assert rig.states() == []


def test_an_edit_that_leaves_no_trace_in_the_times_is_found(rig: Rig) -> None:
    (copy,) = rig.lose(b"a", b"1")
    rig.now = os.stat(rig.folder.path).st_mtime_ns
    rig.round()
    rig.round()
    assert rig.beside.unsure
    status = os.stat(rig.folder.at(copy))
    rig.folder.write(copy, b"2", 0o640, SOME_TIME)
    assert os.stat(rig.folder.at(copy)).st_size == status.st_size
    assert not rig.copies.hides(copy, os.lstat(rig.folder.at(copy)))


def test_touching_it_is_no_edit(rig: Rig) -> None:
    (copy,) = rig.lose(b"a", b"1")
    rig.round()
    rig.round()
    assert not rig.beside.unsure
    os.utime(rig.folder.at(copy), ns=(5, 5))
    os.chmod(rig.folder.at(copy), 0o600)
    os.link(rig.folder.at(copy), rig.folder.at(b"other"))
    assert rig.found() == [b"other"]
    rig.settle(b"a")
    rig.round()
    assert rig.files() == {b"other": b"1"}


def test_one_that_is_removed_stays_away(rig: Rig) -> None:
    (copy,) = rig.lose(b"a", b"1")
    rig.round()
    os.unlink(rig.folder.at(copy))
    rig.round()
    rig.round()
    rig.close()
    rig.__init__(rig.base)  # type: ignore[misc]
    rig.round()
    assert rig.files() == {}
    assert rig.states() == [(copy, CopyState.NONE)]


@pytest.mark.parametrize("how", ["settled", "lost by the archive", "not wanted any more"])
def test_what_is_over_goes_to_the_archive(rig: Rig, how: str) -> None:
    (copy,) = rig.lose(b"a", b"1")
    rig.round()
    if how == "settled":
        rig.settle(b"a")
    else:
        names = [archived.item.name for archived in rig.contents.archive_list()]
        with rig.index.transaction():
            rig.contents.archive_remove(names)
        rig.folder.archive.remove(names)
    if how == "not wanted any more":
        rig.copies = None  # type: ignore[assignment]
        rig.open(wanted=False)
    rig.round()
    assert rig.folder.archived() == {b"1"}
    if how == "lost by the archive":
        assert rig.files() == {copy: b"1"}, "it has the bytes again, so there is a copy again"
    else:
        assert rig.files() == {}
        assert rig.states() == []
    assert beside.REASON in {archived.reason for archived in rig.contents.archive_list()}


def test_a_name_that_is_taken(rig: Rig) -> None:
    (copy,) = rig.lose(b"a", b"1")
    rig.folder.write(copy, b"somebody's")
    rig.publish(copy + b"-2", b"of a peer, and not here yet")
    rig.round()
    assert rig.files() == {copy: b"somebody's", copy + b"-3": b"1"}
    assert rig.states() == [(copy + b"-3", CopyState.THERE)]


def test_a_file_with_these_bytes_is_copy_enough(rig: Rig) -> None:
    """Otherwise a node that loses its index again and again would have one more each time."""
    (copy,) = rig.lose(b"a", b"1")
    rig.folder.write(copy, b"1")
    rig.round()
    assert rig.files() == {copy: b"1"}
    assert rig.found() == [copy]
    assert [state for _, state in rig.states()] == [CopyState.NONE]


def test_a_name_that_is_taken_in_the_last_instant(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    (copy,) = rig.lose(b"a", b"1")
    place = rig.copies.place

    def late(temp: Any, path: bytes) -> None:
        rig.folder.write(copy, b"somebody's")
        place(temp, path)

    monkeypatch.setattr(rig.copies, "place", late)
    rig.round()
    assert rig.files() == {copy: b"somebody's"}
    assert rig.found() == [copy]
    monkeypatch.undo()
    rig.round()
    assert sorted(rig.files().values()) == [b"1", b"somebody's"]
    assert rig.folder.private(b"staging") == []


def test_a_link_above_leads_nowhere(rig: Rig, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    os.symlink(os.fsencode(outside), rig.folder.at(b"d"))
    rig.lose(b"d/a", b"1")
    rig.round()
    assert list(outside.iterdir()) == []
    assert rig.states() == []


def test_nothing_is_made_without_room_or_while_the_tree_is_in_doubt(rig: Rig) -> None:
    (copy,) = rig.lose(b"a", b"1")
    rig.believed = False
    rig.round()
    rig.believed, rig.replica.fresh = True, True
    rig.round()
    assert rig.states() == []
    rig.replica.fresh = False
    rig.round()
    assert rig.files() == {copy: b"1"}
    os.unlink(rig.folder.at(copy))
    rig.believed = False
    rig.round()
    assert rig.states() == [(copy, CopyState.THERE)], "an emptied tree tells nothing of what users want"


def test_a_copy_that_does_not_fit_takes_the_room_of_nothing_else(rig: Rig) -> None:
    rig.lose(b"a", b"1" * 3_000)
    gauge = rig.beside._gauge
    gauge.become(Amount(None, 1_000))
    rig.room = Space(total=10_000, free=2_000)
    rig.round()
    assert rig.states() == []
    assert not gauge.scarce
    rig.room = Space(total=10_000, free=5_000)
    rig.round()
    assert len(rig.states()) == 1


def test_an_archive_that_cannot_be_read_costs_no_descriptors(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.lose(b"a", b"1")

    def broken(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patch:
        patch.setattr(Hasher, "hash_open", broken)
        rig.round()
    assert len(os.listdir("/proc/self/fd")) == before
    assert rig.states() == []
    rig.round()
    assert len(rig.states()) == 1


def test_there_are_not_too_many(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "MOST", 3)
    rig.lose(b"a", *(b"%d" % number for number in range(20)))
    rig.round()
    assert len(rig.files()) == 3


def test_what_is_to_come_to_its_path_finds_it_free(rig: Rig) -> None:
    (copy,) = rig.lose(b"a", b"1")
    (other,) = rig.lose(b"d", b"2")
    rig.round()
    result = rig.folder.apply_one(copy, None, file_entry(b"of a peer"), b"of a peer")
    assert result.outcome is Outcome.DONE
    directory = Entry(Kind.DIR, b"\0" * 32, 0, 0o755, 0, b"")
    assert rig.folder.apply_one(other, None, directory).outcome is Outcome.DONE
    assert rig.files() == {copy: b"of a peer"}
    assert {copy, other} <= set(rig.found())
    rig.round()
    assert rig.files() == {copy: b"of a peer"}
    assert rig.observed == []


def test_a_directory_is_removed_with_the_copies_of_what_was_settled_in_it(rig: Rig) -> None:
    rig.folder.write(b"d/a", b"winner")
    rig.lose(b"d/a", b"1")
    rig.round()
    seen, top = rig.folder.seen(b"d/a"), rig.folder.seen(b"d")
    rig.settle(b"d/a")
    results = rig.folder.apply(rig.folder.job(b"d/a", seen, None), rig.folder.job(b"d", top, None))
    assert [result.outcome for result in results] == [Outcome.DONE, Outcome.DONE]
    assert rig.folder.tree() == {}
    assert {b"winner", b"1"} <= rig.folder.archived()


def test_a_file_wins_over_the_directory_that_a_copy_lies_in(rig: Rig) -> None:
    rig.folder.write(b"d/a", b"lost with the directory")
    rig.lose(b"d/b/a", b"not shown")
    os.mkdir(rig.folder.at(b"d/b"))
    rig.round()
    assert len(rig.files()) == 2
    jobs = [(b"d/b", rig.folder.seen(b"d/b")), (b"d/a", rig.folder.seen(b"d/a")), (b"d", rig.folder.seen(b"d"))]
    results = rig.folder.apply(*(rig.folder.job(path, seen, None) for path, seen in jobs))
    assert [result.outcome for result in results] == [Outcome.DONE] * 3
    rig.round()
    os.makedirs(rig.folder.at(b"d/b"))
    rig.round()
    assert rig.files() == {}
    assert [state for _, state in rig.states()] == [CopyState.NONE]


STEPS = ["prepared", "listed", "placed", "done"]


@pytest.mark.parametrize("step", STEPS)
def test_killed_between_two_steps(tmp_path: Path, step: str) -> None:
    """After the next start there is one copy, nothing is left over, and nothing would be published."""
    child = os.fork()
    if not child:
        _die_after(Rig(tmp_path), step)
    assert os.waitpid(child, 0)[1] == 0
    rig = Rig(tmp_path)
    try:
        rig.folder.staging.clean(())
        assert rig.found() == []
        rig.round()
        rig.round()
        (data,) = rig.files().values()
        assert data == b"1"
        assert rig.found() == []
        assert rig.folder.private(b"staging") == []
        assert [state for _, state in rig.states()] == [CopyState.THERE]
        rig.settle(b"a")
        rig.round()
        assert rig.files() == {}
    finally:
        rig.close()


def _die_after(rig: Rig, step: str) -> None:
    """In a process of its own."""
    rig.lose(b"a", b"1")
    copies, index = rig.copies, rig.index
    calls = {"prepared": (copies, "prepare"), "placed": (copies, "place"), "listed": (index, "put_copies")}
    if step in calls:
        place, name = calls[step]
        work = getattr(place, name)
        if step == "listed":
            rig.ledger.steadily = lambda work, durable=False: (Rig._steadily(rig, work, durable), os._exit(0))
        else:
            setattr(place, name, lambda *given: (work(*given), os._exit(0)))
    rig.round()
    os._exit(0 if step == "done" else 1)
