"""What must hold on this machine: folders that exist, storage that can be written, accounts that are known."""

import grp
import os
import pwd
import shlex
import socket
from typing import NamedTuple

from syncd.config.errors import OperatorError
from syncd.config.location import MAX_SOCKET_PATH, control_socket


class Place(NamedTuple):
    """A directory of the configuration; `real` is where it really is, `line` where the file names it."""

    path: str
    real: str
    line: int


def place(path: str, line: int) -> Place:
    """The place of a directory that may not exist yet."""
    return Place(path, os.path.realpath(path), line)


def check_folder(path: str) -> None:
    """A folder is a directory that can be listed and written. It is never made: an unmounted disk looks like that."""
    quoted = shlex.quote(path)
    if not os.path.exists(path):
        raise OperatorError(f"{path} does not exist; mount it, or create it with: mkdir -p {quoted}", os.EX_CONFIG)
    if not os.path.isdir(path):
        raise OperatorError(f"{path} is not a directory", os.EX_CONFIG)
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        raise OperatorError(f"{path} cannot be written by {_me()}: chown {_me()} {quoted}", os.EX_NOPERM)


def check_own_address(address: str) -> None:
    """An address of this machine: a socket can be bound to it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.bind((address, 0))
    except OSError:
        raise OperatorError(f"{address} is no address of this machine", os.EX_CONFIG) from None


def check_storage(path: str) -> None:
    """The storage is, or can be made, a directory that can be written."""
    if len(os.fsencode(control_socket(path))) > MAX_SOCKET_PATH:
        message = f"{path} is too long for the control socket in it; use a path of at most"
        raise OperatorError(f"{message} {MAX_SOCKET_PATH - len(control_socket(''))} bytes", os.EX_CONFIG)
    there = path
    while not os.path.lexists(there):
        there = os.path.dirname(there)
    if not os.path.isdir(there):
        raise OperatorError(f"{there} is not a directory", os.EX_CONFIG)
    if not os.access(there, os.W_OK | os.X_OK, effective_ids=True):
        what = "cannot be written" if there == path else f"cannot be created in {there}"
        make = f"install -d -m 700 -o {_me()} {shlex.quote(path)}"
        raise OperatorError(f"{path} {what} by {_me()}: sudo {make}", os.EX_NOPERM)


def check_audit(path: str, storage: str, folders: list[str]) -> None:
    """The audit log can be written, and is in no folder: each line would be a change that makes another line.

    The storage need not exist yet.
    """
    home = os.path.dirname(path)
    if os.path.isdir(path):
        raise OperatorError(f"{path} is a directory; name a file in it", os.EX_CONFIG)
    if home != storage and not os.path.isdir(home):
        message = f"{home} does not exist; create it with: mkdir -p {shlex.quote(home)}"
        raise OperatorError(message, os.EX_CONFIG)
    if home != storage and not os.access(home, os.W_OK | os.X_OK, effective_ids=True):
        raise OperatorError(f"{home} cannot be written by {_me()}: chown {_me()} {shlex.quote(home)}", os.EX_NOPERM)
    real = os.path.join(os.path.realpath(home), os.path.basename(path))
    for folder in folders:
        if _inside(real, os.path.realpath(folder)):
            raise OperatorError(f"{path} lies in the folder {folder}: it would replicate itself", os.EX_CONFIG)


def check_apart(new: Place, others: list[Place], what: str) -> None:
    """Neither of two places lies inside the other: their files would be replicated twice, or the node's own state."""
    for other in others:
        if new.real == other.real:
            raise OperatorError(f"{new.path} is already {what} of line {other.line}", os.EX_CONFIG)
        if _inside(new.real, other.real):
            raise OperatorError(f"{new.path} lies inside {other.path}, {what} of line {other.line}", os.EX_CONFIG)
        if _inside(other.real, new.real):
            raise OperatorError(f"{other.path}, {what} of line {other.line}, lies inside {new.path}", os.EX_CONFIG)


def user_id(text: str) -> int:
    """The number of a user given by name or number. Never falls back to root."""
    if text.isdecimal() and text.isascii():
        return _id(text)
    try:
        return pwd.getpwnam(text).pw_uid
    except KeyError:
        raise _unknown("user", text) from None


def group_id(text: str) -> int:
    """The number of a group given by name or number."""
    if text.isdecimal() and text.isascii():
        return _id(text)
    try:
        return grp.getgrnam(text).gr_gid
    except KeyError:
        raise _unknown("group", text) from None


def _unknown(what: str, text: str) -> OperatorError:
    return OperatorError(f"there is no {what} {text!r} on this machine; create it or give a number", os.EX_CONFIG)


def _id(text: str) -> int:
    number = int(text[:12])
    if number >= 2**32 - 1:  # -1 means "leave it" to chown
        raise OperatorError(f"{text} is not a number of a user or group", os.EX_CONFIG)
    return number


def _inside(path: str, around: str) -> bool:
    return path.startswith(around.rstrip("/") + "/")


def _me() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
