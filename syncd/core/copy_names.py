"""What a conflict copy is called: after the path at which it lost, when it was written (UTC), and which node wrote it.

All nodes come to the same name. The suffix stays the last part, so that whoever goes by it takes the copy for what it
is: a web server that does not know a suffix hands out the text of a program.
"""

from datetime import UTC, datetime
from typing import Final

NAME_BYTES: Final = 255  # of one component: the usual bound of file systems
_SUFFIX_BYTES: Final = 32  # of what counts as a suffix
_NODE_DIGITS: Final = 8
_SECOND: Final = 10**9  # ns
_CHARACTER_BYTES: Final = 4  # of UTF-8, at most


def copy_path(path: bytes, stamp: int, node: bytes, number: int = 1) -> bytes:
    """The path of a copy beside `path`. stamp: ns since 1970. number: 1, or more if others have the names before it.

    A name that is valid UTF-8 stays so if it has to be cut short.
    """
    above, slash, name = path.rpartition(b"/")
    stem, suffix = _parts(name)
    date = datetime.fromtimestamp(stamp // _SECOND, UTC).strftime("%Y%m%d-%H%M%S")
    again = f"-{number}" if number > 1 else ""
    mark = f".sync-conflict-{date}-{node.hex()[:_NODE_DIGITS]}{again}".encode()
    return above + slash + _cut(stem, NAME_BYTES - len(mark) - len(suffix)) + mark + suffix


def _parts(name: bytes) -> tuple[bytes, bytes]:
    """The name without its suffix, and the suffix with its dot. A name that only begins with dots has none."""
    dot = name.rfind(b".")
    if dot < 0 or len(name) - dot > _SUFFIX_BYTES or not name[:dot].strip(b"."):
        return name, b""
    return name[:dot], name[dot:]


def _cut(stem: bytes, most: int) -> bytes:
    """Its first bytes, `most` of them or, where that would be within a character, a few less."""
    if len(stem) <= most:
        return stem
    for end in range(most, most - _CHARACTER_BYTES, -1):
        if stem[end] & 0xC0 != 0x80:
            return stem[:end]
    return stem[:most]
