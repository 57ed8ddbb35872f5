"""The tree of a unit, wherever it lies: one look at everything in it, through descriptors."""

import errno
import os
from collections.abc import Iterator
from typing import Final, NamedTuple

from protocol.limits import RESERVED_NAME
from protocol.record import Kind
from syncd.store.directories import names_in
from syncd.store.look import kind_of
from syncd.store.moves import lstat

DEEPEST: Final = 64  # levels in a unit: each holds a descriptor while the unit is walked through
ENTER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Listing = dict[bytes, os.stat_result]  # by path


class CannotBeOne(Exception):
    """Something in a unit keeps it from being exchanged as a whole."""


class Found(NamedTuple):
    """An entry: its path, the descriptor of the directory it lies in, its name there, and what it is."""

    path: bytes
    fd: int
    name: bytes
    status: os.stat_result


class _Level(NamedTuple):
    path: bytes
    fd: int
    names: list[bytes]


def walk(fd: int, name: bytes, path: bytes) -> Iterator[Found]:
    """Everything below a directory, each directory before what is in it. path: what the directory is called.

    What goes meanwhile is passed over. Raises CannotBeOne, OSError.
    """
    device = os.fstat(fd).st_dev
    levels = [_enter(fd, name, path)]
    try:
        while levels:
            level = levels[-1]
            if not level.names:
                os.close(levels.pop().fd)
                continue
            entry = level.names.pop()
            below = level.path + b"/" + entry
            try:
                if entry == RESERVED_NAME:
                    raise CannotBeOne("another replicated folder lies in it")
                status = lstat(level.fd, entry)
                yield Found(below, level.fd, entry, status)
                if kind_of(status) is not Kind.DIR:
                    continue
                if status.st_dev != device or len(levels) >= DEEPEST:
                    raise CannotBeOne(f"{'another file system lies' if status.st_dev != device else 'it is too deep'}")
                levels.append(_enter(level.fd, entry, below))
            except FileNotFoundError:
                continue
    finally:
        for level in levels:
            os.close(level.fd)


def _enter(fd: int, name: bytes, path: bytes) -> _Level:
    try:
        directory = os.open(name, ENTER, dir_fd=fd)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
        raise
    try:
        return _Level(path, directory, sorted(names_in(directory), reverse=True))
    except BaseException:
        os.close(directory)
        raise


def listing(fd: int, name: bytes, path: bytes) -> Listing:
    """All of it, and the directory itself. Raises CannotBeOne, OSError."""
    found = {path: lstat(fd, name)}
    found.update((item.path, item.status) for item in walk(fd, name, path))
    return found
