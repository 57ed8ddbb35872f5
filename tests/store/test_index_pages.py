"""The pages of the manifest, which an index keeps up to date."""

import random

from protocol.pages import EMPTY_HASH, Root
from protocol.record import Kind
from syncd.core.index import Need
from tests.store.indexes import assert_consistent, disk, record, row, shape, store


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
