"""The index of a folder in SQLite: what is known, seen and needed at every path, with its Merkle pages.

One instance writes; others may read in other threads, each with a connection of its own. Every state that a reader or
a crash finds is the one after some commit: rows, totals, proof counts and pages go into the same transaction.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from protocol import pages
from protocol.merge import Liveness
from protocol.paths import subtree, to_path
from syncd.core.index import Disk, Row, Totals
from syncd.store.index_copies import CopyTable
from syncd.store.index_database import (
    Database,
    IndexDamaged,
    IndexFailed,
    IndexFull,
    IndexOfAnotherFolder,
    IndexTooNew,
    IndexUnavailable,
)
from syncd.store.index_losers import LosingTable
from syncd.store.index_pages import BEHIND_ALL, PageTable
from syncd.store.index_proofs import ProofTable
from syncd.store.index_rows import Listed, Values, to_listed, to_row, unpack_disk
from syncd.store.index_totals import RunningTotals
from syncd.store.index_writes import Writes

__all__ = [
    "IndexDamaged", "IndexFailed", "IndexFull", "IndexOfAnotherFolder", "IndexTooNew", "IndexUnavailable",
    "SqliteIndex",
]  # fmt: skip

# Rows that were just read are mostly written next: remembering them saves reading them again. Bounds the memory.
_REMEMBERED_ROWS: Final = 4_096
# Keys whose leaf changed, before the pages are brought in step within a transaction. Bounds the memory.
_CHANGED_KEYS: Final = 16_384
_SIZE: Final = (
    "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
)
_FOLDER: Final = "index.folder"
_UNPUBLISHED: Final = "SELECT key FROM paths WHERE state IS NULL AND substr(disk, 33, 1) <> x'01' ORDER BY key LIMIT ?"

# In the order of index_rows.Values.
_GET_ONE: Final = "SELECT key, state, digest, disk, need_rank, need_order, need_size FROM paths WHERE key IN (?)"
# A statement for many keys is three times as fast as one for each; few different ones, because they are kept prepared.
_GET: Final = {count: _GET_ONE.replace("?", ", ".join("?" * count)) for count in (256, 32, 4, 1)}
_SPAN: Final = (
    "SELECT key, state, digest, disk, need_rank, need_order, need_size FROM paths WHERE key >= ? AND key < ?"
    " ORDER BY key LIMIT ?"
)
_LISTED: Final = (
    "SELECT key, state, disk FROM paths WHERE key >= ? AND key < ? AND state IS NOT NULL ORDER BY key LIMIT ?"
)
_NEEDS: Final = (
    "SELECT key, state, digest, disk, need_rank, need_order, need_size FROM paths INDEXED BY paths_needed"
    " WHERE need_rank = ? AND (need_order, key) > (?, ?) ORDER BY need_order, key LIMIT ?"
)
_NEEDED: Final = (
    "SELECT need_order, key FROM paths INDEXED BY paths_needed"
    " WHERE need_rank = ? AND (need_order, key) > (?, ?) ORDER BY need_order, key LIMIT ?"
)
_ARCHIVED: Final = "SELECT 1 FROM archive INDEXED BY archive_by_content WHERE content = ? LIMIT 1"
_LIVENESS: Final = (
    "SELECT CASE"
    " WHEN EXISTS (SELECT 1 FROM paths INDEXED BY paths_live WHERE live = 2 AND key >= ?1 AND key < ?2) THEN 2"
    " WHEN EXISTS (SELECT 1 FROM paths INDEXED BY paths_live WHERE live = 1 AND key >= ?1 AND key < ?2) THEN 1"
    " ELSE 0 END"
)
_FOUND: Final = "SELECT key FROM paths INDEXED BY paths_live WHERE live = 1 AND key >= ? AND key < ? ORDER BY key"
_SEEN_BELOW: Final = "SELECT key FROM paths WHERE disk IS NOT NULL AND key >= ? AND key < ? ORDER BY key"
_SEEN: Final = (
    "SELECT key, disk FROM paths NOT INDEXED WHERE disk IS NOT NULL AND key >= ? AND key < ? ORDER BY key LIMIT ?"
)
# As in schema.sql.
_MAKE_SEARCHABLE: Final = (
    "CREATE INDEX IF NOT EXISTS paths_seen ON paths (substr(disk, 1, 8))"
    " WHERE substr(disk, 1, 8) <> x'0000000000000000'"
)
_LIVENESSES: Final[tuple[Liveness, ...]] = tuple(Liveness)


Look = tuple[bytes, Disk]  # a key, and what was seen there


class SqliteIndex(PageTable, ProofTable, LosingTable, CopyTable):
    """Implements syncd.core.index.Index, protocol.pages.PageStorage and protocol.reconcile.Tree.

    Rows are stored between `begin` and `commit` only. Used by one thread at a time. Raises IndexFailed or one of its
    kinds.
    """

    def __init__(
        self, path: str | os.PathLike[str], folder_id: bytes, page_seed: int, *, read_only: bool = False
    ) -> None:
        """path: of the database, which is created if it is missing. page_seed: the folder's, 64 bits."""
        self.database = Database(path, read_only=read_only)
        self._seed = page_seed
        self._remembered: dict[bytes, Values | None] = {}
        self._changed: set[bytes] = set()
        self._searchable: bool | None = None
        self._undone = False  # the sums are those of a transaction that was undone
        try:
            self._check_folder(folder_id)
            self._totals = RunningTotals(self.database)
        except BaseException:
            self.close()
            raise

    def _check_folder(self, folder_id: bytes) -> None:
        known = self.meta(_FOLDER)
        if known is None and not self.database.read_only:
            self.set_meta(_FOLDER, folder_id)
        elif known != folder_id:
            raise IndexOfAnotherFolder(f"{self.database.path}: the index of a folder with another secret")

    # ---- transactions

    @contextmanager
    def transaction(self, durable: bool = False) -> Iterator[None]:
        """Everything in the with statement, or nothing of it. durable: as for `commit`."""
        self.begin()
        try:
            yield
            self.commit(durable)
        except BaseException:
            with suppress(IndexUnavailable):  # what is undone is undone; what led here says more
                self.rollback()
            raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """What is read in the with statement is one state, unless within a transaction, and takes its locks once."""
        if self.database.in_transaction:
            yield
            return
        self.database.run("BEGIN")
        try:
            yield
        finally:
            self.database.rollback()

    def begin(self) -> None:
        """Open a transaction. A reader sees one state until it ends it; without, each call sees the latest."""
        self.database.begin()
        if self.database.read_only:
            return
        try:
            if self.database.changed_by_others() or self._undone:
                self._remembered.clear()
                self._totals.reload()
                self._undone = False
        except BaseException:
            with suppress(IndexFailed):
                self.database.rollback()
            raise

    def commit(self, durable: bool = False) -> None:
        """Bring the pages in step and end the transaction. durable: return when it would survive a loss of power."""
        if not self.database.read_only:
            self._totals.save()
            self._update_pages()
        self.database.commit(durable)

    def rollback(self) -> None:
        """Undo the transaction; does nothing if there is none."""
        self._remembered.clear()
        self._changed.clear()
        self._searchable = None
        self._undone = True
        self.database.rollback()
        self._totals.reload()
        self._undone = False

    def mend(self) -> None:
        """After a failure: raises IndexUnavailable unless the index can be written, durably, again."""
        self.database.rollback()
        self.database.mend()

    def close(self) -> None:
        """Close the database. An open transaction is undone."""
        self.database.close()

    def _update_pages(self) -> None:
        if self._changed:
            pages.update(self, self._seed, self._changed)
            self._changed.clear()

    # ---- rows

    def rows(self, keys: Iterable[bytes]) -> dict[bytes, Row]:
        """The rows of those of `keys` that have one."""
        return {key: to_row(values) for key, values in self._values(keys).items() if values is not None}

    def store(self, rows: Sequence[Row]) -> None:
        """Insert or replace rows, the last one of a key. A row that is neither known, seen nor needed is removed."""
        assert self.database.in_transaction
        latest = {row.key: row for row in rows}
        before = self._values(latest)
        writes = Writes(self._totals)
        for key in sorted(latest):
            writes.plan(latest[key], before[key])
        self._run(writes)
        self._remember(writes.after)

    def add(self, rows: Sequence[Row]) -> None:
        """Insert rows that are known, each with one record, and need nothing, at keys that have none."""
        assert self.database.in_transaction
        writes = Writes(self._totals)
        writes.plan_new(sorted(rows))
        for row in rows:
            self._remembered.pop(row.key, None)
        self._run(writes)

    def _run(self, writes: Writes) -> None:
        writes.run(self.database)
        self._count_proofs(writes.proof_uses)
        self._changed.update(writes.changed)
        if len(self._changed) >= _CHANGED_KEYS:
            self._update_pages()

    def span(self, low: bytes, high: bytes | None, limit: int) -> list[Row]:
        """Up to `limit` rows with low <= key < high, in order of keys."""
        found = self.database.query(_SPAN, (low, BEHIND_ALL if high is None else high, limit))
        return [to_row(values) for values in found]

    def seen(self, low: bytes, high: bytes | None, limit: int) -> list[Look]:
        """What was seen at up to `limit` paths where there was something, in order: a fraction of the cost of span."""
        found = self.database.query(_SEEN, (low, BEHIND_ALL if high is None else high, limit))
        return [(key, unpack_disk(disk)) for key, disk in found]

    def listed(self, low: bytes, high: bytes | None, limit: int) -> list[Listed]:
        """What to tell a peer of up to `limit` paths that the manifest knows, in order: a third of the cost of `span`.

        The records are not compared with their digest: their hashes have to be looked for in the proofs they name.
        """
        found = self.database.query(_LISTED, (low, BEHIND_ALL if high is None else high, limit))
        return [to_listed(*values) for values in found]

    def needs(self, rank: int, after: tuple[int, bytes], limit: int) -> list[Row]:
        """Up to `limit` needed rows of a class in order of (order, key), those above `after` only."""
        return [to_row(values) for values in self.database.query(_NEEDS, (rank, *after, limit))]

    def needed(self, rank: int, after: tuple[int, bytes], limit: int) -> list[tuple[int, bytes]]:
        """The (order, key) of what `needs` would give, from the partial index alone: a tenth of the cost."""
        return self.database.query(_NEEDED, (rank, *after, limit))

    def liveness_below(self, key: bytes) -> Liveness:
        """The strongest liveness among the strict descendants of `key`."""
        found: int = self.database.one(_LIVENESS, subtree(key))[0]
        return _LIVENESSES[found]

    def found_below(self, key: bytes) -> list[bytes]:
        """Keys of the strict descendants of `key` whose winner is live and FOUND."""
        return [key for (key,) in self.database.query(_FOUND, subtree(key))]

    def seen_below(self, key: bytes) -> list[bytes]:
        """Keys of the strict descendants of `key` that have something on the disk, in order."""
        return [key for (key,) in self.database.query(_SEEN_BELOW, subtree(key))]

    def unpublished(self, limit: int) -> list[bytes]:
        """Paths of files and links that were seen and are in no manifest."""
        return [to_path(key) for (key,) in self.database.query(_UNPUBLISHED, (limit,))]

    def archived(self, content: bytes) -> bool:
        """Whether the archive of this node has a content, as far as the index knows."""
        return self.database.one(_ARCHIVED, (content,)) is not None

    @property
    def size(self) -> int:
        """Bytes that the database takes, without pages that are free."""
        return int(self.database.one(_SIZE)[0])

    def totals(self) -> Totals:
        """Sums over all rows. A reader's are those of the latest commit."""
        if self.database.read_only:
            self._totals.reload()
        return self._totals.totals()._replace(conflicts=self.losing_count())

    @property
    def searchable(self) -> bool:
        """Whether rows can be found by the content that their disk holds: whether the database has that index."""
        if self._searchable is None or (self.database.read_only and not self._searchable):
            found = self.database.one("SELECT 1 FROM sqlite_master WHERE name = 'paths_seen'")
            self._searchable = found is not None
        return self._searchable

    def set_searchable(self, wanted: bool) -> None:
        """Make the index by content or drop it. Making it reads all rows: some seconds for a million."""
        self.database.run(_MAKE_SEARCHABLE if wanted else "DROP INDEX IF EXISTS paths_seen")
        self._searchable = None

    def _values(self, keys: Iterable[bytes]) -> dict[bytes, Values | None]:
        known = self._remembered
        wanted: dict[bytes, Values | None] = {key: known.get(key) for key in keys}
        missing = [key for key in wanted if key not in known]
        if missing:
            read = self._read(missing)
            wanted.update(read)
            if not self.database.read_only:
                self._remember(read)
        return wanted

    def _read(self, keys: list[bytes]) -> dict[bytes, Values | None]:
        """The columns of all of `keys`, None where there is no row."""
        found: dict[bytes, Values | None] = dict.fromkeys(keys)
        start = 0
        for size, statement in _GET.items():
            while start + size <= len(keys):
                for values in self.database.query(statement, keys[start : start + size]):
                    found[values[0]] = values
                start += size
        return found

    def _remember(self, found: dict[bytes, Values | None]) -> None:
        if len(self._remembered) + len(found) > _REMEMBERED_ROWS:
            self._remembered.clear()
        if len(found) <= _REMEMBERED_ROWS:
            self._remembered.update(found)

    # ---- small values

    def meta(self, name: str) -> bytes | None:
        """A small named value."""
        found = self.database.one("SELECT value FROM meta WHERE name = ?", (name,))
        return None if found is None else found[0]

    def set_meta(self, name: str, value: bytes | None) -> None:
        """Set or remove a small named value."""
        if value is None:
            self.database.run("DELETE FROM meta WHERE name = ?", (name,))
        else:
            self.database.run("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", (name, value))
