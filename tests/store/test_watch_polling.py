"""Polling: the contract, and what only it can get wrong."""

import os
import threading

import pytest

from syncd.store.directories import Directories
from syncd.store.watch import WATCH_LIMIT, Cause, Watcher, WatchEvent
from syncd.store.watch_polling import QUEUE, PollingWatcher
from tests.store.watch_bench import Bench, causes
from tests.store.watch_contract import WatchContract

INTERVAL = 0.01


class TestPolling(WatchContract):
    exact = False
    examples = 10

    def make(self, directories: Directories, queue: int | None = None, limit: int | None = None) -> Watcher:
        return PollingWatcher(
            directories, INTERVAL, QUEUE if queue is None else queue, WATCH_LIMIT if limit is None else limit
        )

    def flood(self, bench: Bench) -> None:
        for number in range(50):
            bench.write(b"file-%d" % number)

    def test_a_mode_changed_twice_in_one_tick_of_the_clock(self, bench: Bench) -> None:
        bench.start()
        for mode in (0o600, 0o640, 0o644):
            bench.write(b"file-%o" % mode)
            bench.events()
            os.chmod(bench.at(b"file-%o" % mode), mode ^ 0o111)
            assert causes(bench.events(), b"file-%o" % mode) == {Cause.CHANGED}

    def test_what_was_added_during_the_first_look_is_scanned_again(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looking, go_on = threading.Event(), threading.Event()

        class Slow(PollingWatcher):
            def _list(self, name: str):  # type: ignore[no-untyped-def]
                looking.set()
                assert go_on.wait(20)
                return super()._list(name)

        watcher = Slow(bench.directories, INTERVAL)
        try:
            assert looking.wait(20)
            assert watcher.add(b"")
            bench.write(b"file")
            go_on.set()
            bench.watcher, kept = watcher, bench.watcher
            bench.await_event(lambda event: event.cause is Cause.OVERFLOW)
            bench.watcher = kept
        finally:
            watcher.close()

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    def test_the_end_of_polling_is_reported(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        bench.start()

        def broken(self: object, timeout: float) -> None:
            raise MemoryError

        assert isinstance(bench.watcher, PollingWatcher)
        monkeypatch.setattr(bench.watcher._emitter, "queue_events", broken.__get__(bench.watcher._emitter))
        events = bench.await_event(lambda event: event.cause is Cause.EXHAUSTED)
        assert events == [WatchEvent(b"", Cause.EXHAUSTED, True)]
        assert bench.watcher.watched == 0
        for _ in range(4):
            assert not bench.watcher.add(b"")
            assert not bench.watcher.complete

    def test_a_directory_that_cannot_be_listed_does_not_end_it(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bench.mkdir(b"sub")
        bench.start(b"sub")
        assert isinstance(bench.watcher, PollingWatcher)
        listed = bench.watcher._directories.open

        def failing(path: bytes) -> int:
            if path == b"sub":
                raise OSError(5, "input/output error")
            return listed(path)

        monkeypatch.setattr(bench.watcher._directories, "open", failing)
        bench.write(b"file")
        assert causes(bench.events(), b"file")

    def test_a_large_tree_is_looked_at_less_often(self, bench: Bench) -> None:
        bench.start()
        assert isinstance(bench.watcher, PollingWatcher)
        pauses: list[float] = []
        times = [0.0, 2.0, 2.0, 22.0]  # the first look takes 2 s

        class Emitter:
            def on_thread_start(self) -> None: ...

            def should_keep_running(self) -> bool:
                return not pauses

            def queue_events(self, pause: float) -> None:
                pauses.append(pause)

        other = PollingWatcher(bench.directories, 5.0, clock=lambda: times.pop(0) if times else 0.0)
        other.close()
        times[:] = [0.0, 2.0, 2.0, 22.0]
        other._emitter = Emitter()  # type: ignore[assignment]
        other._look()
        assert pauses == [pytest.approx(18.0)]
