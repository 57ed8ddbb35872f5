"""The index in memory: a dictionary and a sorted list of its keys. Passes the same contract suite as the real one."""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Collection, Container, Iterable, Mapping, Sequence

from protocol.batches import Proof
from protocol.merge import Liveness, liveness, winner
from protocol.paths import ancestors, subtree, to_key, to_path
from protocol.record import Kind, Record
from syncd.core.index import Row, Totals


class MemoryIndex:
    """Implements syncd.core.index.Index."""

    def __init__(self) -> None:
        self._rows: dict[bytes, Row] = {}
        self._keys: list[bytes] = []
        self._below: dict[bytes, Counter[Liveness]] = {}
        self._meta: dict[str, bytes] = {}
        self._proofs: dict[bytes, Proof] = {}
        self.archive: Container[bytes] = ()  # contents that it has
        self._losing: dict[bytes, list[Record]] = {}

    def copy(self) -> "MemoryIndex":
        """An independent copy, as a backup would be."""
        other = MemoryIndex()
        other._rows, other._keys = dict(self._rows), list(self._keys)
        other._below = {key: Counter(counts) for key, counts in self._below.items()}
        other._meta, other._proofs, other._losing = dict(self._meta), dict(self._proofs), dict(self._losing)
        return other

    def restore(self, copy: "MemoryIndex") -> None:
        """Become what `copy` is, which is used up: as if a transaction had been undone."""
        self.__dict__.update(copy.__dict__)

    def rows(self, keys: Iterable[bytes]) -> dict[bytes, Row]:
        return {key: self._rows[key] for key in keys if key in self._rows}

    def all_rows(self) -> list[Row]:
        """Every row, in order of keys."""
        return [self._rows[key] for key in self._keys]

    def store(self, rows: Sequence[Row]) -> None:
        for row in rows:
            old = self._rows.pop(row.key, None)
            if old is None:
                insort(self._keys, row.key)
            self._count(row.key, liveness(old.state) if old else Liveness.DEAD, liveness(row.state))
            if row.state or row.disk or row.need:
                self._rows[row.key] = row
            else:
                del self._keys[bisect_left(self._keys, row.key)]

    def add(self, rows: Sequence[Row]) -> None:
        assert not self.rows([row.key for row in rows])
        assert all(len(row.state) == 1 and row.need is None for row in rows)
        self.store(rows)

    def mark_losing(self, losing: Mapping[bytes, Collection[Record]], others: Collection[bytes]) -> None:
        for key in others:
            self._losing.pop(key, None)
        self._losing.update((key, list(records)) for key, records in losing.items())

    def losing(self, after: bytes, limit: int) -> list[bytes]:
        """Up to `limit` keys above `after` at which records lose, in order."""
        return sorted(key for key in self._losing if key > after)[:limit]

    def _count(self, key: bytes, before: Liveness, after: Liveness) -> None:
        if before == after:
            return
        for above in map(to_key, ancestors(to_path(key))):
            counts = self._below.setdefault(above, Counter())
            counts[before] -= 1
            counts[after] += 1

    def liveness_below(self, key: bytes) -> Liveness:
        counts = self._below.get(key, Counter())
        return next((level for level in (Liveness.USER, Liveness.FOUND) if counts[level] > 0), Liveness.DEAD)

    def found_below(self, key: bytes) -> list[bytes]:
        return [row.key for row in self.span(*subtree(key)) if liveness(row.state) == Liveness.FOUND]

    def span(self, low: bytes, high: bytes | None, limit: int = 1 << 62) -> list[Row]:
        first = bisect_left(self._keys, low)
        last = len(self._keys) if high is None else bisect_left(self._keys, high)
        return [self._rows[key] for key in self._keys[first : min(last, first + limit)]]

    def seen_below(self, key: bytes) -> list[bytes]:
        return [row.key for row in self.span(*subtree(key)) if row.disk]

    def needs(self, rank: int, after: tuple[int, bytes], limit: int) -> list[Row]:
        needed = [(row.need.order, row.key) for row in self._rows.values() if row.need and row.need.rank == rank]
        return [self._rows[key] for order, key in sorted(needed) if (order, key) > after][:limit]

    def archived(self, content: bytes) -> bool:
        return content in self.archive

    def totals(self) -> Totals:
        best = [winner(row.state) for row in self._rows.values()]
        sizes = [record.size for record in best if record and record.kind == Kind.FILE]
        needs: dict[int, tuple[int, int]] = {}
        for need in (row.need for row in self._rows.values() if row.need):
            paths, size = needs.get(need.rank, (0, 0))
            needs[need.rank] = paths + 1, size + need.size
        losers = sum(len({record.content for record in records}) for records in self._losing.values())
        unpublished = sum(1 for row in self._rows.values() if not row.state)
        return Totals(len(sizes), sum(sizes), needs, losers, unpublished)

    def meta(self, name: str) -> bytes | None:
        return self._meta.get(name)

    def set_meta(self, name: str, value: bytes | None) -> None:
        if value is None:
            self._meta.pop(name, None)
        else:
            self._meta[name] = value

    def proofs(self, ids: Iterable[bytes]) -> dict[bytes, Proof]:
        return {name: self._proofs[name] for name in ids if name in self._proofs}

    def store_proofs(self, proofs: dict[bytes, Proof]) -> None:
        if proofs:
            used = {record.proof for row in self._rows.values() for record in row.state}
            self._proofs = {name: proof for name, proof in self._proofs.items() if name in used} | proofs
