"""Placing newcomers: whole directories at once, never over anything that is there."""

import errno
import os
from collections.abc import Iterable

import pytest

from protocol.content import block_id
from protocol.edit import Entry, found_record
from protocol.paths import to_key
from protocol.record import Record
from syncd.core.index import Disk
from syncd.store import syscalls
from syncd.store.parents import LocalPolicy
from tests.store.disturbances import check_quiet, failing, needs_root
from tests.store.trees import FOLDER_ID, KEY, NOBODY, Folder, directory_entry, file_entry

BYTES = {b"d/f": b"one", b"d/e/g": b"two", b"z": b"", b"d/e/h": b"one"}
CONTENTS = {block_id(KEY, data): data for data in BYTES.values()}


def record(path: bytes, entry: Entry) -> Record:
    return found_record(path, entry, (b"a" * 8, 1), 1, FOLDER_ID)


def records(entries: dict[bytes, Entry]) -> list[Record]:
    return [record(path, entries[path]) for path in sorted(entries, key=to_key)]


def site(mode: int = 0o755) -> dict[bytes, Entry]:
    directories = {b"d": directory_entry(mode), b"d/e": directory_entry(0o555)}
    return directories | {path: file_entry(data, 0o640) for path, data in BYTES.items()}


def disks(placed: Iterable[tuple[Record, Disk]]) -> dict[bytes, Disk]:
    return {record.path: disk for record, disk in placed}


def test_a_tree_is_placed_as_it_is_seen_afterwards(folder: Folder, way: str) -> None:
    placed = disks(folder.applier.plant(records(site()), CONTENTS))
    assert placed == folder.seen_tree()
    assert {path: disk.entry for path, disk in placed.items()} == site()
    assert {path: folder.read(path) for path in BYTES} == BYTES
    check_quiet(folder)


def test_what_is_there_stays(folder: Folder, way: str) -> None:
    folder.write(b"d/mine", b"mine")
    folder.write(b"z", b"mine too")
    assert folder.applier.plant(records(site()), CONTENTS) == []
    assert set(folder.tree()) == {b"d", b"d/mine", b"z"}
    assert folder.read(b"z") == b"mine too"
    check_quiet(folder)


def test_nothing_goes_through_a_link(folder: Folder) -> None:
    os.mkdir(folder.at(b"elsewhere"))
    os.symlink(b"elsewhere", folder.at(b"d"))
    assert folder.applier.plant(records({b"d/f": file_entry(b"one")}), CONTENTS) == []
    assert os.listdir(folder.at(b"elsewhere")) == []
    check_quiet(folder)


def test_files_of_a_directory_that_is_moved_away_do_not_count(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkdir(folder.at(b"d"))
    move = syscalls.rename

    def move_away(*args: object) -> None:
        move(*args)
        if os.path.exists(folder.at(b"d")):
            os.rename(folder.at(b"d"), folder.at(b"was"))

    monkeypatch.setattr(syscalls, "rename", move_away)
    assert folder.applier.plant(records({b"d/f": file_entry(b"one")}), CONTENTS) == []
    assert os.listdir(folder.at(b"was")) == [b"f"]


def test_a_file_that_is_removed_at_once_was_placed(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would come back."""
    move = syscalls.rename

    def vanish(*args: object) -> None:
        move(*args)
        os.unlink(folder.at(b"z"))

    monkeypatch.setattr(syscalls, "rename", vanish)
    placed = disks(folder.applier.plant(records({b"z": file_entry(b"one")}), CONTENTS))
    assert [disk.entry for disk in placed.values()] == [file_entry(b"one")]


@pytest.mark.parametrize("call", ["open", "write", "mkdir", "utime", "fstat"])
def test_nothing_is_left_of_what_fails(folder: Folder, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    real, calls = getattr(os, call), []

    def fail_once(*args: object, **named: object) -> object:
        calls.append(args)
        return failing(errno.ENOSPC)() if len(calls) == 4 else real(*args, **named)

    many = site() | {b"many%d" % n: directory_entry() for n in range(9)}
    with monkeypatch.context() as broken:
        broken.setattr(os, call, fail_once)
        with pytest.raises(OSError, match="No space"):
            folder.applier.plant(records(many), CONTENTS)
    assert folder.tree() == {}
    check_quiet(folder)


def test_nothing_is_in_place_before_it_is_durable(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syscalls, "sync_file_system", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        folder.applier.plant(records(site()), CONTENTS)
    assert folder.tree() == {}
    check_quiet(folder)


def test_a_folder_that_was_replaced_gets_nothing(folder: Folder) -> None:
    os.rename(folder.path, folder.path + b".old")
    os.mkdir(folder.path)
    with pytest.raises(OSError, match="moved or replaced"):
        folder.applier.plant(records(site()), CONTENTS)


def test_modes_of_local_policy(folder: Folder) -> None:
    folder.policy = LocalPolicy(file_mode=0o600, dir_mode=0o700)
    folder.applier = folder.new_applier()
    placed = disks(folder.applier.plant(records(site()), CONTENTS))
    assert placed == folder.seen_tree()
    assert {disk.entry.mode for disk in placed.values()} == {0o600, 0o700}


@needs_root
def test_owner_and_group_come_from_above(folder: Folder) -> None:
    os.mkdir(folder.at(b"up"))
    os.chown(folder.at(b"up"), NOBODY, NOBODY)
    os.chmod(folder.at(b"up"), 0o2755)
    inside = {b"up/" + path: entry for path, entry in site().items()}
    assert len(folder.applier.plant(records(inside), CONTENTS)) == len(inside)
    for path, entry in inside.items():
        status = os.lstat(folder.at(path))
        assert (status.st_uid, status.st_gid) == (NOBODY, NOBODY)
        assert status.st_mode & 0o7000 == (0o2000 if entry.size == 0 and entry.mtime == 0 else 0)
