"""What a fresh node takes in by the shortest way: just what the long way would come to."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.edit import entry_of
from protocol.limits import SMALL_FILE
from protocol.record import Kind, Record
from syncd.core import intake
from syncd.core.events import Applied, Observation, Placed, Reserve, Settle
from syncd.core.index import Disk
from tests.core.bench import Author, Bench, FakePolicy, directory, file, link

ALL = {file(n).content for n in range(100)}


def fresh_bench(**options) -> Bench:
    return Bench(fresh=True, **options)


def names(bench: Bench, *records: Record, contents=ALL) -> list[bytes]:
    return [record.path for record in bench.replica.newcomers(list(records), contents)]


def place(bench: Bench, records: list[Record], contents=ALL) -> list[Record]:
    """Place what can be placed; the rest."""
    placed = bench.replica.newcomers(records, contents)
    bench.handle(Placed([(record, Disk(entry_of(record), n + 1, n)) for n, record in enumerate(placed)], {}))
    return [record for record in records if record not in placed]


def some_site(author: Author) -> list[Record]:
    return [
        author.found(b"themes", directory()),
        author.found(b"themes/a.php", file(1)),
        author.edit(b"themes/b", directory(0o700)),
        author.edit(b"themes/b/c.php", file(2)),
        author.found(b"themes.txt", file(3)),
    ]


def test_a_new_tree_is_placed_directories_first():
    bench = fresh_bench()
    records = some_site(Author(1))
    assert names(bench, *reversed(records)) == [
        b"themes", b"themes/a.php", b"themes/b", b"themes/b/c.php", b"themes.txt",
    ]  # fmt: skip
    assert place(bench, records) == []
    assert bench.needs() == []
    assert [bench.state(record.path) for record in records] == [(record,) for record in records]
    assert {record.path: bench.row(record.path).disk.entry for record in records} == {
        record.path: entry_of(record) for record in records
    }


@pytest.mark.parametrize(
    "wrong",
    [
        Author(1).edit(b"x", None),
        Author(1).edit(b"x", link(b"to")),
        Author(1).edit(b"x", file(101)),  # its bytes are not at hand
        Author(1).edit(b"x", file(1)._replace(size=SMALL_FILE + 1)),
        Author(1).edit(b"cache", file(1)),
        Author(1).edit(b"nowhere/x", file(1)),
        Author(1).edit(b"f/x", file(1)),
        Author(1).edit(b"/".join([b"d"] * (intake.DEEPEST + 2)), file(1)),
    ],
    ids=lambda record: record.path.decode()[:12],
)
def test_what_needs_judgement_is_left(wrong):
    bench = fresh_bench(policy=FakePolicy(ignore=[b"cache"]))
    above = [Author(2).edit(b"/".join([b"d"] * n), directory()) for n in range(1, intake.DEEPEST + 2)]
    assert wrong.path not in names(bench, *above, Author(3).edit(b"f", file(2)), wrong)


def test_siblings_are_left():
    bench = fresh_bench()
    assert names(
        bench, Author(1).edit(b"x", file(1)), Author(2).edit(b"x", file(2)), Author(1).edit(b"y", file(1))
    ) == [b"y"]


def test_a_file_that_something_lies_below_is_left():
    bench = fresh_bench()
    assert names(bench, Author(1).edit(b"x", file(1)), Author(2).edit(b"x/y", file(2))) == []


def test_known_ground_is_left():
    bench = fresh_bench()
    bench.receive(Author(1).edit(b"m", file(1)))
    assert names(bench, Author(1).edit(b"a", file(1)), Author(1).edit(b"z", file(1))) == []
    assert names(bench, Author(1).edit(b"a", file(1)), Author(1).edit(b"b", file(1))) == [b"a", b"b"]


def test_below_a_directory_that_is_there():
    bench = fresh_bench()
    place(bench, [Author(1).edit(b"d", directory())])
    assert names(bench, Author(1).edit(b"d/f", file(1))) == [b"d/f"]


@pytest.mark.parametrize("seen", [None, file(7)])
def test_below_a_directory_that_is_not_there_yet_nothing_is_placed(seen):
    bench = fresh_bench()
    bench.see({b"d": seen})
    bench.receive(Author(1).edit(b"d", directory()))
    assert names(bench, Author(1).edit(b"d/f", file(1))) == []


def test_only_a_fresh_index_places_before_it_knows():
    bench = Bench()
    assert names(bench, *some_site(Author(1))) == []


def test_nothing_is_nothing():
    assert names(fresh_bench()) == []


def test_what_the_disk_cannot_hold_as_it_is_is_needed_still():
    bench = fresh_bench()
    record = Author(1).edit(b"f", file(1, mtime=5))
    bench.handle(Placed([(record, Disk(file(1, mtime=4), 1, 1))], {}))
    assert bench.plan() == [(b"f", file(1, mtime=5))]


def test_a_mode_of_local_policy_is_no_difference():
    bench = fresh_bench(policy=FakePolicy(fixed_modes=True))
    bench.handle(Placed([(Author(1).edit(b"f", file(1)), Disk(file(1, mode=0o600), 1, 1))], {}))
    assert bench.needs() == []


def test_an_own_event_that_was_forgotten_is_noticed():
    bench = fresh_bench()
    mine = Author(9)
    mine.actor, mine.counter = bench.replica.actor, 40
    effects = bench.handle(Placed([(mine.edit(b"f", file(1)), Disk(file(1), 1, 1))], {}))
    assert effects.alarms
    assert bench.replica.actor != mine.actor


# ---- settling


def test_where_nothing_strange_was_seen_nothing_is_gone_through(monkeypatch):
    bench = fresh_bench()
    place(bench, some_site(Author(1)))
    monkeypatch.setattr(bench.index, "span", None)
    assert bench.handle(Settle(b"")).resume is None
    assert not bench.replica.fresh


def test_what_was_strange_is_settled_after_a_restart_too():
    bench = fresh_bench()
    place(bench, some_site(Author(1)))
    bench.see({b"themes/own.php": file(9)})
    bench.open()
    bench.handle(Reserve())
    assert bench.said(bench.handle(Settle(b""))) == [(Kind.FILE, b"themes/own.php")]


# ---- against the long way

PATHS = (b"a", b"a/b", b"a/b/c", b"a/d", b"a-b", b"b", b"b/c")
ENTRIES = [directory(), directory(0o700), file(1), file(2), file(101), link(b"to"), None]


@given(st.lists(st.tuples(st.sampled_from(PATHS), st.sampled_from(ENTRIES), st.booleans()), max_size=9), st.integers())
def test_it_comes_to_the_same(wanted, seed):
    authors = [Author(1), Author(2)]
    draw = random.Random(seed)
    records = []
    for path, entry, found in wanted:
        author = draw.choice(authors)
        records.append(author.found(path, entry) if found and entry is not None else author.edit(path, entry))
    short, long = fresh_bench(), fresh_bench()
    cut = draw.randint(0, len(records))
    for part in (records[:cut], records[cut:]):
        rest = place(short, part)
        for bench, news in ((short, rest), (long, part)):
            if news:
                bench.receive(*news)
            for path, want in bench.plan():
                bench.handle(Applied([Observation(path, want and Disk(want, 1, 1))]))
    assert [summary(row) for row in short.index.all_rows()] == [summary(row) for row in long.index.all_rows()]
    for bench in (short, long):
        bench.handle(Settle(b""))
    assert [summary(row) for row in short.index.all_rows()] == [summary(row) for row in long.index.all_rows()]


def summary(row):
    return row.key, row.state, row.disk and row.disk.entry, row.need
