"""Who this node is: a Noise static key in the storage directory, and a lock so that one daemon owns the storage.

A storage that is copied must not make two nodes of one name. So beside the key lies where it was written: its inode
number and the time when the inode changed last. A copy has another inode, made later, whatever times it was given.
"""

import fcntl
import hashlib
import os
from typing import Final, NamedTuple

import structlog
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

NODE_ID_SIZE: Final = 16
KEY_SIZE: Final = 32
_KEY_FILE: Final = "node.key"
_PLACE_FILE: Final = "node.place"
_PLACE_SIZE: Final = 64  # bytes: more than two numbers take
_LOCK_FILE: Final = "lock"

_log = structlog.get_logger()


class StorageError(Exception):
    """The storage directory cannot be used; the message is one line for the operator."""


class NodeIdentity(NamedTuple):
    """static_private, static_public: Noise static key pair, 32 bytes each. node_id: 16 bytes derived from it."""

    static_private: bytes
    static_public: bytes
    node_id: bytes

    def __repr__(self) -> str:
        return f"<NodeIdentity {self.node_id.hex()}>"


def node_id_of(static_public: bytes) -> bytes:
    """The node id that belongs to a Noise static key."""
    return hashlib.sha256(b"syncd/1 node-id\0" + static_public).digest()[:NODE_ID_SIZE]


def open_storage(path: str) -> int:
    """Make the storage directory if need be and lock it; the descriptor that holds the lock. Raises StorageError."""
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        lock = os.open(os.path.join(path, _LOCK_FILE), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        where = path if error.filename in (None, path) else f"{path}: {error.filename}"
        raise StorageError(f"storage_path {where}: {error.strerror}; make it writable for this user") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise StorageError(
            f"storage_path {path} is in use by another syncd; stop it, or give this one a storage_path of its own"
        ) from None
    return lock


def load_identity(storage: str, fresh_key: bytes) -> NodeIdentity:
    """The identity in the storage directory.

    It is made from `fresh_key` (32 random bytes) the first time, and when the storage turns out to be a copy.
    """
    name = os.path.join(storage, _KEY_FILE)
    try:
        private = _read_key(name)
        if private is not None and len(private) == KEY_SIZE and _was_copied(storage, name):
            _log.warning("the storage was copied: this node takes a new identity", storage=storage)
            private = None
        if private is None:
            private = _write_key(storage, name, fresh_key)
    except OSError as error:
        raise StorageError(f"{name}: {error.strerror}") from None
    if len(private) != KEY_SIZE:
        raise StorageError(f"{name} is damaged; remove it, and this node gets a new identity")
    public = X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
    return NodeIdentity(private, public, node_id_of(public))


def renew_identity(storage: str, fresh_key: bytes) -> None:
    """Be somebody else from the next start on. fresh_key: 32 random bytes. Raises OSError."""
    _write_key(storage, os.path.join(storage, _KEY_FILE), fresh_key)


def _read_key(name: str) -> bytes | None:
    try:
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        return os.read(fd, KEY_SIZE + 1)
    finally:
        os.close(fd)


def _was_copied(storage: str, name: str) -> bool:
    """Whether the key lies in another inode, changed at another time, than the one it was written to.

    Both: a chmod changes the time, and some network file systems number their inodes anew at every mount.
    """
    place = os.path.join(storage, _PLACE_FILE)
    status = os.stat(name, follow_symlinks=False)
    try:
        with open(place, "rb") as file:
            inode, changed = map(int, file.read(_PLACE_SIZE).split())
    except (FileNotFoundError, ValueError):
        _write_place(storage, name)
        return False
    return inode != status.st_ino and changed != status.st_ctime_ns


def _write_key(storage: str, name: str, key: bytes) -> bytes:
    _write(name, key)
    _write_place(storage, name)
    return key


def _write_place(storage: str, name: str) -> None:
    status = os.stat(name, follow_symlinks=False)
    _write(os.path.join(storage, _PLACE_FILE), b"%d %d\n" % (status.st_ino, status.st_ctime_ns))


def _write(name: str, data: bytes) -> None:
    temporary = name + ".new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.write(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(temporary, name)
