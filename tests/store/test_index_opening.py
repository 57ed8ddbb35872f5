"""Which indexes are opened: of what schema, of which folder, and not damaged."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from syncd.store.index import IndexDamaged, IndexFailed, IndexOfAnotherFolder, IndexTooNew, SqliteIndex
from syncd.store.index_database import SCHEMA_VERSION
from tests.store.indexes import FOLDER, SEED, copied, disk, everything, record, row, store


def listing(path: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in path.parent.iterdir()}


def test_a_newer_schema_is_refused_and_not_touched(path):
    SqliteIndex(path, FOLDER, SEED).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    before = listing(path)
    for read_only in (False, True):
        with pytest.raises(IndexTooNew, match="newer"):
            SqliteIndex(path, FOLDER, SEED, read_only=read_only)
    assert listing(path) == before


def test_a_newer_schema_that_is_in_the_log_only(path, tmp_path):
    with closing(SqliteIndex(path, FOLDER, SEED)) as index:
        index.database.query(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
        with pytest.raises(IndexTooNew):
            SqliteIndex(copied(path, tmp_path / "copy.db"), FOLDER, SEED)


def test_an_index_of_the_first_schema_is_brought_up_to_date(path):
    with closing(SqliteIndex(path, FOLDER, SEED)) as index:
        with index.transaction():
            index.store([row(b"a", record(b"a"))])
        root = index.root()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("""
            DROP TABLE losing;
            DROP TABLE held;
            DROP TABLE copies;
            DROP INDEX archive_by_age;
            ALTER TABLE archive DROP COLUMN kept_from;
            CREATE INDEX archive_by_age ON archive (archived_at, name);
            INSERT INTO archive VALUES ('n', 'p', 0, 3, 420, 5, 'c', 'why', 77);
            PRAGMA user_version=1;
        """)
    with closing(SqliteIndex(path, FOLDER, SEED)) as index:
        assert index.database.query("PRAGMA user_version") == [(SCHEMA_VERSION,)]
        assert index.meta("index.reconsider") == b""
        assert index.losing(b"", 9) == []
        assert index.root() == root
        assert index.database.query("SELECT kept_from FROM archive") == [(77,)]
        upgraded = index.database.query("SELECT name, type FROM sqlite_master ORDER BY name")
    with closing(SqliteIndex(path.with_name("new.db"), FOLDER, SEED)) as index:
        assert index.database.query("SELECT name, type FROM sqlite_master ORDER BY name") == upgraded


def test_an_index_without_conflict_copies_is_brought_up_to_date(path):
    with closing(SqliteIndex(path, FOLDER, SEED)) as index:
        store(index, row(b"a", record(b"a")))
        root = index.root()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("DROP TABLE copies; PRAGMA user_version=2;")
    with closing(SqliteIndex(path, FOLDER, SEED)) as index:
        assert index.database.query("PRAGMA user_version") == [(SCHEMA_VERSION,)]
        assert (index.root(), index.copies()) == (root, [])
        assert index.meta("index.reconsider") is None
        upgraded = index.database.query("SELECT name, type FROM sqlite_master ORDER BY name")
    with closing(SqliteIndex(path.with_name("new.db"), FOLDER, SEED)) as index:
        assert index.database.query("SELECT name, type FROM sqlite_master ORDER BY name") == upgraded


def test_another_folder_is_refused(index, path):
    for read_only in (False, True):
        with pytest.raises(IndexOfAnotherFolder):
            SqliteIndex(path, b"x" * 16, SEED, read_only=read_only)


def test_a_reader_makes_nothing(path):
    with pytest.raises(IndexFailed):
        SqliteIndex(path, FOLDER, SEED, read_only=True)
    assert not path.exists()


def test_a_place_that_cannot_be_written(tmp_path):
    with pytest.raises(IndexFailed, match="No such file"):
        SqliteIndex(tmp_path / "missing" / "index.db", FOLDER, SEED)
    with pytest.raises(IndexFailed, match="directory"):
        SqliteIndex(tmp_path, FOLDER, SEED)


def test_others_may_not_read_it(index, path):
    store(index, row(b"a", seen=disk()))
    assert {entry.name: entry.stat().st_mode & 0o777 for entry in path.parent.iterdir()} == {
        "index.db": 0o600, "index.db-wal": 0o600, "index.db-shm": 0o600,
    }  # fmt: skip


def test_no_shared_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("syncd.store.index_database._WRITER_PRAGMAS", ("journal_mode=DELETE",))
    with pytest.raises(IndexFailed, match="local file system"):
        SqliteIndex(tmp_path / "index.db", FOLDER, SEED)


@pytest.mark.parametrize("content", [b"no database at all" * 500, b"SQLite format 3\0" + bytes(4080)])
def test_a_file_that_is_no_database(path, content):
    path.write_bytes(content)
    with pytest.raises(IndexDamaged):
        SqliteIndex(path, FOLDER, SEED)


def test_a_database_without_our_tables(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"CREATE TABLE t (a); PRAGMA user_version={SCHEMA_VERSION}")
    with pytest.raises(IndexDamaged):
        SqliteIndex(path, FOLDER, SEED)


def test_damaged_pages(path):
    with closing(SqliteIndex(path, FOLDER, SEED)) as index:
        store(index, *[row(b"%04d" % number, record(b"%04d" % number)) for number in range(1000)])
    sound = path.read_bytes()
    path.write_bytes(sound[: 8192 * 12] + b"\x5a" * (len(sound) - 8192 * 12))
    with pytest.raises(IndexDamaged), closing(SqliteIndex(path, FOLDER, SEED)) as index:
        everything(index)


DAMAGES = [
    "state = x''",
    "state = digest",
    "state = substr(state, 1, 24)",
    "state = substr(state, 1, 60)",
    "state = CAST(substr(state, 1, 40) || x'55' || substr(state, 42) AS BLOB)",
    "digest = zeroblob(32)",
    "disk = x'00'",
]


@pytest.mark.parametrize("change", DAMAGES)
def test_damaged_rows(index, change):
    store(index, row(b"a", record(b"a"), seen=disk()), row(b"b", record(b"b", 1), record(b"b", 2), seen=disk()))
    index.database.run(f"UPDATE paths SET {change}")
    index.rollback()
    for key in (b"a", b"b"):
        with pytest.raises(IndexDamaged):
            index.rows([key])
