"""Paths that are not as they were seen are left alone, and nothing leads out of the tree."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from syncd.store import syscalls
from syncd.store.applier import Outcome
from tests.store.disturbances import (
    CHANGES,
    KINDS,
    WANTS,
    Instant,
    check_quiet,
    failing,
    outcomes,
    parent_vanishes,
    photograph,
    vanish,
)
from tests.store.trees import (
    SOME_TIME,
    Folder,
    directory_entry,
    file_entry,
    link_entry,
)

# ---- the disk is not as it was seen


@pytest.mark.parametrize("want", WANTS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_path_that_is_not_as_it_was_seen_is_left_alone(
    folder: Folder, change: Callable[[Folder], None], want: str
) -> None:
    folder.write(b"d/f", b"old", mtime=SOME_TIME)
    seen = folder.seen(b"d/f")
    change(folder)
    before = photograph(folder.path)
    entry, source = WANTS[want]
    result = folder.apply_one(b"d/f", seen, entry, source)
    went = change in (vanish, parent_vanishes)
    assert result.outcome is (Outcome.DONE if went and want == "remove" else Outcome.DIFFERS)
    assert (result.disk, result.archived, result.made) == (None, [], [])
    assert photograph(folder.path) == before
    check_quiet(folder)


@pytest.mark.parametrize("want", ["replace", "link", "directory"])
@pytest.mark.parametrize("change", CHANGES[:6])
def test_what_was_not_seen_is_not_replaced(
    folder: Folder, change: Callable[[Folder], None], want: str, way: str
) -> None:
    folder.write(b"d/f", b"old")
    change(folder)
    before = photograph(folder.path)
    entry, source = WANTS[want]
    result = folder.apply_one(b"d/f", None, entry, source)
    assert result.outcome is Outcome.DIFFERS
    assert photograph(folder.path) == before
    check_quiet(folder)


@pytest.mark.parametrize("kind", ["link", "directory"])
def test_links_and_directories_that_changed_are_left_alone(folder: Folder, kind: str) -> None:
    entry, source = KINDS[kind]
    seen = folder.apply_one(b"x", None, entry, source).disk
    (os.unlink if kind == "link" else os.rmdir)(folder.at(b"x"))
    folder.write(b"x", b"edit")
    wants = [want for name, want in WANTS.items() if name != "adjust"]
    for want in (*wants, (link_entry(b"target", 9), None), (directory_entry(0o700), None)):
        assert folder.apply_one(b"x", seen, *want).outcome is Outcome.DIFFERS
    os.unlink(folder.at(b"x"))
    assert folder.apply_one(b"x", seen, link_entry(b"target", 9)).outcome is Outcome.DIFFERS
    assert folder.apply_one(b"x", seen, directory_entry(0o700)).outcome is Outcome.DIFFERS


# ---- directories that move, and links in their place


def test_a_link_in_place_of_a_directory_is_not_followed(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/f").write_text("theirs")
    folder.write(b"d/f", b"old")
    rows = folder.seen_tree()
    shutil.rmtree(folder.at(b"d"))
    os.symlink(tmp_path / "outside", folder.at(b"d"))
    results = folder.apply(
        folder.job(b"d/f", rows[b"d/f"], file_entry(b"new"), b"new"),
        folder.job(b"d/f", rows[b"d/f"], file_entry(b"old", 0o600), None),
        folder.job(b"d/f", rows[b"d/f"], None),
        folder.job(b"d/g", None, file_entry(b"new"), b"new"),
        folder.job(b"d/h/i", None, file_entry(b"new"), b"new"),
        folder.job(b"d/j", None, directory_entry()),
        folder.job(b"d", rows[b"d"], directory_entry(0o700)),
    )
    assert outcomes(results) == [Outcome.DIFFERS] * 7
    assert os.listdir(tmp_path / "outside") == ["f"]
    assert (tmp_path / "outside/f").read_text() == "theirs"
    check_quiet(folder)


def test_a_link_swapped_in_between_two_batches(folder: Folder, tmp_path: Path) -> None:
    folder.create(b"d/e/f", b"1")
    os.rename(folder.at(b"d"), tmp_path / "outside")
    os.symlink(tmp_path / "outside", folder.at(b"d"))
    assert folder.apply_one(b"d/e/g", None, file_entry(b"2"), b"2").outcome is Outcome.DIFFERS
    assert os.listdir(tmp_path / "outside/e") == ["f"]


def test_what_goes_into_a_directory_that_is_moved_out_meanwhile_is_not_done(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.create(b"d/e/f", b"1")
    folder.create(b"x/f", b"1")
    creations = Instant(monkeypatch, syscalls, "rename", lambda *a: a[-1] == syscalls.RENAME_NOREPLACE)
    creations.before[3] = lambda: os.rename(folder.at(b"d"), tmp_path / "outside")
    jobs = [folder.job(path, None, file_entry(b"2"), b"2") for path in (b"d/e/1", b"d/e/n/2", b"d/e/3", b"x/n/1", b"y")]
    results = folder.apply(*jobs)
    assert outcomes(results) == [Outcome.DIFFERS] * 3 + [Outcome.DONE] * 2
    assert [[made.path for made in result.made] for result in results] == [[], [], [], [b"x/n"], []]
    assert results[0].disk is None
    assert set(folder.tree()) == {b"x", b"x/f", b"x/n", b"x/n/1", b"y"}


def test_a_directory_replaced_meanwhile_makes_its_jobs_differ(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.create(b"d/f", b"1")

    def replace() -> None:
        os.rename(folder.at(b"d"), folder.at(b"e"))
        os.mkdir(folder.at(b"d"))

    creations = Instant(monkeypatch, syscalls, "rename", lambda *a: True)
    creations.before[1] = replace
    assert folder.apply_one(b"d/g", None, file_entry(b"2"), b"2").outcome is Outcome.DIFFERS
    assert b"e/g" in folder.tree()


def test_a_directory_made_in_the_same_instant(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    makings = Instant(monkeypatch, os, "mkdir", lambda *a, **o: a[0] == b"d")
    makings.before[1] = lambda: os.mkdir(folder.at(b"d"))
    assert folder.apply_one(b"d/f", None, file_entry(b"1"), b"1").outcome is Outcome.DIFFERS
    assert folder.apply_one(b"d/f", None, file_entry(b"1"), b"1").outcome is Outcome.DONE


def test_nothing_is_done_in_a_root_that_went_elsewhere(folder: Folder, tmp_path: Path) -> None:
    os.rename(folder.path, tmp_path / "moved")
    result = folder.apply_one(b"f", None, file_entry(b"1"), b"1")
    assert result.outcome is Outcome.FAILED
    assert result.problem is not None
    assert "moved or replaced" in result.problem.reason
    assert sorted(os.listdir(tmp_path / "moved")) == [".syncd"]


def test_another_mount_is_told(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syscalls, "rename", failing(errno.EXDEV))
    monkeypatch.setattr(os, "link", failing(errno.EXDEV))
    folder.write(b"d/f", b"old")
    seen = folder.seen(b"d/f")
    real = os.rename
    monkeypatch.setattr(os, "rename", lambda s, t, **o: failing(errno.EXDEV)() if s == b"f" else real(s, t, **o))
    results = folder.apply(
        folder.job(b"d/g", None, file_entry(b"new"), b"new"),
        folder.job(b"d/f", seen, file_entry(b"new"), b"new"),
        folder.job(b"d/f", seen, None),
    )
    assert outcomes(results) == [Outcome.FAILED] * 3
    assert {result.problem.reason for result in results if result.problem} == {"lies on another file system or mount"}
    assert folder.read(b"d/f") == b"old"
    check_quiet(folder)


def test_a_name_that_the_file_system_takes_for_another_is_told(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write(b"foo", b"theirs")
    monkeypatch.setattr(syscalls, "rename", failing(errno.EEXIST))
    result = folder.apply_one(b"Foo", None, file_entry(b"new"), b"new")
    assert result.outcome is Outcome.FAILED
    assert result.problem is not None
    assert "takes another name" in result.problem.reason
    check_quiet(folder)
