"""The places in which watchers are tried."""

import os
import select
import time
from collections.abc import Callable
from typing import Final

from syncd.store.directories import Directories
from syncd.store.watch import Cause, Watcher, WatchEvent

DEADLINE: Final = 20.0  # seconds that a test waits for an event before it fails
GONE: Final = {Cause.MOVED_OUT, Cause.REMOVED}
CAME: Final = {Cause.CREATED, Cause.CLOSED}
_FIRST: Final = {Cause.OVERFLOW}


class Bench:
    """A tree, a directory beside it, and a watcher whose root is watched."""

    def __init__(self, top: bytes, make: Callable[[Directories], Watcher]) -> None:
        self.root = top + b"/root"
        self.outside = top + b"/outside"
        os.mkdir(self.root)
        os.mkdir(self.outside)
        self.fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        self.directories = Directories(self.fd)
        self.watcher = make(self.directories)
        self._marks = 0

    def close(self) -> None:
        self.watcher.close()
        self.directories.close()
        os.close(self.fd)

    def at(self, path: bytes) -> bytes:
        return self.root + b"/" + path

    def write(self, path: bytes, data: bytes = b"x") -> None:
        with open(self.at(path), "wb") as file:
            file.write(data)

    def mkdir(self, path: bytes) -> None:
        os.mkdir(self.at(path))

    def add(self, *paths: bytes) -> None:
        for path in paths:
            assert self.watcher.add(path), path

    def wait(self) -> bool:
        """Whether events wait, at the latest by the deadline."""
        return bool(select.select([self.watcher.fileno()], [], [], DEADLINE)[0])

    def waiting(self) -> bool:
        return bool(select.select([self.watcher.fileno()], [], [], 0)[0])

    def await_event(self, wanted: Callable[[WatchEvent], bool]) -> list[WatchEvent]:
        """All events until one is as wanted."""
        events: list[WatchEvent] = []
        end = time.monotonic() + DEADLINE
        while not any(map(wanted, events)):
            assert time.monotonic() < end, events
            assert self.wait(), events
            events += self.watcher.read()
        return events

    def events(self) -> list[WatchEvent]:
        """Everything that is reported of what happened up to now."""
        events = []
        for _ in range(2):  # in whatever order one look reports, what it saw comes before what the next one sees
            self._marks += 1
            mark = b"mark-%d" % self._marks
            self.write(mark)
            events += self.await_event(lambda event, mark=mark: event.path == mark or event.cause in _FIRST)  # type: ignore[misc]
        return [event for event in events if not event.path.startswith(b"mark-")]

    def start(self, *paths: bytes) -> None:
        """Watch the root and these, and wait until the watcher is at work."""
        self.add(b"", *paths)
        self.events()
        self.events()


def causes(events: list[WatchEvent], path: bytes) -> set[Cause]:
    return {event.cause for event in events if event.path == path}


def directories(events: list[WatchEvent]) -> set[bytes]:
    """The paths that are reported as directories."""
    return {event.path for event in events if event.directory}
