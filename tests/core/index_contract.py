"""What every implementation of syncd.core.index.Index has to do: a suite for subclasses with a fixture `index`."""

import random

import pytest
from blake3 import blake3

from protocol.batches import proof_id, sign_batch
from protocol.certificate import CERTIFICATE_SIZE
from protocol.edit import Entry, entry_of
from protocol.merge import Liveness, merge, winner
from protocol.paths import subtree, to_key
from protocol.record import DIRECTORY_CONTENT, LINK_MODE, Kind, Record, link_content, make_record
from syncd.core.index import Disk, Index, Need, Row

FOLDER = bytes(range(16))
BEFORE_ALL = (-(1 << 63), b"")


def make(path: bytes, n: int = 1, kind: Kind = Kind.FILE, *, size: int = 5, proof: bytes = b"", **fields) -> Record:
    """A record without context by an actor of its own."""
    by_kind = {
        Kind.FILE: {"content": blake3(b"%d" % n).digest(), "size": size, "mode": 0o644, "mtime": n},
        Kind.DIR: {"content": DIRECTORY_CONTENT, "mode": 0o755},
        Kind.LINK: {"content": link_content(b"to %d" % n), "target": b"to %d" % n, "mode": LINK_MODE, "mtime": -n},
        Kind.DELETE: {},
    }
    dot = (n.to_bytes(8, "big"), 1)
    said = {"context": {}, "spares": frozenset(), "stamp": n, "content_dot": dot, "content_stamp": n, "superseded": ()}
    record = make_record(folder_id=FOLDER, path=path, kind=kind, dot=dot, **{**said, **by_kind[kind], **fields})
    record.proof = proof
    return record


def row(path: bytes, *records: Record, disk: Disk | None = None, need: Need | None = None) -> Row:
    return Row(to_key(path), merge(records), disk, need)


def seen(record: Record, inode: int = 7, ctime: int = 8) -> Disk:
    return Disk(entry_of(record), inode, ctime)


class IndexContract:
    """The suite."""

    @pytest.fixture
    def index(self) -> Index:
        raise NotImplementedError

    # ---- rows

    def test_an_empty_index_has_nothing(self, index):
        assert index.rows([b"a"]) == {}
        assert index.span(b"", None, 10) == []
        assert index.seen_below(b"a") == index.found_below(b"a") == []
        assert index.liveness_below(b"a") == Liveness.DEAD
        assert index.needs(0, BEFORE_ALL, 10) == []
        assert index.totals().files == index.totals().bytes == 0
        assert index.totals().needs == {}

    @pytest.mark.parametrize("kind", list(Kind))
    def test_rows_come_back_as_they_were(self, index, kind):
        record = make(
            b"d/x", kind=kind, superseded=(b"s" * 32,), context={b"c" * 8: 3}, spares=frozenset({(b"c" * 8, 2)})
        )
        disk = None if kind == Kind.DELETE else seen(record)
        stored = row(b"d/x", record, disk=disk, need=Need(2, -9, 1 << 40))
        index.store([stored])
        (found,) = index.rows([b"d\0x", b"d", b"d\0xx"]).values()
        assert found == stored
        assert [r.raw for r in found.state] == [record.raw]
        for name in ("path", "kind", "dot", "context", "spares", "stamp", "mode", "mtime", "size", "content", "target"):
            assert getattr(found.state[0], name) == getattr(record, name)
        assert (found.state[0].superseded, found.state[0].content_dot) == (record.superseded, record.content_dot)

    def test_rows_that_are_added_are_as_stored(self, index):
        deleted = make(b"d/gone", 4, Kind.DELETE)
        found = make(b"d/found", 3, found=True, proof=b"p" * 16)
        file, directory = make(b"d/x", 2, proof=b"p" * 16), make(b"d", 1, Kind.DIR)
        index.rows([b"d", b"d\0x"])  # it may remember that there were none
        rows = [row(record.path, record, disk=seen(record)) for record in (file, directory, found)]
        index.add([*rows, row(b"d/gone", deleted)])
        assert list(index.rows([b"d", b"d\0x", b"d\0found"]).values()) == [rows[1], rows[0], rows[2]]
        assert [item.key for item in index.span(b"", None, 9)] == [b"d", b"d\0found", b"d\0gone", b"d\0x"]
        assert index.seen_below(b"d") == [b"d\0found", b"d\0x"]
        assert index.liveness_below(b"d") == Liveness.USER
        assert index.found_below(b"d") == [b"d\0found"]
        assert (index.totals().files, index.totals().bytes, index.totals().needs) == (2, 10, {})
        index.store([row(b"d/x"), row(b"d/found")])
        assert (index.totals().files, index.liveness_below(b"d")) == (0, Liveness.DEAD)

    def test_siblings_keep_their_order_and_proofs(self, index):
        a, b = make(b"x", 1, proof=b"p" * 16), make(b"x", 2, proof=b"q" * 16)
        index.store([row(b"x", a, b)])
        (found,) = index.rows([b"x"]).values()
        assert found.state == merge((a, b))
        assert {r.proof for r in found.state} == {b"p" * 16, b"q" * 16}

    def test_a_row_may_hold_any_one_thing(self, index):
        rows = [
            row(b"a", make(b"a")),
            row(b"b", disk=Disk(Entry(Kind.LINK, link_content(b"\xff"), 0, LINK_MODE, -1, b"\xff"), 1, 2)),
            row(b"c", need=Need(0, 0, 0)),
        ]
        index.store(rows)
        assert index.rows([b"a", b"b", b"c"]) == {r.key: r for r in rows}

    def test_a_row_without_anything_is_removed(self, index):
        index.store([row(b"a", make(b"a"), need=Need(0, 1, 5)), row(b"b", need=Need(0, 0, 0))])
        index.store([row(b"a"), row(b"b"), row(b"never/there")])
        assert index.span(b"", None, 10) == []
        assert index.totals().needs == {}
        assert index.liveness_below(b"never") == Liveness.DEAD

    def test_storing_replaces(self, index):
        old, new = row(b"a", make(b"a", 1), disk=seen(make(b"a", 1))), row(b"a", make(b"a", 2))
        index.store([old])
        index.store([new])
        assert index.rows([b"a"]) == {b"a": new}

    def test_span_is_half_open_ordered_and_limited(self, index):
        paths = [b"a", b"a/b", b"a/b/c", b"a.x", b"b", b"\xff\xff"]
        index.store([row(path, make(path)) for path in reversed(paths)])
        keys = sorted(map(to_key, paths))
        assert [r.key for r in index.span(b"", None, 100)] == keys
        assert [r.key for r in index.span(b"", None, 2)] == keys[:2]
        assert [r.key for r in index.span(b"a\0b", b"b", 100)] == [b"a\0b", b"a\0b\0c", b"a.x"]
        assert [r.key for r in index.span(*subtree(b"a"), 100)] == [b"a\0b", b"a\0b\0c"]
        assert [r.key for r in index.span(b"b\0", None, 100)] == [b"\xff\xff"]

    # ---- what is derived

    def test_liveness_below_is_that_of_winners_of_strict_descendants(self, index):
        assert self.below(index, make(b"a/b/c", found=True)) == [Liveness.FOUND, Liveness.FOUND, Liveness.DEAD]
        assert self.below(index, make(b"a/b")) == [Liveness.USER, Liveness.FOUND, Liveness.DEAD]
        assert self.below(index, make(b"a/b", 2, Kind.DELETE)) == [Liveness.FOUND, Liveness.FOUND, Liveness.DEAD]
        assert self.below(index, make(b"a/b/c", 3, Kind.DELETE)) == [Liveness.DEAD] * 3

    def below(self, index, record):
        index.store([row(record.path, record)])
        return [index.liveness_below(key) for key in (b"a", b"a\0b", b"a\0b\0c")]

    def test_a_losing_sibling_gives_no_life(self, index):
        index.store([row(b"a/b", make(b"a/b", found=True), make(b"a/b", 2, Kind.DELETE))])
        assert index.liveness_below(b"a") == Liveness.DEAD
        assert index.found_below(b"a") == []

    def test_neighbours_with_the_same_prefix_are_not_below(self, index):
        index.store([row(b"a.x/y", make(b"a.x/y", found=True)), row(b"ab", make(b"ab"), disk=seen(make(b"ab")))])
        assert index.liveness_below(b"a") == Liveness.DEAD
        assert index.found_below(b"a") == index.seen_below(b"a") == []

    def test_found_and_seen_below_are_ordered(self, index):
        found, users = make(b"", found=True), make(b"")
        index.store([
            row(b"a", found, disk=seen(found)), row(b"a/c", found), row(b"a/b/x", found, disk=seen(found)),
            row(b"a/b", disk=seen(users)), row(b"a/d", users), row(b"b/x", found, disk=seen(found)),
        ])  # fmt: skip
        assert index.found_below(b"a") == [b"a\0b\0x", b"a\0c"]
        assert index.seen_below(b"a") == [b"a\0b", b"a\0b\0x"]

    def test_needs_are_by_rank_and_in_order(self, index):
        places = {b"c": (0, 5), b"a": (0, 5), b"b": (0, -(1 << 63)), b"d": (1, (1 << 63) - 1), b"e/f": (0, 6)}
        index.store([row(path, need=Need(*place, 3)) for path, place in places.items()])
        assert [r.key for r in index.needs(0, BEFORE_ALL, 10)] == [b"b", b"a", b"c", b"e\0f"]
        assert [r.key for r in index.needs(0, BEFORE_ALL, 2)] == [b"b", b"a"]
        assert [r.key for r in index.needs(0, (5, b"a"), 10)] == [b"c", b"e\0f"]
        assert [r.key for r in index.needs(1, BEFORE_ALL, 10)] == [b"d"]
        assert index.needs(2, BEFORE_ALL, 10) == []

    def test_totals_are_kept(self, index):
        index.store([
            row(b"a", make(b"a", size=10)), row(b"b", make(b"b", 2, size=4), make(b"b", 1, size=100)),
            row(b"d", make(b"d", kind=Kind.DIR), need=Need(1, 0, 0)), row(b"e", make(b"e", kind=Kind.DELETE)),
            row(b"l", make(b"l", kind=Kind.LINK), need=Need(0, 0, 7)), row(b"f", make(b"f", found=True, size=1)),
            row(b"u", disk=seen(make(b"u"))),
        ])  # fmt: skip
        assert index.totals() == (3, 15, {1: (1, 0), 0: (1, 7)}, 0, 1)
        index.store([row(b"u")])
        index.store([row(b"a", make(b"a", 3, Kind.DELETE), need=Need(1, 0, 9)), row(b"l", make(b"l", kind=Kind.LINK))])
        assert index.totals() == (2, 5, {1: (2, 9)}, 0, 0)
        index.store([row(b"b", make(b"b", 1, size=100))])
        assert index.totals() == (2, 101, {1: (2, 9)}, 0, 0)

    @pytest.mark.parametrize("seed", range(5))
    def test_what_is_derived_follows_any_history(self, index, seed):
        chance = random.Random(seed)
        paths = [b"a", b"a/b", b"a/b/c", b"a/b/c/d", b"a.b", b"ab/c", b"b"]
        rows: dict[bytes, Row] = {}
        for _ in range(60):
            batch = {}
            for path in chance.sample(paths, chance.randint(1, 3)):
                records = [
                    make(path, chance.randint(1, 9), chance.choice(list(Kind)), size=0)
                    if chance.random() < 0.7 else make(path, chance.randint(1, 9), found=True)
                    for _ in range(chance.choice((0, 1, 1, 2)))
                ]  # fmt: skip
                disk = seen(make(path, 1)) if chance.random() < 0.4 else None
                need = Need(chance.randint(0, 1), chance.randint(-2, 2), 1) if chance.random() < 0.4 else None
                batch[path] = row(path, *records, disk=disk, need=need)
            index.store(list(batch.values()))
            rows.update({r.key: r for r in batch.values()})
            rows = {key: r for key, r in rows.items() if r.state or r.disk or r.need}
            self.compare(index, rows, [to_key(path) for path in paths])

    def compare(self, index, rows, keys):
        assert index.span(b"", None, 100) == [rows[key] for key in sorted(rows)]
        levels = {key: self.level(r) for key, r in rows.items()}
        for key in keys:
            below = [other for other in sorted(rows) if other.startswith(key + b"\0")]
            assert index.liveness_below(key) == max((levels[other] for other in below), default=Liveness.DEAD)
            assert index.found_below(key) == [other for other in below if levels[other] == Liveness.FOUND]
            assert index.seen_below(key) == [other for other in below if rows[other].disk]
        for rank in (0, 1):
            wanted = sorted((r.need.order, key) for key, r in rows.items() if r.need and r.need.rank == rank)
            assert [r.key for r in index.needs(rank, BEFORE_ALL, 100)] == [key for _, key in wanted]
            assert index.totals().needs.get(rank, (0, 0)) == (len(wanted), len(wanted))
        best = [w for w in (winner(r.state) for r in rows.values()) if w and w.kind == Kind.FILE]
        assert (index.totals().files, index.totals().bytes) == (len(best), sum(record.size for record in best))

    @staticmethod
    def level(stored):
        best = winner(stored.state)
        if best is None or not best.live:
            return Liveness.DEAD
        return Liveness.FOUND if best.found else Liveness.USER

    # ---- what loses

    def test_what_loses_is_remembered_until_it_does_not(self, index):
        a, b = make(b"d/x", 1), make(b"d/x", 2)
        index.mark_losing({b"d\0x": [a, b], b"a": [make(b"a", 3, Kind.LINK)]}, [b"n"])
        assert index.losing(b"", 10) == [b"a", b"d\0x"]
        assert index.losing(b"a", 10) == index.losing(b"", 10)[1:]
        assert index.losing(b"", 1) == [b"a"]
        assert index.totals().conflicts == 3
        index.mark_losing({b"d\0x": [b]}, [b"a", b"d"])
        assert index.losing(b"", 10) == [b"d\0x"]
        index.mark_losing({b"d\0x": [b, make(b"d/x", 4, content=b.content)]}, [])
        assert index.totals().conflicts == 1
        index.mark_losing({}, [b"d\0x"])
        assert index.losing(b"", 10) == []
        assert index.totals().conflicts == 0

    # ---- the rest

    def test_meta_values(self, index):
        assert index.meta("x") is None
        index.set_meta("x", b"")
        assert index.meta("x") == b""
        index.set_meta("x", b"1")
        index.set_meta("y", b"2")
        assert (index.meta("x"), index.meta("y")) == (b"1", b"2")
        index.set_meta("x", None)
        index.set_meta("never", None)
        assert index.meta("x") is None

    def test_proofs_that_rows_refer_to_are_kept(self, index):
        records = [make(b"p%d" % n, n) for n in range(4)]
        proofs = {}
        for record in records:
            proof = sign_batch([record.hash], bytes(32), bytes(CERTIFICATE_SIZE))
            record.proof = proof_id(proof)
            proofs[record.proof] = proof
            index.store_proofs({record.proof: proof})
            index.store([row(record.path, record)])
        assert index.proofs([*proofs, b"?" * 16]) == proofs
        assert index.proofs([]) == {}
        last = make(b"p0", 9)
        last.proof = records[1].proof
        index.store([row(b"p0", last), row(b"p1")])
        index.store_proofs({records[1].proof: proofs[records[1].proof]})
        assert index.proofs([record.proof for record in records[1:]]).keys() == set(list(proofs)[1:])
