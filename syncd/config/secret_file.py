"""Reading a secret from a file that nobody else can read or replace."""

import os
import shlex
import stat
from collections.abc import Mapping

from syncd.config.errors import OperatorError

MAX_SECRET_FILE = 4096  # bytes
CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"  # systemd: a private mount of the unit
PRIVATE_MOUNT = "/run/secrets"  # Docker and podman: a private mount of the container


def read_secret_file(path: str, environment: Mapping[str, str]) -> str:
    """The text of a secret file without white space around it.

    Refused, with the line that mends it: a file that others can read or that somebody else owns, and a symbolic link
    that somebody else made. Private mounts are exempt, where files are often 0444. Raises OperatorError.
    """
    quoted = shlex.quote(path)
    try:
        link = os.lstat(path)
        with open(path, "rb", opener=_open_at_once) as stream:
            found = os.fstat(stream.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise OperatorError(f"{path} is not a regular file", os.EX_CONFIG)
            if not _in_private_mount(path, environment):
                _check_owner(link, found, quoted)
                _check_mode(stat.S_IMODE(found.st_mode), quoted)
            data = stream.read(MAX_SECRET_FILE + 1)
    except FileNotFoundError:
        message = f"{path} does not exist; `syncd generate-secret --out {quoted}` makes one"
        raise OperatorError(message, os.EX_CONFIG) from None
    except PermissionError:
        message = f"{path} cannot be read by this user: chown {_user(os.geteuid())} {quoted}"
        raise OperatorError(message, os.EX_NOPERM) from None
    except OSError as error:
        raise OperatorError(f"{path} cannot be read: {error.strerror}", os.EX_CONFIG) from None
    if len(data) > MAX_SECRET_FILE:
        raise OperatorError(f"{path} is larger than {MAX_SECRET_FILE} bytes; this is not a secret", os.EX_CONFIG)
    try:
        return data.decode().strip()
    except UnicodeDecodeError:
        raise OperatorError(f"{path} is not text; this is not a secret", os.EX_CONFIG) from None


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a FIFO by that name must not make the node hang


def _in_private_mount(path: str, environment: Mapping[str, str]) -> bool:
    real = os.path.realpath(path)
    places = [PRIVATE_MOUNT, environment.get(CREDENTIALS_VARIABLE, "")]
    return any(os.path.isabs(place) and real.startswith(os.path.realpath(place) + "/") for place in places)


def _check_owner(link: os.stat_result, found: os.stat_result, quoted: str) -> None:
    trusted = {0, os.geteuid()}
    if stat.S_ISLNK(link.st_mode) and link.st_uid not in trusted:
        message = f"{quoted} is a symbolic link of another user ({_user(link.st_uid)}); name the file itself"
        raise OperatorError(message, os.EX_NOPERM)
    if found.st_uid not in trusted:
        message = f"{quoted} belongs to another user ({_user(found.st_uid)}): chown {_user(os.geteuid())} {quoted}"
        raise OperatorError(message, os.EX_NOPERM)


def _check_mode(mode: int, quoted: str) -> None:
    if mode & 0o026:
        verb = "read" if mode & 0o004 else "write"
        raise OperatorError(f"others can {verb} {quoted} (mode {mode:04o}): chmod 600 {quoted}", os.EX_NOPERM)


def _user(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
