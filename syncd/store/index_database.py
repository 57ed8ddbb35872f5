"""The SQLite database under the index: how it is opened, its transactions, and its errors by name."""

import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from typing import Any, Final
from urllib.parse import quote

SCHEMA_VERSION: Final = 3
RECONSIDER: Final = "index.reconsider"  # meta value of an index whose rows have to be thought over once
# From each earlier version to the next one. What has to be worked out from rows is left to a note in `meta`.
_UPGRADES: Final = {
    1: """
        CREATE TABLE losing (key BLOB, content BLOB, missing INTEGER, PRIMARY KEY (key, content)) WITHOUT ROWID;
        CREATE TABLE held (key BLOB PRIMARY KEY, why INTEGER NOT NULL) WITHOUT ROWID;
        CREATE INDEX losing_by_content ON losing (content);
        CREATE INDEX losing_missing ON losing (key, content) WHERE missing = 1;
        ALTER TABLE archive ADD COLUMN kept_from INTEGER NOT NULL DEFAULT 0;
        UPDATE archive SET kept_from = archived_at;
        DROP INDEX archive_by_age;
        CREATE INDEX archive_by_age ON archive (kept_from, name);
        DELETE FROM totals WHERE what = -3;
        INSERT OR REPLACE INTO meta VALUES ('index.reconsider', x'');
    """,
    2: """
        CREATE TABLE copies (
            key BLOB, content BLOB, path BLOB NOT NULL, state INTEGER NOT NULL, PRIMARY KEY (key, content)
        ) WITHOUT ROWID;
    """,
}
_MAGIC: Final = b"SQLite format 3\0"
_VERSION_OFFSET: Final = 60  # of the schema version in a database file: u32 big endian
_MEBIBYTE: Final = 1 << 20
BUSY_SECONDS: Final = 10.0  # wait for another connection that is about to finish; commits take milliseconds

# Rows are some 300 bytes and are read in runs: twice SQLite's usual page makes the tree flatter and commits cheaper.
_PAGE_SIZE: Final = 8_192
# These hold the inner pages of a million rows and the run of leaves at work. No memory mapping: it would count as
# resident memory, and a disk error would kill the process instead of raising.
_CACHE: Final = 10 * _MEBIBYTE
_READER_CACHE: Final = 4 * _MEBIBYTE
# A checkpoint costs two fsyncs and writes each page once however often it is in the log: rather few and large ones. The
# log is cut back to the limit after a large transaction blew it up.
_CHECKPOINT_AFTER: Final = 16 * _MEBIBYTE
_LOG_LIMIT: Final = 32 * _MEBIBYTE

_WRITER_PRAGMAS: Final = (
    f"page_size={_PAGE_SIZE}",  # counts for a new database only
    "journal_mode=WAL",
    "synchronous=NORMAL",
    f"cache_size=-{_CACHE // 1024}",
    f"wal_autocheckpoint={_CHECKPOINT_AFTER // _PAGE_SIZE}",
    f"journal_size_limit={_LOG_LIMIT}",
    "secure_delete=OFF",  # who may read the index may know of deleted names; zeroing doubles the writes
)
_READER_PRAGMAS: Final = ("query_only=ON", f"cache_size=-{_READER_CACHE // 1024}")

# sqlite3 searches long for an adapter whenever it binds bytes. One that does nothing is found at once: that halves the
# cost of binding, a tenth of the time to write a row.
sqlite3.register_adapter(bytes, bytes.__bytes__)

_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_FULL: Final = sqlite3.SQLITE_FULL
# What may be over by the next try: a disk that fails or is mounted read-only, somebody who holds the database.
_PASSING: Final = frozenset({
    sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PERM,
})  # fmt: skip


class IndexFailed(Exception):
    """The index cannot be read or written; the message says why."""


class IndexTooNew(IndexFailed):
    """A later version of the program made this index. Nothing in it was touched."""


class IndexDamaged(IndexFailed):
    """The database does not hold what was written to it. Remove it, and the node starts with a fresh one."""


class IndexUnavailable(IndexFailed):
    """The index cannot be used now; another try may find it well. Nothing of the transaction was kept."""


class IndexFull(IndexUnavailable):
    """There is no space left for the index."""


class IndexOfAnotherFolder(IndexFailed):
    """The database belongs to a folder with another secret."""


class Database:
    """One connection. A writer creates what is missing; a reader needs an existing database.

    Used by one thread at a time. All failures are raised as IndexFailed or one of its kinds.
    """

    def __init__(self, path: str | os.PathLike[str], *, read_only: bool) -> None:
        self.path = os.fspath(path)
        self.read_only = read_only
        self._data_version = 0
        _refuse_newer(_version_in_header(self.path))
        if not read_only:
            _create_private(self.path)
        try:
            # The driver's worker thread need not be the one that opened the index.
            self._connection = sqlite3.connect(
                f"file:{quote(os.path.abspath(self.path))}?mode=rw",
                uri=True,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
        except sqlite3.Error as error:
            raise _failure(self.path, error) from error
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        # The version may be in the log only, if the database was created just before the machine went down.
        version = self.query("PRAGMA user_version")[0][0]
        _refuse_newer(version)
        if not self.read_only:
            self._keep_temporary_files_here()
        for pragma in _READER_PRAGMAS if self.read_only else _WRITER_PRAGMAS:
            self.query(f"PRAGMA {pragma}")
        if self.query("PRAGMA journal_mode") != [("wal",)]:
            raise IndexFailed(f"{self.path}: no shared memory there; the index needs a local file system")
        schema = files("syncd.store").joinpath("schema.sql").read_text("utf-8")
        if version == 0 and not self.read_only:
            self.script(f"BEGIN IMMEDIATE; {schema} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")
        elif not self.read_only:
            for older in range(version, SCHEMA_VERSION):
                self.script(f"BEGIN IMMEDIATE; {_UPGRADES[older]} PRAGMA user_version={older + 1}; COMMIT;")
        tables = {name for (name,) in self.query("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables.issuperset(re.findall(r"CREATE TABLE (\w+)", schema)):
            raise IndexDamaged(f"{self.path}: a database without the tables of an index")

    def _keep_temporary_files_here(self) -> None:
        """What SQLite sorts goes beside the index: /var/tmp and /tmp are closed in a container that is read-only.

        SQLite looks at its environment once, when it is imported, so a variable would come too late. This counts for
        all connections of the process; where it is compiled out, the usual places are used.
        """
        place = os.path.dirname(os.path.abspath(self.path)).replace("'", "''")
        self.query(f"PRAGMA temp_store_directory='{place}'")

    # ---- statements

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """All rows of a statement."""
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise _failure(self.path, error) from error

    def one(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """The first row of a statement, or None."""
        try:
            return self._connection.execute(sql, values).fetchone()
        except sqlite3.Error as error:
            raise _failure(self.path, error) from error

    def stream(self, sql: str, values: Sequence[Any] = ()) -> Iterator[Any]:
        """The rows of a statement, read while they are asked for."""
        try:
            yield from self._connection.execute(sql, values)
        except sqlite3.Error as error:
            raise _failure(self.path, error) from error

    def run(self, sql: str, values: Sequence[Any] = ()) -> None:
        """Execute a statement that changes something."""
        try:
            self._connection.execute(sql, values)
        except sqlite3.Error as error:
            raise _failure(self.path, error) from error

    def run_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute a statement once for each of `rows`."""
        try:
            self._connection.executemany(sql, rows)
        except sqlite3.Error as error:
            raise _failure(self.path, error) from error

    def script(self, sql: str) -> None:
        """Several statements."""
        try:
            self._connection.executescript(sql)
        except sqlite3.Error as error:
            raise _failure(self.path, error) from error

    # ---- transactions

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._connection.in_transaction

    def changed_by_others(self) -> bool:
        """Whether another connection committed a change since this was asked last."""
        before, self._data_version = self._data_version, self.query("PRAGMA data_version")[0][0]
        return before != self._data_version

    def begin(self) -> None:
        """Open a transaction: a writer's is the only one of its kind, a reader sees one state until it ends it."""
        self.run("BEGIN" if self.read_only else "BEGIN IMMEDIATE")

    def commit(self, durable: bool) -> None:
        """End the transaction. durable: return only when it would survive a loss of power."""
        self.run("COMMIT")
        if durable:
            self._sync()

    def _sync(self) -> None:
        # SQLite does not let a transaction change how it will be synced once it has begun. The log is one file: syncing
        # it with another small transaction makes all before that one durable, too.
        self.query("PRAGMA synchronous=FULL")
        try:
            self.run("INSERT INTO meta VALUES ('index.synced', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1")
        finally:
            self.query("PRAGMA synchronous=NORMAL")

    def mend(self) -> None:
        """Make sure that the database can be written, durably, after a failure.

        A log that could not be synced is worthless from there on, though later syncs may succeed: its pages are carried
        over to the database, and it begins anew.
        """
        self.query("PRAGMA wal_checkpoint(TRUNCATE)")
        self._sync()

    def rollback(self) -> None:
        """Undo the transaction, if one is open: SQLite itself may have ended it when the disk was full."""
        if self._connection.in_transaction:
            self.run("ROLLBACK")

    def close(self) -> None:
        """Close the connection; an open transaction is undone."""
        self._connection.close()


def _version_in_header(path: str) -> int:
    """The schema version in the file, read without SQLite: that one would tidy up beside the file."""
    try:
        with open(path, "rb") as file:
            header = file.read(_VERSION_OFFSET + 4)
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise IndexFailed(f"{path}: {error.strerror}") from error
    if len(header) < _VERSION_OFFSET + 4 or not header.startswith(_MAGIC):
        return 0
    return int.from_bytes(header[_VERSION_OFFSET:], "big")


def _refuse_newer(version: int) -> None:
    if version > SCHEMA_VERSION:
        raise IndexTooNew(f"index of schema {version}, this program knows {SCHEMA_VERSION}: use a newer syncd")


def _create_private(path: str) -> None:
    """An index names every file of the folder; SQLite gives the log the permissions of the database."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise IndexFailed(f"{path}: {error.strerror}") from error


def _failure(path: str, error: sqlite3.Error) -> IndexFailed:
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if code is not None else None
    if primary in _DAMAGED:
        return IndexDamaged(f"{path}: {error}")
    if primary == _FULL:
        return IndexFull(f"{path}: {error}")
    if primary in _PASSING:
        return IndexUnavailable(f"{path}: {error}")
    return IndexFailed(f"{path}: {error}")
