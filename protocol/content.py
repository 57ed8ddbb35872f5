"""What a file's bytes are called: block ids, content ids, and the lists of blocks of long files.

A file of up to SMALL_FILE bytes is one block, and its content id is the id of that block. The blocks of a longer file
are listed in segments, canonical MessagePack: a leaf [0, [[block id or nil for a hole, bytes]...]] or a node
[1, [[segment id, bytes covered]...]]. Its content id is the id of the segment at the top. Lists are cut into segments
by their own contents, so an insertion changes the segments it falls into and those above, no others.

All hashes are keyed with the folder's block key: a stranger who guesses a file's contents cannot tell whether the
folder has it. Segments are hashed under a key derived from that one, so no block's bytes can pass for a segment.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, Final, NamedTuple

from blake3 import blake3

from protocol import codec, limits
from protocol.errors import LocalError, RemoteError

ID_SIZE: Final = 32
_LEAF: Final = 0
_NODE: Final = 1
# Entries that a segment has at least, and mean distance from there to its end.
_LEAF_CUT: Final = (limits.LEAF_LEAST, limits.LEAF_MEAN)
_NODE_CUT: Final = (limits.NODE_LEAST, limits.NODE_MEAN)


class BadContent(RemoteError):
    """A segment or block list that no honest writer makes."""


class Block(NamedTuple):
    """A run of a file's bytes. id: block id, None for a hole. offset, length: bytes."""

    id: bytes | None
    offset: int
    length: int


class Leaf(NamedTuple):
    """A segment that lists blocks as (block id or None for a hole, bytes). size: bytes it covers."""

    entries: list[tuple[bytes | None, int]]
    size: int


class Node(NamedTuple):
    """A segment that lists segments as (segment id, bytes covered). size: bytes it covers."""

    entries: list[tuple[bytes, int]]
    size: int


def block_id(key: bytes, data: bytes | bytearray | memoryview) -> bytes:
    """The id of a block. key: the folder's block key, 32 bytes."""
    return blake3(data, key=key).digest()


def segment_id(key: bytes, raw: bytes | memoryview) -> bytes:
    """The id of a segment. key: the folder's block key, 32 bytes."""
    return blake3(raw, key=_segment_key(key)).digest()


@lru_cache(limits.MAX_FOLDERS_PER_PORT)
def _segment_key(key: bytes) -> bytes:
    return blake3(key, derive_key_context="syncd/1 segment id").digest()


def build_segments(key: bytes, blocks: Sequence[tuple[bytes | None, int]]) -> tuple[bytes, dict[bytes, bytes]]:
    """(content id, {segment id: its bytes}) of a file above SMALL_FILE bytes.

    blocks: (block id or None for a hole, bytes) in the order of the file. Raises LocalError for a list that readers
    would refuse, or one too long for the levels of segments there are.
    """
    _check_buildable(blocks)
    segments: dict[bytes, bytes] = {}
    level: Sequence[tuple[bytes | None, int]] = blocks
    kind, cutters = _LEAF, iter((_leaf_runs, _node_runs, _top_run))
    while True:
        above: list[tuple[bytes, int]] = []
        for run in next(cutters)(level):
            raw = codec.pack([kind, run])
            identity = segment_id(key, raw)
            segments[identity] = raw
            above.append((identity, sum(length for _, length in run)))
        if len(above) == 1:
            return above[0][0], segments
        level, kind = above, _NODE


def decode_segment(raw: bytes | memoryview) -> Leaf | Node:
    """The segment that `raw` is. Raises BadContent or CodecError for what no writer makes.

    What only shows between segments is checked by `walk`: depth, coverage, and blocks at the edges.
    """
    if len(raw) > limits.MAX_SEGMENT:
        raise BadContent(f"a segment of {len(raw)} bytes")
    value = codec.unpack(raw, max_items=limits.MAX_SEGMENT_ITEMS)
    if type(value) is not list or len(value) != 2 or type(value[0]) is not int or type(value[1]) is not list:
        raise BadContent("not a segment")
    kind, rows = value
    if kind not in (_LEAF, _NODE) or not 1 <= len(rows) <= limits.MAX_SEGMENT_ENTRIES:
        raise BadContent("a segment of unknown kind or length")
    if kind == _NODE:
        nodes = [_node_entry(row) for row in rows]
        return Node(nodes, _total(nodes))
    leaves = [_leaf_entry(row) for row in rows]
    for _ in _regular(leaves, None):
        pass
    return Leaf(leaves, _total(leaves))


def walk(content_id: bytes, get: Callable[[bytes], bytes | None], size: int) -> Iterator[Block]:
    """The blocks of a file of `size` bytes, one after another, with a few segments in memory.

    get: the bytes of a segment by its id, which was checked when they were stored. Raises LocalError if it has none,
    BadContent for a list that does not add up to `size`, is nested too deeply or has short blocks. A segment's hash
    proves its author, not who passed it on: BadContent here is a problem of the file, not of a peer.
    """
    if size <= limits.SMALL_FILE:
        yield Block(content_id, 0, size)
        return
    offset = 0
    for identity, length in _regular(_entries(content_id, size, get, 0), False):
        yield Block(identity, offset, length)
        offset += length


def assemble(content_id: bytes, get: Callable[[bytes], bytes | None], size: int) -> list[Block]:
    """All that `walk` yields. For files of many TiB use `walk`."""
    return list(walk(content_id, get, size))


class SegmentReader:
    """Finds out which segments the block list of one file consists of, while they arrive in any order."""

    def __init__(self, key: bytes, content_id: bytes, size: int) -> None:
        """key: the folder's block key. A file of up to SMALL_FILE bytes has no segments: such a reader is done."""
        self._key = key
        self._seen: dict[bytes, tuple[int, int]] = {}  # id: (depth, bytes it must cover)
        self._wanted: dict[bytes, None] = {}
        if size > limits.SMALL_FILE:
            self._want(content_id, 0, size)

    @property
    def done(self) -> bool:
        """Whether every segment was fed."""
        return not self._wanted

    def wanted(self, limit: int) -> list[bytes]:
        """The first `limit` ids that are still to be fed; the same ones again until they are."""
        return list(islice(self._wanted, limit))

    def feed(self, identity: bytes, raw: bytes | memoryview) -> None:
        """Take a segment. Raises RemoteError unless it is one that is wanted, BadContent if it cannot fit."""
        if identity not in self._wanted:
            raise RemoteError("a segment that was not asked for")
        if segment_id(self._key, raw) != identity:
            raise RemoteError("a segment that is not what was asked for")
        depth, covered = self._seen[identity]
        segment = _fitting(raw, covered, depth)
        if isinstance(segment, Node):
            for child, length in segment.entries:
                self._want(child, depth + 1, length)
        del self._wanted[identity]

    def _want(self, identity: bytes, depth: int, covered: int) -> None:
        if identity not in self._seen:
            if len(self._seen) >= limits.MAX_SEGMENTS:
                raise BadContent("a file of too many segments")
            self._seen[identity] = (depth, covered)
            self._wanted[identity] = None
        elif self._seen[identity] != (depth, covered):
            raise BadContent("one segment at two places that differ")


def _entries(
    identity: bytes, covered: int, get: Callable[[bytes], bytes | None], depth: int
) -> Iterator[tuple[bytes | None, int]]:
    raw = get(identity)
    if raw is None:
        raise LocalError(f"segment {identity.hex()} is missing")
    segment = _fitting(raw, covered, depth)
    if isinstance(segment, Leaf):
        yield from segment.entries
    else:
        for child, length in segment.entries:
            yield from _entries(child, length, get, depth + 1)


def _fitting(raw: bytes | memoryview, covered: int, depth: int) -> Leaf | Node:
    segment = decode_segment(raw)
    if segment.size != covered:
        raise BadContent(f"a segment covers {segment.size} bytes instead of {covered}")
    if isinstance(segment, Node) and depth >= limits.MAX_SEGMENT_DEPTH:
        raise BadContent("segments are nested too deeply")
    return segment


def _regular(
    entries: Iterable[tuple[bytes | None, int]], after_hole: bool | None
) -> Iterator[tuple[bytes | None, int]]:
    """Pass entries on while no two holes meet and no short block stands between others.

    after_hole: whether a hole precedes the first entry, None if that is unknown. Blocks much shorter than the file's
    size requires would multiply the work per byte; only a hole's edge or the end of the file makes one.
    """
    short = False
    for entry in entries:
        identity, length = entry
        if identity is None and after_hole:
            raise BadContent("two holes in a row")
        if identity is not None and short:
            raise BadContent("a short block inside a file")
        short = identity is not None and length < limits.MIN_BLOCK_ACCEPTED and after_hole is False
        after_hole = identity is None
        yield entry


def _leaf_entry(row: Any) -> tuple[bytes | None, int]:
    identity, length = _pair(row)
    if identity is None:
        return None, length
    if type(identity) is not bytes or len(identity) != ID_SIZE or length > limits.MAX_BLOCK:
        raise BadContent("bad entry of a block list")
    return identity, length


def _node_entry(row: Any) -> tuple[bytes, int]:
    identity, length = _pair(row)
    if type(identity) is not bytes or len(identity) != ID_SIZE:
        raise BadContent("bad entry of a segment list")
    return identity, length


def _pair(row: Any) -> tuple[Any, int]:
    if type(row) is not list or len(row) != 2 or type(row[1]) is not int or not 1 <= row[1] <= limits.MAX_SIZE:
        raise BadContent("bad entry of a segment")
    return row[0], row[1]


def _total(entries: Sequence[tuple[object, int]]) -> int:
    size = sum(length for _, length in entries)
    if size > limits.MAX_SIZE:
        raise BadContent("a segment covers more than a file can hold")
    return size


def _check_buildable(blocks: Sequence[tuple[bytes | None, int]]) -> None:
    try:
        for _ in _regular((_leaf_entry([*block]) for block in blocks), False):
            pass
        if _total(blocks) <= limits.SMALL_FILE:
            raise BadContent("a small file is one block")
    except BadContent as error:
        raise LocalError(str(error)) from None


def _leaf_runs(entries: Sequence[tuple[bytes | None, int]]) -> list[Sequence[tuple[bytes | None, int]]]:
    return _runs(entries, *_LEAF_CUT)


def _node_runs(entries: Sequence[tuple[bytes | None, int]]) -> list[Sequence[tuple[bytes | None, int]]]:
    return _runs(entries, *_NODE_CUT)


def _top_run(entries: Sequence[tuple[bytes | None, int]]) -> list[Sequence[tuple[bytes | None, int]]]:
    if len(entries) > limits.MAX_SEGMENT_ENTRIES:
        raise LocalError("too many blocks for one file")
    return [entries]


def _runs(
    entries: Sequence[tuple[bytes | None, int]], least: int, mean: int
) -> list[Sequence[tuple[bytes | None, int]]]:
    """Cut behind entries whose id says so. Ids are keyed hashes: evenly spread, and not to be chosen by a stranger."""
    runs, start = [], 0
    for end, (identity, _) in enumerate(entries, 1):
        wanted = identity is not None and int.from_bytes(identity[:8], "big") % mean == 0
        if end - start >= limits.MAX_SEGMENT_ENTRIES or (wanted and end - start >= least):
            runs.append(entries[start:end])
            start = end
    if start < len(entries):
        runs.append(entries[start:])
    return runs
