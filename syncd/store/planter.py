"""Placing what is new, many files at a time: new directories are filled in staging and renamed into the tree whole.

For newcomers only (core/intake.py): as far as the index knows, nothing is at any of the paths. What somebody made there
meanwhile stays, and what was to be placed there is not.
"""

import contextlib
import os
from collections.abc import Mapping, Sequence
from stat import S_IFREG
from typing import Final, NamedTuple

from protocol.edit import Entry
from protocol.record import Kind, Record
from syncd.core.index import Disk
from syncd.store.look import clamp, directory_disk
from syncd.store.moves import lstat, move_to_free_name
from syncd.store.parents import LocalPolicy, Parents
from syncd.store.staging import Staging
from syncd.store.temps import Temps

_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ENTER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PRIVATE_DIRECTORY: Final = 0o700
_SET_GROUP: Final = 0o2000


class _Top(NamedTuple):
    """Something in staging, a rename away from its place at `path`, and what was made in it: one Disk a record."""

    path: bytes
    name: bytes
    records: list[Record]
    disks: list[Disk]


class _Level(NamedTuple):
    """A directory that is being filled. mode: what it gets when it is full."""

    path: bytes
    fd: int
    mode: int


class Planter:
    """Works through the staging of one folder, in one thread."""

    def __init__(self, staging: Staging, temps: Temps, parents: Parents, policy: LocalPolicy) -> None:
        self._staging = staging
        self._temps = temps
        self._parents = parents
        self._policy = policy

    def plant(self, records: Sequence[Record], contents: Mapping[bytes, bytes]) -> list[tuple[Record, Disk]]:
        """Place files and directories, given in the order of their keys; what could be placed, and what is there now.

        Everything is durable before it is renamed into the tree. Raises OSError if nothing could be placed.
        """
        tops: list[_Top] = []
        try:
            for group in _groups(records):
                self._build(tops, group, contents)
            self._temps.sync([])
        except BaseException:
            for top in tops:
                self._drop(top)
            raise
        return [placed for top in tops for placed in self._place(top)]

    # ---- in staging

    def _build(self, tops: list[_Top], group: list[Record], contents: Mapping[bytes, bytes]) -> None:
        """Make a directory with all that is below it, or one file."""
        first = group[0]
        try:
            above, _ = self._parents.enter(first.path)
        except OSError:
            return  # what has to be there is not: for the long way to find out
        owner = self._parents.owner_of_new(first.path)
        bits = os.fstat(above).st_mode & _SET_GROUP
        top = _Top(first.path, self._staging.fresh_name(), group, [])
        tops.append(top)
        levels: list[_Level] = []
        try:
            for record in group:
                parent, _, name = record.path.rpartition(b"/")
                while levels and levels[-1].path != parent:
                    _finish(levels.pop())
                where = levels[-1].fd if levels else self._staging.fd
                if record is first:
                    name = top.name
                if record.kind is Kind.DIR:
                    levels.append(self._directory(record, where, name, owner, bits, top))
                else:
                    top.disks.append(self._file(record, where, name, owner, contents[record.content]))
            while levels:
                _finish(levels.pop())
        finally:
            for level in levels:
                os.close(level.fd)

    def _file(
        self, record: Record, where: int, name: bytes, owner: tuple[int, int] | None, data: bytes | memoryview
    ) -> Disk:
        mode = self._policy.file(record.mode)
        # Nobody else reaches the staging, so a file may have its mode from the start, where the umask lets it.
        fd = os.open(name, _CREATE, mode, dir_fd=where)
        try:
            if os.write(fd, data) != len(data):
                raise OSError("a write that was cut short")
            if owner is not None:
                os.fchown(fd, *owner)
            os.utime(fd, ns=(self._temps.now, record.mtime))
            status = os.fstat(fd)
            if status.st_mode != S_IFREG | mode:
                os.fchmod(fd, mode)
                status = os.fstat(fd)
        finally:
            os.close(fd)
        entry = Entry(Kind.FILE, record.content, record.size, mode, clamp(status.st_mtime_ns), b"")
        return Disk(entry, status.st_ino, clamp(status.st_ctime_ns))

    def _directory(
        self, record: Record, where: int, name: bytes, owner: tuple[int, int] | None, bits: int, top: _Top
    ) -> _Level:
        os.mkdir(name, _PRIVATE_DIRECTORY, dir_fd=where)
        fd = os.open(name, _ENTER, dir_fd=where)
        mode = self._policy.directory(record.mode)
        try:
            if owner is not None:
                os.fchown(fd, *owner)
            top.disks.append(directory_disk(mode, os.fstat(fd).st_ino))
        except BaseException:
            os.close(fd)
            raise
        return _Level(record.path, fd, mode | bits)

    # ---- into the tree

    def _place(self, top: _Top) -> list[tuple[Record, Disk]]:
        try:
            fd, name = self._parents.enter(top.path)
            move_to_free_name(self._staging.fd, top.name, fd, name)
        except OSError:
            self._drop(top)
            return []
        if top.records[0].kind is Kind.FILE:
            # The rename gave it another ctime. Whatever else is different is somebody's edit, which a look will find;
            # so is that it is gone again.
            with contextlib.suppress(OSError):
                top.disks[0] = top.disks[0]._replace(ctime=clamp(lstat(fd, name).st_ctime_ns))
        return list(zip(top.records, top.disks, strict=True))

    def _drop(self, top: _Top) -> None:
        """What cannot be removed is removed by the next start."""
        with contextlib.suppress(OSError):
            self._staging.remove(top.name)


def _finish(level: _Level) -> None:
    """The mode comes last: it may be one that nothing can be put into."""
    try:
        os.fchmod(level.fd, level.mode)
    finally:
        os.close(level.fd)


def _groups(records: Sequence[Record]) -> list[list[Record]]:
    """Cut at what lies in no directory before it: of each group, all is below the first one."""
    groups: list[list[Record]] = []
    below = b""
    for record in records:
        if groups and below and record.path.startswith(below):
            groups[-1].append(record)
        else:
            groups.append([record])
            below = record.path + b"/" if record.kind is Kind.DIR else b""
    return groups
