"""How rows are written: only what differs, in few statements, with all that is derived from rows in step."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import compress, product
from typing import Any, Final

from protocol import limits
from protocol.merge import Liveness, State, winner
from protocol.record import Kind
from syncd.core.index import Need, Row
from syncd.store.index_database import Database
from syncd.store.index_rows import Values, need_in, pack_disk, pack_record, state_in, to_values
from syncd.store.index_totals import LIVE_FILES, UNPUBLISHED, RunningTotals

_INSERT: Final = (
    "INSERT INTO paths (key, state, digest, disk, need_rank, need_order, need_size, weight, live)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
# SQLite rewrites every index whose columns a statement names, whether or not they change: so there is a statement for
# every selection of what may change, by (state, disk, need).
_CHANGES: Final = (
    "state = ?, digest = ?, weight = ?, live = ?",
    "disk = ?",
    "need_rank = ?, need_order = ?, need_size = ?",
)
_UPDATES: Final = {
    chosen: " ".join(["UPDATE paths SET", ", ".join(compress(_CHANGES, chosen)), "WHERE key = ?"])
    for chosen in product((False, True), repeat=3)
}
_SET_WANT: Final = "UPDATE paths SET want = ? WHERE key = ?"
_DELETE: Final = "DELETE FROM paths WHERE key = ?"
# Long statements insert a fifth faster than one row after the other.
_INSERTED_AT_ONCE: Final = 250
_INSERT_MANY: Final = _INSERT + ", (?, ?, ?, ?, ?, ?, ?, ?, ?)" * (_INSERTED_AT_ONCE - 1)

# Looked up for every row; as plain numbers they are bound faster, too.
_FILE: Final = int(Kind.FILE)
_DELETED: Final = int(Kind.DELETE)
_DEAD, _FOUND, _USER = int(Liveness.DEAD), int(Liveness.FOUND), int(Liveness.USER)


class Writes:
    """One batch of rows, each key once, on its way into the database."""

    def __init__(self, totals: RunningTotals) -> None:
        self.after: dict[bytes, Values | None] = {}  # what the database will hold of the rows that differ
        self.changed: list[bytes] = []  # keys whose leaf in the manifest will be another one
        self.proof_uses: Counter[bytes] = Counter()
        self._totals = totals
        self._insert: list[tuple[Any, ...]] = []
        self._update: dict[tuple[bool, bool, bool], list[list[Any]]] = defaultdict(list)
        self._set_want: list[tuple[Any, ...]] = []
        self._delete: list[tuple[Any, ...]] = []

    def plan(self, row: Row, before: Values | None) -> None:
        """Find out what to write. before: what the database holds of the path."""
        values = to_values(row)
        if values == before:
            return
        key, state, disk, need = row
        state_before = state
        if before is None:
            if not state and disk is None and need is None:
                return
            state_before = ()
            weight, live = self._count(key, state, 1)
            self._insert.append((*values, weight, live))
        elif not state and disk is None and need is None:
            state_before = state_in(before)
            self._count(key, state_before, -1)
            self._delete.append((key,))
            self.after[key] = None
        else:
            state_before = self._change(row, before, values)
        if need is not None or (before is not None and before[4] is not None):
            self._note_need(row, state_before, need_in(before))
        if values[2] != (None if before is None else before[2]):
            self.changed.append(key)
        self.after.setdefault(key, values)

    def plan_new(self, rows: Sequence[Row]) -> None:
        """Insert rows that are known, each with one record, and need nothing, at keys that have none.

        Says what `plan` says of such rows, for whole messages of a first sync.
        """
        files = size = 0
        proofs = []
        for key, (record,), disk, _ in rows:
            raw, kind, proof = record.raw, record.kind, record.proof
            if kind is Kind.FILE:
                files += 1
                size += record.size
            if proof:
                proofs.append(proof)
            live = _DEAD if kind is Kind.DELETE else _FOUND if record.found else _USER
            seen = None if disk is None else pack_disk(disk)
            state = pack_record(raw, proof)
            self._insert.append((key, state, record.hash, seen, None, None, None, len(key) + len(raw), live))
        self.changed += [row.key for row in rows]
        self.proof_uses.update(proofs)
        self._totals.add(LIVE_FILES, files, size)

    def run(self, database: Database) -> None:
        """Write it."""
        whole = len(self._insert) - len(self._insert) % _INSERTED_AT_ONCE
        for start in range(0, whole, _INSERTED_AT_ONCE):
            rows = self._insert[start : start + _INSERTED_AT_ONCE]
            database.run(_INSERT_MANY, [value for row in rows for value in row])
        database.run_many(_INSERT, self._insert[whole:])
        for chosen, changes in self._update.items():
            database.run_many(_UPDATES[chosen], changes)
        database.run_many(_SET_WANT, self._set_want)  # behind the insertion of the row that wants it
        database.run_many(_DELETE, self._delete)

    def _change(self, row: Row, before: Values, values: Values) -> State:
        """Note what differs from before; the state before."""
        chosen = before[1] != values[1], before[3] != values[3], before[4:] != values[4:]
        state_before = row.state
        cells: list[Any] = []
        if chosen[0]:
            state_before = state_in(before)
            self._count(row.key, state_before, -1)
            cells += (*values[1:3], *self._count(row.key, row.state, 1))
        if chosen[1]:
            cells.append(values[3])
        if chosen[2]:
            cells += values[4:]
        cells.append(row.key)
        self._update[chosen].append(cells)
        return state_before

    def _count(self, key: bytes, state: State, sign: int) -> tuple[int | None, int | None]:
        """Count a state in or out; its weight and liveness for the table."""
        if not state:
            self._totals.add(UNPUBLISHED, sign, 0)
            return None, None
        best = winner(state)
        assert best is not None
        if best.kind == _FILE:
            self._totals.add(LIVE_FILES, sign, sign * best.size)
        weight = len(key)
        for record in state:
            weight += len(record.raw)
            if record.proof:
                self.proof_uses[record.proof] += sign
        return weight, _DEAD if best.kind == _DELETED else _FOUND if best.found else _USER

    def _note_need(self, row: Row, state_before: State, before: Need | None) -> None:
        self._totals.move(before, row.need)
        want = _want(row.state, row.need)
        if want != _want(state_before, before):
            self._set_want.append((want, row.key))


def _want(state: State, need: Need | None) -> bytes | None:
    """The content whose block list a needed path waits for. A content of one block has none."""
    best = None if need is None else winner(state)
    if best is None or best.size <= limits.SMALL_FILE:
        return None
    return best.content
