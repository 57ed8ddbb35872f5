"""Reading files once more: what decayed, what somebody wrote, and what cannot be told."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncd.core.index import Disk
from syncd.core.links import refuses_none
from syncd.store.directories import Directories
from syncd.store.hasher import Hashed
from syncd.store.look import Stat
from syncd.store.reread import PIECE, YOUNG, Rereader, Verdict, mapped_writes_show
from syncd.store.scanner import Scanner

KEY = bytes(32)
LATER = 10**18 * 4  # ns: long after anything that a test writes


class Place:
    """A tree with one file, and what was last seen of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file = root / "file"
        self.rests: list[float] = []
        self._fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)

    def reader(self, *, tells: bool = True, now: int = LATER) -> Rereader:
        directories = Directories(self._fd)
        scanner = Scanner(directories, lambda _path, _directory: False, refuses_none)
        return Rereader(directories, KEY, scanner, tells, lambda: now, self.rests.append)

    def seen(self, data: bytes) -> Disk:
        """The file holds this, and is known as that."""
        self.file.write_bytes(data)
        return self.hashed().disk

    def hashed(self) -> Hashed:
        directories = Directories(self._fd)
        stat = Scanner(directories, lambda _path, _directory: False, refuses_none).stat_one(b"file")
        assert isinstance(stat, Stat)
        return self.reader().hash(b"file", stat)

    def decay(self, disk: Disk, data: bytes) -> Disk:
        """The bytes change. A ctime cannot be set, so what is known of the file is what follows."""
        with self.file.open("r+b") as file:
            file.write(data)
        os.utime(self.file, ns=(disk.entry.mtime, disk.entry.mtime))
        return disk._replace(ctime=self.file.stat().st_ctime_ns)

    def close(self) -> None:
        os.close(self._fd)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.close()


SIZES = [1_000, 200_000]


@pytest.mark.parametrize("size", SIZES)
def test_what_is_as_it_was_is_sound(place: Place, size: int) -> None:
    assert place.reader().look(b"file", place.seen(os.urandom(size))).verdict == Verdict.SOUND


@pytest.mark.parametrize("size", SIZES)
def test_other_bytes_in_an_untouched_file_are_damage(place: Place, size: int) -> None:
    known = place.decay(place.seen(os.urandom(size)), b"decayed")
    seen = place.reader().look(b"file", known)
    assert seen.verdict == Verdict.DAMAGED
    assert seen.found is not None
    assert seen.found.content == place.hashed().content != known.entry.content


def test_an_edit_is_never_damage(place: Place) -> None:
    known = place.seen(b"before")
    place.file.write_bytes(b"behind")
    assert place.reader().look(b"file", known).verdict == Verdict.CHANGED
    os.utime(place.file, ns=(known.entry.mtime, known.entry.mtime))
    assert place.reader().look(b"file", known).verdict == Verdict.CHANGED, "a ctime cannot be set"


def test_a_file_that_is_gone_or_something_else_is_no_damage(place: Place) -> None:
    known = place.seen(b"before")
    place.file.unlink()
    assert place.reader().look(b"file", known).verdict == Verdict.CHANGED
    place.file.mkdir()
    assert place.reader().look(b"file", known).verdict == Verdict.CHANGED


def test_a_young_file_is_left_to_the_watcher(place: Place) -> None:
    known = place.decay(place.seen(b"before"), b"behind")
    young = place.reader(now=known.ctime + YOUNG - 1)
    assert young.look(b"file", known).verdict == Verdict.CHANGED
    assert place.reader(now=known.ctime + YOUNG).look(b"file", known).verdict == Verdict.DAMAGED


def test_a_file_that_is_open_for_writing_is_not_judged(place: Place) -> None:
    known = place.decay(place.seen(b"before"), b"behind")
    with place.file.open("r+b"):
        seen = place.reader().look(b"file", known)
    assert (seen.verdict, seen.reason.endswith("but somebody has it open for writing")) == (Verdict.UNSURE, True)


def test_where_mappings_do_not_show_nothing_is_certain(place: Place) -> None:
    known = place.decay(place.seen(b"before"), b"behind")
    seen = place.reader(tells=False).look(b"file", known)
    assert (seen.verdict, seen.found is not None) == (Verdict.UNSURE, True)


def test_a_disk_that_reads_differently_each_time(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    known = place.seen(b"before")
    reads = iter([b"first!", b"second"])
    monkeypatch.setattr(os, "read", lambda _fd, _size: next(reads))
    seen = place.reader().look(b"file", known)
    assert (seen.verdict, seen.reason.startswith("reads differently")) == (Verdict.UNSURE, True)


def test_what_cannot_be_read_is_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    known = place.seen(b"before")

    def fail(_fd: int, _size: int) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "read", fail)
    seen = place.reader().look(b"file", known)
    assert (seen.verdict, seen.reason) == (Verdict.UNREADABLE, "Input/output error")


def test_it_rests_and_counts_and_can_be_stopped_in_the_middle(place: Place) -> None:
    known = place.seen(os.urandom(PIECE * 3))
    reader = place.reader()
    assert reader.look(b"file", known).verdict == Verdict.SOUND
    assert len(place.rests) >= 2
    assert PIECE * 2 <= reader.read <= PIECE * 3
    reader.stop()
    assert reader.look(b"file", known).verdict == Verdict.CHANGED


def test_the_probe_leaves_nothing_behind(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert mapped_writes_show(fd) in (True, False)
    finally:
        os.close(fd)
    assert list(tmp_path.iterdir()) == []
