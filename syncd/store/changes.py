"""Single changes to the tree: what is at one path is made, replaced, adjusted or removed, if it is as last seen."""

import contextlib
import errno
import os
from collections.abc import Callable
from typing import Final

from protocol.edit import Entry
from protocol.paths import ancestors
from protocol.record import PERMISSIONS, Kind
from syncd.core.events import Action, Observation
from syncd.core.index import Disk
from syncd.store import syscalls
from syncd.store.archive import Archive, ArchivedItem
from syncd.store.capabilities import Capabilities
from syncd.store.directories import Directories
from syncd.store.look import OPEN_FILE, as_placed, clamp, directory_disk, is_as_made, is_still
from syncd.store.moves import lstat
from syncd.store.parents import LocalPolicy, Parents
from syncd.store.placing import Differs, Placer
from syncd.store.temps import Temp, Temps

DIRECTORY_MODE: Final = 0o755  # of a directory that no record speaks of
_OPEN_ANY: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class Changes:
    """Changes the tree of one folder. made: directories that the last action needed above its path.

    touched: whether somebody changed what the last action had placed before it could be looked at.
    """

    def __init__(
        self,
        directories: Directories,
        archive: Archive,
        temps: Temps,
        parents: Parents,
        policy: LocalPolicy,
        capabilities: Capabilities,
        was_file: Callable[[bytes], bool],
    ) -> None:
        """was_file(path): whether the index last saw something else than a directory there."""
        self.made: list[Observation] = []
        self.touched = False
        self._directories = directories
        self._archive = archive
        self._temps = temps
        self._parents = parents
        self._policy = policy
        self._capabilities = capabilities
        self._was_file = was_file
        self._placer = Placer(archive)

    def act(self, action: Action, temp: Temp | None) -> tuple[Disk | None, list[ArchivedItem]]:
        """Carry an action out. temp: the new file or link, if it brings one. Raises Differs, OSError.

        Returns what is there then, and what was displaced. A temp that did not become live is the caller's to drop.
        """
        self.made, self.touched = [], False
        path, expect, want = action.path, action.expect, action.want
        if want is None:
            return None, self._remove(path, expect)
        if expect is None:
            if want.kind is Kind.DIR:
                return self._make_directory(path, want.mode), []
            assert temp is not None
            return self._create(path, want, temp), []
        if temp is not None:
            return self._replace(path, expect, want, temp)
        if expect.entry.kind is not Kind.DIR or want.kind is not Kind.DIR:
            return self._adjust_or_replace(path, expect, want)
        fd, name = self._enter_present(path)
        self._present(fd, name, expect)
        return self._set_directory_mode(path, want.mode), []

    def _adjust_or_replace(self, path: bytes, expect: Disk, want: Entry) -> tuple[Disk, list[ArchivedItem]]:
        if want.kind is Kind.LINK:
            return self._adjust_link(path, expect, want), []
        if want.kind is Kind.FILE:
            return self._adjust_file(path, expect, want), []
        temp = self._temps.directory()
        try:
            fd, name = self._enter_present(path)
            self._parents.give(temp, path, self._present(fd, name, expect))
            archived = self._placer.replace(temp, fd, name, expect, path)
        except BaseException:
            self._temps.drop(temp)
            raise
        try:
            return self._set_directory_mode(path, want.mode), archived
        except OSError:
            raise Differs(archived) from None

    def _create(self, path: bytes, want: Entry, temp: Temp) -> Disk:
        try:
            fd, name = self._parents.enter(path)
        except FileNotFoundError:
            self._make_parents(path)
            fd, name = self._parents.enter(path)
        self._parents.give(temp, path, None)
        made = lstat(temp.fd, temp.name)
        self._placer.create(temp, fd, name)
        return self._placed(fd, name, want, made)

    def _replace(self, path: bytes, expect: Disk, want: Entry, temp: Temp) -> tuple[Disk, list[ArchivedItem]]:
        fd, name = self._enter_present(path)
        status = self._present(fd, name, expect)
        self._parents.give(temp, path, status)
        made = lstat(temp.fd, temp.name)
        archived = self._placer.replace(temp, fd, name, expect, path)
        if expect.entry.kind is Kind.DIR:
            self._parents.removed(path)
        return self._placed(fd, name, want, made), archived

    def _remove(self, path: bytes, expect: Disk | None) -> list[ArchivedItem]:
        if expect is None:
            return []
        try:
            fd, name = self._parents.enter(path)
            status = lstat(fd, name)
        except FileNotFoundError:
            return []  # somebody was faster
        if not is_still(status, expect):
            raise Differs
        archived = self._placer.remove(fd, name, expect, path)
        if expect.entry.kind is Kind.DIR:
            self._parents.removed(path)
        return archived

    # ---- metadata

    def _adjust_file(self, path: bytes, expect: Disk, want: Entry) -> Disk:
        """Give a file with the right content another mode or mtime.

        A write of the same size in the instant between the last look and the setting of the mtime does not show in
        the result. The watcher tells of it (Cause.WRITTEN); so does a scan within YOUNG.
        """
        parent, name = self._enter_present(path)
        fd = _open_any(parent, name)
        try:
            status = os.fstat(fd)
            if not is_still(status, expect):
                raise Differs
            mode, mtime = self._policy.file(want.mode), self._capabilities.stored_mtime(want.mtime)
            if (status.st_mode & PERMISSIONS, clamp(status.st_mtime_ns)) == (mode, mtime):
                return as_placed(status, want)
            if status.st_nlink > 1:
                return self._adjust_copy(path, fd, expect, want)
            if status.st_mode & PERMISSIONS != mode:
                syscalls.set_mode(fd, mode)
            if clamp(status.st_mtime_ns) != mtime:
                if clamp(os.fstat(fd).st_mtime_ns) != expect.entry.mtime:
                    raise Differs
                syscalls.set_mtime(fd, want.mtime, self._temps.now)
            status = os.fstat(fd)
        finally:
            os.close(fd)
        if clamp(status.st_mtime_ns) != mtime or status.st_size != want.size:
            raise Differs
        return as_placed(status, want)

    def _adjust_copy(self, path: bytes, fd: int, expect: Disk, want: Entry) -> Disk:
        """The inode has other names, maybe outside the folder, which are not to be touched: a copy takes its place."""
        temp = self._temps.copy(fd, self._policy.file(want.mode), want.mtime, True)
        try:
            if not is_still(os.fstat(fd), expect):
                raise Differs
            disk, archived = self._replace(path, expect, want, temp)
        except BaseException:
            self._temps.drop(temp)
            raise
        self._archive.remove(item.name for item in archived)  # the same bytes are live
        return disk

    def _adjust_link(self, path: bytes, expect: Disk, want: Entry) -> Disk:
        fd, name = self._enter_present(path)
        self._present(fd, name, expect)
        link = os.open(name, _OPEN_ANY, dir_fd=fd)  # a name may stand for a file that is not ours in the next instant
        try:
            if not is_still(os.fstat(link), expect):
                raise Differs
            syscalls.set_mtime(link, want.mtime, self._temps.now)
            return as_placed(os.fstat(link), want)
        finally:
            os.close(link)

    # ---- directories

    def _make_directory(self, path: bytes, mode: int) -> Disk:
        try:
            fd, name = self._parents.enter(path)
        except FileNotFoundError:
            self._make_parents(path)
            fd, name = self._parents.enter(path)
        try:
            os.mkdir(name, 0o700, dir_fd=fd)
        except FileExistsError:
            if not self._parents.was_made(path):
                raise Differs from None
        else:
            self._parents.made(path)
        return self._set_directory_mode(path, mode)

    def _make_parents(self, path: bytes) -> None:
        """Not where a file was: a directory in its place would keep its removal from being noticed."""
        for above in ancestors(path):
            try:
                self._directories.open(above)
            except FileNotFoundError:
                if self._was_file(above):
                    raise Differs from None
                self.made.append(Observation(above, self._make_directory(above, DIRECTORY_MODE)))

    def _set_directory_mode(self, path: bytes, mode: int) -> Disk:
        """Its own setgid and sticky bits stay."""
        status = self._parents.set_mode(path, self._policy.directory(mode))
        return directory_disk(status.st_mode & PERMISSIONS, status.st_ino)

    # ---- looks

    def _enter_present(self, path: bytes) -> tuple[int, bytes]:
        try:
            return self._parents.enter(path)
        except FileNotFoundError:
            raise Differs from None

    def _present(self, fd: int, name: bytes, expect: Disk) -> os.stat_result:
        try:
            status = lstat(fd, name)
        except FileNotFoundError:
            raise Differs from None
        if not is_still(status, expect):
            raise Differs
        return status

    def _placed(self, fd: int, name: bytes, want: Entry, made: os.stat_result) -> Disk:
        """What the index is to know of what was just placed. made: what it was before it got its name.

        Whatever is different by now is somebody's edit of it, or its removal. Only if what was placed is what the index
        knows does a look find that: compared with what was there before, it would seem to be an edit of that.
        """
        with contextlib.suppress(OSError):
            status = lstat(fd, name)
            if is_as_made(status, made, self._capabilities.stored_mtime(want.mtime)):
                return as_placed(status, want)
        self.touched = True
        return as_placed(made, want)


def _open_any(fd: int, name: bytes) -> int:
    """A file's descriptor, for metadata only if it cannot be read."""
    try:
        return os.open(name, OPEN_FILE, dir_fd=fd)
    except PermissionError:
        return os.open(name, _OPEN_ANY, dir_fd=fd)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
            raise Differs from None
        raise
