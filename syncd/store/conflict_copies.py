"""Conflict copies in the tree: made, told from what users made of them, and taken away.

A copy that is listed takes no part in replication as long as it holds the bytes of the version that lost. It is told by
them, not by its inode or its times: a unit that is published gives its files other ctimes, and users may touch one.
"""

import errno
import os
from collections.abc import Callable

from protocol.record import Kind
from syncd.core.index import Disk
from syncd.store import syscalls
from syncd.store.archive import Archive, ArchivedItem
from syncd.store.directories import Directories
from syncd.store.hasher import FileChanged, Hasher
from syncd.store.index_copies import Copy
from syncd.store.look import is_still, kind_of, take
from syncd.store.moves import lstat, move_to_free_name
from syncd.store.parents import LocalPolicy, Parents
from syncd.store.placing import Differs, Placer
from syncd.store.scanner import YOUNG
from syncd.store.staging import Staging
from syncd.store.temps import Temp, Temps


class ConflictCopies:
    """Of one folder, in one thread. listed: by path. lost: those that turned out to be somebody's own.

    clock: wall time, ns. is_ordinary(path): whether the index has seen a file of the folder there.
    """

    def __init__(
        self,
        directories: Directories,
        staging: Staging,
        archive: Archive,
        hasher: Hasher,
        policy: LocalPolicy,
        clock: Callable[[], int],
    ) -> None:
        self._directories = directories
        self._hasher = hasher
        self._policy = policy
        self._clock = clock
        self._temps = Temps(staging)
        self._parents = Parents(directories, policy)
        self._placer = Placer(archive)
        self.is_ordinary: Callable[[bytes], bool] = lambda _path: False
        self.listed: dict[bytes, Copy] = {}
        self.lost: list[Copy] = []
        self._seen: dict[bytes, Disk] = {}  # as they were hashed
        self._sure: set[bytes] = set()  # hashed at a time when any other write would show in a ctime

    # ---- looks

    def hides(self, path: bytes, status: os.stat_result) -> bool:
        """Whether what is at the path, and looks like that, is a copy that nobody changed."""
        copy = self.listed.get(path)
        if copy is None:
            return False
        if self._is_unchanged(copy, status):
            return True
        self.forget(copy)
        self.lost.append(copy)
        return False

    def look(self, copy: Copy) -> bool:
        """Look at a listed one; whether anything is there, which may have become somebody's own. Raises OSError."""
        try:
            fd, name = self._directories.parent(copy.path)
            status = lstat(fd, name)
        except (FileNotFoundError, NotADirectoryError):
            return False
        self.hides(copy.path, status)
        return True

    @property
    def unsure(self) -> bool:
        """Whether one of them may have been written to without a visible difference."""
        return len(self._sure) < len(self.listed)

    def holds(self, path: bytes, content: bytes) -> bool | None:
        """Whether what is at a path is a file with that content; None if nothing is there. Raises OSError."""
        try:
            fd, name = self._directories.parent(path)
            status = lstat(fd, name)
            if kind_of(status) is not Kind.FILE:
                return False
            return self._hasher.hash(path, take(path, Kind.FILE, status)).content == content
        except FileNotFoundError:
            return None
        except FileChanged:
            return False

    def _is_unchanged(self, copy: Copy, status: os.stat_result) -> bool:
        path = copy.path
        if kind_of(status) is not Kind.FILE or self.is_ordinary(path):
            return False
        if path in self._sure and is_still(status, self._seen[path]):
            return True
        try:
            hashed = self._hasher.hash(path, take(path, Kind.FILE, status))
        except FileChanged:
            return False
        except OSError:  # it cannot be read: no reason to take it for anything else
            return True
        if hashed.content != copy.content:
            return False
        self._seen[path] = hashed.disk
        if abs(self._clock() - hashed.disk.ctime) >= YOUNG:
            self._sure.add(path)
        return True

    # ---- changes

    def prepare(self, source: int, path: bytes, mode: int, mtime: int) -> Temp:
        """A durable file with the bytes of an open one, a rename away from `path`.

        Raises OSError: FileNotFoundError if the directory for it is not there.
        """
        self._temps.now = self._clock()
        self._parents.begin()
        try:
            self._parents.enter(path)
            temp = self._temps.copy(source, self._policy.file(mode), mtime, True)
            try:
                self._parents.give(temp, path, None)
            except BaseException:
                self._temps.drop(temp)
                raise
        finally:
            self._parents.end()
        return temp

    def place(self, temp: Temp, path: bytes) -> None:
        """Rename it to where nothing is, durably. Raises FileExistsError; other OSError: it may be there or not."""
        self._parents.begin()
        try:
            fd, name = self._parents.enter(path)
            move_to_free_name(temp.fd, temp.name, fd, name)
            _sync(fd)
        except BaseException:
            self._temps.drop(temp)
            raise
        finally:
            self._parents.end()

    def take_away(self, copy: Copy) -> list[ArchivedItem]:
        """Move a listed one to the archive, if nobody changed it; what is somebody's own stays. Raises OSError."""
        self._parents.begin()
        try:
            fd, name = self._parents.enter(copy.path)
            if not self.hides(copy.path, lstat(fd, name)):
                return []
            if copy.path not in self._seen:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            fd, name = self._parents.enter(copy.path)
            return self._placer.remove(fd, name, self._seen[copy.path], copy.path)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except Differs as difference:
            self.forget(copy)
            self.lost.append(copy)
            return difference.archived
        finally:
            self._parents.end()

    def forget(self, copy: Copy) -> None:
        """It is listed no more."""
        self.listed.pop(copy.path, None)
        self._seen.pop(copy.path, None)
        self._sure.discard(copy.path)


def _sync(fd: int) -> None:
    """Make renames in a directory durable. One that may only be searched cannot be synced. Raises OSError."""
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno != errno.EBADF and error.errno not in syscalls.UNSUPPORTED:
            raise
