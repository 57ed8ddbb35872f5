"""Paths and keys: how names below the folder are written, ordered and shown.

A path is bytes, relative, with components joined by b"/". Its key is the path with b"/" as b"\\x00": so a directory
sorts before everything below it, and its whole subtree is one contiguous run of keys.
"""

from protocol.errors import BadPath
from protocol.limits import MAX_NAME, MAX_PATH, RESERVED_NAME


def check_path(path: bytes) -> None:
    """Raise BadPath unless a record may carry `path`. Nothing that passes can leave the folder or reach `.syncd`."""
    if not path:
        raise BadPath("empty path")
    if len(path) > MAX_PATH:
        raise BadPath(f"path of {len(path)} bytes")
    if b"\0" in path:
        raise BadPath("path with a NUL")
    parts = path.split(b"/")
    for part in parts:
        if not part:
            raise BadPath(f"path with an empty component: {display(path)}")
        if len(part) > MAX_NAME:
            raise BadPath(f"path component of {len(part)} bytes")
        if part == b"." or part == b"..":
            raise BadPath(f"path with a relative component: {display(path)}")
    if parts[0] == RESERVED_NAME:
        raise BadPath(f"reserved path: {display(path)}")


def to_key(path: bytes) -> bytes:
    """The key of a path."""
    return path.replace(b"/", b"\0")


def to_path(key: bytes) -> bytes:
    """The path of a key."""
    return key.replace(b"\0", b"/")


def parent(path: bytes) -> bytes:
    """The path of the directory that holds `path`; b"" at the top level."""
    return path.rpartition(b"/")[0]


def name(path: bytes) -> bytes:
    """The last component."""
    return path.rpartition(b"/")[2]


def ancestors(path: bytes) -> list[bytes]:
    """The directories above `path`, shallow first, without itself and without the top level."""
    found = []
    slash = path.find(b"/")
    while slash >= 0:
        found.append(path[:slash])
        slash = path.find(b"/", slash + 1)
    return found


def keys_above(key: bytes) -> list[bytes]:
    """The keys of the directories above the path of `key`, as `ancestors`."""
    found = []
    end = key.find(b"\0")
    while end >= 0:
        found.append(key[:end])
        end = key.find(b"\0", end + 1)
    return found


def subtree(key: bytes) -> tuple[bytes, bytes]:
    """The half-open range of the keys of all strict descendants of `key`."""
    return key + b"\0", key + b"\x01"


def display(path: bytes) -> str:
    """`path` for human eyes: one line, nothing that moves a cursor, and no two paths look the same.

    A byte that is not UTF-8 is shown as \\xNN (80 and above), an unprintable character as \\xNN (below 80), \\uNNNN or
    \\UNNNNNNNN, a backslash doubled.
    """
    text = path.decode("utf-8", "surrogateescape")
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
        return f"\\x{code:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
