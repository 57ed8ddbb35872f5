"""Creating files that must not replace others."""

import os
import stat

from syncd.config.errors import OperatorError


def create_private(path: str, text: str) -> None:
    """Create a file that only its owner can read, on the disk when this returns. Raises OperatorError.

    In a directory that hands its group on and that only root writes to, which is how /etc/syncd is installed, a file
    of root is for that group to read as well: for the user of the service.
    """
    create(path, text, 0o600)
    place = os.stat(os.path.dirname(path) or ".")
    handed_on = place.st_mode & stat.S_ISGID and stat.S_IMODE(place.st_mode) & 0o077 == 0o050
    if os.geteuid() == 0 and place.st_uid == 0 and handed_on:
        os.chmod(path, 0o640)


def create(path: str, text: str, mode: int) -> None:
    """Create a file; one that is there stays as it is. A file that cannot be written whole is removed again."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    except OSError as error:
        raise cannot_create(path, error) from None
    try:
        with open(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(descriptor)
    except OSError as error:
        os.unlink(path)
        raise cannot_create(path, error) from None


def cannot_create(path: str, error: OSError) -> OperatorError:
    """Why `path` could not be created, and what to do."""
    if isinstance(error, FileExistsError):
        return OperatorError(f"{path} exists and is not overwritten; move it away or name another", os.EX_CANTCREAT)
    if isinstance(error, PermissionError):
        return OperatorError(
            f"{path} cannot be created: permission denied; name another place or use sudo", os.EX_NOPERM
        )
    return OperatorError(f"{path} cannot be created: {error.strerror}", os.EX_CANTCREAT)
