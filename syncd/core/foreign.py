"""What takes no part at a peer by its own ignore rules: it has the records of that, and never the files.

Each line of the rules is told as a feature in HELLO. Rules that do not fit there are told as ones that ignore all.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from protocol.limits import MAX_FEATURES, MAX_NAME_FIELD
from syncd.core.patterns import PatternError, Patterns

_FEATURE: Final = "ignore="
_ALL: Final = (f"{_FEATURE}*",)

Ignores = Callable[[bytes], bool]


def features(lines: Sequence[str]) -> tuple[str, ...]:
    """What HELLO says of these ignore rules."""
    told = tuple(_FEATURE + line for line in lines)
    fit = len(told) <= MAX_FEATURES and all(len(each.encode()) <= MAX_NAME_FIELD for each in told)
    return told if fit else _ALL


@lru_cache(maxsize=64)
def ignored_there(told: tuple[str, ...], own: tuple[str, ...]) -> Ignores | None:
    """Which paths take no part at a peer. None if that is nothing, or what takes no part here either.

    told: the peer's features. own: ours.
    """
    rules = tuple(each for each in told if each.startswith(_FEATURE))
    if not rules or rules == own:
        return None
    try:
        patterns = Patterns(rule.removeprefix(_FEATURE) for rule in rules)
    except PatternError:
        return lambda _: True
    # a path that may have been a directory counts as both
    return lambda path: patterns.match(path, False) or patterns.match(path, True)
