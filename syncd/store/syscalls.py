"""System calls that Python does not offer, under their own names: every failure is an OSError.

A call that the C library or the kernel lacks fails with ENOSYS, so callers have one way to notice.
"""

import ctypes
import errno
import fcntl
import os
import sys
from collections.abc import Callable
from typing import Any, Final

RENAME_NOREPLACE: Final = 1
RENAME_EXCHANGE: Final = 2
UNSUPPORTED: Final = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP})  # what a missing feature answers

_FICLONE: Final = 0x40049409
_FALLOC_FL_KEEP_SIZE: Final = 1
_AT_SYMLINK_NOFOLLOW: Final = 0x100
_STATX_MNT_ID: Final = 0x1000
_STATX_SIZE: Final = 256  # bytes of struct statx
_STATX_MNT_ID_OFFSET: Final = 144
_STATFS_SIZE: Final = 256  # bytes: more than struct statfs has on any machine

_libc = ctypes.CDLL(None, use_errno=True)


def _bind(name: str, *argument_types: Any) -> Callable[..., int]:
    try:
        function = getattr(_libc, name)
    except AttributeError:
        return _missing
    function.argtypes = argument_types
    function.restype = ctypes.c_int
    return function  # type: ignore[no-any-return]


def _missing(*_: object) -> int:
    ctypes.set_errno(errno.ENOSYS)
    return -1


_renameat2 = _bind("renameat2", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_syncfs = _bind("syncfs", ctypes.c_int)
_fallocate = _bind("fallocate", ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_fstatfs = _bind("fstatfs", ctypes.c_int, ctypes.c_char_p)
_statx = _bind("statx", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p)


def _failure() -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code))


def rename(source_fd: int, source: bytes, target_fd: int, target: bytes, flags: int) -> None:
    """renameat2(2). flags: RENAME_NOREPLACE or RENAME_EXCHANGE. Raises OSError, ValueError for a name with a NUL."""
    if b"\0" in source or b"\0" in target:
        raise ValueError("a name with a NUL")  # which C would take for its end
    if _renameat2(source_fd, source, target_fd, target, flags):
        raise _failure()


def sync_file_system(fd: int) -> None:
    """syncfs(2): everything written to the file system of `fd` is durable on return. Raises OSError."""
    if _syncfs(fd):
        raise _failure()


def reserve(fd: int, offset: int, length: int) -> None:
    """Ask for room for a run of bytes, so that a full disk shows now. Raises OSError if there is none (ENOSPC).

    The run reads as zeros. Where the file system cannot reserve nothing happens.
    """
    if _fallocate(fd, _FALLOC_FL_KEEP_SIZE, offset, length):
        error = _failure()
        if error.errno not in UNSUPPORTED:
            raise error


def clone(source_fd: int, target_fd: int) -> bool:
    """Make the target share all of the source's bytes (FICLONE). False where the file system cannot."""
    try:
        fcntl.ioctl(target_fd, _FICLONE, source_fd)
    except OSError:
        return False
    return True


def mount_id(directory_fd: int, name: bytes) -> int | None:
    """The id of the mount on which `name` (not followed) lies; None where the kernel does not tell."""
    buffer = ctypes.create_string_buffer(_STATX_SIZE)
    if _statx(directory_fd, name, _AT_SYMLINK_NOFOLLOW, _STATX_MNT_ID, buffer):
        return None
    if not int.from_bytes(buffer.raw[:4], sys.byteorder) & _STATX_MNT_ID:
        return None
    return int.from_bytes(buffer.raw[_STATX_MNT_ID_OFFSET : _STATX_MNT_ID_OFFSET + 8], sys.byteorder)


def file_system_type(fd: int) -> int:
    """The magic number of the file system that a file lies on, as in statfs(2); 0 where the kernel does not tell."""
    buffer = ctypes.create_string_buffer(_STATFS_SIZE)
    if _fstatfs(fd, buffer):
        return 0
    return int.from_bytes(buffer.raw[: ctypes.sizeof(ctypes.c_long)], sys.byteorder) & 0xFFFFFFFF


def set_mode(fd: int, mode: int) -> None:
    """Set the mode of what `fd` refers to, even if it was opened with O_PATH. Raises OSError."""
    try:
        os.fchmod(fd, mode)
    except OSError as error:
        if error.errno != errno.EBADF:
            raise
        os.chmod(_link_to(fd), mode)


def set_mtime(fd: int, mtime: int, atime: int) -> None:
    """Set the times (ns) of what `fd` refers to, even if it was opened with O_PATH. Raises OSError."""
    try:
        os.utime(fd, ns=(atime, mtime))
    except OSError as error:
        if error.errno != errno.EBADF:
            raise
        os.utime(_link_to(fd), ns=(atime, mtime))


def _link_to(fd: int) -> bytes:
    """A name that leads to exactly the inode behind a descriptor, which no rename in the tree can redirect."""
    return b"/proc/self/fd/%d" % fd
