"""What takes no part at a peer by its own ignore rules, or for its size: it has the records, and never the files.

Each line of the rules, and the size, is told as a feature in HELLO. Rules that do not fit there are told as ones that
ignore all.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from protocol.limits import MAX_FEATURES, MAX_NAME_FIELD
from syncd.core.patterns import PatternError, Patterns

_FEATURE: Final = "ignore="
_LARGEST: Final = "max_file_size="
_ALL: Final = (f"{_FEATURE}*",)

Ignores = Callable[[bytes, int], bool]  # (path, bytes of the file)


def features(lines: Sequence[str], largest: int | None = None) -> tuple[str, ...]:
    """What HELLO says of these ignore rules, and of the size of the largest file that takes part (bytes)."""
    told = tuple(_FEATURE + line for line in lines)
    if largest is not None:
        told += (f"{_LARGEST}{largest}",)
    fit = len(told) <= MAX_FEATURES and all(len(each.encode()) <= MAX_NAME_FIELD for each in told)
    return told if fit else _ALL


@lru_cache(maxsize=64)
def ignored_there(told: tuple[str, ...], own: tuple[str, ...]) -> Ignores | None:
    """Which files take no part at a peer. None if that is nothing, or what takes no part here either.

    told: the peer's features. own: ours.
    """
    rules = tuple(each for each in told if each.startswith((_FEATURE, _LARGEST)))
    if not rules or rules == own:
        return None
    sizes = [rule.removeprefix(_LARGEST) for rule in rules if rule.startswith(_LARGEST)]
    try:
        largest = min(map(int, sizes), default=None)
        patterns = Patterns(rule.removeprefix(_FEATURE) for rule in rules if rule.startswith(_FEATURE))
    except (PatternError, ValueError):
        return lambda _path, _size: True

    def ignores(path: bytes, size: int) -> bool:
        # a path that may have been a directory counts as both
        too_large = largest is not None and size > largest
        return too_large or patterns.match(path, False) or patterns.match(path, True)

    return ignores
