"""The Merkle manifest: its shape follows from the set of entries, however it came about."""

import random

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from protocol import limits, pages
from protocol.pages import EMPTY_HASH, Leaf, Page, Root, listing, root
from tests.fakes.memory_pages import MemoryPages

SEED = 0xFEDCBA9876543210
EMPTY = Root(0, EMPTY_HASH, 0)


def a_leaf(key, version=0, weight=300):
    return Leaf(key, blake3(b"%d" % version + key).digest(), weight)


def some_leaves(count, form=b"uploads\0%05d.jpg"):
    return [a_leaf(form % number) for number in range(count)]


# ---- the definition, level by level, from a whole set


def is_natural(key, level, seed=SEED):
    return xxh3_64_intdigest(key, (seed + level) % 2**64) * limits.PAGE_TARGET < 2**64


def natural_runs(entries, level):
    runs = [[]]
    for entry in entries:
        if runs[-1] and is_natural(entry[0], level):
            runs.append([])
        runs[-1].append(entry)
    return [run for run in runs if run]


def forced_cuts(run):
    cut, weight = [[]], 0
    for entry in run:
        weight += entry[2]
        if cut[-1] and (len(cut[-1]) == limits.MAX_PAGE_ENTRIES or weight > limits.MAX_PAGE_WEIGHT):
            cut.append([])
            weight = entry[2]
        cut[-1].append(entry)
    return cut


def defined_page(level, run, first):
    items = b"".join(len(key).to_bytes(2, "big") + key + digest for key, digest, _, _ in run)
    return Page(first, blake3(b"syncd/1 page\0" + bytes([level]) + items).digest(), sum(entry[3] for entry in run))


def defined_shape(leaves):
    """What MemoryPages.shape() must be."""
    shape = {}
    entries = [(*leaf, 1) for leaf in sorted(leaves)]
    for level in range(limits.MAX_LEVELS if entries else 0):
        runs = [page for run in natural_runs(entries, level) for page in forced_cuts(run)]
        if level == limits.MAX_LEVELS - 1:
            runs = [entries]
        firsts = [b"", *[run[0][0] for run in runs[1:]]]
        shape[level] = [defined_page(level, run, first) for run, first in zip(runs, firsts, strict=True)]
        if len(runs) == 1:
            break
        entries = [(page.first, page.hash, len(page.first) + 40, page.count) for page in shape[level]]
    return shape


def check(tree):
    shape = defined_shape(tree.leaves(b"", None))
    assert tree.shape() == shape
    if shape:
        top = max(shape)
        assert tree.root() == (top, shape[top][0].hash, len(tree))
    else:
        assert tree.root() == EMPTY


# ---- by hand


def test_an_empty_manifest_has_a_root():
    assert blake3(b"syncd/1 page\0\0").digest() == EMPTY_HASH
    assert root(MemoryPages(SEED)) == EMPTY


def test_one_leaf_is_one_page():
    tree = MemoryPages(SEED)
    tree.put([Leaf(b"abc", b"d" * 32, 1)])
    page = Page(b"", blake3(b"syncd/1 page\0\0" + b"\0\x03abc" + b"d" * 32).digest(), 1)
    assert tree.shape() == {0: [page]}
    assert tree.root() == Root(0, page.hash, 1)


def test_nothing_changed_is_nothing_written():
    tree = MemoryPages(SEED)
    tree.put(some_leaves(1_000))
    tree.replace = None
    pages.update(tree, SEED, [])
    pages.update(tree, SEED, [leaf.key for leaf in some_leaves(1_000)])
    pages.update(tree, SEED, [b"not there", b"\xff"])


def test_one_change_rewrites_one_page_per_level():
    tree = MemoryPages(SEED)
    tree.put(some_leaves(20_000))
    written = []
    plain = MemoryPages.replace
    tree.replace = lambda level, lo, hi, new: (written.append((level, len(new))), plain(tree, level, lo, hi, new))
    tree.put([a_leaf(b"uploads\x0012345.jpg", version=1)])
    assert written == [(level, 1) for level in range(tree.root().level + 1)]
    check(tree)


@pytest.mark.parametrize("weight", [300, 5_000])
def test_a_change_in_place_reads_no_further_than_its_page(weight):
    tree = MemoryPages(SEED)
    plain = [b"%04d" % number for number in range(3_000) if not is_natural(b"%04d" % number, 0)]
    tree.put([a_leaf(key, weight=weight) for key in plain])
    read = []
    plain_leaves = tree.leaves
    tree.leaves = lambda lo, hi: read.extend(plain_leaves(lo, hi)) or plain_leaves(lo, hi)
    tree.put([a_leaf(plain[700], version=1, weight=weight)])
    assert len(read) <= limits.MAX_PAGE_ENTRIES + 1
    tree.leaves = plain_leaves
    check(tree)


def test_pages_have_the_size_they_should():
    tree = MemoryPages(SEED)
    tree.put(some_leaves(50_000))
    counts = [page.count for page in tree.shape()[0]]
    assert 50 < sum(counts) / len(counts) < 80
    assert max(counts) <= limits.MAX_PAGE_ENTRIES


def test_the_seed_decides_the_shape():
    one, other = MemoryPages(SEED), MemoryPages(SEED + 1)
    for tree in (one, other):
        tree.put(some_leaves(1_000))
    assert [page.first for page in one.shape()[0]] != [page.first for page in other.shape()[0]]


def test_the_whole_range_of_seeds_is_valid():
    tree = MemoryPages(2**64 - 1)
    tree.put(some_leaves(10_000))
    assert tree.root().level >= 1


def test_the_level_is_part_of_the_hash():
    assert defined_page(0, [(b"", bytes(32), 0, 1)], b"") != defined_page(1, [(b"", bytes(32), 0, 1)], b"")


# ---- any order, any batches, any deletions

KEYS = [b"%03d" % number for number in range(400)]
NATURAL = [key for key in KEYS if is_natural(key, 0)]


@st.composite
def histories(draw, keys):
    """Batches of {key: leaf, or None to remove it}."""
    chance = random.Random(draw(st.integers(0, 1 << 32)))
    batches = []
    for _ in range(draw(st.integers(1, 6))):
        chosen = chance.sample(keys, draw(st.integers(0, len(keys))))
        removed = draw(st.sampled_from([0, 0.1, 0.5, 1]))
        weights = draw(st.sampled_from([(300,), (1, 40_000), (limits.MAX_ENTRY, 10, 3_000)]))
        batches.append({
            key: None if chance.random() < removed else a_leaf(key, chance.randrange(3), chance.choice(weights))
            for key in chosen
        })  # fmt: skip
    return batches


def play(batches):
    tree = MemoryPages(SEED)
    for batch in batches:
        tree.change(batch)
    return tree


@given(histories(KEYS))
@settings(deadline=None, max_examples=60)
def test_the_shape_follows_from_the_set(batches):
    check(play(batches))


@given(st.data())
@settings(deadline=None, max_examples=50)
def test_boundaries_come_and_go(data):
    tree = MemoryPages(SEED)
    tree.put([a_leaf(key) for key in KEYS])
    for batch in data.draw(histories(NATURAL + KEYS[:3] + KEYS[-3:])):
        tree.change(batch)
        check(tree)


@given(st.data())
@settings(deadline=None, max_examples=25)
def test_pages_are_cut_by_force_where_no_key_asks_for_it(data):
    plain = [b"%04d" % number for number in range(1_600) if not is_natural(b"%04d" % number, 0)]
    tree = MemoryPages(SEED)
    tree.put([a_leaf(key) for key in plain])
    assert [page.count for page in tree.shape()[0]][:-1] == [limits.MAX_PAGE_ENTRIES] * (len(plain) // 512)
    starts = [page.first for page in tree.shape()[0]][1:]
    near = [plain[plain.index(start) + step] for start in starts for step in (-2, -1, 0, 1)]
    for batch in data.draw(histories(sorted({*near, *NATURAL}))):
        tree.change(batch)
        check(tree)


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_upper_levels_are_cut_and_capped_too(data):
    # Small bounds and three levels make a few hundred entries as deep as millions.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "MAX_PAGE_ENTRIES", data.draw(st.integers(1, 5)))
        patch.setattr(limits, "MAX_PAGE_WEIGHT", data.draw(st.sampled_from([1, 150, 100_000])))
        patch.setattr(limits, "MAX_LEVELS", data.draw(st.integers(1, 6)))
        tree = MemoryPages(SEED)
        for batch in data.draw(histories(KEYS[:60])):
            tree.change(batch)
            check(tree)


@given(st.lists(st.binary(min_size=1, max_size=3), unique=True), st.randoms(use_true_random=False))
def test_every_byte_is_welcome_in_a_key(keys, chance):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "MAX_PAGE_ENTRIES", 2)
        tree = MemoryPages(SEED)
        for key in keys:
            tree.put([a_leaf(key)])
        check(tree)
        tree.remove(chance.sample(keys, len(keys) // 2))
        check(tree)


def test_the_key_just_below_another():
    longest = b"a" * limits.MAX_PATH
    for key in (b"b", b"ab", b"a\0", b"\0", b"\x01", b"a\x80", longest):
        below = pages._before(key)
        assert below < key
        others = (b"a\xff", b"a" + b"\xff" * (limits.MAX_PATH - 1), b"a", b"", b"\0", b"a\x7f\xff", longest[:-1])
        assert all(other <= below for other in others if other < key)


def test_huge_entries_stand_alone():
    tree = MemoryPages(SEED)
    heavy = limits.MAX_ENTRY + limits.MAX_PATH
    tree.put([a_leaf(b"%02d" % number, weight=heavy if number % 10 == 5 else 10) for number in range(100)])
    check(tree)
    assert len(tree.shape()[0]) > 5
    tree.put([a_leaf(b"055", weight=limits.MAX_PAGE_WEIGHT + 1)])
    check(tree)


def test_levels_come_and_go():
    tree = MemoryPages(SEED)
    tree.put(some_leaves(10_000))
    assert tree.root().level == 2
    tree.remove([leaf.key for leaf in some_leaves(10_000)[10:]])
    check(tree)
    assert tree.shape().keys() == {0}
    tree.remove([leaf.key for leaf in some_leaves(10)])
    assert tree.shape() == {}
    assert tree.root() == EMPTY


def test_a_large_manifest_grown_in_batches():
    leaves = some_leaves(30_000)
    grown, built = MemoryPages(SEED), MemoryPages(SEED)
    order = list(range(0, len(leaves), 3_000))
    random.Random(1).shuffle(order)
    for start in order:
        grown.put(leaves[start : start + 3_000])
    built.put(leaves)
    assert grown.shape() == built.shape()
    check(built)


# ---- what a peer is told


@given(st.integers(0, 3), st.binary(max_size=2), st.none() | st.binary(max_size=2), st.integers(0, 60))
def test_a_listing_has_the_pages_that_meet_a_range(level, lo, hi, count):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "MAX_PAGE_ENTRIES", 4)
        tree = MemoryPages(SEED)
        tree.put([a_leaf(key) for key in KEYS[: count * 4]])
    if hi is not None and hi <= lo:
        hi = lo + b"\0"
    found = listing(tree, level, lo, hi)
    known = tree.pages(level, b"", None)
    if known:
        ends = [*[page.first for page in known[1:]], None]
        meeting = [
            page
            for page, end in zip(known, ends, strict=True)
            if (hi is None or page.first < hi) and (end is None or lo < end)
        ]
        assert found == meeting
    elif count:
        assert found == [Page(b"", tree.root().hash, count * 4)]
    else:
        assert found == []
