"""A large content on its way: segments first, then a staged file whose missing blocks are copied or fetched."""

from typing import Final

from protocol.content import BadContent, Block, SegmentReader, assemble
from protocol.errors import RemoteError
from syncd.node.findings import StoredContent
from syncd.node.gauge import Gauge
from syncd.node.holdings import Holdings
from syncd.store.staging import Staged, Staging, content_bytes

SEGMENTS_AT_ONCE: Final = 64  # segments of one file that are asked for together


class Assembly:
    """key: the folder's block key. content: id of the content. size: bytes, as its record says."""

    def __init__(self, key: bytes, content: bytes, size: int) -> None:
        self.content = content
        self.size = size
        self.staged: Staged | None = None
        self._reader = SegmentReader(key, content, size)
        self._segments: dict[bytes, bytes] = {}
        self._blocks: list[Block] = []
        self._positions: dict[bytes, list[int]] = {}
        self._next = 0  # number of the first block that `next_blocks` has not come to

    # ---- segments

    def missing_segments(self) -> list[bytes]:
        """Ids of the segments to fetch now."""
        return [] if self.staged is not None else self._reader.wanted(SEGMENTS_AT_ONCE)

    def add_segment(self, id_: bytes, raw: bytes) -> None:
        """A segment came. Raises RemoteError if it is not what its id says, BadContent if it cannot fit."""
        self._reader.feed(id_, raw)
        self._segments[id_] = raw

    def prepare(self, staging: Staging, gauge: Gauge) -> None:
        """Open the staged file once all segments are there. Raises RemoteError, OSError, NoRoom."""
        if self.staged is None and self._reader.done:
            self.use(assemble(self.content, self._segments.get, self.size), staging, gauge)

    def use(self, blocks: list[Block], staging: Staging, gauge: Gauge) -> None:
        """Open the staged file for a block list that is known already.

        Raises BadContent if that is of another size, NoRoom, OSError.
        """
        if not blocks or blocks[-1].offset + blocks[-1].length != self.size:
            raise BadContent("its block list is of another size")
        if not staging.has(self.content):  # an earlier start has set room aside for what it began
            gauge.claim(content_bytes(blocks))
        self._blocks = blocks
        self.staged = staging.open(self.content, self.size, blocks)
        for number, block in enumerate(blocks):
            if block.id is not None:
                self._positions.setdefault(block.id, []).append(number)

    # ---- blocks

    def next_blocks(self, count: int) -> list[Block]:
        """Up to `count` blocks that are not staged, in the order of the file; each is given once."""
        found: dict[bytes, Block] = {}
        while self.staged is not None and len(found) < count and self._next < len(self._blocks):
            block = self._blocks[self._next]
            if block.id is not None and self._next in self.staged.missing:
                found.setdefault(block.id, block)
            self._next += 1
        return list(found.values())

    def write(self, id_: bytes, data: bytes | memoryview) -> None:
        """Stage a block, whose hash was compared with `id_`, wherever the file has it. Raises OSError, RemoteError."""
        if self.staged is None:
            raise RemoteError("a block before its list")
        for number in self._positions.get(id_, ()):
            self.staged.put(number, data)

    def copy_local(self, holdings: Holdings) -> None:
        """Stage the blocks that this machine has already. Unreadable or changed sources are passed over."""
        assert self.staged is not None
        for fd in holdings.open(self.content):
            for number in list(self.staged.missing):
                self.staged.copy_from(fd, self._blocks[number].offset, number)
        missing = [self._blocks[number] for number in self.staged.missing]
        here = holdings.which_are_here([block.id for block in missing if block.id is not None])
        for number in list(self.staged.missing) if here else ():
            block = self._blocks[number]
            assert block.id is not None
            if block.id not in here:
                continue
            for content, offset, length in holdings.places(block.id):
                if length == block.length and self._copy(holdings, content, offset, number):
                    break

    def _copy(self, holdings: Holdings, content: bytes, offset: int, number: int) -> bool:
        assert self.staged is not None
        return any(self.staged.copy_from(fd, offset, number) for fd in holdings.open(content))

    @property
    def complete(self) -> bool:
        """Whether the staged file is the whole content."""
        return self.staged is not None and not self.staged.missing

    def stored(self) -> StoredContent | None:
        """What the index shall keep of the content; None if it knew the block list already."""
        if not self._segments:
            return None
        return StoredContent(self.content, self.size, self._segments, self._blocks)
