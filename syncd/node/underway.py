"""A content on its way here, and what waits for it."""

from dataclasses import dataclass, field

from syncd.core.events import Action
from syncd.node.assembly import Assembly
from syncd.node.losers import Loser


@dataclass(slots=True)
class Content:
    """A content under way, and the actions that wait for it."""

    content: bytes
    size: int
    rank: int
    order: int
    actions: list[Action] = field(default_factory=list)
    assembly: Assembly | None = None
    asked: dict[bytes, None] = field(default_factory=dict)  # objects, in order
    list_bytes: int = 0  # of its segments that came
    loser: Loser | None = None  # what is wanted into the archive, if nothing in the tree waits for it
