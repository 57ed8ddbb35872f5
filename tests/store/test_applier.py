"""Bringing the tree to a plan: what is wanted comes, and what was there is kept."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from protocol.paths import to_key
from protocol.record import Kind
from syncd.core.index import Disk
from syncd.store.applier import Outcome
from syncd.store.capabilities import Capabilities
from tests.store.disturbances import (
    KINDS,
    Instant,
    check_quiet,
    edit_in_place,
    needs_root,
    outcomes,
    staged,
)
from tests.store.trees import (
    NOBODY,
    SOME_TIME,
    Folder,
    Tree,
    directory_entry,
    file_entry,
    link_entry,
    make_tree,
    plan,
    shorten,
    trees,
)

# ---- files


def test_a_new_file_with_new_parents(folder: Folder, way: str) -> None:
    want = file_entry(b"hello", 0o640)
    result = folder.apply_one(b"a/b/f", None, want, b"hello")
    assert result.outcome is Outcome.DONE
    assert result.disk == folder.seen(b"a/b/f")
    assert result.disk is not None
    assert result.disk.entry == want
    assert [(made.path, made.disk) for made in result.made] == [(p, folder.seen(p)) for p in (b"a", b"a/b")]
    assert folder.tree() == {
        b"a": (Kind.DIR, b"", 0o755, 0),
        b"a/b": (Kind.DIR, b"", 0o755, 0),
        b"a/b/f": (Kind.FILE, b"hello", 0o640, SOME_TIME),
    }
    assert result.archived == []
    check_quiet(folder)


@pytest.mark.parametrize("mtime", [0, -1, -1_500_000_000, 1_999_999_999_999_999_999])
def test_times_are_kept(folder: Folder, mtime: int) -> None:
    assert folder.create(b"f", b"", mtime=mtime).entry.mtime == mtime


def test_a_file_is_replaced(folder: Folder, way: str) -> None:
    folder.write(b"d/f", b"old", 0o604, 5)
    result = folder.apply_one(b"d/f", folder.seen(b"d/f"), file_entry(b"new!"), b"new!")
    assert result.outcome is Outcome.DONE
    assert result.disk == folder.seen(b"d/f")
    assert folder.read(b"d/f") == b"new!"
    (item,) = result.archived
    assert item[1:] == (b"d/f", Kind.FILE, 3, 0o604, 5)
    assert folder.archived() == {b"old"}
    assert folder.private(b"archive") == [item.name]
    check_quiet(folder)


def test_a_file_is_removed(folder: Folder, way: str) -> None:
    folder.write(b"d/f", b"old", 0o600, 5)
    result = folder.apply_one(b"d/f", folder.seen(b"d/f"), None)
    assert (result.outcome, result.disk) == (Outcome.DONE, None)
    assert folder.tree() == {b"d": (Kind.DIR, b"", 0o755, 0)}
    assert [item.path for item in result.archived] == [b"d/f"]
    assert folder.archived() == {b"old"}


def test_what_is_gone_already_is_removed(folder: Folder) -> None:
    folder.write(b"d/f", b"old")
    rows = folder.seen_tree()
    shutil.rmtree(folder.at(b"d"))
    results = folder.apply(
        folder.job(b"d/f", rows[b"d/f"], None), folder.job(b"d", rows[b"d"], None), folder.job(b"e", None, None)
    )
    assert outcomes(results) == [Outcome.DONE] * 3


def test_links(folder: Folder, way: str) -> None:
    result = folder.apply_one(b"l", None, link_entry(b"/etc"))
    assert (result.outcome, result.disk) == (Outcome.DONE, folder.seen(b"l"))
    result = folder.apply_one(b"l", result.disk, link_entry(b"../x", 7))
    assert (result.outcome, result.disk) == (Outcome.DONE, folder.seen(b"l"))
    assert folder.tree()[b"l"] == (Kind.LINK, b"../x", 0o777, 7)
    assert [item.kind for item in result.archived] == [Kind.LINK]
    result = folder.apply_one(b"l", result.disk, link_entry(b"../x", 9))
    assert (result.outcome, result.archived) == (Outcome.DONE, [])
    assert folder.tree()[b"l"][3] == 9
    assert folder.apply_one(b"l", result.disk, None).outcome is Outcome.DONE
    assert folder.tree() == {}


def test_nothing_travels_but_permission_bits(folder: Folder) -> None:
    for number, mode in enumerate((0o4755, 0o2755, 0o1777)):
        folder.create(b"f%d" % number, b"", mode)
        folder.apply_one(b"d%d" % number, None, directory_entry(mode))
    for path, item in folder.tree().items():
        assert os.lstat(folder.at(path)).st_mode & 0o7000 == 0
        assert item[2] in (0o755, 0o777)


def test_the_umask_does_not_matter(folder: Folder) -> None:
    before = os.umask(0o077)
    try:
        folder.create(b"a/f", b"", 0o666)
        folder.apply_one(b"d", None, directory_entry(0o777))
    finally:
        os.umask(before)
    assert {path: item[2] for path, item in folder.tree().items()} == {b"a": 0o755, b"a/f": 0o666, b"d": 0o777}


def test_all_names_and_depths(folder: Folder, request: pytest.FixtureRequest) -> None:
    request.addfinalizer(lambda: shorten(folder.path))
    names = [bytes([value]) for value in range(1, 256) if value not in b"./"] + [b"x" * 255, b"-rf", b"..."]
    deep = b"/".join([b"ddd"] * 1000 + [b"f"])
    jobs = [folder.job(name, None, file_entry(name), name) for name in [*names, deep]]
    results = folder.apply(*jobs)
    assert outcomes(results) == [Outcome.DONE] * len(jobs)
    assert len(results[-1].made) == 1000
    found = {item.path: item for item in folder.scanner.walk()}
    assert set(names) | {deep} <= set(found)
    removed = folder.apply(*[folder.job(result.path, result.disk, None) for result in results])
    assert outcomes(removed) == [Outcome.DONE] * len(jobs)


# ---- metadata


def test_mode_and_mtime_without_new_content(folder: Folder) -> None:
    folder.write(b"f", b"same", 0o644, 5)
    inode = os.stat(folder.at(b"f")).st_ino
    disk: Disk | None = folder.seen(b"f")
    for mode, mtime in ((0o600, 5), (0o600, SOME_TIME), (0o755, 9), (0o755, 9), (0o000, 9), (0o644, -1)):
        result = folder.apply_one(b"f", disk, file_entry(b"same", mode, mtime))
        disk = result.disk
        assert (result.outcome, result.archived) == (Outcome.DONE, [])
        assert disk == folder.seen(b"f")
        assert folder.tree() == {b"f": (Kind.FILE, b"same", mode, mtime)}
    assert os.stat(folder.at(b"f")).st_ino == inode


@needs_root
def test_an_unreadable_file_of_ones_own_gets_its_mode_back(folder: Folder) -> None:
    folder.write(b"f", b"same", 0o000, 5)
    disk = folder.seen(b"f")
    for place in (folder.path, folder.at(b"f")):
        os.chown(place, NOBODY, NOBODY)
    disk = disk._replace(ctime=os.stat(folder.at(b"f")).st_ctime_ns)
    os.seteuid(NOBODY)
    try:
        folder.root.in_place = lambda: True  # type: ignore[method-assign]  # its path is below a private directory
        result = folder.new_applier().apply([folder.job(b"f", disk, file_entry(b"same", 0o644, 9))], durable=False)[0]
    finally:
        os.seteuid(0)
    assert result.outcome is Outcome.DONE
    assert folder.tree() == {b"f": (Kind.FILE, b"same", 0o644, 9)}


def test_hard_links_elsewhere_are_not_touched(folder: Folder, tmp_path: Path) -> None:
    folder.write(b"f", b"same", 0o644, 5)
    os.link(folder.at(b"f"), tmp_path / "outside")
    before = os.stat(tmp_path / "outside")
    result = folder.apply_one(b"f", folder.seen(b"f"), file_entry(b"same", 0o600, 9))
    assert (result.outcome, result.archived, result.disk) == (Outcome.DONE, [], folder.seen(b"f"))
    assert folder.tree() == {b"f": (Kind.FILE, b"same", 0o600, 9)}
    after = os.stat(tmp_path / "outside")
    assert (after.st_mode, after.st_mtime_ns, after.st_nlink) == (before.st_mode, before.st_mtime_ns, 1)
    assert folder.private(b"archive") == []
    os.link(folder.at(b"f"), tmp_path / "outside-2")
    result = folder.apply_one(b"f", folder.seen(b"f"), file_entry(b"new"), b"new")
    assert result.outcome is Outcome.DONE
    assert folder.archived() == {b"same"}
    (tmp_path / "outside-2").write_text("written later")
    assert folder.archived() == {b"same"}
    assert os.stat(tmp_path / "outside-2").st_mode & 0o777 == 0o600
    check_quiet(folder)


def test_a_file_that_changes_while_its_links_are_parted(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write(b"f", b"same", 0o644, 5)
    os.link(folder.at(b"f"), folder.at(b"g"))
    seen = folder.seen(b"f")
    real = os.ftruncate

    def edit(fd: int, size: int) -> None:
        real(fd, size)
        folder.write(b"g", b"edit")

    monkeypatch.setattr(os, "ftruncate", edit)
    result = folder.apply_one(b"f", seen, file_entry(b"same", 0o600, 9))
    assert result.outcome is Outcome.DIFFERS
    assert folder.read(b"f") == b"edit"
    check_quiet(folder)


def test_directories_get_modes_and_keep_their_own_bits(folder: Folder) -> None:
    disk = folder.apply_one(b"d", None, directory_entry(0o700)).disk
    os.chmod(folder.at(b"d"), 0o3700)
    result = folder.apply_one(b"d", disk, directory_entry(0o750))
    assert (result.outcome, result.disk) == (Outcome.DONE, folder.seen(b"d"))
    assert os.stat(folder.at(b"d")).st_mode & 0o7777 == 0o3750
    made = folder.apply_one(b"d/e", None, directory_entry(0o755))
    assert made.outcome is Outcome.DONE
    assert os.stat(folder.at(b"d/e")).st_mode & 0o7777 == 0o2755


def test_an_implied_directory_may_be_told_of_later(folder: Folder) -> None:
    results = folder.apply(
        folder.job(b"d/f", None, file_entry(b""), b""), folder.job(b"d", None, directory_entry(0o700))
    )
    assert outcomes(results) == [Outcome.DONE] * 2
    assert results[1].disk == folder.seen(b"d")
    assert folder.tree()[b"d"][2] == 0o700


def test_times_of_a_coarse_file_system(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.root.capabilities = Capabilities(mtime_step=1_000_000_000)
    folder.applier = folder.new_applier()
    real = os.utime

    def coarse(target: int, *, ns: tuple[int, int]) -> None:
        real(target, ns=(ns[0], ns[1] - ns[1] % 1_000_000_000))

    monkeypatch.setattr(os, "utime", coarse)
    disk = folder.create(b"f", b"1")
    assert disk.entry.mtime == SOME_TIME - SOME_TIME % 1_000_000_000
    assert disk == folder.seen(b"f")
    result = folder.apply_one(b"f", disk, file_entry(b"1", 0o600, SOME_TIME + 5))
    assert (result.outcome, result.disk) == (Outcome.DONE, folder.seen(b"f"))


# ---- directories and types


def test_a_directory_is_removed_when_it_is_empty(folder: Folder) -> None:
    for name in (b"a", b"b", b"c", b"d\n"):
        folder.write(b"d/" + name, b"")
    rows = folder.seen_tree()
    result = folder.apply_one(b"d", rows[b"d"], None)
    assert result.outcome is Outcome.WAITS
    assert result.problem is not None
    assert result.problem.reason == "not empty: a, b, c and 1 more"
    jobs = [folder.job(path, rows[path], None) for path in sorted(rows, reverse=True)]
    assert outcomes(folder.apply(*jobs)) == [Outcome.DONE] * 5
    assert folder.tree() == {}


@pytest.mark.parametrize("before", KINDS)
@pytest.mark.parametrize("after", KINDS)
def test_type_changes(folder: Folder, before: str, after: str, way: str) -> None:
    entry, source = KINDS[before]
    disk = folder.apply_one(b"d/x", None, entry, source).disk
    want, source = KINDS[after]
    result = folder.apply_one(b"d/x", disk, want, source)
    assert (result.outcome, result.disk) == (Outcome.DONE, folder.seen(b"d/x"))
    assert result.disk is not None
    assert result.disk.entry == want
    assert len(result.archived) == (before != after and before != "directory")
    check_quiet(folder)
    if after == "directory":
        assert folder.apply_one(b"d/x/y", None, file_entry(b""), b"").outcome is Outcome.DONE


@pytest.mark.parametrize("after", ["file", "link"])
def test_a_directory_with_contents_does_not_become_anything_else(folder: Folder, after: str, way: str) -> None:
    folder.write(b"d/f", b"kept")
    want, source = KINDS[after]
    result = folder.apply_one(b"d", folder.seen(b"d"), want, source)
    assert result.outcome is Outcome.WAITS
    assert folder.read(b"d/f") == b"kept"
    check_quiet(folder)


def test_a_directory_that_fills_in_the_last_instant_comes_back(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkdir(folder.at(b"d"))
    monkeypatch.setattr("syncd.store.placing.names_in", lambda fd: [])
    seen = folder.seen(b"d")
    folder.write(b"d/f", b"just written")
    result = folder.apply_one(b"d", seen, file_entry(b"new"), b"new")
    assert result.outcome is Outcome.WAITS
    assert folder.read(b"d/f") == b"just written"
    check_quiet(folder)


# ---- staged files


def test_a_staged_file_becomes_the_live_one(folder: Folder, way: str) -> None:
    file, want = staged(folder, b"1" * 100_000)
    inode = os.fstat(file.descriptor()).st_ino
    result = folder.apply_one(b"d/f", None, want, file)
    assert (result.outcome, file.closed) == (Outcome.DONE, True)
    assert folder.tree()[b"d/f"] == (Kind.FILE, b"1" * 100_000, 0o644, SOME_TIME)
    assert result.disk is not None
    assert result.disk.inode == inode or way == "steps"
    file, want = staged(folder, b"2" * 100_000)
    assert folder.apply_one(b"d/f", result.disk, want, file).outcome is Outcome.DONE
    assert folder.archived() == {b"1" * 100_000}
    check_quiet(folder)


def test_one_staged_file_for_several_paths(folder: Folder) -> None:
    file, want = staged(folder, b"1" * 100_000)
    paths = (b"a", b"b", b"c")
    results = folder.apply(*[folder.job(path, None, want, file) for path in paths], durable=True)
    assert outcomes(results) == [Outcome.DONE] * 3
    assert {folder.read(path) for path in paths} == {b"1" * 100_000}
    assert len({os.stat(folder.at(path)).st_ino for path in paths}) == 3
    assert folder.apply_one(b"d", None, want, file).outcome is Outcome.FAILED
    check_quiet(folder)


def test_a_staged_file_stays_when_it_cannot_be_placed(folder: Folder) -> None:
    folder.write(b"f", b"in the way")
    file, want = staged(folder, b"1" * 100_000)
    assert folder.apply_one(b"f", None, want, file).outcome is Outcome.DIFFERS
    assert not file.closed
    check_quiet(folder, file.name)
    assert folder.apply_one(b"f", folder.seen(b"f"), want, file).outcome is Outcome.DONE
    check_quiet(folder)


def test_a_staged_file_that_somebody_overwrote_at_once_is_not_tried_again(folder: Folder, exchanges: Instant) -> None:
    folder.write(b"d/f", b"old")
    file, want = staged(folder, b"1" * 100_000)
    seen = folder.seen(b"d/f")
    exchanges.after[1] = lambda: edit_in_place(folder)
    result = folder.apply_one(b"d/f", seen, want, file)
    assert (result.outcome, result.touched) == (Outcome.DONE, True)
    assert file.closed


@pytest.mark.parametrize("case", ["none", "short", "incomplete", "wrong size"])
def test_contents_that_are_not_whole_are_refused(folder: Folder, case: str) -> None:
    file, want = staged(folder, b"1" * 100_000, complete=case != "incomplete")
    source: Any = {"none": None, "short": b"1", "incomplete": file, "wrong size": file}[case]
    if case == "wrong size":
        want = want._replace(size=5)
    result = folder.apply_one(b"f", None, want, source)
    assert result.outcome is Outcome.FAILED
    assert result.problem is not None
    assert "its content is" in result.problem.reason
    assert folder.tree() == {}


# ---- everything together


@given(before=trees(), after=trees())
@settings(max_examples=60, deadline=None)
def test_any_tree_becomes_any_other(tmp_path_factory: pytest.TempPathFactory, before: Tree, after: Tree) -> None:
    folder = Folder(str(tmp_path_factory.mktemp("tree")))
    make_tree(folder, before)
    rows = folder.seen_tree()
    jobs = plan(folder, rows, after)
    results = folder.apply(*jobs)
    assert outcomes(results) == [Outcome.DONE] * len(jobs)
    assert folder.tree() == after
    for result in results:
        rows.pop(result.path, None)
        rows.update({made.path: made.disk for made in result.made if made.disk is not None})
        if result.disk is not None:
            rows[result.path] = result.disk
    assert rows == folder.seen_tree()
    assert folder.compare(rows) == []
    displaced = [
        path for path, item in before.items() if item[0] is Kind.FILE and after.get(path, b"..")[:2] != item[:2]
    ]
    files = [item for result in results for item in result.archived if item.kind is Kind.FILE]
    assert sorted(item.path for item in files) == sorted(displaced)
    assert folder.archived_of(files) == sorted(before[path][1] for path in displaced)
    check_quiet(folder)
    folder.close()
    shutil.rmtree(folder.path)


@given(before=trees(), edits=trees(), after=trees())
@settings(max_examples=60, deadline=None)
def test_no_byte_is_lost_whatever_was_not_seen(
    tmp_path_factory: pytest.TempPathFactory, before: Tree, edits: Tree, after: Tree
) -> None:
    """The plan is made from what was seen; edits come before it is carried out."""
    folder = Folder(str(tmp_path_factory.mktemp("tree")))
    make_tree(folder, before)
    jobs = plan(folder, folder.seen_tree(), after)
    written = set()
    for path in sorted(edits, key=to_key):
        kind, _, mode, _ = edits[path]
        taken = os.path.isdir(folder.at(path)) or os.path.islink(folder.at(path))
        if kind is Kind.FILE and not taken and os.path.isdir(os.path.dirname(folder.at(path))):
            folder.write(path, b"edit of " + path, mode)
            written.add(b"edit of " + path)
    results = folder.apply(*jobs)
    live = {item[1] for item in folder.tree().values() if item[0] is Kind.FILE}
    assert written <= live
    for result in results:
        if result.outcome is Outcome.DONE and result.disk is not None:
            assert result.disk == folder.seen(result.path)
    check_quiet(folder)
    folder.close()
    shutil.rmtree(folder.path)
