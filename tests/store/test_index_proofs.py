"""Proofs, which an index keeps for as long as a record refers to them."""

import pytest

from syncd.store.index import IndexDamaged
from tests.store.indexes import assert_consistent, disk, record, row, signed, store


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
