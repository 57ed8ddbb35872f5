"""What every watcher must do, as a suite that its tests inherit."""

import os
import shutil
import stat
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncd.store.directories import Directories
from syncd.store.syscalls import RENAME_EXCHANGE, rename
from syncd.store.watch import Cause, Watcher, WatchEvent
from tests.store.watch_bench import CAME, DEADLINE, GONE, Bench, causes, directories
from tests.store.watch_follower import OPERATIONS, Follower, snapshot


class WatchContract(ABC):
    """Inherited by the tests of each implementation. exact: it sees what happens, not only what has changed since."""

    exact: bool
    examples: int

    @abstractmethod
    def make(self, directories: Directories, queue: int | None = None, limit: int | None = None) -> Watcher:
        """A watcher, with fewer waiting events or watched directories than usual."""

    @abstractmethod
    def flood(self, bench: Bench) -> None:
        """Cause more events than a small queue holds."""

    @contextmanager
    def place(self, queue: int | None = None, limit: int | None = None) -> Iterator[Bench]:
        """A bench of its own."""
        with tempfile.TemporaryDirectory() as top:
            bench = Bench(os.fsencode(top), lambda directories: self.make(directories, queue, limit))
            try:
                yield bench
            finally:
                bench.close()

    @pytest.fixture
    def bench(self) -> Iterator[Bench]:
        with self.place() as bench:
            yield bench

    def arrival(self) -> set[Cause]:
        """How something whole that appears is reported."""
        return {Cause.CLOSED} if self.exact else CAME

    def departure(self) -> set[Cause]:
        """How something that is moved away is reported; only who sees it happen can always tell that from its end."""
        return {Cause.MOVED_OUT} if self.exact else GONE

    # ---- files

    def test_a_written_file(self, bench: Bench) -> None:
        bench.start()
        bench.write(b"file")
        events = bench.events()
        assert causes(events, b"file") & self.arrival()
        assert not directories(events)

    def test_a_file_that_is_still_open(self, bench: Bench) -> None:
        bench.start()
        with open(bench.at(b"file"), "wb", buffering=0) as file:
            assert causes(bench.events(), b"file") == {Cause.CREATED}
            file.write(b"x")
            events = bench.events()
            assert causes(events, b"file") == {Cause.CHANGED}
            assert [event.written for event in events] == [self.exact]
        assert causes(bench.events(), b"file") == ({Cause.CLOSED} if self.exact else set())

    def test_an_appended_file(self, bench: Bench) -> None:
        bench.write(b"file")
        bench.start()
        with open(bench.at(b"file"), "ab") as file:
            file.write(b"y")
        assert causes(bench.events(), b"file") & {Cause.CLOSED, Cause.CHANGED}

    def test_a_file_overwritten_with_the_same_size_and_time(self, bench: Bench) -> None:
        bench.write(b"file", b"x")
        os.utime(bench.at(b"file"), ns=(1, 1))
        bench.start()
        bench.write(b"file", b"y")
        os.utime(bench.at(b"file"), ns=(1, 1))
        events = bench.events()
        assert causes(events, b"file") & {Cause.CLOSED, Cause.CHANGED}
        assert all(event.written for event in events) or not self.exact

    def test_a_changed_mode(self, bench: Bench) -> None:
        bench.write(b"file")
        bench.start()
        os.chmod(bench.at(b"file"), 0o600)
        events = bench.events()
        assert causes(events, b"file") == {Cause.CHANGED}
        assert not any(event.written for event in events)

    def test_a_renamed_file(self, bench: Bench) -> None:
        bench.write(b"old")
        bench.start()
        os.rename(bench.at(b"old"), bench.at(b"new"))
        events = bench.events()
        assert causes(events, b"old") & self.departure()
        assert causes(events, b"new") & self.arrival()
        assert not directories(events)

    def test_a_file_renamed_over_another(self, bench: Bench) -> None:
        bench.write(b"old", b"1")
        bench.write(b"new", b"2")
        bench.start()
        os.rename(bench.at(b"old"), bench.at(b"new"))
        events = bench.events()
        assert causes(events, b"old") & GONE
        assert causes(events, b"new") & {Cause.CLOSED, Cause.CREATED, Cause.CHANGED}

    def test_files_from_and_to_elsewhere(self, bench: Bench) -> None:
        bench.write(b"mine")
        bench.start()
        os.rename(bench.at(b"mine"), bench.outside + b"/theirs")
        assert causes(bench.events(), b"mine") & self.departure()
        os.rename(bench.outside + b"/theirs", bench.at(b"mine"))
        assert causes(bench.events(), b"mine") & self.arrival()

    def test_links(self, bench: Bench) -> None:
        bench.write(b"file")
        bench.start()
        os.link(bench.at(b"file"), bench.at(b"hard"))
        os.symlink(b"nowhere", bench.at(b"soft"))
        events = bench.events()
        assert causes(events, b"hard") & self.arrival()
        assert causes(events, b"soft") & self.arrival()
        assert not directories(events)

    def test_a_link_to_a_directory_is_not_one(self, bench: Bench) -> None:
        bench.mkdir(b"real")
        bench.start(b"real")
        os.symlink(b"real", bench.at(b"link"))
        assert not directories(bench.events())
        assert not bench.watcher.add(b"link")
        assert bench.watcher.complete

    def test_a_removed_file(self, bench: Bench) -> None:
        bench.write(b"file")
        bench.start()
        os.unlink(bench.at(b"file"))
        assert causes(bench.events(), b"file") & ({Cause.REMOVED} if self.exact else GONE)

    def test_a_file_that_becomes_a_directory(self, bench: Bench) -> None:
        bench.write(b"it")
        bench.start()
        os.unlink(bench.at(b"it"))
        bench.mkdir(b"it")
        events = bench.events()
        assert causes(events, b"it") & CAME
        assert WatchEvent(b"it", Cause.CREATED, True) in events

    def test_much_about_one_path_is_told_once(self, bench: Bench) -> None:
        bench.start()
        for _ in range(50):
            bench.write(b"file")
        os.chmod(bench.at(b"file"), 0o600)
        told = [event for event in bench.events() if event.path == b"file"]
        assert len(told) <= (2 if self.exact else 20)  # once in each look at the tree

    def test_names_of_all_bytes(self, bench: Bench) -> None:
        plain = bytes(byte for byte in range(1, 256) if byte != ord("/"))
        names = [plain[first : first + 100] for first in range(0, len(plain), 100)]
        bench.start()
        for name in names:
            bench.mkdir(name)
        assert directories(bench.events()) == set(names)
        bench.add(*names)
        for name in names:
            bench.write(name + b"/" + name)
        events = bench.events()
        for name in names:
            assert causes(events, name + b"/" + name) & self.arrival()

    # ---- directories

    def test_a_new_directory(self, bench: Bench) -> None:
        bench.start()
        bench.mkdir(b"new")
        assert bench.events() == [WatchEvent(b"new", Cause.CREATED, True)]

    def test_a_changed_mode_of_a_directory(self, bench: Bench) -> None:
        bench.mkdir(b"sub")
        bench.start(b"sub")
        os.chmod(bench.at(b"sub"), 0o700)
        assert bench.events() == [WatchEvent(b"sub", Cause.CHANGED, True)]

    def test_the_root_itself_is_not_reported(self, bench: Bench) -> None:
        bench.start()
        os.chmod(bench.root, 0o700)
        os.utime(bench.root)
        assert bench.events() == []

    def test_a_removed_directory(self, bench: Bench) -> None:
        bench.mkdir(b"sub")
        bench.start(b"sub")
        os.rmdir(bench.at(b"sub"))
        events = bench.events()
        assert causes(events, b"sub") & ({Cause.REMOVED} if self.exact else GONE)
        assert directories(events) == {b"sub"}
        assert bench.watcher.watched == 1

    def test_a_removed_tree(self, bench: Bench) -> None:
        for path in (b"a", b"a/b", b"a/b/c"):
            bench.mkdir(path)
            bench.write(path + b"/file")
        bench.start(b"a", b"a/b", b"a/b/c")
        shutil.rmtree(bench.at(b"a"))
        events = bench.events()
        for path in (b"a", b"a/file", b"a/b", b"a/b/file", b"a/b/c", b"a/b/c/file"):
            assert causes(events, path) & GONE, path
        assert bench.watcher.watched == 1

    def test_a_directory_moved_out(self, bench: Bench) -> None:
        for path in (b"a", b"a/b"):
            bench.mkdir(path)
        bench.start(b"a", b"a/b")
        os.rename(bench.at(b"a"), bench.outside + b"/a")
        events = bench.events()
        assert causes(events, b"a") & self.departure()
        assert b"a" in directories(events)
        assert bench.watcher.watched == 1
        with open(bench.outside + b"/a/b/file", "wb"):
            pass
        assert bench.events() == []

    def test_a_directory_moved_in(self, bench: Bench) -> None:
        os.makedirs(bench.outside + b"/a/b")
        bench.start()
        os.rename(bench.outside + b"/a", bench.at(b"a"))
        events = bench.events()
        assert causes(events, b"a") & self.arrival()
        assert directories(events) == {b"a"}
        bench.add(b"a", b"a/b")
        bench.write(b"a/b/file")
        assert causes(bench.events(), b"a/b/file") & self.arrival()

    def test_a_directory_renamed(self, bench: Bench) -> None:
        for path in (b"old", b"old/sub", b"older"):
            bench.mkdir(path)
        bench.start(b"old", b"old/sub", b"older")
        os.rename(bench.at(b"old"), bench.at(b"new"))
        events = bench.events()
        assert causes(events, b"old") & self.departure()
        assert causes(events, b"new") & self.arrival()
        assert {b"old", b"new"} <= directories(events)
        assert bench.watcher.watched == 2
        bench.add(b"new", b"new/sub")
        bench.write(b"new/sub/file")
        bench.write(b"older/file")
        events = bench.events()
        assert causes(events, b"new/sub/file") & self.arrival()
        assert causes(events, b"older/file") & self.arrival()
        assert all(not event.path.startswith(b"old/") for event in events)

    def test_directories_that_change_places(self, bench: Bench) -> None:
        for path in (b"a", b"b", b"a/in-a"):
            bench.mkdir(path)
        bench.start(b"a", b"b", b"a/in-a")
        rename(bench.fd, b"a", bench.fd, b"b", RENAME_EXCHANGE)
        events = bench.events()
        assert causes(events, b"a") & self.arrival()
        assert causes(events, b"b") & self.arrival()
        assert {b"a", b"b"} <= directories(events)
        bench.add(b"a", b"b", b"b/in-a")
        bench.write(b"a/1")
        bench.write(b"b/in-a/2")
        events = bench.events()
        assert {event.path for event in events} == {b"a/1", b"b/in-a/2"}

    def test_a_directory_replaced_by_another(self, bench: Bench) -> None:
        bench.mkdir(b"sub")
        bench.start(b"sub")
        os.rmdir(bench.at(b"sub"))
        bench.mkdir(b"sub")
        assert WatchEvent(b"sub", Cause.CREATED, True) in bench.events() or not self.exact  # it may look the same
        bench.add(b"sub")
        bench.write(b"sub/file")
        assert causes(bench.events(), b"sub/file") & self.arrival()

    def test_a_tree_replaced_by_another(self, bench: Bench) -> None:
        bench.mkdir(b"sub")
        bench.start(b"sub")
        for name in (b"1", b"2", b"3"):
            bench.add(b"sub")
            shutil.rmtree(bench.at(b"sub"))
            os.makedirs(bench.at(b"sub/" + name))
            bench.events()
            bench.add(b"sub", b"sub/" + name)
            bench.write(b"sub/" + name + b"/file")
            assert causes(bench.events(), b"sub/" + name + b"/file") & self.arrival()

    def test_a_deep_tree(self, bench: Bench) -> None:
        bench.start()
        path = b""
        for _ in range(40):
            path = path + b"/d" if path else b"d"
            bench.mkdir(path)
            bench.await_event(WatchEvent(path, Cause.CREATED, True).__eq__)
            bench.add(path)
        bench.write(path + b"/file")
        assert causes(bench.events(), path + b"/file") & self.arrival()
        assert bench.watcher.watched == 41

    # ---- what is watched

    def test_only_what_is_watched_is_reported(self, bench: Bench) -> None:
        for path in (b"sub", b"sub/below"):
            bench.mkdir(path)
        bench.start()
        bench.write(b"sub/file")
        bench.write(b"sub/below/file")
        assert bench.events() == []
        bench.add(b"sub")
        bench.write(b"sub/file")
        bench.write(b"sub/below/file")
        assert {event.path for event in bench.events()} == {b"sub/file"}

    def test_what_was_there_before_is_not_reported(self, bench: Bench) -> None:
        bench.mkdir(b"sub")
        bench.write(b"sub/file")
        bench.start(b"sub")
        assert bench.events() == []
        assert not bench.waiting()
        assert bench.watcher.read() == []

    def test_again_makes_no_difference(self, bench: Bench) -> None:
        bench.mkdir(b"sub")
        bench.start(b"sub", b"sub")
        bench.add(b"", b"sub")
        assert bench.watcher.watched == 2
        bench.write(b"sub/file")
        assert len([event for event in bench.events() if event.path == b"sub/file"]) == 1

    def test_removed_watches(self, bench: Bench) -> None:
        for path in (b"a", b"a/b", b"ab"):
            bench.mkdir(path)
        bench.start(b"a", b"a/b", b"ab")
        bench.watcher.remove(b"a")
        bench.watcher.remove(b"never")
        assert bench.watcher.watched == 2
        for path in (b"a/file", b"a/b/file", b"ab/file"):
            bench.write(path)
        assert {event.path for event in bench.events()} == {b"ab/file"}
        bench.add(b"a/b", b"a")
        bench.write(b"a/b/file")
        assert {event.path for event in bench.events()} == {b"a/b/file"}
        bench.watcher.remove(b"")
        assert bench.watcher.watched == 0

    def test_what_is_not_a_directory_is_not_watched(self, bench: Bench) -> None:
        bench.write(b"file")
        bench.start()
        for path in (b"file", b"missing", b"file/below", b"..", b".syncd"):
            assert not bench.watcher.add(path), path
        assert bench.watcher.complete
        assert bench.watcher.watched == 1
        assert bench.events() == []

    def test_the_reserved_name(self, bench: Bench) -> None:
        bench.mkdir(b".syncd")
        bench.mkdir(b"sub")
        bench.start(b"sub")
        assert not bench.watcher.add(b".syncd")
        bench.write(b".syncd/file")
        os.rename(bench.at(b".syncd"), bench.at(b".other"))
        bench.mkdir(b".syncd")
        bench.mkdir(b"sub/.syncd")
        found = {event.path for event in bench.events()}
        assert b".syncd" not in found
        assert {b".other", b"sub/.syncd"} <= found

    # ---- limits and the end

    def test_lost_events_are_reported(self) -> None:
        with self.place(queue=8) as bench:
            bench.start()
            self.flood(bench)
            events = bench.await_event(lambda event: event.cause is Cause.OVERFLOW)
            assert [event.path for event in events if event.cause is Cause.OVERFLOW] == [b""]
            bench.start()
            bench.write(b"after")
            assert causes(bench.events(), b"after") & self.arrival()

    def test_no_more_watches(self) -> None:
        with self.place(limit=3) as bench:
            for path in (b"a", b"b", b"c", b"d"):
                bench.mkdir(path)
            bench.start(b"a", b"b")
            assert bench.watcher.complete
            assert not bench.watcher.add(b"c")
            assert not bench.watcher.add(b"d")
            assert not bench.watcher.complete
            assert bench.watcher.watched == 3
            bench.add(b"a")
            assert bench.events() == [WatchEvent(b"c", Cause.EXHAUSTED, True)]
            bench.watcher.remove(b"a")
            bench.add(b"c")
            bench.write(b"c/file")
            assert causes(bench.events(), b"c/file") & self.arrival()
            assert not bench.watcher.complete
            for _ in range(3):
                bench.add(b"", b"b", b"c")
            assert bench.watcher.complete

    def test_exhaustion_wakes_the_reader(self) -> None:
        with self.place(limit=1) as bench:
            bench.mkdir(b"a")
            bench.start()
            assert not bench.watcher.add(b"a")
            bench.await_event(lambda event: event.cause is Cause.EXHAUSTED)
            assert not bench.waiting()

    def test_closed(self, bench: Bench) -> None:
        bench.mkdir(b"sub")
        bench.start(b"sub")
        bench.write(b"file")
        bench.watcher.close()
        bench.watcher.close()
        assert not bench.watcher.add(b"sub")
        bench.watcher.remove(b"sub")
        assert bench.watcher.read() == []
        assert bench.watcher.watched == 0

    def test_nothing_stays_open(self) -> None:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            with self.place() as bench:
                bench.mkdir(b"sub")
                bench.start(b"sub")
        assert len(os.listdir("/proc/self/fd")) == before

    # ---- all together

    def test_directories_added_by_another_thread(self, bench: Bench) -> None:
        bench.start()
        count = 60
        wanted = {b"d%d/file" % number for number in range(count)}

        def work() -> None:
            for number in range(count):
                bench.mkdir(b"d%d" % number)
                bench.add(b"d%d" % number)
                bench.write(b"d%d/file" % number)

        thread = threading.Thread(target=work)
        thread.start()
        found: set[bytes] = set()
        end = time.monotonic() + DEADLINE
        while not wanted <= found:
            assert time.monotonic() < end, wanted - found
            bench.wait()
            for event in bench.watcher.read():
                found.add(event.path)
                if event.directory and event.cause in CAME and bench.watcher.add(event.path):
                    found.update(event.path + b"/" + name for name in os.listdir(bench.at(event.path)))
        thread.join(DEADLINE)
        assert bench.watcher.complete

    def test_who_follows_the_events_knows_the_tree(self) -> None:
        @settings(max_examples=self.examples, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.lists(OPERATIONS, max_size=25))
        def follow(operations: list[tuple[str, bytes, bytes]]) -> None:
            with self.place() as bench:
                follower = Follower(bench, self.exact)
                for operation in operations:
                    follower.do(*operation)
                follower.follow()
                assert follower.seen == snapshot(bench.root)
                assert bench.watcher.watched == 1 + sum(stat.S_ISDIR(facts[0]) for facts in follower.seen.values())

        follow()
