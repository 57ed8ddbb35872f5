"""The Merkle pages in the table `pages`, and the leaves below them in the table `paths`."""

from collections.abc import Iterable
from typing import Final

from protocol import limits, pages
from protocol.pages import Leaf, Page, Root
from syncd.store.index_database import Database
from syncd.store.index_totals import UNPUBLISHED

_LEAVES: Final = "SELECT key, digest, weight FROM paths WHERE digest IS NOT NULL AND key >= ? AND key < ? ORDER BY key"
# A fresh index may hold a million rows that are in no manifest between two that are. The index by liveness has none of
# them; SQLite merges its three runs while they are read.
_SPARSE_LEAVES: Final = """
    SELECT key, digest, weight FROM paths INDEXED BY paths_live WHERE live = 0 AND key >= ?1 AND key < ?2 UNION ALL
    SELECT key, digest, weight FROM paths INDEXED BY paths_live WHERE live = 1 AND key >= ?1 AND key < ?2 UNION ALL
    SELECT key, digest, weight FROM paths INDEXED BY paths_live WHERE live = 2 AND key >= ?1 AND key < ?2 ORDER BY key
"""
_ANY_LEAF: Final = """
    SELECT EXISTS (SELECT 1 FROM paths INDEXED BY paths_live WHERE live = 2 AND key >= ?1 AND key < ?2)
    OR EXISTS (SELECT 1 FROM paths INDEXED BY paths_live WHERE live = 1 AND key >= ?1 AND key < ?2)
    OR EXISTS (SELECT 1 FROM paths INDEXED BY paths_live WHERE live = 0 AND key >= ?1 AND key < ?2)
"""
_PAGE_AT: Final = "SELECT first, hash, count FROM pages WHERE level = ? AND first <= ? ORDER BY first DESC LIMIT 1"
_NEXT_PAGE: Final = "SELECT first, hash, count FROM pages WHERE level = ? AND first > ? ORDER BY first LIMIT 1"
BEHIND_ALL: Final = b"\xff" * (limits.MAX_PATH + 1)  # greater than every key


class PageTable:
    """A PageStorage and a reconcile.Tree. Within a transaction, pages are those before it, leaves those of now."""

    database: Database

    def leaves(self, lo: bytes, hi: bytes | None) -> Iterable[Leaf]:
        """The leaves with lo <= key < hi, in order, read while they are asked for."""
        sparse = self.database.one("SELECT paths FROM totals WHERE what = ?", (UNPUBLISHED,))
        found = self.database.stream(_SPARSE_LEAVES if sparse else _LEAVES, (lo, BEHIND_ALL if hi is None else hi))
        return map(Leaf._make, found)

    def is_empty(self, lo: bytes, hi: bytes | None) -> bool:
        """Whether no leaf has lo <= key < hi."""
        return not self.database.one(_ANY_LEAF, (lo, BEHIND_ALL if hi is None else hi))[0]

    def pages(self, level: int, lo: bytes, hi: bytes | None) -> list[Page]:
        """The pages with lo <= first < hi, in order."""
        found = self.database.query(
            "SELECT first, hash, count FROM pages WHERE level = ? AND first >= ? AND first < ? ORDER BY first",
            (level, lo, BEHIND_ALL if hi is None else hi),
        )
        return [Page._make(values) for values in found]

    def page_at(self, level: int, key: bytes) -> Page | None:
        """The page with the greatest first <= key."""
        return self._page(_PAGE_AT, level, key)

    def next_page(self, level: int, key: bytes) -> Page | None:
        """The page with the smallest first > key."""
        return self._page(_NEXT_PAGE, level, key)

    def _page(self, statement: str, level: int, key: bytes) -> Page | None:
        found = self.database.one(statement, (level, key))
        return None if found is None else Page._make(found)

    def replace(self, level: int, lo: bytes, hi: bytes | None, pages: list[Page]) -> None:
        """Remove the pages with lo <= first < hi and put `pages`, which lie there, in their place."""
        self.database.run(
            "DELETE FROM pages WHERE level = ? AND first >= ? AND first < ?",
            (level, lo, BEHIND_ALL if hi is None else hi),
        )
        rows = [(level, *page) for page in pages]
        self.database.run_many("INSERT INTO pages (level, first, hash, count) VALUES (?, ?, ?, ?)", rows)

    def root(self) -> Root:
        """The root of the pages."""
        return pages.root(self)
