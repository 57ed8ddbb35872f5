"""Walking the tree in the order of keys, and finding what is not as the index last saw it."""

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple

from protocol.limits import MAX_PATH, RESERVED_NAME
from protocol.paths import ancestors, to_key, to_path
from protocol.record import Kind
from syncd.core import sizes
from syncd.core.events import SKIPPED, Problem
from syncd.core.index import Disk
from syncd.core.links import Refusal, refuses_none
from syncd.store import syscalls
from syncd.store.directories import Directories, Names, SortedNames, each_name
from syncd.store.look import Stat, differs, kind_of, take
from syncd.store.moves import lstat
from syncd.store.root import is_replicated

YOUNG: Final = 2_000_000_000  # ns: another write within the clock steps of some file systems would not show
_AT_ONCE: Final = 256  # entries looked at before they are handed out: few, so that what is handed out is fresh
_LONGEST: Final = 86_400 * 1_000_000_000  # ns that a walk takes at most
_SPECIAL: Final = "skipped: a device, socket or FIFO"
_FOREIGN: Final = "skipped: lies on another file system"


class Changed(NamedTuple):
    """The path is not as last seen, or so young that another change would not show."""

    stat: Stat


class Gone(NamedTuple):
    """What was seen at the path is not there any more."""

    path: bytes


class Passed(NamedTuple):
    """So many entries of the walk, and rows, went by since the last one: here others may have their turn."""

    entries: int


class Scanner:
    """ignored(path, is a directory): whether a path takes no part; nothing below such a directory does.

    refusal(path, target): why a symbolic link takes no part, or None. largest: bytes of the largest file that does.
    hides(path, status): whether what is there, and looks like that, is passed over as if nothing were.
    """

    def __init__(
        self,
        directories: Directories,
        ignored: Callable[[bytes, bool], bool],
        refusal: Refusal = refuses_none,
        largest: int | None = None,
        hides: Callable[[bytes, os.stat_result], bool] = lambda _path, _status: False,
    ) -> None:
        self._directories = directories
        self._ignored = ignored
        self._hides = hides
        self.refusal = refusal
        self.largest = largest
        self._device = directories.device
        self._mount: int | None = None

    @property
    def refuses(self) -> bool:
        """Whether any link or file takes no part for what it is."""
        return self.refusal is not refuses_none or self.largest is not None

    differs = staticmethod(differs)

    def walk(self, path: bytes = b"") -> Iterator[Stat | Problem]:
        """Everything below the directory `path` in the order of keys, each directory before its own contents.

        What cannot be looked at is a Problem, and unknown with everything below it. A directory that is not there is
        empty.
        """
        levels = [self._entries(path)]
        while levels:
            for item in levels[-1]:
                yield item
                if type(item) is Stat and item.kind is Kind.DIR:
                    levels.append(self._entries(item.path))
                    break
            else:
                levels.pop()

    def compare(
        self, stats: Iterable[Stat | Problem], rows: Iterable[tuple[bytes, Disk]], now: int
    ) -> Iterator[Changed | Gone | Problem | Passed]:
        """Join what `walk` finds with what the index last saw, (key, Disk) in order. now: ns, when the walk begins.

        Nothing that is unknown or ignored is Gone.
        """
        missing = _Missing(self, self._ignored, now)
        remaining = iter(rows)
        row = next(remaining, None)
        passed = 0
        for item in stats:
            passed += 1
            key = to_key(item.path)
            while row is not None and row[0] < key:
                yield from missing.judge(*row)
                row = next(remaining, None)
                passed += 1
            if passed >= _AT_ONCE:
                yield Passed(passed)
                passed = 0
            if isinstance(item, Problem):
                yield item
                missing.unknown(item.path)
            elif row is None or row[0] != key:
                yield Changed(item)
                continue
            else:
                seen = row[1]
                if differs(item, seen) or (item.kind is Kind.FILE and -YOUNG < now - item.ctime_ns < YOUNG):
                    yield Changed(item)
                row = next(remaining, None)
        while row is not None:
            yield from missing.judge(*row)
            row = next(remaining, None)
            passed += 1
            if passed >= _AT_ONCE:
                yield Passed(passed)
                passed = 0
        yield Passed(passed)

    def stat_one(self, path: bytes) -> Stat | Problem | None:
        """What is at `path` now, ignored or not; None for nothing, and for what is hidden."""
        try:
            fd, name = self._directories.parent(path)
            return self._judge(fd, path, name, lstat(fd, name))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            return _problem(path, error)

    def takes_part(self, path: bytes, status: os.stat_result) -> bool:
        """Whether what is at `path`, and looks like that, is replicated."""
        kind = kind_of(status)
        if kind is None or len(path) > MAX_PATH or self._ignored(path, kind is Kind.DIR) or self._hides(path, status):
            return False
        if kind is Kind.FILE:
            return sizes.refusal(status.st_size, self.largest) is None
        return kind is not Kind.LINK or not isinstance(self.stat_one(path), Problem)

    def with_ctime(self, path: bytes, seen: Disk) -> Disk | None:
        """What was seen at `path`, with its ctime of now; None if more than that is different."""
        stat = self.stat_one(path)
        if not isinstance(stat, Stat) or stat.kind is Kind.DIR:
            return None
        now = seen._replace(ctime=stat.ctime_ns)
        return None if differs(stat, now) else now

    def names_beside(self, path: bytes) -> Names:
        """What the directory above lists; a file system may take another name for one of these."""
        try:
            return Names(each_name(self._directories.parent(path)[0]))
        except OSError:
            return Names(())

    def _entries(self, path: bytes) -> Iterator[Stat | Problem]:
        try:
            fd = self._directories.open(path)
            names = SortedNames(each_name(fd))
            if path and is_replicated(fd):
                yield Problem(path, "list", "skipped: another replicated folder")
                return
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            yield _problem(path, error)
            return
        prefix = path + b"/" if path else b""
        remaining = (name for name in names if path or name != RESERVED_NAME)
        while some := list(islice(remaining, _AT_ONCE)):
            yield from self._look_at(path, prefix, some)

    def _look_at(self, path: bytes, prefix: bytes, names: list[bytes]) -> list[Stat | Problem]:
        """One look at each of some names in a directory."""
        try:
            fd = self._directories.open(path)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            return [_problem(path, error)]
        found: list[Stat | Problem] = []
        look, judge, ignored = os.stat, self._judge, self._ignored
        for name in names:
            below = prefix + name
            if len(below) > MAX_PATH:
                found.append(Problem(below, "name", f"skipped: path of {len(below)} bytes"))
                continue
            try:
                item = judge(fd, below, name, look(name, dir_fd=fd, follow_symlinks=False))
            except FileNotFoundError:
                continue
            except PermissionError as error:  # one that may be listed but not searched: the same for every name
                found.append(_problem(path, error))
                return found
            except OSError as error:
                item = _problem(below, error)
            if type(item) is Stat:
                if not ignored(below, item.kind is Kind.DIR):
                    found.append(item)
            elif item is not None and not (ignored(below, False) or ignored(below, True)):
                found.append(item)
        return found

    def _judge(self, fd: int, path: bytes, name: bytes, status: os.stat_result) -> Stat | Problem | None:
        kind = kind_of(status)
        if self._hides(path, status):
            return None
        if status.st_dev != self._device and (kind is Kind.DIR or self._is_mounted(fd, name)):
            return Problem(path, "list", _FOREIGN)
        if kind is None:
            return Problem(path, SKIPPED, _SPECIAL)
        if kind is Kind.FILE and self.largest is not None and status.st_size > self.largest:
            return Problem(path, SKIPPED, sizes.refusal(status.st_size, self.largest) or "")
        if kind is not Kind.LINK:
            return take(path, kind, status)
        target = os.readlink(name, dir_fd=fd)
        refusal = self.refusal(path, target)
        return take(path, kind, status, target) if refusal is None else Problem(path, SKIPPED, refusal)

    def _is_mounted(self, fd: int, name: bytes) -> bool:
        """Whether a file lies on another mount than the root. Overlay file systems give files devices of their own."""
        if self._mount is None:
            self._mount = syscalls.mount_id(self._directories.root_fd, b".")
        return self._mount is None or syscalls.mount_id(fd, name) != self._mount


class _Missing:
    """Judges rows, in order, that the walk has brought nothing for."""

    def __init__(self, scanner: Scanner, ignored: Callable[[bytes, bool], bool], began: int) -> None:
        """began: when the walk did, wall clock in ns."""
        self._began = began
        self._scanner = scanner
        self._ignored = ignored
        self._unknown = b""  # rows below this key are unknown or ignored
        self._gone = b""  # rows below this key went with a directory above them
        self._everything = False
        self._beside = b""  # the directory of `_names`
        self._names = Names(())

    def unknown(self, path: bytes) -> None:
        """The path and everything below it could not be looked at."""
        if not path:
            self._everything = True
        self._unknown = max(self._unknown, to_key(path) + b"\x01")

    def judge(self, key: bytes, seen: Disk) -> Iterator[Changed | Gone | Problem]:
        """What to say about it. The walk may have passed before it came, so it is looked for once more."""
        if self._everything or key < self._unknown:
            return
        path = to_path(key)
        is_directory = seen.entry.kind is Kind.DIR
        if key >= self._gone:
            if any(self._is_ignored(above, True) for above in ancestors(path)) or self._is_ignored(path, is_directory):
                return
            there = self._scanner.stat_one(path)
            if isinstance(there, Problem):
                self.unknown(path)
                yield there
                return
            if there is not None and self._is_new(there, seen):
                return
            if there is not None and self._is_listed(path):
                yield Changed(there)
                return
            if is_directory:
                self._gone = key + b"\x01"
        elif self._is_ignored(path, is_directory):
            return
        yield Gone(path)

    def _is_new(self, there: Stat, seen: Disk) -> bool:
        """Whether it is what the index saw there after the walk had begun, as in a first sync that goes on meanwhile.

        Such a directory would have to be listed again and again, and each name taken for a change. Times are trusted
        for a day ahead only: what is put off where a clock was set back is put off no longer.
        """
        return 0 <= seen.ctime - self._began < _LONGEST and not differs(there, seen)

    def _is_listed(self, path: bytes) -> bool:
        """A directory is listed again only for what it did not have before: it may have a million names."""
        above, _, name = path.rpartition(b"/")
        if above != self._beside or name not in self._names:
            self._beside, self._names = above, self._scanner.names_beside(path)
        return name in self._names

    def _is_ignored(self, path: bytes, is_directory: bool) -> bool:
        if not self._ignored(path, is_directory):
            return False
        if is_directory:
            self.unknown(path)
        return True


def _problem(path: bytes, error: OSError) -> Problem:
    return Problem(path, "list", error.strerror or str(error))
