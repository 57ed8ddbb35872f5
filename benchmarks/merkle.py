"""What do the Merkle pages cost at a million entries? Building them, changing some, finding what differs.

On the index in SQLite, with the transactions that they are a part of.
"""

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from blake3 import blake3

from benchmarks.parts import COLUMNS, FOLDER, a_record, place, timed
from benchmarks.report import Options, Report, run
from protocol.messages import AskLeaves, AskPages
from protocol.reconcile import Pull, answer_leaves, answer_pages
from syncd.core.index import Row
from syncd.store.index import SqliteIndex

ENTRIES: Final = 1_000_000
SCATTERED: Final = 100  # entries that are changed all over the place in one transaction
BATCH: Final = 10_000  # rows in a transaction while it is built
SEED: Final = 7


def measure(options: Options) -> Iterator[Report]:
    """One table."""
    entries = 5_000 if options.tiny else ENTRIES
    with place() as base:
        one, other = (SqliteIndex(base / name, FOLDER, SEED) for name in ("one", "other"))
        rows = {"build, per entry": timed(lambda: _build(one, entries), entries, 1)}
        _copy(base, one)
        other.close()
        other = SqliteIndex(base / "other", FOLDER, SEED)
        versions = iter(range(1, 1_000_000))
        rows["change one"] = timed(lambda: _change(one, entries, 1, next(versions)), 1, 20)
        rows[f"change {SCATTERED} scattered, per entry"] = timed(
            lambda: _change(one, entries, SCATTERED, next(versions)), SCATTERED, 5
        )
        rows[f"find what differs ({SCATTERED} scattered)"] = timed(lambda: _differences(other, one), 1, 5)
        rows["find that nothing differs"] = timed(lambda: _differences(one, one), 1, 5)
        one.close()
        other.close()
    binds = "SQLite: a statement per touched page and level, and the leaves of that page"
    yield Report("merkle", f"Merkle pages of {entries:,} entries", binds, COLUMNS, rows, [])


def _row(number: int, version: int) -> Row:
    path = b"d%05d/f%07d" % (number // 100, number)
    record = a_record(path, number + 1 + version, blake3(b"%d %d" % (number, version)).digest())
    return Row(path.replace(b"/", b"\0"), (record,), None, None)


def _build(index: SqliteIndex, entries: int) -> None:
    numbers = iter(range(entries))
    while batch := list(islice(numbers, BATCH)):
        with index.transaction():
            index.store([_row(number, 0) for number in batch])


def _copy(base: Path, index: SqliteIndex) -> None:
    (base / "other").unlink()
    index.database.run("VACUUM INTO ?", (str(base / "other"),))


def _change(index: SqliteIndex, entries: int, count: int, version: int) -> None:
    with index.transaction():
        index.store([_row(number * (entries // count), version) for number in range(count)])


def _differences(mine: SqliteIndex, theirs: SqliteIndex) -> int:
    """Records asked for when `mine` pulls from `theirs`."""
    pull, found = Pull(mine, [(b"", None)], theirs.root().level), 0
    asks = pull.requests()
    while asks:
        for ask in asks:
            if isinstance(ask, AskPages):
                pages = answer_pages(theirs, ask)
                pull.on_pages(pages.id, list(pages.pages), pages.next)
            elif isinstance(ask, AskLeaves):
                leaves = answer_leaves(theirs, ask)
                pull.on_leaves(leaves.id, list(leaves.leaves), leaves.next)
            else:
                found += len(ask.keys)
                pull.on_records_end(ask.id, None)
        asks = pull.requests()
    return found


if __name__ == "__main__":
    sys.exit(run(measure, __doc__))
