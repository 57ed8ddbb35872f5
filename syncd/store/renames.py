"""Renames that a power cut might still take back, and how they are made durable."""

import errno
import os
from typing import Final

from syncd.store import syscalls
from syncd.store.archive import Archive
from syncd.store.directories import Directories

SYNCED_EACH: Final = 8  # changed directories up to which each is synced by itself instead of the file system
_GONE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV})


class Renames:
    """The directories in which entries were changed since they were last synced, of one folder in one thread."""

    def __init__(self, directories: Directories, archive: Archive) -> None:
        self._directories = directories
        self._archive = archive
        self._changed: set[bytes] = set()
        self._archived = False

    @property
    def durable(self) -> bool:
        """Whether a power cut would take back nothing."""
        return not self._changed and not self._archived

    def note(self, directory: bytes, archived: bool) -> None:
        """Entries of `directory` were changed. archived: what was displaced went to the archive."""
        self._changed.add(directory)
        self._archived |= archived

    def forget(self) -> None:
        """The whole file system was synced after the last of them."""
        self._changed.clear()
        self._archived = False

    def sync(self) -> None:
        """Make them durable. Raises OSError: they are tried again by the next call then."""
        if self.durable:
            return
        if len(self._changed) > SYNCED_EACH or not self._sync_each():
            try:
                syscalls.sync_file_system(self._archive.fd)
            except OSError as error:
                if error.errno not in syscalls.UNSUPPORTED:
                    raise
                os.sync()
        self.forget()

    def _sync_each(self) -> bool:
        """False if one of them is not where it was: it may have been moved with what is in it."""
        self._directories.forget(b"")
        for path in sorted(self._changed):
            try:
                os.fsync(self._directories.open(path))
            except OSError as error:
                if error.errno in _GONE or error.errno in syscalls.UNSUPPORTED or error.errno == errno.EBADF:
                    return False
                raise
        if self._archived:
            os.fsync(self._archive.fd)
        return True
