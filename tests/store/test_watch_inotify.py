"""inotify: the contract, and what only it can get wrong."""

import errno
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inotify_simple import INotify, flags

from syncd.store import watch_inotify
from syncd.store.directories import Directories
from syncd.store.watch import WATCH_LIMIT, Cause, Merged, Watcher, WatchEvent
from syncd.store.watch_inotify import InotifyWatcher, WatchTree
from tests.store.watch_bench import Bench, causes
from tests.store.watch_contract import WatchContract

QUEUED = Path("/proc/sys/fs/inotify/max_queued_events")


class TestInotify(WatchContract):
    exact = True
    examples = 60

    def make(self, directories: Directories, queue: int | None = None, limit: int | None = None) -> Watcher:
        return InotifyWatcher(directories, WATCH_LIMIT if limit is None else limit)

    def flood(self, bench: Bench) -> None:
        names = bench.at(b"one"), bench.at(b"two")
        for name in names:
            with open(name, "wb"):
                pass
        for _ in range(int(QUEUED.read_text()) // 2):
            for name in names:  # equal events in a row count as one
                os.chmod(name, 0o600)

    # ---- races: the watch of a place is made before the events of its past are read

    def test_a_renamed_directory_that_was_added_again_too_early(self, bench: Bench) -> None:
        for path in (b"old", b"old/sub"):
            bench.mkdir(path)
        bench.start(b"old", b"old/sub")
        os.rename(bench.at(b"old"), bench.at(b"new"))
        bench.add(b"new")
        bench.write(b"new/before")
        bench.write(b"new/sub/before")
        events = bench.events()
        assert WatchEvent(b"new", Cause.CLOSED, True) in events
        assert not [event for event in events if event.path.startswith(b"old/")]
        assert causes(events, b"new/before") == {Cause.CLOSED}
        bench.add(b"new", b"new/sub")
        assert bench.watcher.watched == 3
        bench.write(b"new/sub/after")
        bench.write(b"new/after")
        events = bench.events()
        assert {event.path for event in events} == {b"new/after", b"new/sub/after"}

    def test_a_replaced_directory_that_was_added_again_too_early(self, bench: Bench) -> None:
        bench.mkdir(b"sub")
        bench.start(b"sub")
        os.rename(bench.at(b"sub"), bench.outside + b"/sub")
        bench.mkdir(b"sub")
        bench.add(b"sub")
        bench.write(b"sub/before")
        assert WatchEvent(b"sub", Cause.CREATED, True) in bench.events()
        bench.add(b"sub")
        assert bench.watcher.watched == 2
        bench.write(b"sub/after")
        with open(bench.outside + b"/sub/elsewhere", "wb"):
            pass
        assert {event.path for event in bench.events()} == {b"sub/after"}

    def test_a_directory_that_comes_back_keeps_its_watch(self, bench: Bench) -> None:
        bench.mkdir(b"sub")
        bench.start(b"sub")
        for _ in range(3):
            os.rename(bench.at(b"sub"), bench.outside + b"/sub")
            os.rename(bench.outside + b"/sub", bench.at(b"sub"))
            assert WatchEvent(b"sub", Cause.CLOSED, True) in bench.events()
            bench.add(b"sub")
            bench.write(b"sub/file")
            assert causes(bench.events(), b"sub/file") == {Cause.CLOSED}
        assert bench.watcher.watched == 2

    def test_a_file_that_is_written_again_is_not_complete(self, bench: Bench) -> None:
        bench.write(b"outside")
        bench.start()
        os.rename(bench.at(b"outside"), bench.at(b"file"))
        with open(bench.at(b"file"), "wb", buffering=0) as file:
            file.write(b"first half")
            assert bench.wait()
            events = bench.watcher.read()
            assert WatchEvent(b"file", Cause.CREATED, False, written=True) in events
            assert WatchEvent(b"file", Cause.CLOSED, False) not in events
        assert causes(bench.events(), b"file") == {Cause.CLOSED}

    # ---- directories whose parent is not watched

    def test_removed_below_an_unwatched_one(self, bench: Bench) -> None:
        for path in (b"a", b"a/b"):
            bench.mkdir(path)
        bench.start(b"a/b")
        os.rmdir(bench.at(b"a/b"))
        assert WatchEvent(b"a/b", Cause.REMOVED, True) in bench.events()
        assert bench.watcher.watched == 1

    def test_moved_below_an_unwatched_one(self, bench: Bench) -> None:
        for path in (b"a", b"a/b", b"a/b/c"):
            bench.mkdir(path)
        bench.start(b"a/b", b"a/b/c")
        os.rename(bench.at(b"a/b"), bench.at(b"a/d"))
        assert WatchEvent(b"a/b", Cause.MOVED_OUT, True) in bench.events()
        assert bench.watcher.watched == 1
        bench.write(b"a/d/c/file")
        assert bench.events() == []

    def test_the_attributes_of_one_below_an_unwatched_one(self, bench: Bench) -> None:
        for path in (b"a", b"a/b"):
            bench.mkdir(path)
        bench.start(b"a/b")
        os.chmod(bench.at(b"a/b"), 0o700)
        assert bench.events() == [WatchEvent(b"a/b", Cause.CHANGED, True)]

    def test_an_unwatched_one_that_may_have_become_readable_counts_as_new(self, bench: Bench) -> None:
        bench.mkdir(b"sub")
        bench.start()
        os.chmod(bench.at(b"sub"), 0o700)
        assert bench.events() == [WatchEvent(b"sub", Cause.CREATED, True)]

    # ---- the root

    def test_a_root_that_is_moved_or_removed(self, bench: Bench) -> None:
        bench.start()
        os.rename(bench.root, bench.root + b"-moved")
        assert bench.wait()
        assert bench.watcher.read() == [WatchEvent(b"", Cause.OVERFLOW, True)]
        for name in os.listdir(bench.root + b"-moved"):
            os.unlink(bench.root + b"-moved/" + name)
        os.rmdir(bench.root + b"-moved")
        bench.watcher.read()
        bench.directories.close()
        os.mkdir(bench.root)

    def test_a_file_system_that_is_taken_away(self, bench: Bench) -> None:
        bench.mkdir(b"sub")
        bench.start(b"sub")
        watcher = bench.watcher
        assert isinstance(watcher, InotifyWatcher)
        for path in (b"", b"sub"):
            merged = Merged()
            watcher._translate(_event(watcher._tree._numbers[path], flags.UNMOUNT), merged)
            assert merged.events() == [WatchEvent(b"", Cause.OVERFLOW, True)]

    def test_what_is_gone_when_it_is_looked_at_is_not_called_complete(self, bench: Bench) -> None:
        bench.start()
        watcher = bench.watcher
        assert isinstance(watcher, InotifyWatcher)
        merged = Merged()
        watcher._translate(_event(watcher._tree._numbers[b""], flags.CREATE, b"gone"), merged)
        assert merged.events() == [WatchEvent(b"gone", Cause.CREATED, False)]

    # ---- what the kernel refuses

    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.ENOMEM])
    def test_refused_watches(self, bench: Bench, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
        bench.mkdir(b"sub")
        bench.start()
        with monkeypatch.context() as patch:
            patch.setattr(INotify, "add_watch", _raising(code))
            assert not bench.watcher.add(b"sub")
            assert not bench.watcher.complete
        assert bench.events() == [WatchEvent(b"sub", Cause.EXHAUSTED, True)]
        bench.add(b"sub")

    def test_an_unreadable_directory_is_not_a_lack_of_watches(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bench.mkdir(b"sub")
        bench.start()
        monkeypatch.setattr(INotify, "add_watch", _raising(errno.EACCES))
        assert not bench.watcher.add(b"sub")
        assert bench.watcher.complete
        assert bench.events() == []

    def test_what_is_no_longer_needed_gives_way(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(watch_inotify, "REMOVED_PER_READ", 0)
        for path in (b"a", b"b"):
            bench.mkdir(path)
        bench.start(b"a")
        bench.watcher.remove(b"a")
        removed: list[int] = []
        remove, add = INotify.rm_watch, INotify.add_watch

        def rm_watch(self: object, number: int) -> None:
            removed.append(number)
            remove(self, number)

        def add_watch(self: object, name: bytes, mask: int) -> int:
            if not removed:
                raise OSError(errno.ENOSPC, "")
            return int(add(self, name, mask))

        monkeypatch.setattr(INotify, "rm_watch", rm_watch)
        monkeypatch.setattr(INotify, "add_watch", add_watch)
        bench.add(b"b")
        assert len(removed) == 1
        assert bench.watcher.complete

    def test_many_watches_are_removed_in_slices(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(watch_inotify, "REMOVED_PER_READ", 3)
        paths = [b"top"] + [b"top/%d" % number for number in range(20)]
        for path in paths:
            bench.mkdir(path)
        bench.start(*paths)
        os.rename(bench.at(b"top"), bench.outside + b"/top")
        bench.events()
        while bench.waiting():
            bench.watcher.read()
        with open(f"/proc/self/fdinfo/{bench.watcher._inotify.fileno()}") as file:  # type: ignore[attr-defined]
            assert file.read().count("inotify wd:") == 1

    def test_no_proc(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(watch_inotify, "_name_of", lambda fd: b"/missing")
        with pytest.raises(FileNotFoundError):
            InotifyWatcher(bench.directories)
        monkeypatch.setattr(watch_inotify, "_name_of", lambda fd: b"/")
        with pytest.raises(OSError, match="does not show"):
            InotifyWatcher(bench.directories)

    def test_no_more_instances(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(watch_inotify, "INotify", _raising(errno.EMFILE))
        with pytest.raises(OSError, match="refused"):
            InotifyWatcher(bench.directories)


def _event(number: int, mask: int, name: bytes = b"") -> bytes:
    """An event as the kernel gives it."""
    return struct.pack("iIII", number, mask, 0, 16 if name else 0) + name.ljust(16 if name else 0, b"\0")


def _raising(code: int) -> Callable[..., int]:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(code, "refused")

    return refuse


_PATHS = st.lists(st.sampled_from([b"a", b"b", b"ab"]), max_size=4).map(b"/".join)
_STEPS = st.lists(st.tuples(st.sampled_from(["put", "put", "drop", "cut"]), _PATHS, st.integers(1, 8)), max_size=40)


@given(_STEPS)
def test_the_tree_of_watches_is_like_two_plain_tables(steps: list[tuple[str, bytes, int]]) -> None:
    tree = WatchTree()
    numbers: dict[bytes, int] = {}
    for action, path, number in steps:
        if action == "put":
            replaced = numbers.get(path) if numbers.get(path) != number else None
            numbers = {kept: of for kept, of in numbers.items() if of != number}
            numbers[path] = number
            assert tree.put(path, number) == replaced
        elif action == "drop":
            numbers = {kept: of for kept, of in numbers.items() if of != number}
            tree.drop(number)
        else:
            gone = {kept for kept in numbers if kept == path or not path or kept.startswith(path + b"/")}
            assert sorted(tree.cut(path)) == sorted(numbers.pop(kept) for kept in gone)
        assert len(tree) == len(numbers)
        for kept, of in numbers.items():
            assert kept in tree
            assert tree.path(of) == kept
    tree.cut(b"")
    assert tree._numbers == {}
    assert tree._paths == {}
    assert tree._below == {}
