"""Which objects the contents under way wait for, and asking the scheduler for them."""

from collections.abc import Iterable
from typing import Final

from protocol import limits
from protocol.messages import Get
from syncd.core.scheduler import Peer, Request, Scheduler, Wanted
from syncd.node.underway import Content

ASKED_MOST: Final = 4_096  # blocks of one file that are asked for at a time: several windows of blocks of average size
ASKED_LEAST: Final = 2_048  # below which more are
_SEGMENT_LEAST: Final = 256  # bytes
_PER_SEGMENT_BYTE: Final = 1_024  # bytes of contents: blocks have 64 KiB on average, an entry of the list 40 bytes


class Wishes:
    """Of the contents of one fetcher."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._waiting: dict[bytes, set[bytes]] = {}  # object id -> contents that wait for it

    def __contains__(self, id_: object) -> bool:
        return id_ in self._waiting

    def want(self, content: Content) -> None:
        """Ask for what a content lacks: for the whole of a small one, for the next blocks of a large one."""
        if content.assembly is None:
            self._want(content, content.content, False, b"", content.size)
            return
        for id_ in content.assembly.missing_segments():
            self._want(content, id_, True, content.content, _segment_size(content.size))
        self.more(content)

    def more(self, content: Content) -> None:
        """Blocks came: ask for those behind them. All at once would take seconds, and memory, for a very large file."""
        if content.assembly is None or len(content.asked) >= ASKED_LEAST:
            return
        for block in content.assembly.next_blocks(ASKED_MOST - len(content.asked)):
            assert block.id is not None
            self._want(content, block.id, False, content.content, block.length)

    def hasten(self, content: Content, rank: int, order: int) -> None:
        """Something more urgent waits for a content that is under way."""
        if (rank, order) < (content.rank, content.order):
            content.rank, content.order = rank, order
            self._scheduler.hasten(content.asked, rank, order)

    def came(self, id_: bytes) -> set[bytes]:
        """The contents that waited for an object, which do not any more."""
        return self._waiting.pop(id_, set())

    def drop(self, content: Content) -> None:
        """Nobody needs a content any more: ask for nothing that only it waited for."""
        for id_ in content.asked:
            waiting = self._waiting.get(id_)
            if waiting is not None:
                waiting.discard(content.content)
                if not waiting:
                    del self._waiting[id_]
                    self._scheduler.drop((id_,))

    def is_stuck(self, content: Content) -> bool:
        """Whether no peer at hand has anything of what a content lacks."""
        return bool(content.asked) and all(map(self._scheduler.is_stuck, content.asked))

    def _want(self, content: Content, id_: bytes, segment: bool, group: bytes, length: int) -> None:
        content.asked[id_] = None
        self._waiting.setdefault(id_, set()).add(content.content)
        self._scheduler.want(Wanted(id_, segment, group, length, content.rank, content.order))


def as_messages(requests: Iterable[Request]) -> dict[Peer, list[Get]]:
    """Requests as messages to each peer, in order."""
    found: dict[Peer, list[Get]] = {}
    for number, peer, segment, group, ids in requests:
        found.setdefault(peer, []).append(Get(number, int(segment), group, ids))
    return found


def _segment_size(size: int) -> int:
    """About how many bytes a segment has that lists blocks of a content of `size` bytes: what is kept in flight."""
    return min(limits.SMALL_FILE, _SEGMENT_LEAST + size // _PER_SEGMENT_BYTE)
