"""The connection to the database of an index."""

import os
from contextlib import closing
from pathlib import Path

import pytest

from syncd.store.index_database import Database

ROWS = 4_000
WIDTH = 1_000  # bytes


@pytest.mark.parametrize("name", ["index.sqlite3", "it's/index.sqlite3"])
def test_what_is_sorted_goes_beside_the_index(tmp_path: Path, name: str) -> None:
    """In a container whose file system is read-only, nothing else can be written to."""
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    with closing(Database(path, read_only=False)) as database:
        assert opened_in(database) == {str(path.parent)}
    with closing(Database(path, read_only=True)) as database:
        assert opened_in(database) == {str(path.parent)}


def opened_in(database: Database) -> set[str]:
    """Where the temporary files of a sort are that memory cannot hold."""
    database.query("PRAGMA cache_size=20")
    rows = database.stream(
        "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
        "SELECT randomblob(?) AS b FROM n ORDER BY b",
        (ROWS, WIDTH),
    )
    next(rows)
    files = [os.readlink(f"/proc/self/fd/{number}") for number in list_open()]
    return {os.path.dirname(file) for file in files if os.path.basename(file).startswith("etilqs_")}


def list_open() -> list[str]:
    """Descriptors that are open, without the one that lists them."""
    return [number for number in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{number}")]
