"""The contents on their way here, and what waits for each."""

from dataclasses import dataclass, field
from typing import Final

from protocol import limits
from syncd.core.events import Action
from syncd.node.assembly import Assembly
from syncd.node.losers import Loser

SMALL_BYTES: Final = 64 << 20  # bytes of small contents in memory, on their way to the disk
LARGE: Final = 256  # large files under way, above which no others are looked for
LIST_BYTES: Final = 128 << 20  # bytes of block lists in memory: those of 190 GiB in blocks of average size


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


class Underway(dict[bytes, Content]):
    """Contents by their ids. small_bytes: of the small ones. list_bytes: of the block lists of the large ones."""

    def __init__(self) -> None:
        super().__init__()
        self.small_bytes = self.list_bytes = 0

    def begin(self, content: Content) -> None:
        """One more."""
        self[content.content] = content
        self.small_bytes += content.size if content.size <= limits.SMALL_FILE else 0

    def end(self, content: Content) -> None:
        """It came, or is not wanted any more."""
        del self[content.content]
        self.small_bytes -= content.size if content.size <= limits.SMALL_FILE else 0
        self.list_bytes -= content.list_bytes

    def lengthen(self, content: Content, size: int) -> bool:
        """So many bytes of a block list came; whether there is room for them."""
        content.list_bytes += size
        self.list_bytes += size
        return self.list_bytes <= LIST_BYTES

    @property
    def has_room(self) -> bool:
        """Whether others may be begun."""
        large = sum(1 for content in self.values() if content.assembly is not None and content.actions)
        return self.small_bytes < SMALL_BYTES and large < LARGE
