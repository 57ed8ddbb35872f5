"""What a watcher of directories is, whatever the system offers for it.

Events are hints where to look, never facts: a path is looked at on the disk before anything is concluded from one.
"""

import errno
from collections.abc import Iterable
from enum import Enum
from typing import Final, NamedTuple, Protocol

WATCH_LIMIT: Final = 1 << 20  # directories: bounds the maps of a watcher where the system's limit is higher
_REFUSAL_LASTS: Final = 3  # times that the root is added until a refused watch is taken for history
_NOT_TO_BE_SEEN: Final = frozenset(  # nothing that more watches would change; a scan does not see into it either
    {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EXDEV, errno.ESTALE, errno.ENAMETOOLONG}
)


class Cause(Enum):
    """What happened at a path."""

    CLOSED = "closed"  # a file was closed after writing, or anything was moved or linked here
    CHANGED = "changed"  # contents or attributes
    CREATED = "created"  # a file or directory appeared, and may not be complete yet
    MOVED_OUT = "moved out"  # what was here is elsewhere now, in the folder or outside
    REMOVED = "removed"
    OVERFLOW = "overflow"  # events were lost: everything must be scanned
    EXHAUSTED = "exhausted"  # no more watches could be had: from here on some directories are unwatched


_DEPARTURES = frozenset({Cause.MOVED_OUT, Cause.REMOVED})


class WatchEvent(NamedTuple):
    """path: below the root, b"" for the root itself. directory: whether a directory is, or was, at the path.

    written: whether bytes were written to the file, which its times need not show: a write within the clock step in
    which the file was looked at leaves them as they are.
    """

    path: bytes
    cause: Cause
    directory: bool
    written: bool = False


class Watcher(Protocol):
    """Watches the directories that it was told of, one by one.

    `add` and `remove` may be called from any thread, the rest from the thread that drives `fileno`. Nothing is ever
    reported of the root's own attributes, nor of the reserved name in it.
    """

    def add(self, path: bytes) -> bool:
        """Watch the entries of one directory, b"" for the root; again is allowed, and needed where it was replaced.

        Whatever changes in the directory after the call is reported. False if the system gives no more watches, or the
        directory cannot be read or is gone. Adding the root says that all directories are about to be added again.
        """

    def remove(self, path: bytes) -> None:
        """Watch the directory and everything below it no longer."""

    def fileno(self) -> int:
        """A descriptor that is readable while events wait."""

    def read(self) -> list[WatchEvent]:
        """Some of the waiting events, never blocking: of one path a departure and then an arrival, or else a change."""

    def close(self) -> None:
        """Release everything; from then on nothing can be added and nothing is read."""

    @property
    def watched(self) -> int:
        """Directories that are watched."""

    @property
    def prompt(self) -> bool:
        """Whether changes are reported when they happen, and not only when the watcher looks for them."""

    @property
    def complete(self) -> bool:
        """Whether no directory was refused a watch lately, so that nothing need be found by scanning."""


class Merged:
    """The events of one read, few where much happened to few paths."""

    def __init__(self) -> None:
        self._departures: dict[bytes, WatchEvent] = {}
        self._arrivals: dict[bytes, WatchEvent] = {}
        self._changes: dict[bytes, WatchEvent] = {}
        self._notices: dict[Cause, WatchEvent] = {}
        self._written: set[bytes] = set()

    def write(self, path: bytes) -> None:
        """Bytes were written to the file. It may be complete no longer: whoever writes is going to close it."""
        self._written.add(path)
        arrival = self._arrivals.get(path)
        if arrival is not None and arrival.cause is Cause.CLOSED:
            self._arrivals[path] = arrival._replace(cause=Cause.CREATED)

    def note(self, path: bytes, cause: Cause, directory: bool) -> None:
        """Something happened."""
        if cause is Cause.CHANGED:
            self._changes[path] = WatchEvent(path, cause, directory)
        elif cause in _DEPARTURES:
            self._departures[path] = WatchEvent(path, cause, directory)
        else:
            self._arrivals[path] = WatchEvent(path, cause, directory)

    def notice(self, cause: Cause, path: bytes = b"") -> None:
        """Events were lost, or a directory could not be watched."""
        self._notices.setdefault(cause, WatchEvent(path, cause, True))

    def lose(self) -> None:
        """Too much happened: what is known of single paths is given up for a notice."""
        self._departures.clear()
        self._arrivals.clear()
        self._changes.clear()
        self._written.clear()
        self.notice(Cause.OVERFLOW)

    def events(self) -> list[WatchEvent]:
        """All of it: a change says nothing more where something left or came."""
        told = self._departures.keys() | self._arrivals.keys()
        changes: Iterable[WatchEvent] = (event for path, event in self._changes.items() if path not in told)
        events = [*self._notices.values(), *self._departures.values(), *self._arrivals.values(), *changes]
        if not self._written:
            return events
        return [event._replace(written=True) if event.path in self._written else event for event in events]

    def __len__(self) -> int:
        return len(self._notices) + len(self._departures) + len(self._arrivals) + len(self._changes)


class Coverage:
    """Whether all directories could be watched, as far as the latest round of adding them showed."""

    def __init__(self) -> None:
        self._walks = 0
        self._refused_until = 0

    def added(self, path: bytes) -> None:
        """A directory is added; the root comes first in a round."""
        if not path:
            self._walks += 1

    def failed(self, error: OSError) -> bool:
        """A directory could not be added. Whether that is for lack of watches, and news."""
        if error.errno in _NOT_TO_BE_SEEN:
            return False
        news = self.complete
        self._refused_until = self._walks + _REFUSAL_LASTS
        return news

    @property
    def complete(self) -> bool:
        """See `Watcher`."""
        return self._walks >= self._refused_until
