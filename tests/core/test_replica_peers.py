"""The replica and its peers: records that arrive, and who it is among them."""

import pytest

from protocol import limits
from protocol.errors import LocalError
from syncd.core import identity, publish, scene
from syncd.core.events import Forget, PeerCounters, Received, Reconsider, Reserve, Settle
from syncd.core.index import Need
from tests.core.bench import NOW, PROOF, Author, Bench, directory, file, in_step
from tests.fakes.memory_index import MemoryIndex

# ---- records of peers


def test_what_a_peer_has_is_needed_with_the_directories_above():
    bench = Bench()
    effects = bench.receive(Author(1).edit(b"a/b/f", file(7)))
    assert (effects.news, effects.needs, effects.published) == ([b"a\0b\0f"], True, [])
    assert bench.row(b"a/b/f").need == Need(3, 8, 7)
    assert bench.row(b"a/b").need == Need(2, 1, 0)
    assert bench.row(b"a").state == ()
    assert bench.apply_all() == [(b"a", directory()), (b"a/b", directory()), (b"a/b/f", file(7))]
    assert bench.needs() == []


def test_records_that_are_known_are_no_news():
    bench, record = Bench(), Author(1).edit(b"f", file(1))
    bench.handle(Received([record], {b"p" * 16: PROOF}))
    effects = bench.handle(Received([record], {b"q" * 16: PROOF}))
    assert effects[:5] == ([], [], False, [], None)
    assert bench.index.proofs([b"p" * 16, b"q" * 16]) == {b"p" * 16: PROOF}


def test_a_change_of_metadata_needs_no_bytes():
    bench, author = in_step({b"f": file(5)}), Author(1)
    bench.receive(author.edit(b"f", file(5, mode=0o600), bench.state(b"f"), file(5), stamp=NOW + 1))
    assert bench.row(b"f").need.size == 0
    assert bench.plan() == [(b"f", file(5, mode=0o600))]


def test_an_update_while_one_is_pending_changes_the_need():
    bench, author = Bench(), Author(1)
    first = author.edit(b"f", file(5))
    bench.receive(first)
    assert bench.receive(author.edit(b"f", file(6), (first,), file(5))).needs
    assert bench.row(b"f").need.size == 6
    assert not bench.receive(first).needs


def test_a_removed_directory_stays_while_somebody_needs_it():
    bench, author = in_step({b"d": directory(), b"d/f": file(1)}), Author(1)
    bench.receive(author.edit(b"d/g", file(2)))
    bench.apply_all()
    bench.receive(author.edit(b"d", None, bench.state(b"d"), directory(), stamp=NOW + 1))
    assert bench.needs() == []
    bench.receive(
        author.edit(b"d/f", None, bench.state(b"d/f"), file(1), stamp=NOW + 2),
        author.edit(b"d/g", None, bench.state(b"d/g"), file(2), stamp=NOW + 3),
    )
    assert bench.apply_all() == [(b"d/g", None), (b"d/f", None), (b"d", None)]


def test_what_was_found_hides_below_a_users_file():
    bench, author = Bench(), Author(1)
    found = [author.found(b"d", directory()), author.found(b"d/e/f", file(1))]
    bench.receive(*found)
    bench.apply_all()
    users = Author(2).edit(b"d", file(2), (found[0],), directory())
    bench.receive(users)
    assert bench.apply_all() == [(b"d/e/f", None), (b"d/e", None), (b"d", file(2))]
    bench.receive(Author(2).edit(b"d", None, (users,), file(2), stamp=500))
    assert bench.needs() == [b"d", b"d/e", b"d/e/f"]
    assert bench.plan()[-1] == (b"d/e/f", file(1))


def test_two_records_with_one_dot_are_both_kept_and_told_once():
    bench, author = Bench(), Author(1)
    one = author.edit(b"f", file(1))
    author.counter = 0
    two = author.edit(b"f", file(2))
    assert bench.receive(one).alarms == []
    (alarm,) = bench.receive(two).alarms
    assert "01" * 8 in alarm
    assert len(bench.state(b"f")) == 2
    assert bench.receive(one, two, Author(2).edit(b"f", file(3))).alarms == []
    assert not bench.replica.fresh


def test_a_path_holds_no_more_than_the_limits(monkeypatch):
    monkeypatch.setattr(publish, "MAX_STATE", 3)
    bench = Bench()
    effects = bench.receive(*[Author(n).edit(b"f", file(n)) for n in range(1, 6)])
    assert len(bench.state(b"f")) == 3
    assert "refused" in effects.alarms[0]
    assert effects.news == [b"f"]
    effects = bench.receive(Author(9).edit(b"f", file(9)))
    assert (effects.news, len(effects.alarms)) == ([], 1)
    monkeypatch.setattr(publish, "MAX_STATE", 9)
    monkeypatch.setattr(publish, "MAX_ENTRY", sum(len(r.raw) for r in bench.state(b"f")))
    assert bench.receive(Author(9).edit(b"f", file(9))).news == []


class CountingIndex(MemoryIndex):
    def __init__(self):
        super().__init__()
        self.calls = {"rows": 0, "store": 0, "liveness_below": 0, "span": 0}

    def rows(self, keys):
        self.calls["rows"] += 1
        return super().rows(keys)

    def store(self, rows):
        self.calls["store"] += 1
        super().store(rows)

    def liveness_below(self, key):
        self.calls["liveness_below"] += 1
        return super().liveness_below(key)

    def span(self, low, high, limit=1 << 62):
        self.calls["span"] += 1
        return super().span(low, high, limit)


def test_a_batch_of_new_records_asks_little_of_the_index():
    index = CountingIndex()
    bench, author = Bench(index=index), Author(1)
    bench.receive(author.edit(b"up/0/first", file(1)))
    index.calls = dict.fromkeys(index.calls, 0)
    paths = [b"up/%d/%03d" % (year, n) for year in range(2) for n in range(500)]
    bench.receive(*[author.edit(path, file(2)) for path in paths])
    assert index.calls["rows"] <= 3
    assert index.calls["store"] == 1
    assert index.calls["liveness_below"] <= 5
    index.calls = dict.fromkeys(index.calls, 0)
    assert len(bench.plan(*paths)) == 1003
    bench.apply({path: file(2) for path in paths})
    assert (index.calls["rows"], index.calls["liveness_below"], index.calls["store"]) == (0, 0, 1)


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(scene, "ROWS_KEPT", 3)
    monkeypatch.setattr(scene, "BELOW_KEPT", 3)
    index = CountingIndex()
    bench, author = Bench(index=index), Author(1)
    bench.receive(*[author.edit(b"%d/x" % n, file(n)) for n in range(1, 9)])
    index.calls = dict.fromkeys(index.calls, 0)
    assert bench.plan(b"1/x") == [(b"1", directory()), (b"1/x", file(1))]
    assert (index.calls["rows"], index.calls["liveness_below"]) == (1, 2)


def test_a_new_path_above_known_ones_asks_what_is_below():
    bench, author = Bench(), Author(1)
    bench.receive(author.edit(b"a/b/c", file(1)), author.edit(b"x", file(2)))
    bench.receive(author.edit(b"a", file(3)), author.edit(b"a/b", file(4)), author.edit(b"a/d", file(5)))
    assert bench.plan()[:3] == [(b"a", directory()), (b"a/b", directory()), (b"a/b/c", file(1))]


# ---- identity, counters, clock


def test_the_actor_stays_and_no_counter_comes_twice():
    bench = Bench(reserve=8)
    used = [bench.see({b"f%d" % n: file(1)}).published[0].dot[1] for n in range(3)]
    actor = bench.replica.actor
    bench.open()
    assert (bench.replica.actor, bench.replica.fresh) == (actor, False)
    assert bench.replica.counter_low
    with pytest.raises(LocalError, match="reserved"):
        bench.see({b"g": file(1)})
    bench.handle(Reserve())
    used += [bench.see({b"g%d" % n: file(1)}).published[0].dot[1] for n in range(3)]
    assert used == sorted(set(used))
    assert max(used) < bench.replica.author.bound


def test_nothing_is_published_beyond_the_reservation():
    bench = Bench(reserve=4)
    assert not bench.replica.counter_low
    bench.see({b"a": file(1), b"b": file(1)})
    assert bench.replica.counter_low
    bench.see({b"c": file(1), b"d": file(1)})
    with pytest.raises(LocalError):
        bench.see({b"e": file(1)})
    bench.handle(Reserve())
    assert bench.see({b"e": file(1)}).published[0].dot[1] >= 5


def test_a_failed_event_leaves_no_trace_in_memory():
    bench = Bench(reserve=4)
    saved = bench.index.copy()
    with pytest.raises(LocalError):
        bench.see({b"%d" % n: file(1) for n in range(9)})
    bench.index.restore(saved)
    bench.handle(Reserve())
    (record,) = bench.see({b"0": file(1)}).published
    assert record.dot[1] == 5
    assert [row.key for row in bench.index.all_rows()] == [b"0"]


def test_an_undone_event_leaves_no_trace_but_its_counters():
    bench = Bench()
    actor, saved = bench.replica.actor, bench.index.copy()
    bench.receive(Author(1).edit(b"d/f", file(1)))
    bench.see({b"g": file(2)})
    bench.index.restore(saved.copy())
    assert bench.plan(b"d/f") == []
    assert bench.see({b"g": file(3)}).published[0].dot == (actor, 2)
    bench.handle(Forget())
    bench.index.restore(saved)
    assert bench.plan(b"g") == []
    assert (bench.replica.actor, bench.replica.fresh, bench.replica.counter_low) == (actor, False, True)


def test_an_index_whose_first_transaction_was_undone_is_fresh():
    bench = Bench()
    bench.index.restore(MemoryIndex())
    bench.handle(Reserve())
    assert bench.replica.fresh
    assert bench.replica.actor == bench.index.meta("actor")


def test_rows_that_others_changed_count_after_reload():
    bench = in_step({b"f": file(1)})
    bench.index.store([bench.row(b"f")._replace(disk=None)])
    bench.replica.reload()
    bench.handle(Reconsider(b""))
    assert bench.plan() == [(b"f", file(1))]
    assert not bench.replica.counter_low


def test_stamps_are_above_all_seen_but_those_of_found_records():
    bench = Bench()
    bench.receive(Author(1).found(b"x", file(1), stamp=NOW * 3))
    assert bench.see({b"f": file(1)}).published[0].stamp == NOW
    bench.receive(Author(2).edit(b"y", file(1), stamp=NOW * 2))
    assert bench.see({b"g": file(1)}).published[0].stamp == NOW * 2 + 1
    bench.open()
    bench.handle(Reserve())
    assert bench.see({b"h": file(1)}).published[0].stamp == NOW * 2 + 2
    bench.receive(Author(2).edit(b"z", file(1), stamp=limits.MAX_STAMP))
    assert bench.see({b"i": file(1)}).published[0].stamp == limits.MAX_STAMP


def test_counters_are_learned_from_dots_and_contexts_and_kept():
    bench, one, two = Bench(), Author(1), Author(2)
    first = one.edit(b"f", file(1))
    bench.receive(two.edit(b"f", file(2), (first,), file(1)))
    bench.see({b"g": file(3)})
    known = {one.actor: 1, two.actor: 1, bench.replica.actor: 1}
    assert bench.replica.counters() == known
    bench.open()
    assert bench.replica.counters() == {**known, bench.replica.actor: bench.replica.author.counter}


def test_only_so_many_counters_are_kept(monkeypatch):
    monkeypatch.setattr(identity, "MAX_COUNTERS", 4)
    bench = Bench()
    for n in (1, 2, 3, 4, 5):
        bench.receive(Author(n).edit(b"f%d" % n, file(n)))
        bench.receive(Author(n).edit(b"f%d" % n, file(n)))
    assert list(bench.replica.counters()) == [b"\3" * 8, b"\4" * 8, b"\5" * 8, bench.replica.actor]


def rolled_back_record(bench, how):
    """A record that only this index could have made, had it not forgotten."""
    other = Author(1)
    other.actor, other.counter = bench.replica.actor, 6
    ahead = other.edit(b"f", file(1))
    return ahead if how == "dot" else Author(2).edit(b"f", file(2), (ahead,), file(1))


@pytest.mark.parametrize("how", ["dot", "context", "hello"])
def test_an_own_counter_from_the_future_means_a_new_actor(how):
    bench = in_step({b"f": file(3), b"g": file(4)})
    bench.receive(
        Author(3).edit(b"g", file(5), bench.state(b"g"), file(4), stamp=NOW + 1), Author(3).edit(b"h", file(6))
    )
    actor = bench.replica.actor
    if how == "hello":
        assert bench.handle(PeerCounters({actor: 2, b"?" * 8: 99})).alarms == []
        effects = bench.handle(PeerCounters({actor: 3}))
    else:
        effects = bench.receive(rolled_back_record(bench, how))
    assert "rolled back" in effects.alarms[0]
    assert bench.replica.actor != actor
    assert bench.replica.fresh
    assert bench.replica.counter_low
    assert bench.replica.counters()[actor] == 2 if how == "hello" else 7
    assert bench.needs() == [b"h"]  # what the disk lacks altogether; the rest is held
    assert bench.see({b"f": file(9)}).published == []


def test_a_twin_of_an_own_record_means_a_new_actor():
    bench = in_step({b"f": file(1)})
    twin = Author(1)
    twin.actor = bench.replica.actor
    effects = bench.receive(twin.edit(b"f", file(2)))
    assert len(effects.alarms) == 2
    assert bench.replica.fresh
    assert len(bench.state(b"f")) == 2


def test_forgetting_keeps_the_manifest_and_what_was_seen():
    bench = in_step({b"f": file(1)})
    before, actor = bench.row(b"f"), bench.replica.actor
    assert bench.handle(Forget())[:5] == ([], [], False, [], None)
    assert bench.row(b"f") == before
    assert bench.replica.actor != actor
    bench.open()
    assert bench.replica.fresh
    bench.handle(Reserve())
    bench.see({b"f": file(1), b"g": file(2)})
    effects = bench.handle(Settle(b""))
    assert [(record.path, record.found, record.dot) for record in effects.published] == [
        (b"g", True, (bench.replica.actor, 1))
    ]
