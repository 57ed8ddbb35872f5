"""A folder's root: opened once, locked, marked, and with a private place beside the tree on the same file system.

`.syncd/` in the root holds the lock and the marker always; staging and archive too, unless they fit into the storage
path. All of it is 0700 and never replicated.
"""

import contextlib
import errno
import fcntl
import os
from enum import Enum
from typing import Final, NamedTuple, Self

from protocol.limits import RESERVED_NAME
from syncd.store.capabilities import Capabilities, probe
from syncd.store.copies import write_at
from syncd.store.directories import names_in
from syncd.store.look import OPEN_FILE

MARKER: Final = b"marker"
NONCE_SIZE: Final = 16
_LOCK: Final = b"lock"
_STAGING: Final = b"staging"
_ARCHIVE: Final = b"archive"
_PROBE: Final = b"probe"
_MARKER_TITLE: Final = b"syncd 1"
_MARKER_SIZE: Final = 256  # bytes: more than a marker has
NO_CONTENT: Final = frozenset({RESERVED_NAME, b"lost+found"})  # an empty file system has the latter
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class RootError(Exception):
    """The folder cannot be used; one line that says why and what to do."""


class RootState(Enum):
    """What became of a folder's root."""

    NEW = "new"  # no marker: not replicated before
    KNOWN = "known"
    EMPTIED = "emptied"  # a marker, and nothing else
    REPLACED = "replaced"  # the path leads elsewhere by now, or the marker that was there is gone


class Marker(NamedTuple):
    """Who replicates this tree. nonce: NONCE_SIZE random bytes, changed at every start, also kept in the index."""

    folder_id: bytes
    nonce: bytes


class Root:
    """An open, locked root. fd, staging_fd, archive_fd: descriptors that live until `close`."""

    def __init__(self, path: bytes, fd: int) -> None:
        """For `open` only. Takes the descriptor over."""
        self.path = path
        self.fd = fd
        self.staging_fd = self.archive_fd = -1
        self.capabilities = Capabilities()
        self._private_fd = -1
        self._owned = [fd]
        self._marked = False

    @classmethod
    def open(cls, directory: str, folder_id: bytes, storage: str | None = None) -> Self:
        """Open and lock a folder's root. storage: where staging and archive lie if that is on the same file system.

        Raises RootError.
        """
        path = os.fsencode(os.path.abspath(directory))
        try:
            root = cls(path, os.open(path, _DIRECTORY))
        except OSError as error:
            raise RootError(f"{directory}: {error.strerror}; the folder's directory must exist") from None
        try:
            root._prepare(folder_id, storage)
        except OSError as error:
            root.close()
            raise RootError(f"{directory}: not usable for a folder: {error.strerror}") from None
        except BaseException:
            root.close()
            raise
        return root

    def close(self) -> None:
        """Unlock and close everything."""
        while self._owned:
            os.close(self._owned.pop())

    def marker(self) -> Marker | None:
        """The marker, or None if there is none. Raises RootError if it is damaged, OSError."""
        marker = self._read_marker()
        self._marked |= marker is not None
        return marker

    def write_marker(self, marker: Marker) -> None:
        """Replace the marker, durably. Raises OSError."""
        _write_marker(self._private_fd, marker)
        self._marked = True

    def tree_empty(self) -> bool:
        """Whether there is nothing to replicate. Raises OSError."""
        return not set(names_in(self.fd)) - NO_CONTENT

    def in_place(self) -> bool:
        """Whether the folder's path still leads to this root, and `.syncd` in it to ours."""
        try:
            return _is_same(os.stat(self.path), self.fd) and _is_same(
                os.stat(RESERVED_NAME, dir_fd=self.fd, follow_symlinks=False), self._private_fd
            )
        except OSError:
            return False

    def state(self) -> RootState:
        """What became of the root since. Raises RootError, OSError."""
        if not self.in_place():
            return RootState.REPLACED
        if self._read_marker() is None:
            return RootState.REPLACED if self._marked else RootState.NEW
        return RootState.EMPTIED if self.tree_empty() else RootState.KNOWN

    def _prepare(self, folder_id: bytes, storage: str | None) -> None:
        shown = os.fsdecode(self.path)
        if not os.access(b".", os.W_OK | os.X_OK, dir_fd=self.fd, effective_ids=True):
            raise RootError(f"{shown}: not writable by this user")
        outer = _outer_root(self.fd)
        if outer is not None:
            raise RootError(f"{shown}: lies inside {outer}, which is a replicated folder itself")
        self._private_fd = self._own(_private(self.fd, RESERVED_NAME))
        self._own(_lock(self._private_fd, shown))
        marker = self.marker()
        if marker is not None and marker.folder_id != folder_id:
            raise RootError(
                f"{shown}: was replicated with another secret before; remove {shown}/.syncd/marker if that is meant"
            )
        home = self._home(folder_id, storage, shown)
        self.staging_fd = self._own(_private(home, _STAGING))
        self.archive_fd = self._own(_private(home, _ARCHIVE))
        if home != self._private_fd:
            _gather(self._private_fd, _ARCHIVE, self.archive_fd)
            _gather(self._private_fd, _STAGING, self.staging_fd)
        self.capabilities = probe(self.staging_fd)

    def _home(self, folder_id: bytes, storage: str | None, shown: str) -> int:
        """The directory for staging and archive."""
        if storage is None:
            return self._private_fd
        try:
            os.makedirs(storage, 0o700, exist_ok=True)
            storage_fd = self._own(os.open(storage, _DIRECTORY))
            if _is_below(storage_fd, self.fd):
                raise RootError(f"storage_path {storage} lies inside the folder {shown}")
            home = self._own(_private(storage_fd, folder_id.hex().encode()))
            if not _same_file_system(home, self._private_fd):
                return self._private_fd
            self._own(_lock(home, storage))
        except OSError as error:
            raise RootError(f"storage_path {storage}: {error.strerror}") from None
        return home

    def _own(self, fd: int) -> int:
        self._owned.append(fd)
        return fd

    def _read_marker(self) -> Marker | None:
        return _marker_in(self._private_fd, os.fsdecode(self.path))


def read_marker(directory: str) -> Marker | None:
    """The marker of what lies at a folder's path, without opening it as a root. Raises RootError, OSError."""
    try:
        private_fd = os.open(os.path.join(os.fsencode(directory), RESERVED_NAME), _DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        return _marker_in(private_fd, directory)
    finally:
        os.close(private_fd)


def _marker_in(private_fd: int, shown: str) -> Marker | None:
    try:
        fd = os.open(MARKER, OPEN_FILE, dir_fd=private_fd)
    except FileNotFoundError:
        return None
    try:
        text = os.read(fd, _MARKER_SIZE)
    finally:
        os.close(fd)
    try:
        title, folder_id, nonce, rest = text.split(b"\n")
        marker = Marker(bytes.fromhex(folder_id.decode()), bytes.fromhex(nonce.decode()))
    except ValueError:
        title, rest = b"", b""
    if title != _MARKER_TITLE or rest or len(marker.nonce) != NONCE_SIZE:
        raise RootError(f"{shown}/.syncd/marker is damaged; remove it to start afresh")
    return marker


def mark_tree(directory: str, marker: Marker) -> None:
    """Give what lies at a folder's path now a marker, durably, without opening it as a root. Raises OSError."""
    fd = os.open(directory, _DIRECTORY)
    try:
        private_fd = _private(fd, RESERVED_NAME)
        try:
            _write_marker(private_fd, marker)
        finally:
            os.close(private_fd)
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_marker(private_fd: int, marker: Marker) -> None:
    text = b"\n".join([_MARKER_TITLE, marker.folder_id.hex().encode(), marker.nonce.hex().encode(), b""])
    fresh = MARKER + b".new"
    with contextlib.suppress(FileNotFoundError):  # it may be a hard link to a file that is not ours
        os.unlink(fresh, dir_fd=private_fd)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(fresh, flags, 0o600, dir_fd=private_fd)
    try:
        write_at(fd, text, 0)
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(fresh, MARKER, src_dir_fd=private_fd, dst_dir_fd=private_fd)
    os.fsync(private_fd)


def _private(above: int, name: bytes) -> int:
    """The descriptor of a directory that only we can enter, made if it is missing."""
    try:
        os.mkdir(name, 0o700, dir_fd=above)
    except FileExistsError:
        pass
    fd = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
    try:
        if os.fstat(fd).st_uid != os.geteuid():
            os.fchown(fd, os.geteuid(), os.getegid())
        os.fchmod(fd, 0o700)
    except OSError:
        os.close(fd)
        raise
    return fd


def _lock(private_fd: int, shown: str) -> int:
    # Read-only, so that the file system can be remounted read-only while we run. NFS locks only what may be written.
    try:
        return _locked(private_fd, os.O_RDONLY, shown)
    except OSError as error:
        if error.errno != errno.EBADF:
            raise
        return _locked(private_fd, os.O_RDWR, shown)


def _locked(private_fd: int, access: int, shown: str) -> int:
    fd = os.open(_LOCK, access | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=private_fd)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise RootError(f"{shown}: in use by another syncd") from None
        raise
    return fd


def _is_same(status: os.stat_result, fd: int) -> bool:
    return os.path.samestat(status, os.fstat(fd))


def _outer_root(fd: int) -> str | None:
    """The replicated folder that a directory lies in, as far as one can look upwards."""
    above = os.dup(fd)
    try:
        while True:
            here = os.fstat(above)
            following = os.open(b"..", _DIRECTORY, dir_fd=above)
            os.close(above)
            above = following
            if _is_same(here, above):
                return None
            if is_replicated(above):
                return os.fsdecode(os.readlink(b"/proc/self/fd/%d" % above))
    except OSError:
        return None
    finally:
        os.close(above)


def is_replicated(fd: int) -> bool:
    """Whether a directory is the root of a replicated folder."""
    try:
        private = os.open(RESERVED_NAME, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
    except OSError:
        return False
    try:
        os.stat(MARKER, dir_fd=private, follow_symlinks=False)
    except OSError:
        return False
    finally:
        os.close(private)
    return True


def _is_below(fd: int, root_fd: int) -> bool:
    """Whether a directory is the root or lies in it, but not in its `.syncd`."""
    above = os.dup(fd)
    try:
        private = os.stat(RESERVED_NAME, dir_fd=root_fd, follow_symlinks=False)
        while True:
            here = os.fstat(above)
            if os.path.samestat(here, private):
                return False
            if _is_same(here, root_fd):
                return True
            following = os.open(b"..", _DIRECTORY, dir_fd=above)
            os.close(above)
            above = following
            if _is_same(here, above):
                return False
    finally:
        os.close(above)


def _same_file_system(home: int, private_fd: int) -> bool:
    """Whether a file can be renamed from `home` into the root: a bind mount of the same file system forbids it."""
    if os.fstat(home).st_dev != os.fstat(private_fd).st_dev:
        return False
    os.close(os.open(_PROBE, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=home))
    try:
        os.rename(_PROBE, _PROBE, src_dir_fd=home, dst_dir_fd=private_fd)
    except OSError:
        os.unlink(_PROBE, dir_fd=home)
        return False
    os.unlink(_PROBE, dir_fd=private_fd)
    return True


def _gather(private_fd: int, name: bytes, target_fd: int) -> None:
    """Move what an earlier start, or the node that the tree was copied from, left in `.syncd` to its place now."""
    try:
        fd = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=private_fd)
    except FileNotFoundError:
        return
    try:
        for item in names_in(fd):
            os.rename(item, item, src_dir_fd=fd, dst_dir_fd=target_fd)
    finally:
        os.close(fd)
