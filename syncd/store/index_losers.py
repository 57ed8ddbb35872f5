"""The live records that are not shown, in the table `losing`, and which of them the archive lacks."""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from protocol.record import Kind, Record
from syncd.store.index_database import Database

_PUT: Final = (
    "INSERT INTO losing (key, content, missing) VALUES (?1, ?2, CASE WHEN ?3 THEN"
    " NOT EXISTS (SELECT 1 FROM archive INDEXED BY archive_by_content WHERE content = ?2) END)"
    " ON CONFLICT (key, content) DO NOTHING"
)
_MISSING: Final = (
    "SELECT key, content FROM losing INDEXED BY losing_missing"
    " WHERE missing = 1 AND (key, content) > (?, ?) ORDER BY key, content LIMIT ?"
)
# Of a content that came to the archive, or left it.
_SETTLE: Final = (
    "UPDATE losing INDEXED BY losing_by_content SET missing ="
    " NOT EXISTS (SELECT 1 FROM archive INDEXED BY archive_by_content WHERE content = ?1)"
    " WHERE content = ?1 AND missing IS NOT NULL"
)


class LosingTable:
    """The part of an Index that knows what loses."""

    database: Database

    def mark_losing(self, losing: Mapping[bytes, Collection[Record]], others: Collection[bytes]) -> None:
        """Remember the live records that are not shown at the keys of `losing`, and that there are none at `others`."""
        if self.database.one("SELECT 1 FROM losing LIMIT 1") is not None:
            self.database.run_many("DELETE FROM losing WHERE key = ?", [(key,) for key in (*losing, *others)])
        rows = [
            (key, record.content, record.kind == Kind.FILE) for key, records in losing.items() for record in records
        ]
        self.database.run_many(_PUT, rows)

    def losing(self, after: bytes, limit: int) -> list[bytes]:
        """Up to `limit` keys above `after` at which records lose, in order."""
        statement = "SELECT DISTINCT key FROM losing WHERE key > ? ORDER BY key LIMIT ?"
        return [key for (key,) in self.database.query(statement, (after, limit))]

    def losing_count(self) -> int:
        """How many versions lose. Counted one by one: there are few."""
        found: int = self.database.one("SELECT count(*) FROM losing")[0]
        return found

    def missing_losers(self, after: tuple[bytes, bytes], limit: int) -> list[tuple[bytes, bytes]]:
        """Up to `limit` (key, content) above `after` of files that lose and whose bytes the archive lacks, in order."""
        return self.database.query(_MISSING, (*after, limit))

    def loses(self, content: bytes) -> bool:
        """Whether a record with this content loses anywhere."""
        return is_losing(self.database, content)


def is_losing(database: Database, content: bytes) -> bool:
    """Whether a record with this content loses anywhere."""
    return database.one("SELECT 1 FROM losing INDEXED BY losing_by_content WHERE content = ?", (content,)) is not None


def settle_losing(database: Database, contents: Iterable[bytes]) -> None:
    """What the archive has of these contents changed."""
    database.run_many(_SETTLE, [(content,) for content in contents if content])
