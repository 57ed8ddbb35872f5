"""Landlock: this process reaches nothing of the file system but its folders, its storage, and what it runs from.

The kernel judges files by the directory that they were opened through, so descriptors that are open already keep
working. What Landlock does not know is not restricted: modes, owners and times of files that a path leads to.
"""

import ctypes
import errno
import os
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Final

from syncd.config.settings import Settings
from syncd.core.networks import is_address

OLDEST: Final = 2  # version of Landlock; the first one forbids every rename between directories
_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_VERSION_FLAG: Final = 1
_PATH_BENEATH: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_BLOCK = 1 << 6, 1 << 11
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # version: number of rights that it knows; later ones as the last
_OF_FILES: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_READ: Final = _READ_FILE | _READ_DIR
_NEVER: Final = _EXECUTE | _MAKE_CHAR | _MAKE_BLOCK  # not in folders and storage either

_SYSTEM: Final = (
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/lib",
    "/lib64",
    "/proc/self",
    "/dev/null",
    "/dev/urandom",
)
_NAMES: Final = ("/etc", "/run/systemd/resolve", "/run/nscd", "/var/run/nscd")  # for the resolver of the C library
_AUTHORITIES: Final = ("/usr/share/ca-certificates", "/usr/local/share/ca-certificates")  # what links in /etc lead to


class SandboxError(Exception):
    """The process cannot be restricted; one line that says why and what to do."""


class _RulesetAttributes(ctypes.Structure):
    _fields_ = (("handled_access_fs", ctypes.c_uint64),)


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def restrict(settings: Settings) -> None:
    """Restrict this thread, and all that it starts from now on, for ever. Raises SandboxError."""
    import_module("aiohttp.web")  # on import it reads what lies in /etc
    import_module("ifaddr")  # on import it looks for the C library, with the help of programs and temporary files
    handled = (1 << _RIGHTS.get(version(), _RIGHTS[max(_RIGHTS)])) - 1
    attributes = _RulesetAttributes(handled)
    ruleset = _call(_CREATE_RULESET, ctypes.byref(attributes), ctypes.sizeof(attributes), 0)
    os.set_inheritable(ruleset, False)
    try:
        audit = [os.path.dirname(settings.audit.file)] if settings.audit is not None else []  # for rotating it
        for path in (settings.storage_path, *audit, *(folder.dir for folder in settings.folders)):
            _allow(ruleset, path, handled & ~_NEVER)
        for path in readable(settings):
            if os.path.exists(path):
                _allow(ruleset, path, _READ)
        if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
            raise SandboxError(_why(ctypes.get_errno()))
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def version() -> int:
    """The version of Landlock that the kernel has. Raises SandboxError for none, or one that is too old."""
    found = _call(_CREATE_RULESET, None, 0, _VERSION_FLAG)
    if found < OLDEST:
        raise SandboxError('"sandbox": "landlock" needs Linux 5.19 or newer; remove it, or upgrade the kernel')
    return found


def readable(settings: Settings) -> Iterable[str]:
    """What the process reads while it runs: modules that are loaded late, and what names are looked up in.

    The configuration's own directory is for reading it anew.
    """
    program = (sys.prefix, sys.base_prefix, *sys.path, os.path.dirname(os.path.dirname(os.path.dirname(__file__))))
    places = [*_SYSTEM, *filter(None, program), os.path.dirname(settings.file)]
    hosts = [known.host for folder in settings.folders for known in folder.known_hosts]
    if settings.webhook is not None or not all(map(is_address, hosts)):
        places += _NAMES
    if settings.webhook is not None:
        places += _AUTHORITIES
    return [place for place in dict.fromkeys(places) if place != "/"]


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        raise SandboxError(f"{path}: {error.strerror}") from None
    try:
        if not os.path.isdir(path):
            rights &= _OF_FILES
        rule = _PathBeneath(rights, fd)
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(fd)


def _call(number: int, *arguments: object) -> int:
    result = int(ctypes.CDLL(None, use_errno=True).syscall(number, *arguments))
    if result < 0:
        raise SandboxError(_why(ctypes.get_errno()))
    return result


def _why(code: int) -> str:
    if code in (errno.ENOSYS, errno.EOPNOTSUPP):
        state = "is not in this kernel" if code == errno.ENOSYS else "is switched off (see lsm= of the kernel)"
        return f'"sandbox": "landlock": Landlock {state}; remove the key, or use another kernel'
    return f'"sandbox": "landlock": {os.strerror(code)}'
