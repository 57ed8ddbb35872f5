"""Rows of an index, as one in memory would have them, and what is asked of them."""

import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import limits
from protocol.paths import subtree, to_key
from protocol.record import DIRECTORY_CONTENT, Kind, decode_record
from syncd.core.index import Need, Row, Totals
from syncd.store import index as index_module
from syncd.store.index import IndexDamaged, IndexFailed, SqliteIndex
from syncd.store.index_database import Database
from syncd.store.index_rows import list_row, pack_disk, pack_state, to_listed, to_row, to_values
from tests.core.index_contract import IndexContract
from tests.fakes.memory_index import MemoryIndex
from tests.protocol.test_record import PUBLIC
from tests.protocol.test_record import records as any_records
from tests.store.indexes import FOLDER, SEED, assert_consistent, disk, everything, record, row, shape, signed, store

LEAST = (-(1 << 63), b"")

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
        there = [(row.key, row.disk) for row in memory.span(*subtree(key)) if row.disk is not None]
        assert index.seen(*subtree(key), 99) == there
        assert index.seen(*subtree(key), 1) == there[:1]
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
