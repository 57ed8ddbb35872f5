"""The directories that a batch writes into: walked to afresh, looked at once, and looked at again at the end."""

import os
from typing import Final, NamedTuple

from protocol.record import PERMISSIONS
from syncd.store import syscalls
from syncd.store.directories import Directories
from syncd.store.temps import Temp

_KEPT_BITS: Final = 0o7000
_SET_GROUP: Final = 0o2000
_WRITABLE: Final = 0o300


class LocalPolicy(NamedTuple):
    """What files and directories get here instead of what records say. owner, group: numbers.

    Without owner and group, a new entry made by root belongs to whom the directory above belongs, and one that
    replaces another to whom that belonged.
    """

    owner: int | None = None
    group: int | None = None
    file_mode: int | None = None
    dir_mode: int | None = None

    def file(self, mode: int) -> int:
        """The mode that a file gets."""
        return (mode if self.file_mode is None else self.file_mode) & PERMISSIONS

    def directory(self, mode: int) -> int:
        """The mode that a directory gets."""
        return (mode if self.dir_mode is None else self.dir_mode) & PERMISSIONS


class _Parent(NamedTuple):
    identity: tuple[int, int]
    owner: tuple[int, int]  # what a new entry there gets; -1 for what it has anyway
    mode: int | None  # to be given back at the end


class Parents:
    """The directories of the present batch."""

    def __init__(self, directories: Directories, policy: LocalPolicy) -> None:
        self._directories = directories
        self._policy = policy
        self._user, self._group = os.geteuid(), os.getegid()
        self._met: dict[bytes, _Parent] = {}
        self._made: set[bytes] = set()

    def begin(self) -> None:
        """A new batch: nothing is trusted."""
        self._directories.forget(b"")
        self._met = {}
        self._made = set()

    def enter(self, path: bytes) -> tuple[int, bytes]:
        """(descriptor of the directory above, last component). Raises as Directories.parent."""
        place = self._directories.parent(path)
        above = path.rpartition(b"/")[0]
        if above not in self._met:
            self._met[above] = self._meet(place[0])
        return place

    def end(self) -> set[bytes]:
        """Give back what was changed, and return the directories that are not where they were."""
        self._directories.forget(b"")
        moved = set()
        for path, parent in self._met.items():
            try:
                fd = self._directories.open(path)
                status = os.fstat(fd)
                if (status.st_dev, status.st_ino) != parent.identity:
                    moved.add(path)
                elif parent.mode is not None:
                    syscalls.set_mode(fd, parent.mode)
            except OSError:
                moved.add(path)
        return moved

    def owner_of_new(self, path: bytes) -> tuple[int, int] | None:
        """What to give to something new at `path`, whose directory was entered; None if it has that anyway."""
        user, group = self._met[path.rpartition(b"/")[0]].owner
        return None if user in (-1, self._user) and group in (-1, self._group) else (user, group)

    def give(self, temp: Temp, path: bytes, replaced: os.stat_result | None) -> None:
        """Give a temp for `path` its owner. Raises PermissionError for one that was asked for."""
        user, group = self._met[path.rpartition(b"/")[0]].owner
        if replaced is not None and not self._user:
            user = replaced.st_uid if self._policy.owner is None else user
            group = replaced.st_gid if self._policy.group is None else group
        if user in (-1, self._user) and group in (-1, self._group):
            return
        try:
            os.chown(temp.name, user, group, dir_fd=temp.fd, follow_symlinks=False)
        except PermissionError:
            if self._policy.owner is not None or self._policy.group is not None:
                raise

    def made(self, path: bytes) -> None:
        """This batch made a directory."""
        self._made.add(path)
        user, group = self._met[path.rpartition(b"/")[0]].owner
        if user not in (-1, self._user) or group not in (-1, self._group):
            try:
                os.fchown(self._directories.open(path), user, group)
            except PermissionError:
                if self._policy.owner is not None or self._policy.group is not None:
                    raise

    def was_made(self, path: bytes) -> bool:
        """Whether this batch made the directory."""
        return path in self._made

    def removed(self, path: bytes) -> None:
        """This batch removed a directory."""
        self._directories.forget(path)
        self._met.pop(path, None)
        self._made.discard(path)

    def set_mode(self, path: bytes, mode: int) -> os.stat_result:
        """Set the permission bits of a directory; its other bits stay. Returns its status. Raises OSError."""
        self._met.pop(path, None)
        fd = self._directories.open(path)
        status = os.fstat(fd)
        if status.st_mode & PERMISSIONS != mode:
            syscalls.set_mode(fd, mode | status.st_mode & _KEPT_BITS)
            status = os.fstat(fd)
        return status

    def owner_within(self, directory: os.stat_result, replaced: os.stat_result | None) -> tuple[int, int] | None:
        """As `owner_of_new`, for something new in any directory, or in the place of something else."""
        user, group = self._owner(directory)
        if replaced is not None and not self._user:
            user = replaced.st_uid if self._policy.owner is None else user
            group = replaced.st_gid if self._policy.group is None else group
        return None if user in (-1, self._user) and group in (-1, self._group) else (user, group)

    def _owner(self, directory: os.stat_result) -> tuple[int, int]:
        user, group = self._policy.owner, self._policy.group
        if user is None:
            user = -1 if self._user else directory.st_uid
        if group is None:
            group = directory.st_gid if not self._user or directory.st_mode & _SET_GROUP else -1
        return user, group

    def _meet(self, fd: int) -> _Parent:
        status = os.fstat(fd)
        user, group = self._owner(status)
        mode = status.st_mode & (PERMISSIONS | _KEPT_BITS)
        is_locked = self._user == status.st_uid != 0 and mode & _WRITABLE != _WRITABLE
        if is_locked:  # a read-only directory of ours: replicated as such, but its contents must get in
            syscalls.set_mode(fd, mode | _WRITABLE)
        return _Parent((status.st_dev, status.st_ino), (user, group), mode if is_locked else None)
