"""Contents that nobody at hand has: told as problems of the paths that wait for them, once that has lasted."""

from collections.abc import Sequence
from typing import Final

from syncd.core.events import Problem
from syncd.node.underway import Content

PATIENCE: Final = 10.0  # seconds in which somebody may get what nobody has, before it is told
TOLD: Final = 1_000  # paths that are told at a time
# Seconds until everybody is asked again. A peer that gets what it lacked says so; one that had it all the time, and
# whose disk failed when it was asked, does not.
AGAIN: Final = 30.0
NOBODY: Final = "no connected peer has its bytes"


class Missing:
    """See the module."""

    def __init__(self) -> None:
        self._since: dict[bytes, float] = {}
        self._asked = 0.0

    def asks_again(self, stuck: Sequence[Content], now: float) -> bool:
        """Whether it is time to. stuck: what no peer at hand has. now: seconds."""
        if not stuck:
            self._asked = now
        due = now - self._asked >= AGAIN
        if due:
            self._asked = now
        return due

    def problems(self, stuck: Sequence[Content], now: float, *, asked: bool) -> list[Problem]:
        """stuck: what no peer at hand has. now: seconds. asked: there are peers; without any this is no news."""
        self._since = {content.content: self._since.get(content.content, now) for content in stuck}
        lasting = [content for content in stuck if asked and now - self._since[content.content] >= PATIENCE]
        return [Problem(action.path, "fetch", NOBODY) for content in lasting for action in content.actions][:TOLD]
