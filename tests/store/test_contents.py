from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.content import Block, assemble, build_segments
from protocol.limits import SMALL_FILE
from protocol.record import DIRECTORY_CONTENT, Kind
from syncd.core.index import Need
from syncd.store.archive import ArchivedItem
from syncd.store.contents import Contents
from syncd.store.index import SqliteIndex
from syncd.store.index_archive import Archived
from tests.store.indexes import FOLDER, SEED, disk, everything, record, row, store, token

KEY = b"k" * 32
BLOCK = 65_536


@pytest.fixture
def contents(index):
    return Contents(index)


def made(names: list[object]) -> tuple[bytes, int, dict[bytes, bytes], list[Block]]:
    """What `put` takes, for a file of blocks of these names; None is a hole."""
    listed = [(None if name is None else token(name), BLOCK) for name in names]
    content_id, segments = build_segments(KEY, listed)
    size = BLOCK * len(names)
    return content_id, size, segments, assemble(content_id, segments.get, size)


def tables(index: SqliteIndex) -> dict[str, list[tuple]]:
    names = ("contents", "segments", "content_segments", "blocks")
    return {name: sorted(index.database.query(f"SELECT * FROM {name}")) for name in names}


# ---- block lists


def test_a_block_list_comes_back(contents):
    content_id, size, segments, blocks = made(["a", None, "b", "a"])
    contents.put(content_id, size, segments, blocks)
    assert contents.block_list(content_id) == blocks
    assert {name: contents.segment(name) for name in segments} == segments
    assert contents.block_list(b"?" * 32) is None
    assert contents.segment(b"?" * 32) is None


def test_a_content_of_one_block_has_no_list(index, contents):
    contents.put(token("small"), SMALL_FILE, {}, [Block(token("small"), 0, SMALL_FILE)])
    assert contents.block_list(token("small")) is None
    assert not any(tables(index).values())


def test_a_list_with_a_missing_segment_is_none(index, contents):
    content_id, size, segments, blocks = made(range(2000))
    assert len(segments) > 2
    contents.put(content_id, size, segments, blocks)
    index.database.run("DELETE FROM segments WHERE id <> ?", (content_id,))
    assert contents.block_list(content_id) is None


def test_putting_twice_is_putting_once(index, contents):
    item = made(["a", "b"])
    contents.put(*item)
    before = tables(index)
    contents.put(*item)
    assert tables(index) == before


# ---- what is where


def test_blocks_are_found_in_every_content_that_has_them(contents):
    first, second = made(["a", None, "b", "a"]), made(["c", "b"])
    contents.put(*first)
    contents.put(*second)
    assert contents.find_block(token("a")) == [(first[0], 0, BLOCK), (first[0], 3 * BLOCK, BLOCK)]
    assert set(contents.find_block(token("b"))) == {(first[0], 2 * BLOCK, BLOCK), (second[0], BLOCK, BLOCK)}
    assert contents.find_block(token("d")) == []


def test_what_is_everywhere_is_listed_a_few_times(index, contents):
    contents.put(*made(["a", "b"] * 50))
    store(index, *[row(b"%d" % number, seen=disk(token("same"))) for number in range(100)])
    assert 1 < len(contents.find_block(token("a"))) < 50
    assert 1 < len(contents.files_with(token("same"))) < 50


def test_files_are_found_by_their_content(index, contents):
    same, other = disk(token("same")), disk(token("same")[:8] + bytes(24))
    link = disk(token("link"), kind=Kind.LINK, target=b"to")
    directory = disk(DIRECTORY_CONTENT, kind=Kind.DIR)
    store(index, row(b"a", seen=same), row(b"b", record(b"b"), seen=same), row(b"c", seen=other))
    store(index, row(b"d", seen=directory), row(b"e", seen=link))
    assert contents.files_with(token("same")) == [(b"a", same), (b"b", same)]
    assert contents.find_block(token("same")) == [(token("same"), 0, same.entry.size)]
    assert contents.files_with(DIRECTORY_CONTENT) == []
    assert contents.files_with(token("link")) == []
    store(index, row(b"c", seen=disk(token("long"), SMALL_FILE + 1)))
    assert len(contents.files_with(token("long"))) == 1
    assert contents.find_block(token("long")) == []
    store(index, row(b"a", seen=other), row(b"b", record(b"b")))
    assert contents.files_with(token("same")) == []


def test_searching_may_be_deferred(index, contents, tmp_path):
    schema = "SELECT sql FROM sqlite_master WHERE name = 'paths_seen'"
    ((before,),) = index.database.query(schema)
    contents.defer_search()
    items = [made([number, "common"]) for number in range(5)]
    index.begin()
    for item in items:
        contents.put(*item)
    index.store([row(b"a", seen=disk(token("same")))])
    index.commit()
    with closing(SqliteIndex(tmp_path / "index.db", FOLDER, SEED, read_only=True)) as reader:
        library = Contents(reader)
        for place in (contents, library):
            assert not place.searchable
            assert place.files_with(token("same")) == place.find_block(token("common")) == []
            assert place.block_list(items[0][0]) == items[0][3]
        assert not contents.forget(items[0][0])
        steps = 1
        while not contents.build_search(2):
            steps += 1
        assert steps == 4
        for place in (contents, library):
            assert place.searchable
            assert len(place.files_with(token("same"))) == 1
            assert {found[0] for found in place.find_block(token("common"))} == {item[0] for item in items}
    assert contents.build_search(2)
    assert index.database.query(schema) == [(before,)]


def test_a_rollback_takes_the_search_away(index, contents):
    contents.defer_search()
    store(index, row(b"a", seen=disk(token("same"))))
    index.begin()
    assert contents.build_search(1)
    assert contents.files_with(token("same"))
    index.rollback()
    assert contents.files_with(token("same")) == []
    assert contents.build_search(1)
    assert contents.files_with(token("same"))


def test_searching_reads_no_whole_table(index, contents):
    said = []
    store(index, row(b"a", seen=disk(token("same"))))
    contents.put(*made(["a", "b"]))
    contents.archive_add([item(b"n")], 1)
    index.database._connection.set_trace_callback(said.append)
    contents.find_block(token("same"))
    contents.forget(token("same"))
    contents.forget(made(["a", "b"])[0])
    contents.archive_list()
    contents.archive_find_content(token("same"))
    index.database._connection.set_trace_callback(None)
    assert len(said) > 10
    for statement in said:
        plan = [step[3] for step in index.database.query(f"EXPLAIN QUERY PLAN {statement}")]
        assert not any(step.startswith("SCAN") for step in plan), (statement, plan)


def test_a_deferred_list_that_does_not_fit_is_passed_over(index, contents):
    contents.defer_search()
    content_id, size, segments, blocks = made(["a", "b"])
    contents.put(content_id, size + 1, segments, blocks)
    while not contents.build_search(1):
        pass
    assert contents.find_block(token("a")) == []


# ---- forgetting


def test_what_a_file_holds_a_path_needs_or_the_archive_has_is_kept(index, contents):
    item = made(["a", "b"])
    content_id, size = item[:2]
    wanted = record(b"p", content=content_id, size=size)
    uses = {
        "file": lambda: store(index, row(b"p", wanted, seen=disk(content_id, size))),
        "need": lambda: store(index, row(b"p", wanted, need=Need(0, 0, size))),
        "need of a path that was seen": lambda: store(index, row(b"p", wanted, seen=disk(), need=Need(0, 0, 1))),
        "archive": lambda: contents.archive_add(
            [ArchivedItem(b"n", b"p", Kind.FILE, size, 0, 0)], 1, "", {b"n": content_id}
        ),
    }
    ends = {
        "other content": lambda: store(index, row(b"p", wanted, seen=disk())),
        "other winner": lambda: store(index, row(b"p", record(b"p", 2), need=Need(0, 0, 1))),
        "small winner": lambda: store(
            index, row(b"p", record(b"p", 3, content=content_id, size=9), need=Need(0, 0, 1))
        ),
        "nothing": lambda: store(index, row(b"p")),
    }
    for use in uses.values():
        for end in ends.values():
            contents.put(*item)
            use()
            assert not contents.forget(content_id)
            assert contents.block_list(content_id) == item[3]
            contents.archive_remove([b"n"])
            end()
            assert contents.forget(content_id)
            assert not any(tables(index).values())
            index.rollback()


def test_forgetting_what_is_not_there(contents):
    assert contents.forget(token("nothing"))


def test_shared_segments_stay(index, contents):
    names = list(range(3000))
    first, second = made(names), made([*names, "more"])
    assert first[2].keys() & second[2].keys()
    contents.put(*second)
    before = tables(index)
    contents.put(*first)
    assert contents.forget(first[0])
    assert tables(index) == before
    assert contents.block_list(second[0]) == second[3]
    assert contents.forget(second[0])
    assert not any(tables(index).values())


def test_collecting_goes_round_in_steps(index, contents):
    items = [made([number, "x"]) for number in range(7)]
    for item in items:
        contents.put(*item)
    store(index, row(b"a", seen=disk(items[3][0])))
    fetched = {items[5][0]}
    assert [contents.collect(3, fetched) for _ in range(3)] == [3, 1, 1]
    assert contents.collect(3) == 1
    left = [item[0] for item in items if contents.block_list(item[0])]
    assert left == [items[3][0]]
    assert not contents.find_block(token(5))


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("pf"), st.integers(0, 3)), max_size=12))
def test_what_is_forgotten_leaves_nothing(tmp_path_factory, steps):
    items = [made(list(range(300 * number, 900 + 100 * number))) for number in range(4)]
    directory = tmp_path_factory.mktemp("contents")
    with closing(SqliteIndex(directory / "index.db", FOLDER, SEED)) as index:
        contents, kept = Contents(index), set()
        index.begin()
        for step, number in steps:
            if step == "p":
                contents.put(*items[number])
                kept.add(number)
            else:
                contents.forget(items[number][0])
                kept.discard(number)
        assert [contents.block_list(item[0]) for item in items] == [
            item[3] if number in kept else None for number, item in enumerate(items)
        ]
        assert {name for (name, _) in tables(index)["segments"]} == {name for n in kept for name in items[n][2]}
        assert len(tables(index)["blocks"]) == sum(len(items[number][3]) for number in kept)


# ---- the archive


def item(name: bytes, path: bytes = b"p", size: int = 3, mtime: int = 5, kind: Kind = Kind.FILE) -> ArchivedItem:
    return ArchivedItem(name, path, kind, size, 0o640, mtime)


def test_the_archive_is_listed_by_age(contents, index):
    contents.archive_add([item(b"b"), item(b"c", b"x/y", kind=Kind.LINK)], 20, "replaced")
    contents.archive_add([item(b"a", b"\xff", size=1 << 40)], 30, "deleted", {b"a": token("a")})
    contents.archive_add([item(b"z")], 10)
    listed = [
        Archived(item(b"z"), b"", "", 10),
        Archived(item(b"b"), b"", "replaced", 20),
        Archived(item(b"c", b"x/y", kind=Kind.LINK), b"", "replaced", 20),
        Archived(item(b"a", b"\xff", size=1 << 40), token("a"), "deleted", 30),
    ]
    assert contents.archive_list() == listed
    assert contents.archive_list((20, b"b"), 1) == listed[2:3]
    assert contents.archive_size() == (4, (1 << 40) + 9)
    assert contents.archive_has(b"a")
    assert index.archived(token("a"))
    contents.archive_remove([b"a", b"z", b"?"])
    assert not index.archived(token("a"))
    assert contents.archive_list() == listed[1:3]
    assert not contents.archive_has(b"a")


def test_the_archive_lacks_what_loses_until_it_has_it(index, contents):
    a, b = record(b"p", 1), record(b"p", 2)
    link = record(b"p", 3, kind=Kind.LINK, content=token("link"), target=b"t", size=0)
    contents.archive_add([item(b"had")], 1, "", {b"had": a.content})
    index.mark_losing({b"p": [a, b, link], b"q": [b]}, [])
    start = (b"", b"")
    assert index.missing_losers(start, 9) == [(b"p", b.content), (b"q", b.content)]
    assert index.missing_losers((b"p", b.content), 9) == [(b"q", b.content)]
    contents.archive_add([item(b"n")], 1, "", {b"n": b.content})
    assert index.missing_losers(start, 9) == []
    assert contents.archive_protects(a.content)
    assert index.loses(b.content)
    contents.archive_remove([b"had"])
    assert index.missing_losers(start, 9) == [(b"p", a.content)]
    contents.archive_correct(item(b"n", size=7), a.content, "written to")
    assert {content for _, content in index.missing_losers(start, 9)} == {b.content}
    contents.archive_remove([b"n"])
    assert len(index.missing_losers(start, 9)) == 3
    index.mark_losing({}, [b"p", b"q"])
    assert not contents.archive_protects(a.content)


def test_an_item_whose_time_runs_anew_is_listed_late(contents):
    contents.archive_add([item(b"a")], 10)
    contents.archive_add([item(b"b")], 20)
    contents.archive_renew([b"a"], 30)
    assert [(age, found.item.name, found.archived_at) for age, found in contents.archive_aging((-1, b""), 9)] == [
        (20, b"b", 20), (30, b"a", 10),
    ]  # fmt: skip
    found = contents.archive_find(b"a")
    assert found is not None
    assert found.archived_at == 10
    assert contents.archive_find(b"?") is None


def test_an_item_listed_anew_replaces_the_old_one(contents):
    contents.archive_add([item(b"a")], 20)
    contents.archive_add([item(b"a", size=9)], 20, "written to later")
    assert contents.archive_list() == [Archived(item(b"a", size=9), b"", "written to later", 20)]
    assert contents.archive_size() == (1, 9)


def test_the_content_of_what_was_displaced_is_what_was_seen_there(index, contents):
    seen = disk(token("seen"), 3, mtime=5)
    store(index, row(b"p", seen=seen), row(b"d\0e", seen=seen), row(b"known", record(b"known")))
    same, elsewhere = item(b"1"), item(b"2", b"d/e")
    others = [item(b"3", size=4), item(b"4", mtime=6), item(b"5", kind=Kind.LINK), item(b"6", b"?"), item(b"7", b""),
              item(b"8", b"known")]  # fmt: skip
    contents.archive_add([same, elsewhere, *others], 1)
    assert [found.item for found in contents.archive_find_content(token("seen"))] == [same, elsewhere]
    assert [found.content for found in contents.archive_list()[2:]] == [b""] * len(others)
    assert everything(index)[0].key == b"d\0e"


@settings(max_examples=30, deadline=None)
@given(
    listed=st.lists(st.integers(0, 40), min_size=2, max_size=40),
    small=st.sets(st.integers(30, 60), max_size=10),
    kept=st.sets(st.integers(50, 80), max_size=10),
    asked=st.lists(st.integers(0, 100), max_size=600),
)
def test_which_blocks_are_here(tmp_path_factory, listed, small, kept, asked):
    with closing(SqliteIndex(tmp_path_factory.mktemp("here") / "index.db", FOLDER, SEED)) as index:
        contents = Contents(index)
        contents.put(*made(listed))
        store(index, *[row(b"small/%d" % number, seen=disk(token(number))) for number in small])
        items = [ArchivedItem(b"%d" % number, b"p", Kind.FILE, 5, 0o644, 1) for number in kept]
        contents.archive_add(items, 1, "displaced", {b"%d" % number: token(number) for number in kept})
        ids = [token(number) for number in asked]
        found = {id_ for id_ in ids if contents.find_block(id_) or contents.archive_find_content(id_)}
        assert contents.which_are_here(ids) == found
        assert found == {token(number) for number in asked if number in {*listed, *small, *kept}}
