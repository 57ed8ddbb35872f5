"""Watching by looking again and again, where the system reports nothing: watchdog's polling, led by descriptors.

The whole tree is compared with how it was one interval before, in a thread; what happened in directories that are not
watched is left out. That a file was closed cannot be seen: it is reported as created or changed. What came and went
between two looks is not reported; if a scan saw it meanwhile, only the next scan finds it gone.
"""

import errno
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from protocol.limits import RESERVED_NAME
from syncd.store.directories import Directories, names_in
from syncd.store.watch import WATCH_LIMIT, Cause, Coverage, Merged, WatchEvent

INTERVAL: Final = 5.0  # seconds between looks at a small tree
LOAD: Final = 0.1  # of a processor that looking may take: a large tree is looked at less often
QUEUE: Final = 16_384  # events that wait to be read: as many as the kernel keeps for inotify
CLOSE_SECONDS: Final = 2.0  # waited for the thread: it ends as soon as the system call that it is in returns
_ROOT: Final = "/"  # our name for the root; the kernel never sees it nor a path below it


class PollingWatcher:
    """A `Watcher`. Takes about 1 KB of memory for each entry of the tree."""

    def __init__(
        self,
        directories: Directories,
        interval: float = INTERVAL,
        queue: int = QUEUE,
        limit: int = WATCH_LIMIT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """directories: says whose tree it is; an instance of our own is made of it. interval: seconds.

        queue: events that wait at most. limit: directories watched at most. clock: seconds, monotonic. Raises OSError.
        """
        from watchdog.observers.api import ObservedWatch
        from watchdog.observers.polling import PollingEmitter

        self._root_fd = os.dup(directories.root_fd)
        self._directories = Directories(self._root_fd)  # the thread's
        self._added = Directories(self._root_fd)  # those of `add`, under the lock
        self._interval = interval
        self._queue = queue
        self._limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._watched: set[bytes] = set()
        self._coverage = Coverage()
        self._waiting = Merged()
        self._lost = False
        self._signalled = False
        self._closed = False
        self._readable, self._signal = os.pipe()
        self._sink = _Sink()
        sink: Any = self._sink
        stat_: Any = self._stat
        listdir: Any = self._list
        watch = ObservedWatch(_ROOT, recursive=True)
        self._emitter = PollingEmitter(sink, watch, timeout=interval, stat=stat_, listdir=listdir)
        self._thread = threading.Thread(target=self._run, name="polling", daemon=True)
        self._thread.start()

    def add(self, path: bytes) -> bool:
        """See `Watcher`."""
        with self._lock:
            if self._closed:
                return False
            self._coverage.added(path)
            try:
                self._added.open(path)
                if len(self._watched) >= self._limit and path not in self._watched:
                    raise OSError(errno.ENOSPC, "no more directories are watched")
            except OSError as error:
                self._fail(path, error)
                return False
            self._watched.add(path)
            return True

    def remove(self, path: bytes) -> None:
        """See `Watcher`."""
        below = path + b"/" if path else b""
        with self._lock:
            self._watched = {kept for kept in self._watched if kept != path and not kept.startswith(below)}

    def fileno(self) -> int:
        """See `Watcher`."""
        return self._readable

    def read(self) -> list[WatchEvent]:
        """See `Watcher`."""
        with self._lock:
            if self._closed or not self._signalled:
                return []
            os.read(self._readable, 1)
            self._added.forget(b"")  # a directory may have moved
            waiting, self._waiting = self._waiting, Merged()
            self._lost = self._signalled = False
            return waiting.events()

    def close(self) -> None:
        """See `Watcher`."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._watched.clear()
            self._added.close()
            os.close(self._readable)
            os.close(self._signal)
        self._emitter.stop()
        self._thread.join(CLOSE_SECONDS)
        if not self._thread.is_alive():
            self._directories.close()
            os.close(self._root_fd)

    @property
    def watched(self) -> int:
        """See `Watcher`."""
        return len(self._watched)

    @property
    def complete(self) -> bool:
        """See `Watcher`."""
        return self._coverage.complete

    @property
    def prompt(self) -> bool:
        """See `Watcher`."""
        return False

    # ---- the thread

    def _run(self) -> None:
        try:
            self._look()
        finally:
            with self._lock:
                if not self._closed:  # it failed: nothing is watched from here on
                    self._watched.clear()
                    self._limit = 0
                    self._fail(b"", OSError(errno.EIO, "polling has ended"))

    def _look(self) -> None:
        started = self._clock()
        self._emitter.on_thread_start()
        with self._lock:
            if self._watched:  # since an unknown moment of the first look
                self._overflow()
        took = self._clock() - started
        while self._emitter.should_keep_running():
            pause = max(self._interval, took / LOAD - took)
            started = self._clock()
            self._emitter.queue_events(pause)
            self._take(self._sink.events)
            self._sink.events.clear()
            took = max(0.0, self._clock() - started - pause)

    def _stat(self, name: str) -> "_Facts":
        path = _path_of(name)
        if not path:  # a look begins
            self._directories.forget(b"")
            status = os.fstat(self._root_fd)
        elif self._closed:
            raise FileNotFoundError(errno.ENOENT, "closed")
        else:
            above, last = self._directories.parent(path)
            status = os.stat(last, dir_fd=above, follow_symlinks=False)
        kind = stat.S_IFMT(status.st_mode)
        if stat.S_ISDIR(status.st_mode):
            return _Facts((status.st_ino, kind), status.st_dev, status.st_mode, (status.st_mode,), 0)
        times = (status.st_mtime_ns, status.st_ctime_ns, status.st_mode)
        return _Facts((status.st_ino, kind), status.st_dev, status.st_mode, times, status.st_size)

    def _list(self, name: str) -> "Iterator[_Entry]":
        path = _path_of(name)
        try:
            if self._closed:
                raise FileNotFoundError(errno.ENOENT, "closed")
            names = names_in(self._directories.open(path))
        except OSError:  # the one error that never ends the polling; what it takes for removed is looked at anyway
            raise FileNotFoundError(errno.ENOENT, "not to be listed") from None
        return (_Entry(os.fsdecode(entry)) for entry in names if path or entry != RESERVED_NAME)

    def _take(self, events: list[Any]) -> None:
        """What watchdog found in one look, in no helpful order: what left is told, and forgotten, before what came."""
        departed, arrived, changed = [], [], []
        for event in events:
            path, directory = _path_of(event.src_path), bool(event.is_directory)
            match event.event_type:
                case "created":
                    arrived.append(WatchEvent(path, Cause.CREATED, directory))
                case "deleted":
                    departed.append(WatchEvent(path, Cause.REMOVED, directory))
                case "moved":
                    departed.append(WatchEvent(path, Cause.MOVED_OUT, directory))
                    arrived.append(WatchEvent(_path_of(event.dest_path), Cause.CLOSED, directory))
                case _:
                    changed.append(WatchEvent(path, Cause.CHANGED, directory))
        with self._lock:
            if not self._closed:
                self._note(departed)
                self._watched.difference_update(event.path for event in departed)
                self._note(arrived)
                self._note(changed)

    # ---- under the lock

    def _note(self, events: list[WatchEvent]) -> None:
        for event in events:
            own = event.directory and event.path in self._watched
            seen = own or event.path.rpartition(b"/")[0] in self._watched
            if self._lost or not seen or not event.path:
                continue
            self._waiting.note(event.path, event.cause, event.directory)
            if len(self._waiting) > self._queue:
                self._overflow()
            else:
                self._wake()

    def _fail(self, path: bytes, error: OSError) -> None:
        if self._coverage.failed(error):
            self._waiting.notice(Cause.EXHAUSTED, path)
            self._wake()

    def _overflow(self) -> None:
        self._waiting.lose()
        self._lost = True
        self._wake()

    def _wake(self) -> None:
        if not self._signalled and not self._closed:
            self._signalled = True
            os.write(self._signal, b"\0")


class _Sink:
    """What watchdog takes for its queue."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def put(self, item: tuple[Any, Any]) -> None:
        """item: (event, watch)."""
        self.events.append(item[0])


class _Facts(NamedTuple):
    """What watchdog compares, under the names that it asks for; times and identity stand for more than their names."""

    st_ino: tuple[int, int]
    st_dev: int
    st_mode: int
    st_mtime: tuple[int, ...]
    st_size: int


class _Entry(NamedTuple):
    name: str


def _path_of(name: str | bytes) -> bytes:
    return os.fsencode(name).lstrip(b"/")
