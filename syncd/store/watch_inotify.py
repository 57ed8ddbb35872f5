"""Watching through the kernel's inotify: a watch per directory, known by a number that events carry.

A watch is set on an open descriptor, and stays with that directory wherever it is moved. So where one leaves, all
numbers below it are forgotten, and the directory is added again where it turns up.
"""

import errno
import os
import select
import stat
import threading
from typing import Final

from inotify_simple import INotify, flags, parse_events

from protocol.limits import RESERVED_NAME
from syncd.store.directories import Directories
from syncd.store.watch import WATCH_LIMIT, Cause, Coverage, Merged, WatchEvent

READ_BYTES: Final = 65_536  # of events taken at once, some 2000: bounds how long a read takes
REMOVED_PER_READ: Final = 1_024  # each removed watch costs a place in the queue, which must not overflow from that

_ISDIR: Final = int(flags.ISDIR)
_MODIFY: Final = int(flags.MODIFY)
_SELF: Final = int(flags.DELETE_SELF | flags.MOVE_SELF | flags.UNMOUNT | flags.Q_OVERFLOW)
_CAUSES: Final = {
    int(flags.CLOSE_WRITE): Cause.CLOSED,
    int(flags.MOVED_TO): Cause.CLOSED,
    int(flags.MODIFY): Cause.CHANGED,
    int(flags.ATTRIB): Cause.CHANGED,
    int(flags.CREATE): Cause.CREATED,
    int(flags.DELETE): Cause.REMOVED,
    int(flags.MOVED_FROM): Cause.MOVED_OUT,
}
_MASK: Final = sum(_CAUSES) | _SELF | int(flags.ONLYDIR)


class InotifyWatcher:
    """A `Watcher`. One lock holds all of it, so that no event is read before the number of its watch is known."""

    def __init__(self, directories: Directories, limit: int = WATCH_LIMIT) -> None:
        """directories: says whose tree it is; an instance of our own is made of it. limit: watches at most.

        Raises OSError if there is no inotify, no more of it for this user, or no /proc to name descriptors by.
        """
        named = os.stat(_name_of(directories.root_fd))
        if not os.path.samestat(named, os.fstat(directories.root_fd)):
            raise OSError(errno.ENOSYS, "/proc does not show our descriptors")
        self._inotify = INotify(nonblocking=True)
        self._directories = Directories(directories.root_fd)
        self._limit = limit
        self._lock = threading.Lock()
        self._tree = WatchTree()
        self._doomed: set[int] = set()  # numbers whose watches are to be removed
        self._coverage = Coverage()
        self._exhausted: bytes | None = None  # to be reported
        self._signal = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll = select.epoll()
        self._poll.register(self._inotify.fileno(), select.EPOLLIN)
        self._poll.register(self._signal, select.EPOLLIN)
        self._closed = False

    def add(self, path: bytes) -> bool:
        """See `Watcher`."""
        with self._lock:
            if self._closed:
                return False
            self._coverage.added(path)
            try:
                number = self._watch(path)
            except OSError as error:
                self._refuse(path, error)
                return False
            self._doomed.discard(number)
            replaced = self._tree.put(path, number)
            if replaced is not None:
                self._doomed.add(replaced)
                self._remove_doomed(REMOVED_PER_READ)
            return True

    def remove(self, path: bytes) -> None:
        """See `Watcher`."""
        with self._lock:
            self._directories.forget(path)
            self._doomed.update(self._tree.cut(path))
            self._remove_doomed(REMOVED_PER_READ)

    def fileno(self) -> int:
        """See `Watcher`."""
        return self._poll.fileno()

    def read(self) -> list[WatchEvent]:
        """See `Watcher`."""
        with self._lock:
            if self._closed:
                return []
            merged = Merged()
            if self._exhausted is not None:
                merged.notice(Cause.EXHAUSTED, self._exhausted)
                self._exhausted = None
                os.eventfd_read(self._signal)
            try:
                raw = os.read(self._inotify.fileno(), READ_BYTES)
            except BlockingIOError:
                raw = b""
            self._translate(raw, merged)
            self._remove_doomed(REMOVED_PER_READ)
            return merged.events()

    def close(self) -> None:
        """See `Watcher`."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._tree = WatchTree()
                self._doomed.clear()
                self._poll.close()
                os.close(self._signal)
                self._inotify.close()
                self._directories.close()

    @property
    def watched(self) -> int:
        """See `Watcher`."""
        return len(self._tree)

    @property
    def complete(self) -> bool:
        """See `Watcher`."""
        return self._coverage.complete

    @property
    def prompt(self) -> bool:
        """See `Watcher`."""
        return True

    # ---- watches

    def _watch(self, path: bytes) -> int:
        if len(self._tree) >= self._limit and path not in self._tree:
            raise OSError(errno.ENOSPC, "no more directories are watched")
        name = _name_of(self._directories.open(path))
        try:
            return int(self._inotify.add_watch(name, _MASK))
        except OSError as error:
            if error.errno != errno.ENOSPC or not self._doomed:
                raise
        self._remove_doomed(len(self._doomed))
        return int(self._inotify.add_watch(name, _MASK))

    def _refuse(self, path: bytes, error: OSError) -> None:
        if self._coverage.failed(error) and self._exhausted is None:
            self._exhausted = path
            os.eventfd_write(self._signal, 1)

    def _remove_doomed(self, most: int) -> None:
        """Remove watches. Each queues an event that makes us readable, so a later read goes on where this one stops."""
        while self._doomed and most:
            try:
                self._inotify.rm_watch(self._doomed.pop())
                most -= 1
            except OSError:  # the kernel was faster: the directory is gone
                pass

    # ---- events

    def _translate(self, raw: bytes, merged: Merged) -> None:
        tree = self._tree
        created: dict[bytes, None] = {}
        for number, mask, _, name in parse_events(raw):
            above = tree.path(number)
            if above is None or not name:
                self._note_own(number, above, mask, merged)
                continue
            path = above + b"/" + os.fsencode(name) if above else os.fsencode(name)
            cause = _CAUSES.get(mask & ~_ISDIR)
            if cause is None or path == RESERVED_NAME:
                continue
            directory = bool(mask & _ISDIR)
            if directory:
                if cause in (Cause.MOVED_OUT, Cause.REMOVED):
                    self._doomed.update(tree.cut(path))
                elif cause is Cause.CHANGED and path not in tree:
                    cause = Cause.CREATED  # perhaps it can be read by now
            elif cause is Cause.CREATED:
                created[path] = None
            else:
                created.pop(path, None)
            merged.note(path, cause, directory)
            if mask & _MODIFY:
                merged.write(path)
        for path in created:
            if self._is_complete(path):
                merged.note(path, Cause.CLOSED, False)
        self._directories.forget(b"")  # a directory may have moved; and one that is held open is not reported removed

    def _note_own(self, number: int, path: bytes | None, mask: int, merged: Merged) -> None:
        """An event of a watched directory itself, or of no directory."""
        if mask & flags.Q_OVERFLOW:
            merged.notice(Cause.OVERFLOW)
        if path is None:
            return
        if mask & flags.IGNORED:
            self._tree.drop(number)
        elif not path:
            if not mask & flags.ATTRIB:
                merged.notice(Cause.OVERFLOW)
        elif mask & flags.UNMOUNT:
            merged.notice(Cause.OVERFLOW)
        elif mask & flags.ATTRIB:
            merged.note(path, Cause.CHANGED, True)
        elif path.rpartition(b"/")[0] not in self._tree:  # else the watch above has told, and may have set it right
            self._doomed.update(self._tree.cut(path))
            merged.note(path, Cause.REMOVED if mask & flags.DELETE_SELF else Cause.MOVED_OUT, True)

    def _is_complete(self, path: bytes) -> bool:
        """Whether what appeared came as a whole: a link of either kind, which nobody will close after writing."""
        try:
            above, name = self._directories.parent(path)
            status = os.stat(name, dir_fd=above, follow_symlinks=False)
        except OSError:
            return False
        return stat.S_ISLNK(status.st_mode) or status.st_nlink > 1


class WatchTree:
    """Paths by number, numbers by path, and which paths lie below which."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._paths: dict[int, bytes] = {}
        self._below: dict[bytes, set[bytes]] = {}  # entries that are watched, or have something watched below them

    def path(self, number: int) -> bytes | None:
        """The path of a number."""
        return self._paths.get(number)

    def put(self, path: bytes, number: int) -> int | None:
        """The number is that of the path from now on. Returns another number that the path had before."""
        replaced = self._numbers.get(path)
        if replaced == number:
            return None
        self.drop(number)
        if replaced is not None:
            del self._paths[replaced]
        self._numbers[path] = number
        self._paths[number] = path
        self._link(path)
        return replaced

    def drop(self, number: int) -> None:
        """Forget a number."""
        path = self._paths.pop(number, None)
        if path is not None:
            del self._numbers[path]
            self._unlink(path)

    def cut(self, path: bytes) -> list[int]:
        """Forget a path and everything below it. Returns the numbers."""
        cut = []
        paths = [path] if path in self._numbers or path in self._below else []
        while paths:
            gone = paths.pop()
            paths.extend(self._below.pop(gone, ()))
            number = self._numbers.pop(gone, None)
            if number is not None:
                del self._paths[number]
                cut.append(number)
        self._unlink(path)
        return cut

    def __contains__(self, path: bytes) -> bool:
        return path in self._numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def _link(self, path: bytes) -> None:
        while path:
            above = path.rpartition(b"/")[0]
            entries = self._below.get(above)
            if entries is not None:
                entries.add(path)
                return
            self._below[above] = {path}
            if above in self._numbers:
                return
            path = above

    def _unlink(self, path: bytes) -> None:
        while path and path not in self._numbers and path not in self._below:
            above = path.rpartition(b"/")[0]
            entries = self._below.get(above)
            if entries is None:
                return
            entries.discard(path)
            if entries:
                return
            del self._below[above]
            path = above


def _name_of(fd: int) -> bytes:
    return b"/proc/self/fd/%d" % fd
