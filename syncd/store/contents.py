"""Where the bytes of contents are: block lists of long contents, which files hold what, and what the archive has.

A content of up to SMALL_FILE bytes is one block and is found by its content id, which is its block id; only longer ones
have a block list, kept as the segments that peers ask for.

Searching costs writes at random places for every file. A first sync, whose files nobody searches yet, does without:
`defer_search` before it, `build_search` behind it.
"""

from collections.abc import Container, Iterator, Sequence
from typing import Final

from protocol import limits
from protocol.content import Block, assemble, walk
from protocol.errors import ProtocolError
from protocol.record import Kind
from syncd.core.index import Disk
from syncd.store.index import SqliteIndex
from syncd.store.index_archive import ArchiveTable
from syncd.store.index_rows import unpack_disk

_FEW: Final = 16  # places of one content or block: whoever looks for it needs one that is still what it was
_FILES: Final = (
    "SELECT key, disk FROM paths INDEXED BY paths_seen"
    " WHERE substr(disk, 1, 8) = ? AND substr(disk, 1, 8) <> x'0000000000000000' LIMIT ?"
)
_BLOCK: Final = (
    "SELECT contents.id, blocks.offset, blocks.length FROM blocks JOIN contents ON contents.number = blocks.content"
    " WHERE blocks.prefix = ? LIMIT ?"
)
_TOGETHER: Final = 256  # ids that one query looks for
_HELD: Final = (
    "WITH wanted (prefix, head, id) AS (VALUES {}) SELECT id FROM wanted"
    " WHERE EXISTS (SELECT 1 FROM blocks WHERE blocks.prefix = wanted.prefix)"
    " OR EXISTS (SELECT 1 FROM paths INDEXED BY paths_seen"
    " WHERE substr(disk, 1, 8) = wanted.head AND substr(disk, 1, 8) <> x'0000000000000000')"
    " OR EXISTS (SELECT 1 FROM archive INDEXED BY archive_by_content WHERE content = wanted.id)"
)
_PUT_CONTENT: Final = "INSERT INTO contents (id, size, searchable) VALUES (?, ?, 0) ON CONFLICT (id) DO NOTHING"
_UNSEARCHABLE: Final = (
    "SELECT number, id, size FROM contents INDEXED BY contents_unsearchable WHERE searchable = 0 LIMIT ?"
)
_PUT_SEGMENT: Final = "INSERT INTO segments (id, raw) VALUES (?, ?) ON CONFLICT (id) DO NOTHING"
_USE_SEGMENT: Final = "INSERT INTO content_segments (content, segment) VALUES (?, ?) ON CONFLICT DO NOTHING"
_DROP_SEGMENT: Final = (
    "DELETE FROM segments WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM content_segments WHERE segment = ?1)"
)


class Contents(ArchiveTable):
    """Shares the database, its transactions and its thread with `index`: what writes belongs into a transaction."""

    def __init__(self, index: SqliteIndex) -> None:
        self._index = index
        self._database = index.database
        self._collected = 0  # contents up to this number were looked at by `collect`

    # ---- block lists

    def put(self, content_id: bytes, size: int, segments: dict[bytes, bytes], blocks: list[Block]) -> None:
        """Keep the block list of a content of `size` bytes: all its segments by id, and what they list.

        A content of one block has none: nothing is kept.
        """
        if size <= limits.SMALL_FILE:
            return
        self._database.run(_PUT_CONTENT, (content_id, size))
        found = self._content(content_id)
        assert found is not None
        number, _, searchable = found
        self._database.run_many(_PUT_SEGMENT, segments.items())
        self._database.run_many(_USE_SEGMENT, [(number, segment) for segment in segments])
        if not searchable and self.searchable:
            self._add_blocks(number, blocks)

    def segment(self, segment_id: bytes) -> bytes | None:
        """The bytes of a segment."""
        found = self._database.one("SELECT raw FROM segments WHERE id = ?", (segment_id,))
        return None if found is None else found[0]

    def block_list(self, content_id: bytes) -> list[Block] | None:
        """The blocks of a content; None if it has none here."""
        found = self._content(content_id)
        return None if found is None else self._blocks(content_id, found[1])

    def walk(self, content_id: bytes) -> Iterator[Block]:
        """The blocks of a content one after another, none if it has no list here. Raises ProtocolError as `walk`."""
        found = self._content(content_id)
        return iter(()) if found is None else walk(content_id, self.segment, found[1])

    # ---- what is where

    def find_block(self, block_id: bytes) -> list[tuple[bytes, int, int]]:
        """(content id, offset, length) of a few places where a block should be; `files_with` has the files.

        Half of the id was compared, and files change: hash what is read.
        """
        files = [disk.entry.size for _, disk in self.files_with(block_id)[:1]]
        whole = [(block_id, 0, size) for size in files if size <= limits.SMALL_FILE]
        return whole + self._database.query(_BLOCK, (_prefix(block_id), _FEW - len(whole)))

    def which_are_here(self, ids: Sequence[bytes]) -> set[bytes]:
        """Those of these blocks that `find_block`, or the archive as whole contents, should have: most have none.

        Several times as fast as to look for each.
        """
        here: set[bytes] = set()
        for start in range(0, len(ids), _TOGETHER):
            part = ids[start : start + _TOGETHER]
            query = _HELD.format(", ".join(["(?, ?, ?)"] * len(part)))
            values = [value for id_ in part for value in (_prefix(id_), id_[:8], id_)]
            here.update(id_ for (id_,) in self._database.query(query, values))
        return here

    def files_with(self, content_id: bytes) -> list[tuple[bytes, Disk]]:
        """(key, what was seen there) of a few files that held a content when they were looked at last.

        None as long as contents are not searchable.
        """
        if not self.searchable:
            return []
        seen = [(key, unpack_disk(disk)) for key, disk in self._database.query(_FILES, (content_id[:8], _FEW))]
        return [(key, disk) for key, disk in seen if disk.entry[:2] == (Kind.FILE, content_id)]

    def is_wanted(self, content_id: bytes) -> bool:
        """Whether a path needs this content of several blocks."""
        wanted = "SELECT 1 FROM paths INDEXED BY paths_wanting WHERE want = ? LIMIT 1"
        return self._database.one(wanted, (content_id,)) is not None

    @property
    def searchable(self) -> bool:
        """Whether `files_with` and `find_block` find anything."""
        return self._index.searchable

    def defer_search(self) -> None:
        """Make writing faster and find nothing until `build_search` is through. Before readers open."""
        self._index.set_searchable(False)

    def build_search(self, limit: int) -> bool:
        """A step towards searching: the blocks of up to `limit` contents, or, behind the last of them, the files.

        Returns whether contents are searchable. Does nothing if they were.
        """
        if self.searchable:
            return True
        found = self._database.query(_UNSEARCHABLE, (limit,))
        for number, content_id, size in found:
            self._add_blocks(number, self._blocks(content_id, size) or [])
        if not found:
            self._index.set_searchable(True)
        return not found

    # ---- forgetting

    def forget(self, content_id: bytes) -> bool:
        """Drop the block list of a content that no file holds, no path needs and the archive has not.

        Returns whether it is gone. Nothing is dropped as long as contents are not searchable.
        """
        if not self.searchable or self._is_used(content_id):
            return False
        found = self._content(content_id)
        if found is not None:
            self._drop(content_id, *found)
        return True

    def collect(self, limit: int, keep: Container[bytes] = ()) -> int:
        """Forget what can be among the next `limit` contents, in turn. keep: contents that are being fetched.

        Returns how many were dropped.
        """
        listed = "SELECT number, id FROM contents WHERE number > ? ORDER BY number LIMIT ?"
        found = self._database.query(listed, (self._collected, limit))
        self._collected = found[-1][0] if len(found) == limit else 0
        return sum(self.forget(content_id) for _, content_id in found if content_id not in keep)

    # ---- inside

    def _content(self, content_id: bytes) -> tuple[int, int, int] | None:
        """(number, size, searchable)"""
        found: tuple[int, int, int] | None = self._database.one(
            "SELECT number, size, searchable FROM contents WHERE id = ?", (content_id,)
        )
        return found

    def _blocks(self, content_id: bytes, size: int) -> list[Block] | None:
        try:
            return assemble(content_id, self.segment, size)
        except ProtocolError:  # a segment is missing, or its author made a list that does not fit
            return None

    def _add_blocks(self, number: int, blocks: list[Block]) -> None:
        rows = sorted(
            [(_prefix(block.id), number, block.offset, block.length) for block in blocks if block.id is not None]
        )
        self._database.run_many("INSERT INTO blocks (prefix, content, offset, length) VALUES (?, ?, ?, ?)", rows)
        self._database.run("UPDATE contents SET searchable = 1 WHERE number = ?", (number,))

    def _is_used(self, content_id: bytes) -> bool:
        if self.files_with(content_id):
            return True
        archived = "SELECT 1 FROM archive INDEXED BY archive_by_content WHERE content = ? LIMIT 1"
        return self.is_wanted(content_id) or self._database.one(archived, (content_id,)) is not None

    def _drop(self, content_id: bytes, number: int, size: int, searchable: int) -> None:
        if searchable:
            listed = sorted([(_prefix(b.id), number, b.offset) for b in self._blocks(content_id, size) or [] if b.id])
            self._database.run_many("DELETE FROM blocks WHERE prefix = ? AND content = ? AND offset = ?", listed)
        segments = self._database.query("SELECT segment FROM content_segments WHERE content = ?", (number,))
        self._database.run("DELETE FROM content_segments WHERE content = ?", (number,))
        self._database.run_many(_DROP_SEGMENT, segments)
        self._database.run("DELETE FROM contents WHERE number = ?", (number,))


def _prefix(block_id: bytes) -> int:
    return int.from_bytes(block_id[:8], "big", signed=True)
