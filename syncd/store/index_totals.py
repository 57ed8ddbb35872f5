"""The sums over an index: in memory while a transaction goes on, in the table `totals` with its commit."""

from typing import Final

from syncd.core.index import Need, Totals
from syncd.store.index_database import Database

LIVE_FILES: Final = -1
UNPUBLISHED: Final = -2  # rows that are in no manifest


class RunningTotals:
    """{what: (paths, bytes)}, as in the table. Sums that are zero are left out."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stored: dict[int, tuple[int, int]] = {}
        self._sums: dict[int, tuple[int, int]] = {}
        self.reload()

    def reload(self) -> None:
        """Take what the database holds."""
        found = self._database.query("SELECT what, paths, bytes FROM totals")
        self._sums = {what: (paths, int(size)) for what, paths, size in found}
        self._stored = dict(self._sums)

    def add(self, what: int, paths: int, size: int) -> None:
        """Count paths and their bytes in, or out by negative numbers."""
        known, total = self._sums.get(what, (0, 0))
        self._sums[what] = known + paths, total + size

    def move(self, old: Need | None, new: Need | None) -> None:
        """A path's need changed."""
        if old is not None:
            self.add(old.rank, -1, -old.size)
        if new is not None:
            self.add(new.rank, 1, new.size)

    def save(self) -> None:
        """Write what changed to the database."""
        for what, sums in list(self._sums.items()):
            if sums == (0, 0):
                del self._sums[what]
        gone = [(what,) for what in self._stored.keys() - self._sums.keys()]
        changed = [(what, sums) for what, sums in self._sums.items() if self._stored.get(what) != sums]
        if gone:
            self._database.run_many("DELETE FROM totals WHERE what = ?", gone)
        if changed:
            rows = [(what, paths, str(size)) for what, (paths, size) in changed]
            self._database.run_many("INSERT OR REPLACE INTO totals (what, paths, bytes) VALUES (?, ?, ?)", rows)
        self._stored = dict(self._sums)

    def totals(self) -> Totals:
        """The sums as of now."""
        files, size = self._sums.get(LIVE_FILES, (0, 0))
        needs = {what: sums for what, sums in self._sums.items() if what >= 0 and sums[0]}
        unpublished, _ = self._sums.get(UNPUBLISHED, (0, 0))
        return Totals(files, size, needs, unpublished=unpublished)
