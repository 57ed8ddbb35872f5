"""The list of paths whose change waits for the operator's word, in the table `held`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from protocol.paths import subtree
from syncd.core.guard import Suspicion
from syncd.store.index_database import Database

_AT_ONCE: Final = 256  # keys in one statement
_LIST: Final = "SELECT key FROM held WHERE key > ? ORDER BY key LIMIT ?"
_BELOW: Final = "SELECT 1 FROM held WHERE key >= ? AND key < ? LIMIT 1"


class Held:
    """Shares the database, its transactions and its thread with the index: what writes belongs into a transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counts: dict[Suspicion, int] | None = None  # None: not counted since the last change

    def put(self, suspects: Mapping[bytes, Suspicion]) -> None:
        """Hold these keys."""
        self._counts = None
        self._database.run_many(
            "INSERT OR REPLACE INTO held (key, why) VALUES (?, ?)", [(key, int(why)) for key, why in suspects.items()]
        )

    def drop(self, keys: Iterable[bytes]) -> None:
        """Hold them no more."""
        self._counts = None
        self._database.run_many("DELETE FROM held WHERE key = ?", [(key,) for key in keys])

    def clear(self) -> None:
        """Hold nothing."""
        self._counts = None
        self._database.run("DELETE FROM held")

    def counts(self) -> dict[Suspicion, int]:
        """How many keys are held, by reason; empty if none is."""
        if self._counts is None:
            found = self._database.query("SELECT why, count(*) FROM held GROUP BY why")
            self._counts = {Suspicion(why): number for why, number in found}
        return self._counts

    def among(self, keys: Sequence[bytes]) -> dict[bytes, Suspicion]:
        """Those of `keys` that are held, and why."""
        found: dict[bytes, Suspicion] = {}
        if self.counts():
            for start in range(0, len(keys), _AT_ONCE):
                some = keys[start : start + _AT_ONCE]
                marks = ", ".join("?" * len(some))
                rows = self._database.query(f"SELECT key, why FROM held WHERE key IN ({marks})", some)  # noqa: S608
                found.update((key, Suspicion(why)) for key, why in rows)
        return found

    def any_below(self, key: bytes) -> bool:
        """Whether a strict descendant of `key` is held."""
        return bool(self.counts()) and self._database.one(_BELOW, subtree(key)) is not None

    def list(self, after: bytes, limit: int) -> list[bytes]:
        """Up to `limit` held keys above `after`, in order."""
        return [key for (key,) in self._database.query(_LIST, (after, limit))]
