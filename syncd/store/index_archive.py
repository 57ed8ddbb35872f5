"""The list of what lies in the archive, in the table `archive`."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from protocol.paths import to_key
from protocol.record import Kind
from syncd.store.archive import ArchivedItem
from syncd.store.index_database import Database
from syncd.store.index_losers import is_losing, settle_losing
from syncd.store.index_rows import unpack_disk

_PUT: Final = (
    "INSERT OR REPLACE INTO archive (name, path, kind, size, mode, mtime, content, reason, archived_at, kept_from)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?9, ?9)"
)
_LIST: Final = (
    "SELECT kept_from, name, path, kind, size, mode, mtime, content, reason, archived_at"
    " FROM archive INDEXED BY archive_by_age"
    " WHERE (kept_from, name) > (?, ?) ORDER BY kept_from, name LIMIT ?"
)
_FIND: Final = (
    "SELECT name, path, kind, size, mode, mtime, content, reason, archived_at FROM archive"
    " INDEXED BY archive_by_content WHERE content = ? ORDER BY name LIMIT ?"
)
_GET: Final = "SELECT name, path, kind, size, mode, mtime, content, reason, archived_at FROM archive WHERE name = ?"
_LATEST: Final = (
    "SELECT name, path, kind, size, mode, mtime, content, reason, archived_at FROM archive"
    " ORDER BY archived_at DESC, name LIMIT ?"
)
_BELOW: Final = (
    "SELECT name, path, kind, size, mode, mtime, content, reason, archived_at FROM archive"
    " WHERE path = ? OR (path >= ? AND path < ?) ORDER BY archived_at DESC, name LIMIT ?"
)
_SUM: Final = (
    "SELECT kept_from, name, size,"
    " EXISTS (SELECT 1 FROM losing INDEXED BY losing_by_content WHERE losing.content = archive.content)"
    " FROM archive INDEXED BY archive_by_age WHERE (kept_from, name) > (?, ?) ORDER BY kept_from, name LIMIT ?"
)
_UNKNOWN: Final[Mapping[bytes, bytes]] = {}
_FOUND_AT_MOST: Final = 16  # items of one content: whoever looks for it needs one that is intact


class Archived(NamedTuple):
    """An item of the archive and what is known of it. content: its content id, or empty. archived_at: ns."""

    item: ArchivedItem
    content: bytes
    reason: str
    archived_at: int


class ArchiveTable:
    """The part of the contents that the archive holds."""

    _database: Database

    def archive_add(
        self,
        items: Iterable[ArchivedItem],
        archived_at: int,
        reason: str = "",
        contents: Mapping[bytes, bytes] = _UNKNOWN,
    ) -> None:
        """List items, or list them anew. archived_at: ns. contents: {name of an item: its content id}.

        An item that is not in `contents` has the content that was last seen at its path, if its size and mtime are
        those that were seen with it. So list what was displaced before the index learns what is there now.
        """
        rows = []
        for item in items:
            content = contents.get(item.name)
            known = self._last_seen(item) if content is None else content
            path, kind, size, mode, mtime = item.path, int(item.kind), item.size, item.mode, item.mtime
            rows.append((item.name, path, kind, size, mode, mtime, known, reason, archived_at))
        self._database.run_many(_PUT, rows)
        settle_losing(self._database, [row[6] for row in rows])

    def archive_correct(self, item: ArchivedItem, content: bytes, reason: str) -> None:
        """An item turned out to be another one than is listed."""
        before = self._contents_of([item.name])
        self._database.run(
            "UPDATE archive SET size = ?, mtime = ?, content = ?, reason = ? WHERE name = ?",
            (item.size, item.mtime, content, reason, item.name),
        )
        settle_losing(self._database, [*before, content])

    def archive_renew(self, names: Iterable[bytes], now: int) -> None:
        """Have the time of these items run from now (ns) on."""
        self._database.run_many("UPDATE archive SET kept_from = ? WHERE name = ?", [(now, name) for name in names])

    def archive_list(self, after: tuple[int, bytes] = (-1, b""), limit: int = 1_000) -> list[Archived]:
        """Up to `limit` items, the oldest first, those above `after` = (kept_from, name) only."""
        return [_archived(values) for _, *values in self._database.query(_LIST, (*after, limit))]

    def archive_aging(self, after: tuple[int, bytes], limit: int) -> list[tuple[int, Archived]]:
        """As `archive_list`, each with the time (ns) from which its time runs."""
        return [(kept_from, _archived(values)) for kept_from, *values in self._database.query(_LIST, (*after, limit))]

    def archive_latest(self, path: bytes | None, limit: int) -> list[Archived]:
        """Up to `limit` items that were at a path or below it, or anywhere, the latest first."""
        if path is None:
            return [_archived(values) for values in self._database.query(_LATEST, (limit,))]
        return [_archived(values) for values in self._database.query(_BELOW, (path, path + b"/", path + b"0", limit))]

    def archive_settle(self, name: bytes, content: bytes) -> None:
        """The content of an item is known now."""
        before = self._contents_of([name])
        self._database.run("UPDATE archive SET content = ? WHERE name = ?", (content, name))
        settle_losing(self._database, [*before, content])

    def archive_find(self, name: bytes) -> Archived | None:
        """The item of that name."""
        found = self._database.one(_GET, (name,))
        return None if found is None else _archived(found)

    def archive_find_content(self, content: bytes) -> list[Archived]:
        """A few items that hold a content."""
        return [_archived(values) for values in self._database.query(_FIND, (content, _FOUND_AT_MOST))]

    def archive_is_empty(self) -> bool:
        """Whether no item is listed."""
        return self._database.one("SELECT 1 FROM archive LIMIT 1") is None

    def archive_has(self, name: bytes) -> bool:
        """Whether an item of that name is listed."""
        return self._database.one("SELECT 1 FROM archive WHERE name = ?", (name,)) is not None

    def archive_size(self) -> tuple[int, int]:
        """(number of items, their bytes), counted one by one."""
        items, size = self._database.one("SELECT count(*), total(size) FROM archive")
        return items, int(size)

    def archive_sum(self, after: tuple[int, bytes], limit: int) -> tuple[tuple[int, bytes] | None, int]:
        """(where to go on or None, bytes that may go) of the next `limit` items in the order of `archive_aging`."""
        places = self._database.query(_SUM, (*after, limit))
        size = sum(size for _, _, size, protected in places if not protected)
        return (places[-1][:2] if len(places) == limit else None), size

    def archive_remove(self, names: Collection[bytes]) -> None:
        """List them no more."""
        contents = self._contents_of(names)
        self._database.run_many("DELETE FROM archive WHERE name = ?", [(name,) for name in names])
        settle_losing(self._database, contents)

    def archive_protects(self, content: bytes) -> bool:
        """Whether the bytes of a content must stay, because a live record has it and loses."""
        return is_losing(self._database, content)

    def _contents_of(self, names: Iterable[bytes]) -> set[bytes]:
        found = [self._database.one("SELECT content FROM archive WHERE name = ?", (name,)) for name in names]
        return {content for row in found if row is not None for content in row}

    def _last_seen(self, item: ArchivedItem) -> bytes:
        found = self._database.one("SELECT disk FROM paths WHERE key = ?", (to_key(item.path),))
        if found is None or found[0] is None:
            return b""
        seen = unpack_disk(found[0]).entry
        same = (seen.kind, seen.size, seen.mtime) == (item.kind, item.size, item.mtime)
        return seen.content if same else b""


def _archived(values: Sequence[Any]) -> Archived:
    name, path, kind, size, mode, mtime, content, reason, archived_at = values
    return Archived(ArchivedItem(name, path, Kind(kind), size, mode, mtime), content, reason, archived_at)
