"""Renames that destroy nothing: to a free name, and away from a name with a look at what really came."""

import errno
import os
from typing import Final

from syncd.store import syscalls

_OPEN_TO_US: Final = 0o700
_NO_HARD_LINK: Final = syscalls.UNSUPPORTED | {errno.EPERM, errno.EMLINK}


def lstat(fd: int, name: bytes) -> os.stat_result:
    """What a name in a directory stands for, itself. Raises FileNotFoundError, other OSError."""
    return os.stat(name, dir_fd=fd, follow_symlinks=False)


def exchange(fd: int, name: bytes, other_fd: int, other: bytes) -> None:
    """Exchange two entries in one step. Raises FileNotFoundError, OSError in syscalls.UNSUPPORTED, other OSError."""
    syscalls.rename(fd, name, other_fd, other, syscalls.RENAME_EXCHANGE)


def move_to_free_name(source_fd: int, source: bytes, target_fd: int, target: bytes) -> None:
    """Rename where nothing has the target's name. Raises FileExistsError if something has, other OSError.

    Where the kernel cannot do that in one step: a second name and the removal of the first; where there are no hard
    links, or for a directory: a look, and a rename. Something that appears between those two is overwritten.
    """
    try:
        syscalls.rename(source_fd, source, target_fd, target, syscalls.RENAME_NOREPLACE)
        return
    except OSError as error:
        if error.errno not in syscalls.UNSUPPORTED:
            raise
    try:
        os.link(source, target, src_dir_fd=source_fd, dst_dir_fd=target_fd, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_HARD_LINK:
            raise
    else:
        os.unlink(source, dir_fd=source_fd)
        return
    try:
        lstat(target_fd, target)
    except FileNotFoundError:
        os.rename(source, target, src_dir_fd=source_fd, dst_dir_fd=target_fd)
    else:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))


def unlock(fd: int, name: bytes) -> None:
    """Let ourselves into a directory, whatever its mode. A link that takes its place is not followed. Raises OSError.

    One of another user stays as it is.
    """
    directory = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
    try:
        syscalls.set_mode(directory, _OPEN_TO_US)
    except PermissionError:
        pass
    finally:
        os.close(directory)
