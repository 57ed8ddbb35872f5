"""What does a row cost in the index: new, changed, read; and a transaction, durable and not?"""

import sys
from collections.abc import Iterator
from typing import Final

from blake3 import blake3

from benchmarks.parts import COLUMNS, FOLDER, a_record, place, timed
from benchmarks.report import Options, Report, run
from protocol.edit import entry_of
from syncd.core.index import Disk, Need, Row
from syncd.store.index import SqliteIndex

ROWS: Final = 20_000
BATCH: Final = 1_000  # rows in a transaction


def measure(options: Options) -> Iterator[Report]:
    """One table."""
    count = 2_000 if options.tiny else ROWS
    rows = {}
    with place() as base:
        for name, needed in (("new, seen", False), ("new, needed", True)):
            made = [_row(number, 0, needed) for number in range(count)]
            indexes = iter([SqliteIndex(base / f"{needed}-{run}", FOLDER, 7) for run in range(options.runs)])
            rows[name] = timed(lambda made=made, indexes=indexes: _store(next(indexes), made), count, options.runs)
        index = SqliteIndex(base / "kept", FOLDER, 7)
        _store(index, made)
        versions = iter([[_row(number, run, False) for number in range(count)] for run in range(1, options.runs + 1)])
        rows["changed"] = timed(lambda: _store(index, next(versions)), count, options.runs)
        keys = [row.key for row in made]
        rows["read"] = timed(lambda: index.rows(keys), count, options.runs)
        for name, durable in (("transaction of one row", False), ("the same, durable", True)):
            rows[name] = timed(lambda durable=durable: _one(index, durable), 50, options.runs)
        index.close()
    binds = "SQLite's statements per row; the pages of the manifest are a fifth of it"
    yield Report("index_commit", f"{count:,} rows in transactions of {BATCH:,}, per row", binds, COLUMNS, rows, [])


def _row(number: int, version: int, needed: bool) -> Row:
    path = b"d%05d/f%07d" % (number // 100, number)
    record = a_record(path, number + 1 + version, blake3(b"%d %d" % (number, version)).digest())
    disk = None if needed else Disk(entry_of(record), number + 1, 1)
    return Row(path.replace(b"/", b"\0"), (record,), disk, Need(0, number, 4_096) if needed else None)


def _store(index: SqliteIndex, rows: list[Row]) -> None:
    for start in range(0, len(rows), BATCH):
        with index.transaction():
            index.store(rows[start : start + BATCH])


def _one(index: SqliteIndex, durable: bool) -> None:
    for number in range(50):
        with index.transaction(durable):
            index.set_meta("bench", number.to_bytes(2, "big"))


if __name__ == "__main__":
    sys.exit(run(measure, __doc__))
