"""Descriptors of the directories below a folder's root: the only way to anything in the tree.

A directory is opened one component at a time, from the descriptor of the one above, and never through a symbolic
link; so whatever is renamed or swapped while we work, we cannot be led out of the folder. Open descriptors are kept,
because a walk costs more than what is usually done at its end. A kept descriptor follows its directory when that is
moved away, so it is trusted for TRUST_SECONDS only and then walked to again.
"""

import errno
import heapq
import os
import time
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Final

from protocol.limits import RESERVED_NAME

KEPT: Final = 256  # open descriptors: a quarter of the usual limit of a process
TRUST_SECONDS: Final = 0.05  # long against a small file (40 us), short against somebody's next command
_RUN: Final = 1 << 16  # names that are sorted at once
_PACKED: Final = 256  # names in one string
_FLAGS: Final = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_RELATIVE: Final = frozenset({b"", b".", b".."})


class Directories:
    """Kept descriptors of one tree, for one thread. Paths are bytes; b"" is the root, whose descriptor is the caller's.

    A descriptor that a method returns may be used until the next call of any method, no longer.
    """

    def __init__(self, root_fd: int, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: seconds, monotonic."""
        self.root_fd = root_fd
        self.device = os.fstat(root_fd).st_dev
        self._clock = clock
        self._kept: OrderedDict[bytes, int] = OrderedDict()
        self._walked = 0.0  # when the oldest kept descriptor was opened at the earliest

    def open(self, path: bytes) -> int:
        """The descriptor of a directory.

        Raises FileNotFoundError; NotADirectoryError, also if a component is a symbolic link; PermissionError; OSError
        with EXDEV if a component lies on another file system.
        """
        if not path:
            return self.root_fd
        if self._clock() - self._walked > TRUST_SECONDS:
            self.forget(b"")
        fd = self._kept.get(path)
        if fd is None:
            return self._walk(path)
        self._kept.move_to_end(path)
        return fd

    def parent(self, path: bytes) -> tuple[int, bytes]:
        """(descriptor of the directory that holds `path`, last component). Raises as `open`."""
        above, _, name = path.rpartition(b"/")
        if name in _RELATIVE or path == RESERVED_NAME or path.startswith(b"/"):
            raise OSError(errno.EPERM, "no name of an entry")
        return self.open(above), name

    def forget(self, path: bytes) -> None:
        """Close what is kept of `path` and below it, b"" for everything: when a directory went elsewhere."""
        if not path:
            gone = list(self._kept)
            self._walked = self._clock()
        else:
            below = path + b"/"
            gone = [kept for kept in self._kept if kept == path or kept.startswith(below)]
        for kept in gone:
            os.close(self._kept.pop(kept))

    def close(self) -> None:
        """Close all descriptors but the root's."""
        self.forget(b"")

    def __len__(self) -> int:
        return len(self._kept)

    def _walk(self, path: bytes) -> int:
        nearest = path
        while nearest and nearest not in self._kept:
            nearest = nearest.rpartition(b"/")[0]
        if nearest:
            self._kept.move_to_end(nearest)
            fd, missing = self._kept[nearest], path[len(nearest) + 1 :]
        else:
            fd, missing = self.root_fd, path
        for name in missing.split(b"/"):
            if name in _RELATIVE or (not nearest and name == RESERVED_NAME):
                raise OSError(errno.EPERM, "no name of an entry")
            fd = self._enter(fd, name)
            nearest = nearest + b"/" + name if nearest else name
            self._kept[nearest] = fd
            if len(self._kept) > KEPT:
                os.close(self._kept.popitem(last=False)[1])
        return fd

    def _enter(self, above: int, name: bytes) -> int:
        try:
            fd = os.open(name, os.O_RDONLY | _FLAGS, dir_fd=above)
        except PermissionError:  # one that may be searched but not listed can still be walked through
            fd = os.open(name, os.O_PATH | _FLAGS, dir_fd=above)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
            raise
        try:
            if os.fstat(fd).st_dev != self.device:
                raise OSError(errno.EXDEV, "lies on another file system")
        except BaseException:
            os.close(fd)
            raise
        return fd


def names_in(fd: int) -> list[bytes]:
    """The names in a directory, in no order. Raises OSError."""
    return list(each_name(fd))


def each_name(fd: int) -> Iterator[bytes]:
    """The names in a directory, in no order, while it is read. Raises OSError."""
    try:
        with os.scandir(fd) as entries:
            yield from (os.fsencode(entry.name) for entry in entries)
    except OSError as error:
        if error.errno == errno.EBADF:  # opened with O_PATH, because it may not be listed
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None
        raise


class SortedNames:
    """Names in their order. Of very many, runs of letters are kept: a million take 13 MB as such, and 60 one by one."""

    def __init__(self, names: Iterable[bytes]) -> None:
        self._runs: list[list[bytes]] = []
        self._last: list[bytes] = []  # as long as it is the only one, it is no run
        remaining = iter(names)
        while run := list(islice(remaining, _RUN)):
            if self._last:
                self._runs.append(_pack(self._last))
            run.sort()
            self._last = run

    def __iter__(self) -> Iterator[bytes]:
        if not self._runs:
            return iter(self._last)
        return heapq.merge(*map(_unpack, self._runs), self._last)


def _pack(names: list[bytes]) -> list[bytes]:
    return [b"/".join(names[start : start + _PACKED]) for start in range(0, len(names), _PACKED)]


def _unpack(run: list[bytes]) -> Iterator[bytes]:
    return chain.from_iterable(part.split(b"/") for part in run)


class Names:
    """The names that a directory has exactly so, not ones that the file system takes for the same. A million take 8 MB.

    By their hashes: of very many names, one that is not there may seem to be.
    """

    def __init__(self, names: Iterable[bytes]) -> None:
        self._hashes = array("q", sorted(map(hash, names)))

    def __contains__(self, name: bytes) -> bool:
        place = bisect_left(self._hashes, hash(name))
        return place < len(self._hashes) and self._hashes[place] == hash(name)
