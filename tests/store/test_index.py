import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import limits
from protocol.batches import Proof, proof_id, sign_batch
from protocol.certificate import CERTIFICATE_SIZE
from protocol.edit import Entry
from protocol.merge import digest, liveness
from protocol.pages import EMPTY_HASH, Leaf, Page, Root
from protocol.paths import subtree, to_key
from protocol.record import DIRECTORY_CONTENT, LINK_MODE, Kind, Record, decode_record, link_content, make_record
from syncd.core.index import Disk, Need, Row, Totals
from syncd.store import index as index_module
from syncd.store.archive import ArchivedItem
from syncd.store.contents import Contents
from syncd.store.index import (
    IndexDamaged,
    IndexFailed,
    IndexFull,
    IndexOfAnotherFolder,
    IndexTooNew,
    SqliteIndex,
)
from syncd.store.index_copies import Copy, CopyState
from syncd.store.index_database import SCHEMA_VERSION, Database
from syncd.store.index_rows import list_row, pack_disk, pack_state, to_listed, to_row, to_values
from tests.core.index_contract import IndexContract
from tests.fakes.memory_index import MemoryIndex
from tests.fakes.memory_pages import MemoryPages
from tests.protocol.test_record import PUBLIC
from tests.protocol.test_record import records as any_records

FOLDER = bytes(range(16))
SEED = 0x0123_4567_89AB_CDEF
ACTOR = b"\1" * 8
LEAST = (-(1 << 63), b"")

# ---- rows


def token(name: object) -> bytes:
    return blake3(repr(name).encode()).digest()


def record(path: bytes, counter: int = 1, kind: Kind = Kind.FILE, proof: bytes = b"", **fields) -> Record:
    """A record without context: any two of a path stand beside each other."""
    dot = (ACTOR, counter)
    by_kind = {
        Kind.FILE: {"content": token((path, counter)), "size": 10 * counter, "mode": 0o644, "mtime": counter},
        Kind.DIR: {"content": DIRECTORY_CONTENT, "mode": 0o755},
        Kind.LINK: {"target": b"to", "content": link_content(b"to"), "mode": LINK_MODE, "mtime": counter},
        Kind.DELETE: {},
    }[kind]
    common = {
        "folder_id": FOLDER, "path": path, "kind": kind, "dot": dot, "context": {}, "spares": frozenset(),
        "stamp": counter, "content_dot": dot, "content_stamp": counter, "superseded": (),
    }  # fmt: skip
    made = make_record(**{**common, **by_kind, **fields})
    made.proof = proof
    return made


def disk(content: bytes = token("seen"), size: int = 3, inode: int = 7, ctime: int = 9, **fields) -> Disk:
    entry = Entry(Kind.FILE, content, size, 0o600, 5, b"")
    return Disk(entry._replace(**fields), inode, ctime)


def row(path: bytes, *records: Record, seen: Disk | None = None, need: Need | None = None) -> Row:
    return Row(to_key(path), tuple(sorted(records, key=lambda item: item.hash)), seen, need)


def store(index: SqliteIndex, *rows: Row) -> None:
    index.begin()
    index.store(rows)
    index.commit()


def everything(index: SqliteIndex) -> list[Row]:
    return index.span(b"", None, 1 << 40)


def shape(index: SqliteIndex) -> dict[int, list[Page]]:
    found = {level: index.pages(level, b"", None) for level in range(limits.MAX_LEVELS)}
    return {level: pages for level, pages in found.items() if pages}


def built_from_scratch(rows: list[Row]) -> MemoryPages:
    pages = MemoryPages(SEED)
    weight = {row.key: len(row.key) + sum(len(record.raw) for record in row.state) for row in rows}
    pages.put([Leaf(row.key, digest(row.state), weight[row.key]) for row in rows if row.state])
    return pages


def assert_consistent(index: SqliteIndex) -> None:
    """What is derived from rows is what it would be if it were computed now."""
    rows = everything(index)
    pages = built_from_scratch(rows)
    assert list(index.leaves(b"", None)) == pages.leaves(b"", None)
    assert shape(index) == pages.shape()
    assert index.root() == pages.root()
    computed = MemoryIndex()
    computed.store(rows)
    assert index.totals() == computed.totals()
    uses = Counter(record.proof for row in rows for record in row.state if record.proof)
    assert dict(index.database.query("SELECT id, uses FROM proof_uses WHERE uses > 0")) == uses
    columns = index.database.query("SELECT key, live, weight FROM paths")
    weights = {leaf.key: leaf.weight for leaf in pages.leaves(b"", None)}
    lives = {row.key: int(liveness(row.state)) if row.state else None for row in rows}
    assert columns == [(row.key, lives[row.key], weights.get(row.key)) for row in rows]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "index.db"


@pytest.fixture
def index(path):
    with closing(SqliteIndex(path, FOLDER, SEED)) as opened:
        yield opened


# ---- the same as the index in memory


class TestContract(IndexContract):
    @pytest.fixture
    def index(self, path):
        with closing(SqliteIndex(path, FOLDER, SEED)) as opened:
            opened.begin()
            yield opened
            opened.commit()
            opened.rollback()  # forgets what it remembers
            assert_consistent(opened)


PATHS = [b"a", b"a/b", b"a/b/c", b"a/b/d", b"a/c", b"a-", b"a/b-", b"b", b"b/x", b"\xff", b"\xff\xff\xff\xff\xff/\xff"]
KINDS = st.sampled_from(Kind)
PROOFS = st.sampled_from([b"", b"p" * 16, b"q" * 16])
NEEDS = st.builds(Need, st.integers(0, 2), st.sampled_from([-5, 0, 1 << 62]), st.integers(0, 1 << 62))
DISKS = st.builds(
    disk, size=st.integers(0, limits.MAX_SIZE), inode=st.integers(0, (1 << 64) - 1),
    kind=st.sampled_from([Kind.FILE, Kind.LINK]), target=st.sampled_from([b"", b"\xff/x"]),
    mtime=st.integers(-(1 << 63), (1 << 63) - 1), ctime=st.integers(-(1 << 63), (1 << 63) - 1),
)  # fmt: skip


@st.composite
def some_rows(draw):
    path = draw(st.sampled_from(PATHS))
    counters = draw(st.lists(st.integers(1, 9), max_size=3, unique=True))
    made = [
        record(path, counter, draw(KINDS), draw(PROOFS), found=draw(st.booleans()))
        for counter in counters
    ]  # fmt: skip
    big = [item for item in made if item.kind == Kind.FILE and draw(st.booleans())]
    made = [item for item in made if item not in big]
    made += [record(path, item.dot[1], size=limits.MAX_SIZE, proof=item.proof) for item in big]
    return row(path, *made, seen=draw(st.none() | DISKS), need=draw(st.none() | NEEDS))


STEPS = st.lists(
    st.tuples(st.lists(st.lists(some_rows(), max_size=8), max_size=3), st.sampled_from("ccrco")), max_size=5
)


def assert_same(index: SqliteIndex, memory: MemoryIndex) -> None:
    assert everything(index) == memory.all_rows()
    for key in map(to_key, PATHS):
        assert index.liveness_below(key) == memory.liveness_below(key)
        assert index.found_below(key) == memory.found_below(key)
        assert index.seen_below(key) == memory.seen_below(key)
        assert index.is_empty(*subtree(key)) == (not any(row.state for row in memory.span(*subtree(key))))
    assert index.rows(map(to_key, PATHS)) == memory.rows(map(to_key, PATHS))
    assert index.totals() == memory.totals()
    for rank in range(3):
        wanted = memory.needs(rank, LEAST, 5)
        assert index.needs(rank, LEAST, 5) == wanted
        assert index.needed(rank, LEAST, 5) == [(item.need.order, item.key) for item in wanted]


@settings(max_examples=20, deadline=None)
@given(STEPS)
def test_agrees_with_the_index_in_memory(steps):
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_module, "_REMEMBERED_ROWS", 5)
        patch.setattr(index_module, "_CHANGED_KEYS", 6)
        path = Path(directory, "index.db")
        index, memory = SqliteIndex(path, FOLDER, SEED), MemoryIndex()
        for batches, end in steps:
            index.begin()
            before = memory.copy()
            for batch in batches:
                index.store(batch)
                memory.store(batch)
                assert_same(index, memory)
            if end == "r":
                index.rollback()
                memory = before
            else:
                index.commit()
            if end == "o":
                index.close()
                index = SqliteIndex(path, FOLDER, SEED)
            assert_same(index, memory)
            assert_consistent(index)
        index.close()


@settings(max_examples=50)
@given(any_records(), st.sampled_from([b"", b"p" * 16]), st.none() | DISKS, st.none() | NEEDS)
def test_rows_come_back_with_all_their_fields(made, proof, seen, need):
    made.proof = proof
    stored = Row(to_key(made.path), (made,), seen, need)
    read = to_row(to_values(stored))
    assert read == stored
    checked = decode_record(made.raw, FOLDER)
    assert [getattr(read.state[0], name) for name in PUBLIC] == [getattr(checked, name) for name in PUBLIC]
    assert read.state[0].proof == proof


@settings(max_examples=25)
@given(st.lists(any_records(), max_size=4))
def test_states_of_several_records_come_back(made):
    stored = Row(b"k", tuple(made), None, None)
    read = to_row(to_values(stored))
    assert [item.raw for item in read.state] == [item.raw for item in made]


# ---- rows


def test_rows_that_are_added_leave_the_index_as_if_stored(index, tmp_path):
    proof = b"p" * 16
    rows = [row(b"%d/%03d" % (n % 7, n), record(b"%d/%03d" % (n % 7, n), n + 1, proof=proof)) for n in range(600)]
    rows = [item._replace(disk=disk(inode=n)) for n, item in enumerate(rows)]
    store(index, row(b"3/1000", record(b"3/1000"), need=Need(0, 0, 0)))
    index.begin()
    index.add(rows)
    index.commit()
    assert_consistent(index)
    with closing(SqliteIndex(tmp_path / "other.db", FOLDER, SEED)) as other:
        store(other, row(b"3/1000", record(b"3/1000"), need=Need(0, 0, 0)), *rows)
        assert everything(other) == everything(index)
        assert shape(other) == shape(index)


def test_a_row_is_not_added_twice(index):
    store(index, row(b"a", record(b"a")))
    index.begin()
    with pytest.raises(IndexFailed):
        index.add([row(b"a", record(b"a", 2))])


@given(made=st.lists(any_records(), min_size=1, max_size=3), proof=st.binary(min_size=16, max_size=16))
def test_what_is_told_of_a_path(made, proof):
    for item in made:
        item.proof = proof
    state = tuple({item.hash: item for item in made}.values())
    for seen in (None, disk(size=9), disk(kind=Kind.DIR, content=DIRECTORY_CONTENT, size=0)):
        stored = Row(b"k", state, seen, None)
        listed = to_listed(b"k", pack_state(state), None if seen is None else pack_disk(seen))
        by_row = list_row(stored)
        assert [tuple(item) for item in listed.records] == [(item.raw, item.hash, item.proof) for item in state]
        assert list(by_row.records) == list(state)
        file = seen is not None and seen.entry.kind == Kind.FILE
        assert (listed.content, listed.size) == (by_row.content, by_row.size)
        assert (listed.content, listed.size) == ((seen.entry.content, 9) if file else (b"", 0))


def test_what_is_told_of_a_span(index):
    one, two = record(b"b/1", proof=b"p" * 16), record(b"b/2", proof=b"p" * 16)
    store(index, row(b"a", seen=disk()), row(b"b/1", one, seen=disk()), row(b"b/2", two), row(b"c", record(b"c")))
    assert [item.key for item in index.listed(b"", None, 2)] == [to_key(b"b/1"), to_key(b"b/2")]
    assert [item.key for item in index.listed(to_key(b"b/2"), b"c", 9)] == [to_key(b"b/2")]
    index.database.run("UPDATE paths SET state = x'00'")
    with pytest.raises(IndexDamaged):
        index.listed(b"", None, 9)


def test_a_row_that_says_nothing_is_removed(index):
    store(index, row(b"a", record(b"a")), row(b"b", seen=disk()), row(b"c", need=Need(0, 0, 0)), row(b"d"))
    assert [item.key for item in everything(index)] == [b"a", b"b", b"c"]
    store(index, row(b"a"), row(b"b"), row(b"c"))
    assert everything(index) == []
    assert index.totals() == Totals(0, 0, {})
    assert_consistent(index)


def test_the_last_row_of_a_key_counts(index):
    store(index, row(b"a", record(b"a", 1)), row(b"a"), row(b"a", record(b"a", 2)))
    assert everything(index) == [row(b"a", record(b"a", 2))]
    assert_consistent(index)


def test_rows_of_many_keys(index):
    rows = [row(b"%05d" % number, record(b"%05d" % number)) for number in range(0, 2000, 2)]
    store(index, *rows)
    index.rollback()
    found = index.rows(b"%05d" % number for number in range(1999, -1, -1))
    assert found == {row.key: row for row in rows}


def test_span_is_limited_and_half_open(index):
    rows = [row(name, seen=disk()) for name in (b"a", b"b", b"c", b"\xff" * 255)]
    store(index, *rows)
    assert index.span(b"a", b"c", 9) == rows[:2]
    assert index.span(b"b", None, 9) == rows[1:]
    assert index.span(b"b", None, 1) == rows[1:2]


def test_needs_come_by_order_and_key_behind_a_place(index):
    wanted = [(0, 5, b"a"), (0, -3, b"b"), (0, 5, b"Z"), (1, 0, b"c"), (0, 1 << 62, b"d")]
    store(index, *[row(key, need=Need(rank, order, 1)) for rank, order, key in wanted], row(b"e", seen=disk()))
    assert [item.key for item in index.needs(0, LEAST, 9)] == [b"b", b"Z", b"a", b"d"]
    assert [item.key for item in index.needs(0, (5, b"Z"), 1)] == [b"a"]
    assert [item.key for item in index.needs(1, LEAST, 9)] == [b"c"]
    assert index.needs(2, LEAST, 9) == []


def test_what_is_only_on_the_disk_is_counted_apart(index):
    store(index, row(b"a", record(b"a"), seen=disk()), row(b"b", seen=disk()), row(b"c", seen=disk()))
    assert (index.totals().files, index.totals().unpublished) == (1, 2)
    store(index, row(b"b", record(b"b"), seen=disk()), row(b"c"))
    assert (index.totals().files, index.totals().unpublished) == (2, 0)


def test_totals_hold_more_than_a_database_integer(index, path):
    store(
        index, *[row(name, record(name, size=limits.MAX_SIZE), need=Need(3, 0, 1 << 62)) for name in (b"a", b"b", b"c")]
    )
    expected = Totals(3, 3 << 62, {3: (3, 3 << 62)})
    assert index.totals() == expected
    with closing(SqliteIndex(path, FOLDER, SEED, read_only=True)) as reader:
        assert reader.totals() == expected


def test_storing_needs_a_transaction(index):
    with pytest.raises(AssertionError):
        index.store([row(b"a", seen=disk())])


def test_small_values(index):
    assert index.meta("name") is None
    index.set_meta("name", b"\0value")
    index.set_meta("name", b"")
    assert index.meta("name") == b""
    index.set_meta("name", None)
    assert index.meta("name") is None


# ---- pages


def test_pages_do_not_depend_on_how_entries_came(index):
    chance = random.Random(7)
    names = [b"d%02d/%05d" % (number // 300, number) for number in range(6000)]
    chance.shuffle(names)
    for start in range(0, len(names), 1500):
        store(index, *[row(name, record(name)) for name in names[start : start + 1500]])
    for _ in range(5):
        some = chance.sample(names, 40)
        store(index, *[row(name, record(name, 2)) for name in some[:20]], *[row(name) for name in some[20:]])
    assert index.root().level > 0
    assert_consistent(index)


def test_rows_in_no_manifest_are_no_leaves(index):
    store(index, *[row(b"%03d" % number, seen=disk()) for number in range(300)])
    assert index.root() == Root(0, EMPTY_HASH, 0)
    assert index.is_empty(b"", None)
    store(index, row(b"100", record(b"100", kind=Kind.DELETE)), row(b"2", record(b"2", found=True)))
    assert [leaf.key for leaf in index.leaves(b"", None)] == [b"100", b"2"]
    assert not index.is_empty(b"100", b"101")
    assert not index.is_empty(b"2", None)
    assert index.is_empty(b"101", b"2")
    assert_consistent(index)
    store(index, *[row(b"%03d" % number, record(b"%03d" % number)) for number in range(300)])
    assert index.root().count == 301
    assert_consistent(index)


def test_what_the_disk_holds_changes_no_page(index):
    store(index, *[row(b"%03d" % number, record(b"%03d" % number)) for number in range(200)])
    before = shape(index)
    store(index, row(b"007", record(b"007"), seen=disk(), need=Need(0, 0, 0)))
    assert shape(index) == before
    assert_consistent(index)


# ---- transactions, readers, crashes


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


def copied(path: Path, to: Path) -> Path:
    """The database as a killed process leaves it to the next one."""
    for suffix in ("", "-wal"):
        if Path(f"{path}{suffix}").exists():
            shutil.copy(f"{path}{suffix}", f"{to}{suffix}")
    return to


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
from tests.store.test_index import FOLDER, SEED, record, row
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


# ---- proofs


def signed(*names: bytes) -> tuple[bytes, Proof]:
    proof = sign_batch([token(name) for name in names], b"s" * 32, b"c" * CERTIFICATE_SIZE)
    return proof_id(proof), proof


def test_proofs_live_as_long_as_a_record_refers_to_them(index):
    (one, first), (two, second), (three, third) = signed(b"a", b"b"), signed(b"c"), signed(b"d")
    index.begin()
    index.store([row(b"a", record(b"a", 1, proof=one), record(b"a", 2, proof=two)), row(b"b", record(b"b", proof=one))])
    index.store_proofs({one: first, two: second, three: third})
    index.commit()
    assert index.proofs([one, two, three, b"?"]) == {one: first, two: second, three: third}

    def left() -> set[bytes]:
        index.begin()
        while index.collect_proofs(1):
            pass
        index.commit()
        assert_consistent(index)
        return set(index.proofs([one, two, three]))

    assert left() == {one, two}
    store(index, row(b"a", record(b"a", 2, proof=one)))
    assert left() == {one}
    store(index, row(b"a", record(b"a", 2, proof=two)))
    assert left() == {one}
    index.begin()
    index.store_proofs({two: second})
    index.commit()
    assert left() == {one, two}
    store(index, row(b"a"), row(b"b", seen=disk()))
    assert left() == set()


def test_a_proof_that_cannot_be_read(index):
    one, first = signed(b"a")
    index.store_proofs({one: first})
    index.database.run("UPDATE proofs SET raw = x'c0'")
    with pytest.raises(IndexDamaged):
        index.proofs([one])


# ---- refusals


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


def test_conflict_copies_that_are_due_and_over(index):
    losing = [record(b"a", 1), record(b"a", 2), record(b"b", 3)]
    item = ArchivedItem(b"n", b"a", Kind.FILE, 5, 0o644, 5)
    with index.transaction():
        index.mark_losing({b"a": losing[:2], b"b": losing[2:]}, [])
        Contents(index).archive_add([item], 1, contents={b"n": losing[0].content})
    due = index.copies_due((b"", b""), 9)
    assert due == [(b"a", losing[0].content)]
    assert index.copies_due(due[0], 9) == []
    copy = Copy(*due[0], b"a.copy", CopyState.COMING)
    with index.transaction():
        index.put_copies([copy])
        index.put_copies([copy._replace(state=CopyState.THERE)])
    assert index.copies() == index.copies_at(b"a") == [copy._replace(state=CopyState.THERE)]
    assert index.copies_due((b"", b""), 9) == index.copies_over(9) == index.copies_at(b"b") == []
    with index.transaction():
        Contents(index).archive_remove([b"n"])
    assert index.copies_over(9) == index.copies()
    with index.transaction():
        index.drop_copies(index.copies())
    assert index.copies() == []


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


# ---- how the database answers


def test_no_statement_reads_a_whole_table(index, monkeypatch):
    asked = {}

    def remembering(name):
        real = getattr(Database, name)

        def call(self, sql, values=()):
            asked[sql] = None if name == "run_many" else values
            return real(self, sql, values)

        return call

    rows = [
        row(b"%d/%d" % (number % 9, number), record(b"%d/%d" % (number % 9, number)), need=Need(0, 0, 0))
        for number in range(300)
    ]
    for name in ("query", "one", "stream", "run", "run_many"):
        monkeypatch.setattr(Database, name, remembering(name))
    store(index, *rows, row(b"x", seen=disk()))
    index.rollback()
    store(index, row(b"1/1"), rows[2]._replace(disk=disk()), row(b"3/3", record(b"3/3", 2, proof=b"p" * 16)))
    index.store_proofs(dict([signed(b"a")]))
    index.collect_proofs(1)
    for read in (index.liveness_below, index.found_below, index.seen_below):
        read(b"1")
    everything(index), index.needs(0, LEAST, 3), list(index.leaves(b"", b"5")), index.is_empty(b"", None), index.root()
    index.replace(7, b"", None, [])
    monkeypatch.undo()
    assert len(asked) > 20
    for sql, values in asked.items():
        if sql.startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "\n")):
            bound = (0,) * sql.count("?") if values is None else values
            plan = [step[3] for step in index.database.query(f"EXPLAIN QUERY PLAN {sql}", bound)]
            scans = [step for step in plan if step.startswith("SCAN") and "CONSTANT ROW" not in step]
            assert not scans or "proof_uses_none" in sql or sql.endswith("FROM totals"), (sql, plan)
            assert not any("TEMP B-TREE" in step for step in plan), (sql, plan)
