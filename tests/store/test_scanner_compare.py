"""Telling what changed from what is gone, and both from what is unknown."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.paths import to_key
from syncd.core.events import Problem
from syncd.core.index import Disk
from syncd.store import scanner as scanner_module
from syncd.store.scanner import Changed, Gone, Passed, Scanner
from tests.store.trees import (
    LATER,
    NAMES,
    SOME_TIME,
    Folder,
    Tree,
    differences,
    make_tree,
    paths,
    trees,
    wipe,
)  # fmt: skip

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")


def walked(folder: Folder, path: bytes = b"") -> list[bytes]:
    return [item.path for item in folder.scanner.walk(path)]


def test_nothing_changed(folder: Folder) -> None:
    folder.write(b"d/f", b"1")
    os.symlink(b"x", folder.at(b"d/l"))
    assert folder.compare(folder.seen_tree()) == []


def edit_in_place(folder: Folder) -> None:
    folder.write(b"d/f", b"2")


def edit_with_old_times(folder: Folder) -> None:
    before = os.stat(folder.at(b"d/f"))
    folder.write(b"d/f", b"2", mtime=before.st_mtime_ns)


def replace_with_old_times(folder: Folder) -> None:
    before = os.stat(folder.at(b"d/f"))
    folder.write(b"new", b"2", mtime=before.st_mtime_ns)
    os.rename(folder.at(b"new"), folder.at(b"d/f"))


def change_mode(folder: Folder) -> None:
    os.chmod(folder.at(b"d/f"), 0o600)


def touch(folder: Folder) -> None:
    os.utime(folder.at(b"d/f"), ns=(5, 5))


def become_directory(folder: Folder) -> None:
    os.unlink(folder.at(b"d/f"))
    os.mkdir(folder.at(b"d/f"))


def become_link(folder: Folder) -> None:
    os.unlink(folder.at(b"d/f"))
    os.symlink(b"f", folder.at(b"d/f"))


@pytest.mark.parametrize(
    "change",
    [edit_in_place, edit_with_old_times, replace_with_old_times, change_mode, touch, become_directory, become_link],
)
def test_every_change_of_a_file_is_noticed(folder: Folder, change: Callable[[Folder], None]) -> None:
    folder.write(b"d/f", b"1", 0o644, SOME_TIME)
    rows = folder.seen_tree()
    change(folder)
    assert [type(item) for item in folder.compare(rows)] == [Changed]
    assert paths(folder.compare(rows)) == [b"d/f"]


def test_changes_of_links_and_directories(folder: Folder) -> None:
    os.symlink(b"x", folder.at(b"l"))
    os.mkdir(folder.at(b"d"))
    rows = folder.seen_tree()
    os.unlink(folder.at(b"l"))
    os.symlink(b"y", folder.at(b"l"))
    folder.write(b"d/f", b"")
    assert paths(folder.compare(rows)) == [b"d/f", b"l"]
    os.chmod(folder.at(b"d"), 0o700)
    assert paths(folder.compare(rows)) == [b"d", b"d/f", b"l"]


def test_gone_subtrees_and_replaced_ones(folder: Folder) -> None:
    for path in (b"a/b/c", b"a/x", b"a-b", b"d/e/f"):
        folder.write(path, b"")
    rows = folder.seen_tree()
    subprocess.run(["rm", "-r", folder.at(b"a"), folder.at(b"d")], check=True)
    folder.write(b"d", b"now a file")
    folder.directories.forget(b"")
    found = folder.compare(rows)
    assert [Changed if isinstance(i, Changed) else i for i in found] == [
        Gone(b"a"), Gone(b"a/b"), Gone(b"a/b/c"), Gone(b"a/x"), Changed, Gone(b"d/e"), Gone(b"d/e/f"),
    ]  # fmt: skip


def test_young_files_are_looked_at_again(folder: Folder) -> None:
    folder.write(b"f", b"")
    rows = folder.seen_tree()
    ctime = rows[b"f"].ctime
    second = 1_000_000_000
    for now, is_young in ((ctime, True), (ctime + 2 * second - 1, True), (ctime + 2 * second, False)):
        assert bool(folder.compare(rows, now)) == is_young
    assert folder.compare(rows, ctime - 3600 * second) == []  # a clock that was set back must not hash everything


def test_what_became_special_is_unknown_not_gone(folder: Folder) -> None:
    folder.write(b"d/f", b"")
    folder.write(b"e", b"")
    rows = folder.seen_tree()
    subprocess.run(["rm", "-r", folder.at(b"d")], check=True)
    os.mkfifo(folder.at(b"d"))
    folder.directories.forget(b"")
    (found,) = folder.compare(rows)
    assert isinstance(found, Problem)


def test_what_is_ignored_is_never_gone(tmp_path: Path) -> None:
    patterns: set[bytes] = set()
    folder = Folder(str(tmp_path), ignored=lambda path, directory: path in patterns)
    for path in (b"a/b/c", b"a/d", b"e", b"g/h", b"g/i/j"):
        folder.write(path, b"")
    rows = folder.seen_tree()
    patterns |= {b"a/b", b"e", b"g/i"}
    subprocess.run(["rm", "-r", folder.at(b"a/b"), folder.at(b"e"), folder.at(b"g")], check=True)
    folder.directories.forget(b"")
    assert folder.compare(rows) == [Gone(b"g"), Gone(b"g/h")]
    patterns |= {b"a"}
    assert folder.compare(rows) == [Gone(b"g"), Gone(b"g/h")]
    folder.close()


def test_an_unreadable_root_makes_everything_unknown(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write(b"a", b"")
    rows = folder.seen_tree()

    def broken(_: int) -> Iterator[bytes]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(scanner_module, "each_name", broken)
    assert folder.compare(rows) == [Problem(b"", "list", "Permission denied")]


def test_what_comes_back_during_the_walk_is_not_gone(folder: Folder) -> None:
    folder.write(b"a", b"")
    folder.write(b"b", b"")
    rows = sorted((to_key(path), disk) for path, disk in folder.seen_tree().items())
    os.unlink(folder.at(b"a"))
    stats = list(folder.scanner.walk())
    folder.write(b"a", b"again")
    (found,) = differences(folder.scanner.compare(stats, rows, LATER))
    assert isinstance(found, Changed)
    assert found.stat.path == b"a"
    os.unlink(folder.at(b"a"))
    os.mkfifo(folder.at(b"a"))
    (trouble,) = differences(folder.scanner.compare(stats, rows, LATER))
    assert isinstance(trouble, Problem)


def test_a_name_that_is_only_taken_for_another_is_gone(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write(b"foo", b"")
    rows = [(to_key(path), disk) for path, disk in folder.seen_tree().items()]
    os.rename(folder.at(b"foo"), folder.at(b"Foo"))
    real = os.stat

    def folding(path: bytes, **options: object) -> os.stat_result:
        return real(b"Foo" if path == b"foo" else path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", folding)
    found = differences(folder.scanner.compare(folder.scanner.walk(), rows, LATER))
    assert paths(found) == [b"Foo", b"foo"]
    assert isinstance(found[1], Gone)
    assert b"x" not in folder.scanner.names_beside(b"missing/x")


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by a descriptor with each listing of a directory."""
    listings: list[int] = []
    real = scanner_module.each_name

    def listed(fd: int) -> Iterator[bytes]:
        listings.append(fd)
        return real(fd)

    monkeypatch.setattr(scanner_module, "each_name", listed)
    return listings


def test_a_directory_that_grows_meanwhile_is_listed_once_more_and_not_for_each_name(
    folder: Folder, listings: list[int]
) -> None:
    """As on a peer of a node that is filled, where a scan meets what came after it had listed the directory."""
    for number in range(300):
        folder.write(b"d/%03d" % number, b"")
    rows = sorted((to_key(path), disk) for path, disk in folder.seen_tree().items())
    listings.clear()
    found = differences(folder.scanner.compare([], rows, LATER))
    assert all(isinstance(item, Changed) for item in found)
    assert len(found) == 301
    assert len(listings) == 2, "of the root and of the directory"


def test_what_was_placed_since_the_walk_began_is_no_difference(folder: Folder, listings: list[int]) -> None:
    """A first sync places files as fast as a scan looks: each would be hashed, and the directory listed anew."""
    folder.write(b"d/0", b"")
    began = folder.seen(b"d/0").ctime
    before = {b"d": folder.seen(b"d"), b"d/0": folder.seen(b"d/0")}
    stats = list(folder.scanner.walk())
    for number in range(1, 300):
        folder.write(b"d/%03d" % number, b"")
    placed = {path: disk for path, disk in folder.seen_tree().items() if path not in before}
    folder.write(b"d/100", b"edited")
    os.unlink(folder.at(b"d/200"))
    rows = sorted((to_key(path), disk) for path, disk in {**before, **placed}.items())
    listings.clear()
    found = differences(folder.scanner.compare(stats, rows, began))
    assert [type(item) for item in found if item not in (Changed(stat) for stat in stats)] == [Changed, Gone]
    assert paths(found)[-2:] == [b"d/100", b"d/200"]
    assert len(listings) == 1, "for the edit"


def test_it_pauses_where_nothing_is_different(folder: Folder) -> None:
    """Very many files that are as they were must not keep all else waiting until the last of them was looked at."""
    for number in range(1_000):
        folder.write(b"d/%03d" % number, b"")
    rows = sorted((to_key(path), disk) for path, disk in folder.seen_tree().items())
    for stats, seen in ((folder.scanner.walk(), rows), (iter(()), rows)):
        passed = [item for item in folder.scanner.compare(stats, seen, LATER) if isinstance(item, Passed)]
        assert sum(item.entries for item in passed) == 1_001
        assert max(item.entries for item in passed) <= 257


def test_new_and_gone_at_both_ends(folder: Folder) -> None:
    for path in (b"b", b"m", b"y"):
        folder.write(path, b"")
    rows = folder.seen_tree()
    os.unlink(folder.at(b"b"))
    os.unlink(folder.at(b"y"))
    folder.write(b"a", b"")
    folder.write(b"z", b"")
    found = folder.compare(rows)
    assert [(type(item), path) for item, path in zip(found, paths(found), strict=True)] == [
        (Changed, b"a"), (Gone, b"b"), (Gone, b"y"), (Changed, b"z"),
    ]  # fmt: skip


@given(before=trees(), after=trees(), hidden=st.sets(st.sampled_from(NAMES), max_size=2))
@settings(max_examples=60, deadline=None)
def test_compare_is_the_difference(
    tmp_path_factory: pytest.TempPathFactory, before: Tree, after: Tree, hidden: set[bytes]
) -> None:
    folder = Folder(str(tmp_path_factory.mktemp("tree")), ignored=lambda path, directory: path in hidden)
    everything = Scanner(folder.directories, lambda path, directory: False)
    rows: dict[bytes, Disk] = {}
    for tree in (before, after):
        wipe(folder)
        make_tree(folder, tree)
        found = folder.compare(rows)
        shown = {path for path in tree if not _is_hidden(path, hidden)}
        assert {item.path for item in found if isinstance(item, Gone)} == {
            path for path in rows if path not in tree and not _is_hidden(path, hidden)
        }
        assert shown >= {item.stat.path for item in found if isinstance(item, Changed)} >= shown - set(rows)
        rows = {item.path: folder.seen(item.path) for item in everything.walk()}
        assert set(rows) == set(tree)
    assert folder.compare(rows) == []
    folder.close()
    shutil.rmtree(folder.path)


def _is_hidden(path: bytes, hidden: set[bytes]) -> bool:
    return any(path == name or path.startswith(name + b"/") for name in hidden)
