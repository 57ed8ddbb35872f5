"""The copies of losing versions that lie beside the winners, in the table `copies`."""

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple

from syncd.store.index_database import Database

_PUT: Final = "INSERT OR REPLACE INTO copies (key, content, path, state) VALUES (?, ?, ?, ?)"
_LIST: Final = "SELECT key, content, path, state FROM copies ORDER BY key, content"
_AT: Final = "SELECT key, content, path, state FROM copies WHERE key = ?"
# Only what the archive has can be copied.
_DUE: Final = (
    "SELECT key, content FROM losing WHERE missing = 0 AND (key, content) > (?, ?)"
    " AND NOT EXISTS (SELECT 1 FROM copies WHERE copies.key = losing.key AND copies.content = losing.content)"
    " ORDER BY key, content LIMIT ?"
)
_OVER: Final = (
    "SELECT key, content, path, state FROM copies WHERE NOT EXISTS (SELECT 1 FROM losing"
    " WHERE losing.key = copies.key AND losing.content = copies.content AND losing.missing = 0)"
    " ORDER BY key, content LIMIT ?"
)

Place = tuple[bytes, bytes]  # key of the path at which it lost, content


class CopyState(IntEnum):
    """Where a copy is on its way."""

    COMING = 0  # about to be renamed into the tree: it may be there or not
    THERE = 1
    NONE = 2  # somebody made it their own or removed it, or something else has its name: none is made again


class Copy(NamedTuple):
    """A copy of the content that lost at a key. path: where it lies."""

    key: bytes
    content: bytes
    path: bytes
    state: CopyState


class CopyTable:
    """The part of an Index that knows of conflict copies."""

    database: Database

    def copies(self) -> list[Copy]:
        """All that are listed."""
        return [_copy(values) for values in self.database.query(_LIST)]

    def copies_at(self, key: bytes) -> list[Copy]:
        """Those of what lost at a key."""
        return [_copy(values) for values in self.database.query(_AT, (key,))]

    def copies_due(self, after: Place, limit: int) -> list[Place]:
        """Up to `limit` (key, content) above `after` that lose, are in the archive, and of which nothing is listed."""
        return self.database.query(_DUE, (*after, limit))

    def copies_over(self, limit: int) -> list[Copy]:
        """Up to `limit` that are listed of what loses no more, or is in the archive no more."""
        return [_copy(values) for values in self.database.query(_OVER, (limit,))]

    def put_copies(self, copies: Iterable[Copy]) -> None:
        """List them, or list them anew."""
        self.database.run_many(_PUT, [(*copy[:3], int(copy.state)) for copy in copies])

    def drop_copies(self, copies: Iterable[Copy]) -> None:
        """List them no more."""
        self.database.run_many("DELETE FROM copies WHERE key = ? AND content = ?", [copy[:2] for copy in copies])


def _copy(values: Sequence[Any]) -> Copy:
    key, content, path, state = values
    return Copy(key, content, path, CopyState(state))
