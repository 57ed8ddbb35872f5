"""Somebody acts in the same instant: whoever is first or last, no edit is lost."""

import errno
import os
from collections.abc import Callable
from typing import Any

import pytest

from syncd.store import syscalls
from syncd.store.applier import Outcome
from tests.store.disturbances import (
    CHANGES,
    Instant,
    become_fifo,
    become_link,
    check_quiet,
    edit_by_rename,
    edit_in_place,
    edit_with_old_times,
    failing,
    photograph,
    vanish,
)
from tests.store.trees import (
    SOME_TIME,
    Folder,
    file_entry,
    link_entry,
)

# ---- somebody acts in the same instant


@pytest.mark.parametrize("change", CHANGES[1:6])
def test_an_edit_right_before_the_exchange_is_kept(
    folder: Folder, change: Callable[[Folder], None], exchanges: Instant
) -> None:
    folder.write(b"d/f", b"old", mtime=SOME_TIME)
    seen = folder.seen(b"d/f")
    photos = []
    if change is edit_with_old_times:  # same inode, size and mtime: nobody could tell, but the bytes are in the archive
        exchanges.before[1] = lambda: edit_with_old_times(folder)
        assert folder.apply_one(b"d/f", seen, file_entry(b"new"), b"new").outcome is Outcome.DONE
        assert folder.archived() == {b"edi"}
        return
    exchanges.before[1] = lambda: (change(folder), photos.append(photograph(folder.path)))  # type: ignore[func-returns-value]
    result = folder.apply_one(b"d/f", seen, file_entry(b"new"), b"new")
    assert (result.outcome, result.archived) == (Outcome.DIFFERS, [])
    assert photograph(folder.path) == photos[0]
    check_quiet(folder)


def test_a_removal_right_before_the_exchange(folder: Folder, exchanges: Instant) -> None:
    folder.write(b"d/f", b"old")
    seen = folder.seen(b"d/f")
    exchanges.before[1] = lambda: vanish(folder)
    assert folder.apply_one(b"d/f", seen, file_entry(b"new"), b"new").outcome is Outcome.DIFFERS
    assert b"d/f" not in folder.tree()
    check_quiet(folder)


def test_an_edit_on_each_side_of_the_exchange(folder: Folder, exchanges: Instant) -> None:
    folder.write(b"d/f", b"old")
    seen = folder.seen(b"d/f")

    def replace(data: bytes) -> None:
        folder.write(b"new", data)
        os.rename(folder.at(b"new"), folder.at(b"d/f"))

    exchanges.before[1] = lambda: replace(b"first edit")
    exchanges.after[1] = lambda: replace(b"second edit")
    result = folder.apply_one(b"d/f", seen, file_entry(b"new"), b"new")
    assert result.outcome is Outcome.DIFFERS
    assert folder.read(b"d/f") == b"second edit"
    assert folder.archived() == {b"first edit"}
    assert [item.path for item in result.archived] == [b"d/f"]
    check_quiet(folder)


@pytest.mark.parametrize("refilled", [False, True])
def test_an_edit_before_and_a_removal_after_the_exchange(folder: Folder, exchanges: Instant, refilled: bool) -> None:
    folder.write(b"d/f", b"old")
    seen = folder.seen(b"d/f")
    exchanges.before[1] = lambda: edit_by_rename(folder)
    exchanges.after[1] = lambda: vanish(folder)
    if refilled:
        real = syscalls.rename

        def fill(*arguments: Any) -> None:
            if arguments[-1] == syscalls.RENAME_NOREPLACE and arguments[3] == b"f":
                folder.write(b"d/f", b"third")
            real(*arguments)

        syscalls.rename = fill
    try:
        result = folder.apply_one(b"d/f", seen, file_entry(b"new"), b"new")
    finally:
        if refilled:
            syscalls.rename = real
    assert result.outcome is Outcome.DIFFERS
    assert folder.read(b"d/f") == (b"third" if refilled else b"edi")
    assert folder.archived() == ({b"edi"} if refilled else set())
    assert len(result.archived) == refilled


def test_a_removal_between_the_two_exchanges_back(folder: Folder, exchanges: Instant) -> None:
    folder.write(b"d/f", b"old")
    seen = folder.seen(b"d/f")
    exchanges.before[1] = lambda: edit_by_rename(folder)
    exchanges.after[1] = lambda: edit_by_rename(folder)
    exchanges.before[3] = lambda: vanish(folder)
    result = folder.apply_one(b"d/f", seen, file_entry(b"new"), b"new")
    assert result.outcome is Outcome.DIFFERS
    assert folder.read(b"d/f") == b"edi"
    assert exchanges.calls == 3
    check_quiet(folder)


def change_mode(folder: Folder) -> None:
    os.chmod(folder.at(b"d/f"), 0o600)


@pytest.mark.parametrize("change", [*CHANGES[:7], change_mode])
@pytest.mark.parametrize("present", [False, True])
def test_what_somebody_does_right_after_placing_is_done_to_what_was_placed(
    folder: Folder, present: bool, change: Callable[[Folder], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the index has to know it as placed: against what was there before, an edit would be a conflict with the new
    content, and a removal nothing at all.
    """
    folder.write(b"d/f", b"old") if present else os.mkdir(folder.at(b"d"))
    seen = folder.seen(b"d/f") if present else None
    steps = Instant(monkeypatch, syscalls, "rename", lambda *a: a[3] == b"f")
    steps.after[1] = lambda: change(folder)
    result = folder.apply_one(b"d/f", seen, file_entry(b"new"), b"new")
    assert (result.outcome, len(result.archived)) == (Outcome.DONE, present)
    assert result.disk is not None
    assert result.disk.entry == file_entry(b"new")
    assert folder.archived() == ({b"old"} if present else set())
    if change is not edit_with_old_times:  # it shows in nothing but the events of it
        assert result.touched
        assert folder.compare({b"d/f": result.disk, b"d": folder.seen(b"d")})
    check_quiet(folder)


def test_a_link_that_goes_right_after_placing(folder: Folder, exchanges: Instant) -> None:
    folder.write(b"d/f", b"old")
    exchanges.after[1] = lambda: vanish(folder)
    result = folder.apply_one(b"d/f", folder.seen(b"d/f"), link_entry(b"target"))
    assert (result.outcome, result.touched) == (Outcome.DONE, True)
    assert result.disk is not None
    assert result.disk.entry == link_entry(b"target")


@pytest.mark.parametrize("refilled", [False, True])
def test_an_edit_right_before_a_removal_is_kept(
    folder: Folder, refilled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write(b"d/f", b"old", mtime=SOME_TIME)
    seen = folder.seen(b"d/f")
    renames = Instant(monkeypatch, os, "rename", lambda *a, **o: a[0] == b"f")
    renames.before[1] = lambda: edit_in_place(folder)
    if refilled:
        renames.after[1] = lambda: folder.write(b"d/f", b"newer")
    result = folder.apply_one(b"d/f", seen, None)
    assert result.outcome is Outcome.DIFFERS
    assert folder.read(b"d/f") == (b"newer" if refilled else b"edit")
    assert folder.archived() == ({b"edit"} if refilled else set())
    assert len(result.archived) == refilled


def test_a_file_that_goes_right_before_its_removal(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write(b"d/f", b"old")
    seen = folder.seen(b"d/f")
    renames = Instant(monkeypatch, os, "rename", lambda *a, **o: a[0] == b"f")
    renames.before[1] = lambda: vanish(folder)
    assert folder.apply_one(b"d/f", seen, None).outcome is Outcome.DIFFERS


def test_edits_in_the_same_instant_without_exchange(folder: Folder, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "exchange":
        pytest.skip("see above")
    folder.write(b"d/f", b"old", mtime=SOME_TIME)
    seen = folder.seen(b"d/f")
    name, first = ("link", b"f") if way == "links" else ("rename", b"f")
    steps = Instant(monkeypatch, os, name, lambda *a, **o: a[0] == first)
    steps.before[1] = lambda: edit_by_rename_and_time(folder)
    result = folder.apply_one(b"d/f", seen, file_entry(b"new"), b"new")
    assert (result.outcome, result.archived) == (Outcome.DIFFERS, [])
    assert folder.read(b"d/f") == b"edit"
    check_quiet(folder)


def edit_by_rename_and_time(folder: Folder) -> None:
    folder.write(b"new", b"edit")
    os.rename(folder.at(b"new"), folder.at(b"d/f"))


def test_a_name_taken_while_it_is_empty(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syscalls, "_renameat2", syscalls._bind("no_such_call"))
    monkeypatch.setattr(os, "link", failing(errno.EPERM))
    folder.write(b"d/f", b"old")
    seen = folder.seen(b"d/f")
    renames = Instant(monkeypatch, os, "rename", lambda *a, **o: a[0] == b"f")
    renames.after[1] = lambda: folder.write(b"d/f", b"edit")
    result = folder.apply_one(b"d/f", seen, file_entry(b"new"), b"new")
    assert result.outcome is Outcome.DIFFERS
    assert folder.read(b"d/f") == b"edit"
    assert folder.archived() == {b"old"}
    assert len(result.archived) == 1
    check_quiet(folder)


def test_a_failure_between_the_steps_puts_things_back(
    folder: Folder, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "exchange":
        pytest.skip("one step")
    folder.write(b"f", b"old")
    os.mkdir(folder.at(b"d"))
    rows = folder.seen_tree()
    real = os.rename

    def immutable(source: bytes, target: bytes, **places: int) -> None:
        if target in (b"f", b"d") and source.startswith(folder.staging._prefix.encode()):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        real(source, target, **places)

    monkeypatch.setattr(os, "rename", immutable)
    monkeypatch.setattr(os, "link", failing(errno.EPERM)) if way == "steps" else None
    results = folder.apply(
        folder.job(b"f", rows[b"f"], file_entry(b"new"), b"new"),
        folder.job(b"d", rows[b"d"], file_entry(b"new"), b"new"),
    )
    assert results[0].outcome is Outcome.FAILED
    assert folder.read(b"f") == b"old"
    if way == "steps":
        assert results[1].outcome is Outcome.FAILED
        assert os.path.isdir(folder.at(b"d"))
    check_quiet(folder)


def test_an_edit_while_metadata_is_set(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write(b"d/f", b"old", mtime=SOME_TIME)
    seen = folder.seen(b"d/f")
    modes = Instant(monkeypatch, syscalls, "set_mode", lambda *a: True)
    modes.after[1] = lambda: edit_in_place(folder)
    assert folder.apply_one(b"d/f", seen, file_entry(b"old", 0o600, 7)).outcome is Outcome.DIFFERS
    assert os.stat(folder.at(b"d/f")).st_mtime_ns != 7
    seen = folder.seen(b"d/f")
    times = Instant(monkeypatch, syscalls, "set_mtime", lambda *a: True)
    times.after[1] = lambda: folder.write(b"d/f", b"longer edit")
    assert folder.apply_one(b"d/f", seen, file_entry(b"edit", 0o644, 7)).outcome is Outcome.DIFFERS


@pytest.mark.parametrize("become", [become_link, become_fifo, vanish])
def test_a_swap_right_before_metadata_is_set(
    folder: Folder, become: Callable[[Folder], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write(b"d/f", b"old")
    seen = folder.seen(b"d/f")
    before = os.stat("/etc/passwd")
    opens = Instant(monkeypatch, os, "open", lambda path, *a, **o: path == b"f")
    opens.before[1] = lambda: become(folder)
    assert folder.apply_one(b"d/f", seen, file_entry(b"old", 0o600, 7)).outcome is Outcome.DIFFERS
    assert os.stat("/etc/passwd").st_mode == before.st_mode
