import random

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from protocol import merge as merging
from protocol.merge import Liveness, conflicts, digest, directory_record, liveness, merge, winner
from protocol.record import DIRECTORY_CONTENT, Kind, make_record
from tests.protocol import merge_model as model
from tests.protocol.merge_model import FOLDER, History, as_dict, as_tuple

SEEDS = st.integers(0, 1 << 32)
A, B, C = (bytes([n]) * 8 for n in (1, 2, 3))


def a_record(dot, *, kind=Kind.FILE, token=1, context=None, spares=(), stamp=None, found=False, of=None, mode=0o644,
             was_directory=False):  # fmt: skip
    """A record by hand. of: (content dot, content stamp) of the content that a change of metadata keeps."""
    stamp = 10 * dot[1] if stamp is None else stamp
    content_dot, content_stamp = of or (dot, stamp)
    content = {Kind.DELETE: b"", Kind.DIR: DIRECTORY_CONTENT}.get(kind, token.to_bytes(32, "big"))
    if kind == Kind.DELETE and not was_directory:
        mode = 0
    return make_record(
        folder_id=FOLDER, path=b"a", kind=kind, dot=dot, context=context or {}, spares=frozenset(spares), stamp=stamp,
        content_dot=content_dot, content_stamp=content_stamp, superseded=(), mode=mode, content=content, found=found,
        was_directory=was_directory,
    )  # fmt: skip


def state_of(*records):
    return tuple(sorted(records, key=lambda r: r.hash))


# --- merging


def subsets(seed, count):
    """Random sets of the records of one history."""
    history = History(seed).run(30)
    draw = random.Random(seed)
    records = [record for _, record in history.log]
    return [[r for r in records if draw.random() < 0.7] for _ in range(count)], draw


@pytest.mark.parametrize("block", range(10))
def test_the_order_of_records_does_not_matter(block):
    for seed in range(block * 60, block * 60 + 60):
        (records,), draw = subsets(seed, 1)
        together = merge(*[(r,) for r in records])
        for _ in range(3):
            draw.shuffle(records)
            state = ()
            for record in records:
                state = merge(state, (record,))
            assert state == together
        assert together == as_tuple(model.merge(*[as_dict((r,)) for r in records]))


@pytest.mark.parametrize("block", range(10))
def test_laws(block):
    for seed in range(block * 40, block * 40 + 40):
        sets, _ = subsets(seed, 3)
        a, b, c = (merge(tuple(records)) for records in sets)
        assert merge(a, b) == merge(b, a)
        assert merge(merge(a, b), c) == merge(a, merge(b, c)) == merge(a, b, c) == merge(c, b, a)
        for state in (a, b, c, merge(a, b)):
            assert merge(state) == state
            assert merge(state, state) is state
            assert merge(state, ()) is state
            assert merge((), state) == state
            assert merge(state, tuple(reversed(state))) is state
            assert [r.hash for r in state] == sorted({r.hash for r in state})


@given(SEEDS, st.booleans())
def test_the_same_as_the_model(seed, rollbacks):
    """Also with twins: an undetected rollback makes one dot name two records."""
    history = History(seed, rollbacks=rollbacks).run(40)
    draw = random.Random(seed)
    for _ in range(20):
        if not history.states:
            break
        states = draw.choices(history.states, k=draw.choice((1, 2, 2, 2, 3)))
        assert merge(*states) == as_tuple(model.merge(*map(as_dict, states)))
        assert_same_judgement(merge(*states))
    for state in history.states:
        assert_same_judgement(state)


@given(st.lists(st.tuples(st.sampled_from([A, B, C]), st.integers(1, 3), st.integers(1, 3),
                          st.dictionaries(st.sampled_from([A, B, C]), st.integers(1, 4)),
                          st.frozensets(st.tuples(st.sampled_from([A, B, C]), st.integers(1, 3)), max_size=3),
                          st.sampled_from([Kind.FILE, Kind.FILE, Kind.DELETE, Kind.DIR]), st.booleans(),
                          st.booleans()), max_size=6), st.integers(0, 6))  # fmt: skip
def test_the_same_as_the_model_for_records_that_nobody_honest_makes(drawn, cut):
    records = [
        a_record((actor, n), kind=kind, token=token, context=context, spares=spares, found=found and kind < 3,
                 of=((B, 1), 1) if metadata and kind != Kind.DELETE else None)
        for actor, n, token, context, spares, kind, found, metadata in drawn
    ]  # fmt: skip
    one, two = tuple(records[:cut]), tuple(records[cut:])
    expected = as_tuple(model.merge(as_dict(one), as_dict(two)))
    assert merge(one, two) == merge(two, one) == expected
    assert_same_judgement(expected)


def assert_same_judgement(state):
    plain = as_dict(state)
    assert winner(state) is model.winner(plain)
    assert conflicts(state) == [r for r in state if r in (model.conflicts(plain) if plain else [])]
    assert directory_record(state) is model.directory_record(plain)
    for record in state:
        assert merging.is_stale_metadata(record, state) == model.is_stale_metadata(record, plain)
        assert merging.rank(record, state) == model.rank(record, plain)


def test_what_is_known_comes_back_as_the_same_object():
    first, second = a_record((A, 1)), a_record((A, 2), context={A: 1})
    sibling, other = a_record((B, 1)), a_record((C, 1))
    known, twin = (first,), (a_record((A, 1)),)
    assert merge(known, twin) is known
    assert merge(known, (second,)) == (second,)
    newer = (second,)
    assert merge(newer, known) is newer
    assert merge(known, newer) == newer
    assert merge(known) is known
    assert merge() == ()
    pair = merge(known, (sibling,))
    assert pair == state_of(first, sibling)
    assert merge(pair, twin) is pair
    assert merge(pair, twin)[pair.index(first)] is first
    assert merge((), pair) is pair
    assert merge(pair, (other,)) == state_of(first, sibling, other)
    everything = a_record((A, 3), context={A: 2, B: 1, C: 1})
    assert merge(pair, (other,), (everything,)) == (everything,)


def test_the_known_record_is_kept_with_its_proof():
    first, sibling = a_record((A, 1)), a_record((B, 1))
    first.proof = b"p" * 16
    twin = a_record((A, 1))
    assert merge((first,), (twin,))[0].proof
    assert all(r.proof for r in merge((first,), state_of(twin, sibling)) if r == first)
    assert all(r.proof for r in merge(state_of(first, sibling), (a_record((C, 1)),), (twin,)) if r == first)


def test_records_that_cover_each_other_are_both_gone():
    one, two = a_record((A, 1), context={B: 1}), a_record((B, 1), context={A: 1})
    assert merge((one,), (two,)) == merge((one, two)) == ()


def test_a_spare_spares_the_content_also_after_a_chmod():
    unseen = a_record((B, 1))
    edit = a_record((A, 2), token=2, context={A: 1, B: 2}, spares=[(B, 1)])
    chmod = a_record((B, 2), context={B: 1}, of=((B, 1), 10), mode=0o600)
    assert merge((edit,), (unseen,)) == state_of(edit, unseen)
    assert merge((edit,), (unseen,), (chmod,)) == state_of(edit, chmod)
    assert not merging.supersedes(edit, (B, 1))
    assert merging.supersedes(edit, (B, 2))
    assert not merging.supersedes(edit, (B, 3))


# --- winners


LIVE = a_record((A, 1), stamp=10)
NEWER = a_record((B, 1), stamp=20, token=2)
DELETED = a_record((C, 1), kind=Kind.DELETE, stamp=99)
FOUND = a_record((C, 2), token=3, stamp=500, found=True)
FOLLOWS = a_record((C, 3), token=4, context={B: 1}, stamp=15)
STALE = a_record((B, 2), token=2, context={B: 1}, stamp=999, of=((B, 1), 20))


@pytest.mark.parametrize(
    ("state", "best", "told"),
    [
        ([], None, []),
        ([LIVE], LIVE, []),
        ([DELETED], DELETED, []),
        ([LIVE, NEWER], NEWER, [LIVE]),
        ([LIVE, DELETED], LIVE, []),
        ([DELETED, FOUND], DELETED, [FOUND]),
        ([LIVE, FOUND], LIVE, [FOUND]),
        ([FOLLOWS, STALE], FOLLOWS, []),
        ([STALE, LIVE], STALE, [LIVE]),
        ([FOLLOWS, STALE, FOUND, DELETED], FOLLOWS, [FOUND]),
        ([a_record((C, 4), token=1, stamp=30), LIVE], a_record((C, 4), token=1, stamp=30), []),
        ([a_record((C, 1), stamp=10), LIVE], a_record((C, 1), stamp=10), []),
        ([a_record((A, 2), stamp=10), LIVE], a_record((A, 2), stamp=10), []),
    ],
)
def test_winner(state, best, told):
    for members in (state_of(*state), tuple(state)):
        assert winner(members) == best
        assert set(conflicts(members)) == set(told)


def test_twins_are_told_apart_by_hash():
    one, two = a_record((A, 1), token=1), a_record((A, 1), token=2)
    state = merge((one,), (two,))
    assert len(state) == 2
    assert winner(state) == max(one, two, key=lambda r: r.hash)


@pytest.mark.parametrize(
    ("state", "alive"),
    [
        ([], Liveness.DEAD),
        ([DELETED], Liveness.DEAD),
        ([FOUND], Liveness.FOUND),
        ([DELETED, FOUND], Liveness.DEAD),
        ([LIVE], Liveness.USER),
        ([LIVE, FOUND, DELETED], Liveness.USER),
        ([a_record((A, 9), kind=Kind.DIR)], Liveness.USER),
    ],
)
def test_liveness(state, alive):
    assert liveness(state_of(*state)) is alive


def test_directory_record():
    old, new = a_record((A, 1), kind=Kind.DIR, mode=0o700), a_record((B, 2), kind=Kind.DIR, mode=0o750)
    removed = a_record((C, 3), kind=Kind.DELETE, was_directory=True, mode=0o711)
    found = a_record((C, 4), kind=Kind.DIR, found=True, mode=0o777)
    assert directory_record(()) is None
    assert directory_record(state_of(LIVE, DELETED)) is None
    assert directory_record(state_of(LIVE, old)) is old
    assert directory_record(state_of(old, new)) is new
    assert directory_record(state_of(old, new, removed)) is removed
    assert directory_record(state_of(old, found)) is old
    assert directory_record((found,)) is found


def test_digest():
    state = state_of(LIVE, NEWER)
    assert digest((LIVE,)) == LIVE.hash
    assert digest(state) == blake3(state[0].hash + state[1].hash).digest()
    assert len(digest(())) == 32
    assert len({digest(()), digest(state), digest((LIVE,)), digest((NEWER,))}) == 4
