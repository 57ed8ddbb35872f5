"""What lies in `.syncd/` can be neither executed nor guessed, and is for its owner only."""

import os
import re

import pytest

from syncd.store.applier import Outcome
from tests.store.disturbances import Instant, staged, vanish
from tests.store.trees import SOME_TIME, Folder, file_entry, link_entry

RANDOM = re.compile(rb"[0-9a-f]{13,80}")
KNOWN = {b"lock", b"marker", b"staging", b"archive"}


def check(folder: Folder) -> int:
    """Every entry; how many there are with names of their own."""
    top = folder.at(b".syncd")
    assert os.stat(top).st_mode & 0o7777 == 0o700
    found = 0
    for directory, directories, files in os.walk(top):
        for name in directories + files:
            assert RANDOM.fullmatch(name) or (directory == top and name in KNOWN), name
            status = os.lstat(os.path.join(directory, name))
            if not os.path.islink(os.path.join(directory, name)):
                assert status.st_mode & 0o7777 == (0o700 if name in directories else 0o600), (name, oct(status.st_mode))
            assert status.st_uid == os.geteuid()
            found += name not in KNOWN
    return found


def test_after_a_busy_run(folder: Folder) -> None:
    for number, mode in enumerate((0o755, 0o6777, 0o4755, 0o444, 0o111, 0o000)):
        path = b"d%d/program.php" % number
        folder.write(path, b"<?php %d" % number, mode)
        seen = folder.seen(path)
        result = folder.apply_one(path, seen, file_entry(b"new", 0o755), b"new")
        assert result.outcome is Outcome.DONE, result
        assert [item.mode for item in result.archived] == [mode & 0o777]
        assert folder.apply_one(path, result.disk, None).outcome is Outcome.DONE
    os.symlink("/bin/sh", folder.at(b"link"))
    assert folder.apply_one(b"link", folder.seen(b"link"), None).outcome is Outcome.DONE
    folder.archive.add(b"#!/bin/sh", b"conflict.sh", 0o755, SOME_TIME)
    assert check(folder) == 2 * 6 + 2


def test_a_staged_program_that_could_not_be_placed(folder: Folder, exchanges: Instant) -> None:
    folder.write(b"d/f", b"old")
    seen = folder.seen(b"d/f")
    file, want = staged(folder, b"#!/bin/sh" * 20_000)
    exchanges.before[1] = lambda: vanish(folder)
    result = folder.apply_one(b"d/f", seen, want._replace(mode=0o755), file)
    assert result.outcome is Outcome.DIFFERS
    assert check(folder) == 1
    assert folder.apply_one(b"d/f", None, want._replace(mode=0o755), file).outcome is Outcome.DONE
    assert os.stat(folder.at(b"d/f")).st_mode & 0o7777 == 0o755


def test_half_a_transfer(folder: Folder) -> None:
    staged(folder, b"half" * 50_000, complete=False)
    assert check(folder) == 1


def test_a_link_swapped_for_a_hard_link_keeps_the_time_of_that(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is looked at, then stands for a file outside: whose time stays."""
    folder.write(b"outside", b"theirs", mtime=SOME_TIME)
    os.symlink("x", folder.at(b"link"))
    seen = folder.seen(b"link")
    real = os.open

    def swap_after(name: bytes, flags: int, *rest: int, **where: int) -> int:
        fd = real(name, flags, *rest, **where)
        if name == b"link":
            os.unlink(folder.at(b"link"))
            os.link(folder.at(b"outside"), folder.at(b"link"))
        return fd

    monkeypatch.setattr(os, "open", swap_after)
    assert folder.apply_one(b"link", seen, link_entry(b"x", 7)).outcome is Outcome.DIFFERS
    assert os.stat(folder.at(b"outside")).st_mtime_ns == SOME_TIME
