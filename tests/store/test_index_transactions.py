"""What of an index survives a transaction that did not end, and what other readers and writers see."""

import os
import random
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from syncd.core.index import Need
from syncd.store.index import IndexFailed, IndexFull, SqliteIndex
from tests.store.indexes import FOLDER, SEED, assert_consistent, copied, disk, everything, record, row, shape, store


def test_rollback_restores_all(index):
    store(index, row(b"a", record(b"a", proof=b"p" * 16), need=Need(0, 0, 5)))
    before = everything(index), index.totals(), shape(index)
    index.begin()
    index.store([row(b"a", record(b"a", 2)), row(b"b", seen=disk(), need=Need(1, 0, 0))])
    index.rollback()
    index.rollback()
    assert (everything(index), index.totals(), shape(index)) == before
    assert_consistent(index)


def test_a_reader_sees_the_latest_commit_or_one_state(index, path):
    store(index, row(b"a", record(b"a")))
    with closing(SqliteIndex(path, FOLDER, SEED, read_only=True)) as reader:
        reader.begin()
        before = everything(reader), reader.root(), reader.totals()
        index.begin()
        index.store([row(b"b", record(b"b"))])
        assert (everything(reader), reader.root(), reader.totals()) == before
        index.commit()
        assert (everything(reader), reader.root(), reader.totals()) == before
        reader.commit()
        assert (everything(reader), reader.root(), reader.totals()) == (everything(index), index.root(), index.totals())
        assert reader.root().count == 2
        assert reader.rows([b"a", b"b"]).keys() == {b"a", b"b"}
        with pytest.raises(IndexFailed, match="readonly"):
            reader.set_meta("name", b"")


def test_another_thread_may_take_over(index, path):
    with ThreadPoolExecutor(1) as writer, ThreadPoolExecutor(1) as reader:
        writer.submit(store, index, row(b"a", record(b"a"))).result()
        other = SqliteIndex(path, FOLDER, SEED, read_only=True)
        assert reader.submit(everything, other).result() == everything(index)
        other.close()


def test_another_writer_is_noticed(index, path):
    store(index, row(b"a", seen=disk(), need=Need(0, 0, 1)))
    with closing(SqliteIndex(path, FOLDER, SEED)) as other:
        store(other, row(b"a", record(b"a"), seen=disk()), row(b"b", record(b"b")))
    store(index, row(b"a", record(b"a", 2), seen=disk()), row(b"c", seen=disk()))
    assert_consistent(index)


def test_an_open_transaction_leaves_nothing_behind(index, path, tmp_path):
    store(index, row(b"a", record(b"a")))
    before = everything(index), index.totals(), shape(index)
    index.database.query("PRAGMA cache_size=2")  # what does not fit goes to the log before the commit
    index.begin()
    index.store([row(b"%04d" % number, record(b"%04d" % number)) for number in range(2000)])
    with closing(SqliteIndex(copied(path, tmp_path / "copy.db"), FOLDER, SEED)) as opened:
        assert (everything(opened), opened.totals(), shape(opened)) == before
    index.commit()
    with closing(SqliteIndex(copied(path, tmp_path / "other.db"), FOLDER, SEED)) as opened:
        assert len(everything(opened)) == 2001
        assert_consistent(opened)


def test_whatever_of_the_log_survives_is_one_commit(index, path, tmp_path):
    states = [everything(index)]
    for number in range(6):
        rows = [row(b"%04d" % place, record(b"%04d" % place, number + 1)) for place in range(number, 60, number + 1)]
        store(index, *rows)
        states.append(everything(index))
    log = Path(f"{copied(path, tmp_path / 'copy.db')}-wal").read_bytes()
    seen = set()
    chance = random.Random(3)
    for _ in range(15):
        target = copied(path, tmp_path / "torn.db")
        Path(f"{target}-wal").write_bytes(log[: chance.randrange(len(log))])
        try:
            with closing(SqliteIndex(target, FOLDER, SEED)) as opened:
                seen.add(states.index(everything(opened)))
                assert_consistent(opened)
        finally:
            for leftover in tmp_path.glob("torn.db*"):
                leftover.unlink()
    assert len(seen) > 1


_KILLED = """
import os, signal, sys
from pathlib import Path
from syncd.store.index import SqliteIndex
from tests.store.indexes import FOLDER, SEED, record, row
index = SqliteIndex(sys.argv[1], FOLDER, SEED)
for number in range(3):
    index.begin()
    index.store([row(b"%d" % number, record(b"%d" % number))])
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    index.commit(durable=number == 1)
"""


def test_a_killed_process(path):
    root = Path(__file__).parents[2]
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, path], cwd=root, env={**os.environ, "PYTHONPATH": str(root)}
    )
    assert killed.returncode == -signal.SIGKILL
    with closing(SqliteIndex(path, FOLDER, SEED)) as opened:
        assert [item.key for item in everything(opened)] == [b"0", b"1"]
        assert_consistent(opened)


def test_a_durable_commit_syncs_the_log_behind_it(index):
    said = []
    index.begin()
    index.store([row(b"a", seen=disk())])
    index.database._connection.set_trace_callback(said.append)
    index.commit(durable=True)
    index.database._connection.set_trace_callback(None)
    steps = ["COMMIT", "PRAGMA synchronous=FULL", "INSERT INTO meta", "PRAGMA synchronous=NORMAL"]
    assert [step for line in said for step in steps if line.startswith(step)] == steps
    assert index.database.query("PRAGMA synchronous") == [(1,)]


def test_a_full_disk(index):
    store(index, row(b"a", record(b"a")))
    before = everything(index), index.totals(), shape(index)
    (pages,) = index.database.one("PRAGMA page_count")
    index.database.query(f"PRAGMA max_page_count={pages + 2}")
    index.begin()
    with pytest.raises(IndexFull):
        index.store([row(b"%03d" % number, record(b"%03d" % number)) for number in range(500)])
    index.rollback()
    assert (everything(index), index.totals(), shape(index)) == before
    assert_consistent(index)
