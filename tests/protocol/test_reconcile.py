"""Pulls between two manifests in memory."""

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import limits
from protocol.frames import FrameWriter
from protocol.messages import decode, encode
from protocol.pages import listing
from protocol.reconcile import AskLeaves, AskPages, AskRecords, Pull, answer_leaves, answer_pages
from tests.fakes.memory_pages import MemoryPages
from tests.protocol.pulls import ALL, a_leaf, a_tree


def some_leaves(count, form=b"uploads\0%06d.jpg"):
    return [a_leaf(form % number) for number in range(count)]


@dataclass
class Run:
    """A pull of `mine` from `theirs`, message by message; what it cost is in the fields."""

    mine: MemoryPages
    theirs: MemoryPages
    ranges: list = field(default_factory=lambda: [ALL])
    most: int = 4_096  # records per answer
    chance: random.Random | None = None  # answers come in any order
    level: int | None = None
    asked: list = field(default_factory=list)
    rounds: int = 0
    manifest_bytes: int = 0  # bodies of requests and answers, without records
    framed_bytes: int = 0  # the same as frames, compressed where that pays
    records: list = field(default_factory=list)  # keys of those transferred
    finished: list = field(default_factory=list)
    meanwhile: object = None  # called before every answer
    writer: FrameWriter | None = None

    def to_the_end(self):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(limits, "BYTES_PER_ANSWER", min(self.most * 64, limits.BYTES_PER_ANSWER))
            return self._to_the_end()

    def _to_the_end(self):
        self.pull = Pull(self.mine, self.ranges, self.theirs.root().level if self.level is None else self.level)
        under_way = self._ask()
        while not self.pull.done:
            assert under_way, "a pull that waits for nothing"
            self.rounds += 1
            for _ in range(len(under_way)):
                place = self.chance.randrange(len(under_way)) if self.chance else 0
                self._answer(under_way.pop(place))
                under_way += self._ask()
                assert len(under_way) <= limits.MAX_PULL_REQUESTS
        assert not under_way
        assert sorted(self.finished) == list(range(len(self.ranges)))
        return self

    def _ask(self):
        asks = self.pull.requests()
        self.finished += self.pull.finished_ranges()
        self.asked += asks
        for ask in asks:
            self._carried(ask)
        assert len({ask.id for ask in self.asked}) == len(self.asked)
        return asks

    def _answer(self, ask):
        if self.meanwhile:
            self.meanwhile()
        if isinstance(ask, AskRecords):
            if ask.keys:
                found = [leaf for leaf in map(self.theirs.get, ask.keys) if leaf]
            else:
                found = self.theirs.leaves(ask.lo, ask.hi)
            shown, following = self._part(found)
            self.mine.put(shown)
            self.records += [leaf.key for leaf in shown]
            self.pull.on_records_end(ask.id, following)
        elif isinstance(ask, AskPages):
            message = self._carried(answer_pages(self.theirs, ask))
            self.pull.on_pages(message.id, message.pages, message.next)
        else:
            message = self._carried(answer_leaves(self.theirs, ask))
            self.pull.on_leaves(message.id, message.leaves, message.next)
        self.finished += self.pull.finished_ranges()

    def _part(self, leaves):
        return leaves[: self.most], leaves[self.most].key if len(leaves) > self.most else None

    def _carried(self, message):
        body = b"".join(encode(message))
        self.manifest_bytes += len(body)
        if self.writer:
            self.framed_bytes += sum(map(len, self.writer.frame(message.TYPE, [body], compress=True)))
        return decode(message.TYPE, body)


def has_all_of(mine, theirs, ranges):
    return all(mine.get(leaf.key) == leaf for lo, hi in ranges for leaf in theirs.leaves(lo, hi))


# ---- what a pull achieves

KEYS = [b"%04d" % number for number in range(0, 3_000, 3)]


@st.composite
def two_trees(draw):
    """Two trees with a common part, gaps, and differing entries on both sides."""
    chance = random.Random(draw(st.integers(0, 1 << 32)))
    shared = KEYS[: draw(st.integers(0, len(KEYS)))]
    gap = sorted(chance.choices(range(len(KEYS) + 1), k=2))
    trees = []
    for _ in range(2):
        leaves = {key: a_leaf(key) for key in shared}
        for key in chance.sample(KEYS, draw(st.sampled_from([0, 1, 5, 200]))):
            leaves[key] = a_leaf(key, chance.randrange(3))
        trees.append(leaves)
    for key in KEYS[gap[0] : gap[1]]:
        trees[0].pop(key, None)
    return a_tree(trees[0].values()), a_tree(trees[1].values())


def bounds():
    return st.integers(-1, 3_001).map(lambda number: b"%04d" % number if number >= 0 else b"")


def some_ranges():
    one = st.tuples(bounds(), bounds() | st.none()).filter(lambda pair: pair[1] is None or pair[0] < pair[1])
    return st.lists(one, max_size=4)


@given(two_trees(), some_ranges(), st.sampled_from([1, 3, 50, 4_096]), st.integers(0, 1 << 32), st.booleans())
@settings(deadline=None)
def test_a_pull_brings_all_that_the_peer_has_in_the_ranges(trees, ranges, most, seed, whole):
    mine, theirs = trees
    ranges += [ALL] if whole else []
    before = {leaf.key: leaf for leaf in mine.leaves(*ALL)}
    run = Run(mine, theirs, ranges, most=most, chance=random.Random(seed)).to_the_end()
    assert has_all_of(mine, theirs, ranges)
    assert len(run.records) == len(set(run.records))
    assert all(before.get(key) != theirs.get(key) for key in run.records)
    assert all(any(lo <= key and (hi is None or key < hi) for lo, hi in ranges) for key in run.records)


@given(two_trees(), st.integers(0, limits.MAX_LEVELS - 1), st.sampled_from([1, 2, 4_096]))
@settings(deadline=None, max_examples=50)
def test_trees_of_different_height_and_a_root_that_is_out_of_date(trees, level, most):
    mine, theirs = trees
    Run(mine, theirs, most=most, level=level).to_the_end()
    assert has_all_of(mine, theirs, [ALL])


def test_a_level_the_peer_no_longer_has_is_not_an_empty_one():
    theirs = a_tree(some_leaves(10))
    for mine in (a_tree(some_leaves(5)), a_tree([]), a_tree(some_leaves(5_000)[100:])):
        Run(mine, theirs, level=2).to_the_end()
        assert has_all_of(mine, theirs, [ALL])


@given(two_trees(), st.integers(0, 1 << 32), st.sampled_from([2, 50, 4_096]))
@settings(deadline=None, max_examples=30)
def test_a_peer_that_changes_meanwhile_loses_nothing_that_stays(trees, seed, most):
    mine, theirs = trees
    chance = random.Random(seed)
    steady = {leaf.key: leaf for leaf in theirs.leaves(*ALL)}

    def change():
        key = chance.choice(KEYS)
        steady.pop(key, None)
        theirs.change({key: chance.choice([None, a_leaf(key, 9)])})

    Run(mine, theirs, most=most, chance=chance, meanwhile=change).to_the_end()
    assert all(mine.get(key) == leaf for key, leaf in steady.items())


def test_two_pulls_make_two_trees_equal():
    mine, theirs = a_tree(some_leaves(3_000)[500:]), a_tree(some_leaves(2_500))
    for one, other in ((mine, theirs), (theirs, mine)):
        Run(one, other).to_the_end()
    assert mine.shape() == theirs.shape()


# ---- what it costs

MANY = some_leaves(100_000)


def test_equal_trees_cost_one_round():
    ranges = [(b"plugins\0", b"plugins\x01"), (b"uploads\0" + b"000100", b"uploads\0" + b"05"), ALL]
    run = Run(a_tree(MANY[:20_000]), a_tree(MANY[:20_000]), ranges).to_the_end()
    assert run.rounds == 1
    assert len(run.asked) == 5  # the whole is asked for without the two parts
    assert run.manifest_bytes < 1_000


@pytest.mark.parametrize("most", [4_096, 100])
def test_an_empty_node_asks_once_per_range(most):
    theirs = a_tree([*some_leaves(1_000, b"themes\0%06d"), *some_leaves(1_000)])
    mine = a_tree([])
    run = Run(mine, theirs, [(b"themes\0", b"themes\x01"), (b"uploads\0", b"uploads\x01")], most=most).to_the_end()
    assert len(run.asked) == (2 if most > 1_000 else 20)
    assert mine.shape() == theirs.shape()
    assert len(run.records) == 2_000


@pytest.mark.parametrize("seed", range(3))
def test_the_cost_follows_the_difference(seed):
    theirs = a_tree(MANY)
    theirs.put([a_leaf(leaf.key, 1) for leaf in random.Random(seed).sample(MANY, 10)])
    mine = a_tree(MANY)
    run = Run(mine, theirs, writer=FrameWriter()).to_the_end()
    assert mine.shape() == theirs.shape()
    assert len(run.records) == 10
    assert len(run.asked) < 40
    assert sum(isinstance(ask, AskRecords) for ask in run.asked) <= 2
    assert run.rounds <= 5
    # A random entry's page is twice the mean one, on every level: some 20 kB of bodies for each of a few differences.
    assert run.manifest_bytes < 130_000
    assert run.framed_bytes < 100_000


def test_a_new_directory_costs_next_to_nothing():
    theirs = a_tree([*MANY[:50_000], *some_leaves(5_000, b"plugins\0shop\0%05d.php")])
    mine = a_tree(MANY[:50_000])
    run = Run(mine, theirs).to_the_end()
    assert mine.shape() == theirs.shape()
    assert len(run.records) == 5_000
    assert len(run.asked) < 12
    assert run.manifest_bytes < 30_000


def test_every_entry_differs():
    theirs, mine = a_tree([a_leaf(leaf.key, 1) for leaf in MANY[:30_000]]), a_tree(MANY[:30_000])
    run = Run(mine, theirs).to_the_end()
    assert mine.shape() == theirs.shape()
    assert len(run.asked) < 100
    assert run.rounds < 8
    assert all(len(ask.keys) <= limits.MAX_KEYS_PER_ASK for ask in run.asked if isinstance(ask, AskRecords))


def test_records_come_before_further_listings():
    theirs, mine = a_tree([a_leaf(leaf.key, 1) for leaf in MANY[:30_000]]), a_tree(MANY[:30_000])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "MAX_PULL_REQUESTS", 2)
        run = Run(mine, theirs).to_the_end()
    assert mine.shape() == theirs.shape()
    kinds = [type(ask) for ask in run.asked]
    assert kinds.index(AskRecords) < kinds.index(AskLeaves) + 4


def test_long_keys_are_asked_for_in_several_requests():
    keys = [b"%04d" % number + bytes(limits.MAX_PATH - 4) for number in range(300)]
    theirs, mine = a_tree([a_leaf(key, 1) for key in keys]), a_tree([a_leaf(key) for key in keys])
    run = Run(mine, theirs).to_the_end()
    assert mine.shape() == theirs.shape()
    asks = [ask for ask in run.asked if isinstance(ask, AskRecords)]
    assert len(asks) > 1
    assert all(sum(map(len, ask.keys)) <= limits.KEY_BYTES_PER_ASK for ask in asks)


@pytest.mark.parametrize("most", [1, 5, 4_096])
def test_answers_fit_in_a_message(most):
    keys = [b"%04d" % number + bytes(limits.MAX_PATH - 4) for number in range(1_000)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "MAX_PAGE_ENTRIES", 1)
        patch.setattr(limits, "MAX_LEAVES_PER_ANSWER", most)
        patch.setattr(limits, "MAX_PAGES_PER_ANSWER", most)
        tree = a_tree([a_leaf(key) for key in keys])
        for answer, ask in ((answer_pages, AskPages(1, 0, b"", None)), (answer_leaves, AskLeaves(1, b"", None))):
            message = answer(tree, ask)
            found = message.pages if answer is answer_pages else message.leaves
            assert 1 <= len(found) <= most
            assert message.next == keys[len(found)]
            assert sum(map(len, encode(message))) < limits.MAX_MESSAGE


# ---- order


def test_ranges_are_worked_in_order_and_the_pipeline_is_kept_full():
    mine = a_tree([])
    ranges = [(b"%03d" % number, b"%03d" % (number + 1)) for number in range(100)]
    pull = Pull(mine, ranges, 1)
    first = pull.requests()
    assert [ask.lo for ask in first] == [lo for lo, _ in ranges[: limits.MAX_PULL_REQUESTS]]
    assert pull.requests() == []
    pull.on_records_end(first[3].id, None)
    assert pull.finished_ranges() == [3]
    assert [ask.lo for ask in pull.requests()] == [ranges[limits.MAX_PULL_REQUESTS][0]]


def test_an_earlier_range_goes_first():
    forms = [b"a\0%05d", b"b\0%05d"]
    leaves = [leaf for form in forms for leaf in some_leaves(5_000, form)]
    theirs, mine = a_tree([a_leaf(leaf.key, 1) for leaf in leaves]), a_tree(leaves)
    pull = Pull(mine, [(b"a\0", b"a\x01"), (b"b\0", b"b\x01")], theirs.root().level)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "MAX_PULL_REQUESTS", 1)
        patch.setattr(limits, "ITEMS_PER_ASK", 300)
        order = []
        while not pull.done:
            (ask,) = pull.requests()
            order.append(ask.lo[:1])
            if isinstance(ask, AskPages):
                pull.on_pages(ask.id, listing(theirs, ask.level, ask.lo, ask.hi), None)
            elif isinstance(ask, AskLeaves):
                pull.on_leaves(ask.id, theirs.leaves(ask.lo, ask.hi), None)
            else:
                pull.on_records_end(ask.id, None)
    assert order == sorted(order)
    assert order.count(b"a") > 20


def test_a_range_within_others_is_finished_with_them():
    mine = a_tree([])
    pull = Pull(mine, [(b"b", b"d"), (b"b", b"c"), ALL, (b"a", b"b")], 0)
    asks = pull.requests()
    assert [(ask.lo, ask.hi) for ask in asks] == [(b"b", b"d"), (b"", b"b"), (b"d", None)]
    pull.on_records_end(asks[1].id, None)
    pull.on_records_end(asks[2].id, None)
    assert pull.finished_ranges() == []
    pull.on_records_end(asks[0].id, None)
    assert pull.finished_ranges() == [0, 1, 2, 3]
    assert pull.finished_ranges() == []
    assert pull.done


def test_no_ranges_are_nothing_to_do():
    pull = Pull(a_tree([]), [], 0)
    assert pull.requests() == []
    assert pull.done


# ---- with contents of small files


def test_ranges_with_small_contents_come_one_after_the_other():
    welcome = {0}
    pull = Pull(a_tree([]), [(b"b", b"c"), (b"d", b"e"), (b"", None)], 1, welcome.__contains__)
    (ask,) = pull.requests()
    assert ask == AskRecords(ask.id, b"b", b"c", (), True)
    assert pull.requests() == []
    pull.on_records_end(ask.id, b"bb")
    welcome.clear()
    (ask,) = pull.requests()
    assert ask == AskRecords(ask.id, b"bb", b"c", (), False)
    pull.on_records_end(ask.id, None)
    (ask,) = pull.requests()
    assert ask == AskRecords(ask.id, b"d", b"e", (), False)
    welcome.add(2)
    pull.on_records_end(ask.id, None)
    asks = pull.requests()
    assert [(ask.lo, ask.hi, ask.small) for ask in asks] == [(b"", b"b", True), (b"c", b"d", True), (b"e", None, True)]
    for ask in asks:
        pull.on_records_end(ask.id, None)
    assert pull.done
    assert pull.finished_ranges() == [0, 1, 2]
