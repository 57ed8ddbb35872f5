"""Which symbolic links take part: a decision about their text alone. No link is ever followed."""

from collections.abc import Callable
from typing import Final

from protocol.limits import RESERVED_NAME

ABSOLUTE: Final = "skipped: a symbolic link to an absolute path, which symlinks: inside refuses"
ESCAPING: Final = "skipped: a symbolic link that leads out of the folder, which symlinks: inside refuses"
ANY: Final = "skipped: a symbolic link, which symlinks: none refuses"

Refusal = Callable[[bytes, bytes], str | None]  # (path, target): why the link takes no part, or None


def refuses_none(_path: bytes, _target: bytes) -> str | None:
    """The rule "all"."""
    return None


def refuses_all(_path: bytes, _target: bytes) -> str | None:
    """The rule "none"."""
    return ANY


def refuses_outward(path: bytes, target: bytes) -> str | None:
    """The rule "inside": as the text says, from the link's own directory, whatever other links lie on the way."""
    if target.startswith(b"/"):
        return ABSOLUTE
    place = path.split(b"/")[:-1]
    for part in target.split(b"/"):
        if part == b"..":
            if not place:
                return ESCAPING
            place.pop()
        elif part not in (b"", b"."):
            place.append(part)
    return ESCAPING if place[:1] == [RESERVED_NAME] else None


RULES: Final[dict[str, Refusal]] = {"all": refuses_none, "inside": refuses_outward, "none": refuses_all}
