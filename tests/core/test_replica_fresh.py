"""The replica with a fresh index, on a read-only node, and what it plans to do to a disk."""

from protocol.merge import winner
from protocol.record import Kind
from syncd.core.events import PeerCounters, Reconsider, Reserve, Settle
from tests.core.bench import NOW, Author, Bench, FakePolicy, directory, file, in_step

# ---- a fresh index


def test_a_fresh_index_publishes_nothing_of_what_it_sees():
    bench = Bench(fresh=True)
    assert bench.see({b"f": file(1), b"d": directory(), b"d/x": file(2)}).published == []
    assert bench.see({b"d": None}).published == []
    assert [row.key for row in bench.index.all_rows() if row.disk] == [b"f"]


def test_a_fresh_index_takes_what_it_lacks_and_holds_what_differs():
    bench, author = Bench(fresh=True), Author(1)
    bench.see({b"same": file(1, mode=0o600), b"other": file(2), b"d": file(3), b"foreign": file(4)})
    bench.receive(
        author.edit(b"same", file(1)), author.edit(b"other", file(5)), author.edit(b"new", file(6)),
        author.edit(b"d/x", file(7)), author.edit(b"foreign", None, (author.edit(b"foreign", file(8)),), file(8)),
    )  # fmt: skip
    assert bench.needs() == [b"d/x", b"new", b"same"]
    assert bench.plan() == [(b"new", file(6)), (b"same", file(1))]
    bench.apply({b"new": file(6), b"same": file(1)})
    effects = bench.handle(Settle(b""))
    assert bench.said(effects) == [(Kind.FILE, b"d"), (Kind.FILE, b"foreign"), (Kind.FILE, b"other")]
    assert all(record.found and record.stamp == 1 and not record.context for record in effects.published)
    assert not bench.replica.fresh
    assert bench.plan() == [(b"d", directory()), (b"d/x", file(7)), (b"other", file(5)), (b"foreign", None)]


def test_what_appears_on_a_fresh_disk_is_no_longer_needed():
    bench = Bench(fresh=True)
    bench.receive(Author(1).edit(b"f", file(1)))
    bench.see({b"f": file(2)})
    assert bench.needs() == []


def test_what_is_done_to_a_placed_file_on_a_fresh_disk_waits_and_is_an_edit_then():
    bench, author = Bench(fresh=True), Author(1)
    bench.receive(*(author.edit(name, file(1)) for name in (b"e", b"g", b"m", b"n", b"o")))
    bench.apply({b"e": file(1), b"g": file(1), b"m": file(1), b"n": file(1)})
    bench.see({b"foreign": file(7), b"o": file(8)})
    bench.open()
    bench.handle(Reserve())
    bench.receive(author.edit(b"n", file(2), bench.state(b"n"), file(1)))
    done = {b"e": file(5), b"g": None, b"m": file(1, mode=0o600), b"n": file(6)}
    assert bench.see(done).published == []
    assert bench.needs() == []  # nothing comes back
    assert bench.said(bench.handle(Settle(b""))) == [(Kind.FILE, b"foreign"), (Kind.FILE, b"n"), (Kind.FILE, b"o")]
    del done[b"n"]  # what came after it was not seen by who did that
    effects = bench.see(done)
    assert bench.said(effects) == [(Kind.FILE, b"e"), (Kind.DELETE, b"g"), (Kind.FILE, b"m")]
    assert all(len(bench.state(record.path)) == 1 and not record.found for record in effects.published)


def test_rows_of_a_life_before_tell_nothing_of_edits():
    bench = Bench()
    bench.receive(Author(1).edit(b"f", file(1)))
    bench.apply_all()
    bench.handle(PeerCounters({bench.replica.actor: 1 << 40}))
    bench.handle(Reserve())
    bench.see({b"f": file(2)})
    assert bench.said(bench.handle(Settle(b""))) == [(Kind.FILE, b"f")]
    assert len(bench.state(b"f")) == 2


def test_known_contents_are_adopted_without_a_record():
    bench, author = Bench(fresh=True), Author(1)
    old = author.edit(b"f", file(1))
    bench.receive(
        author.edit(b"f", file(2), (old,), file(1)), Author(2).edit(b"g", file(3), stamp=9), author.edit(b"g", file(4))
    )
    bench.see({b"f": file(1), b"g": file(3), b"h": None})
    effects = bench.handle(Settle(b""))
    assert effects.published == []
    assert bench.plan() == [(b"f", file(2)), (b"g", file(4))]


def test_found_stamps_are_of_the_past():
    bench = Bench(fresh=True)
    bench.see({b"future": file(1, mtime=NOW * 2), b"ancient": file(2, mtime=-5), b"d": directory()})
    stamps = {record.path: record.stamp for record in bench.handle(Settle(b"")).published}
    assert stamps == {b"future": NOW, b"ancient": 0, b"d": 0}


def test_settling_goes_in_pieces_and_edits_go_on_behind_it():
    bench = Bench(fresh=True, settle_rows=2)
    bench.see({b"%d" % n: file(n) for n in range(5)})
    effects = bench.handle(Settle(b""))
    assert (bench.said(effects), effects.resume) == ([(Kind.FILE, b"0"), (Kind.FILE, b"1")], b"1\0")
    bench.open()
    assert bench.replica.fresh
    bench.handle(Reserve())
    effects = bench.see({b"1": file(11), b"3": file(13)})
    assert bench.said(effects) == [(Kind.FILE, b"1")]
    assert not effects.published[0].found
    assert bench.said(bench.handle(Settle(b""))) == [(Kind.FILE, b"2"), (Kind.FILE, b"3")]
    effects = bench.handle(Settle(b"3\0"))
    assert (bench.said(effects), effects.resume, bench.replica.fresh) == ([(Kind.FILE, b"4")], None, False)
    assert winner(bench.state(b"3")).content == file(13).content
    assert bench.handle(Settle(b""))[:5] == ([], [], False, [], None)


def test_ignored_paths_are_not_settled():
    bench = Bench(fresh=True)
    bench.see({b"cache": file(1)})
    bench.policy.ignore.add(b"cache")
    assert bench.handle(Settle(b"")).published == []
    assert bench.needs() == []


# ---- read-only nodes


def test_a_read_only_node_reverts_local_edits():
    bench = Bench(read_only=True)
    bench.receive(Author(1).edit(b"f", file(1)), Author(1).edit(b"g", file(2)))
    bench.apply_all()
    effects = bench.see({b"f": file(9), b"g": None, b"mine": file(8), b"d": directory()})
    assert effects.published == []
    assert "local changes on a read-only node are reverted: 4, one of them at d;" in effects.alarms[0]
    assert bench.plan() == [(b"f", file(1)), (b"g", file(2)), (b"mine", None), (b"d", None)]


def test_a_read_only_node_settles_without_a_record():
    bench = Bench(read_only=True, fresh=True)
    bench.see({b"mine": file(8), b"f": file(9)})
    bench.receive(Author(1).edit(b"f", file(1)))
    assert bench.needs() == []
    effects = bench.handle(Settle(b""))
    assert effects.published == []
    assert "reverted: 2, " in effects.alarms[0]
    assert bench.plan() == [(b"f", file(1)), (b"mine", None)]


def leaving(fresh=False):
    return Bench(read_only=True, fresh=fresh, policy=FakePolicy(overwrite=False))


def test_local_edits_of_a_read_only_node_may_be_left():
    bench, author = leaving(), Author(1)
    records = [author.edit(b"f", file(1)), author.edit(b"d/g", file(2))]
    bench.receive(*records)
    bench.apply_all()
    effects = bench.see({b"f": file(9), b"d/mine": file(8), b"d/h": directory()})
    assert "stay" in effects.alarms[0]
    assert bench.plan() == [(b"d/h", None)]  # an empty directory holds nobody's bytes
    bench.apply_all()
    bench.receive(
        author.edit(b"f", file(3), (records[0],), file(1)), author.edit(b"d/g", None, (records[1],), file(2)),
        author.edit(b"d", file(5)),
    )  # fmt: skip
    assert bench.apply_all() == [(b"d/g", None)]
    assert bench.row(b"f").disk.entry == file(9)
    assert bench.row(b"d").disk.entry == directory()
    bench.see({b"f": None, b"d/mine": None})
    bench.handle(Reconsider(b""))
    assert bench.apply_all() == [(b"d", file(5)), (b"f", file(3))]


def test_a_lagging_disk_of_a_read_only_node_is_no_local_edit():
    bench, author = leaving(), Author(1)
    record = author.edit(b"f", file(1))
    bench.receive(record)
    bench.apply_all()
    for n in range(2, 20):  # more versions than a record remembers
        record, state = author.edit(b"f", file(n), (record,), file(n - 1)), bench.state(b"f")
        bench.receive(record)
        assert bench.needs() == [b"f"], state
    assert bench.plan() == [(b"f", file(19))]
    bench.see({b"f": file(99)})
    assert bench.needs() == []


def test_settling_a_read_only_node_that_leaves_what_is_there():
    bench = leaving(fresh=True)
    bench.see({b"mine": file(8), b"old": file(1), b"d": directory(), b"d/x": file(3)})
    author = Author(1)
    bench.receive(author.edit(b"old", file(2), (author.edit(b"old", file(1)),), file(1)))
    assert "stay and go nowhere: 3, " in bench.handle(Settle(b"")).alarms[0]
    assert bench.plan() == [(b"old", file(2))]


# ---- what was applied, and a change of policy


def test_what_was_applied_is_published_by_nobody():
    bench = Bench()
    first = Author(1).edit(b"f", file(1))
    bench.receive(first)
    bench.receive(Author(2).edit(b"f", file(2), (first,), file(1), stamp=900))
    effects = bench.apply({b"f": file(1)})
    assert (effects.published, effects.needs) == ([], True)
    assert bench.plan() == [(b"f", file(2))]
    assert bench.apply({b"f": file(2)})[:5] == ([], [], False, [], None)
    assert bench.needs() == []
    assert bench.see({b"f": file(2)}).published == []


def test_a_new_policy_is_thought_over_in_pieces():
    bench = Bench(settle_rows=2)
    bench.receive(*[Author(1).edit(b"%d" % n, file(n)) for n in range(1, 4)])
    bench.policy.ignore = {b"1", b"3"}
    effects = bench.handle(Reconsider(b""))
    assert effects.resume == b"2\0"
    assert bench.needs() == [b"2", b"3"]
    bench.policy.ignore = {b"3"}
    assert bench.handle(Reconsider(effects.resume)).resume is None
    assert bench.needs() == [b"2"]
    assert bench.handle(Reconsider(b"")).needs


# ---- plans


def test_a_plan_makes_room_then_makes_then_removes():
    bench, author = in_step({b"a": directory(), b"a/b": directory(), b"a/b/c": file(1), b"z": file(2)}), Author(1)
    stamp = NOW + 10
    bench.receive(*[
        author.edit(path, None, bench.state(path), entry, stamp)
        for path, entry in ((b"a/b", directory()), (b"a/b/c", file(1)), (b"z", file(2)))
    ], author.edit(b"a", file(3), bench.state(b"a"), directory(), stamp), author.edit(b"m/n", file(4)))  # fmt: skip
    made = [(b"a", file(3)), (b"m", directory()), (b"m/n", file(4))]
    assert bench.plan() == [(b"a/b/c", None), (b"a/b", None), *made, (b"z", None)]


def test_a_plan_adds_what_has_to_be_done_first():
    bench, author = in_step({b"a": directory(), b"a/b": file(1)}), Author(1)
    bench.receive(
        author.edit(b"a/b", None, bench.state(b"a/b"), file(1), NOW + 1),
        author.edit(b"a", file(3), bench.state(b"a"), directory(), NOW + 1), author.edit(b"m/n/o", file(4)),
    )  # fmt: skip
    assert bench.plan(b"a") == [(b"a/b", None), (b"a", file(3))]
    assert bench.plan(b"m/n/o") == [(b"m", directory()), (b"m/n", directory()), (b"m/n/o", file(4))]
    assert bench.plan(b"a/b") == [(b"a/b", None)]
    assert bench.plan(b"unknown") == []


def test_a_plan_expects_what_was_last_seen():
    bench = in_step({b"f": file(1)})
    bench.receive(Author(1).edit(b"f", file(2), bench.state(b"f"), file(1), NOW + 1))
    (action,) = bench.replica.plan([b"f"])
    assert (action.key, action.path, action.expect, action.want) == (b"f", b"f", bench.row(b"f").disk, file(2))


def test_a_directory_with_something_held_in_it_stays():
    bench = Bench(fresh=True, settle_rows=1)
    bench.see({b"d": directory(), b"d/mine": file(1)})
    bench.receive(Author(1).edit(b"d", file(2)))
    assert bench.plan() == []
    bench.handle(Settle(b""))
    assert bench.needs() == [b"d"]
    assert bench.plan() == []
    bench.handle(Settle(b""))
    assert bench.plan() == [(b"d/mine", None), (b"d", file(2))]


def test_what_is_ignored_below_does_not_stop_a_plan():
    bench = in_step({b"d": directory(), b"d/log": file(1)})
    bench.policy.ignore.add(b"d/log")
    bench.receive(Author(1).edit(b"d", None, bench.state(b"d"), directory(), NOW + 1),
                  Author(1).edit(b"d/log", None, bench.state(b"d/log"), file(1), NOW + 1))  # fmt: skip
    assert bench.plan() == [(b"d", None)]
