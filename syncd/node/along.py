"""Reads the block list of a file beside the requests for its blocks, which mostly come in the order of the list.

To look each block up in the index instead takes several times as long as reading and hashing it.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

from protocol.content import Block
from protocol.errors import ProtocolError

WINDOW: Final = 64  # blocks of the list that are looked at beyond those that were asked for


class Run(NamedTuple):
    """Blocks that follow each other in a file. offset: bytes, of the first. lengths: bytes, one for each."""

    offset: int
    lengths: list[int]


class Along:
    """For one thread. walk(content): the blocks of a content in order, from what the index has of it."""

    def __init__(self, walk: Callable[[bytes], Iterator[Block]]) -> None:
        self._walk = walk
        self._content = b""
        self._ahead: Iterator[Block] = iter(())
        self._window: dict[bytes, tuple[int, int]] = {}  # in the order of the list

    def run(self, content: bytes, ids: Sequence[bytes], start: int, most: int) -> Run:
        """What lies together of a content: blocks from `ids[start]` on, with up to `most` bytes; one at least.

        None at all if that block is not among the next ones of the list.
        """
        if content != self._content:
            self._content, self._ahead, self._window = content, self._walk(content), {}
            self._fill()
        lengths: list[int] = []
        first = end = 0
        for id_ in islice(ids, start, None):
            offset, length = self._window.get(id_, (-1, 0))
            if offset < 0 or (lengths and (offset != end or end + length - first > most)):
                break
            first = offset if not lengths else first
            end = offset + length
            lengths.append(length)
        if lengths:
            self._pass(ids[start + len(lengths) - 1])
        return Run(first, lengths)

    def seek(self, content: bytes, offset: int) -> None:
        """A block of the content that was not among the next ones lies at `offset`: go on towards it."""
        last = next(reversed(self._window.values()), None)
        if content == self._content and last is not None and offset > last[0]:
            self._window.clear()
            self._fill()

    def _pass(self, block: bytes) -> None:
        for passed in list(self._window):
            del self._window[passed]
            if passed == block:
                break
        if len(self._window) < WINDOW // 2:
            self._fill()

    def _fill(self) -> None:
        try:
            for block in islice(self._ahead, WINDOW - len(self._window)):
                if block.id is not None:
                    self._window[block.id] = (block.offset, block.length)
        except ProtocolError:  # a segment is missing, or its author made a list that does not fit
            self._ahead = iter(())
