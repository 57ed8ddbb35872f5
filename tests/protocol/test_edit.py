import pytest

from protocol.edit import (
    Entry,
    TooManySiblings,
    edit_record,
    entry_of,
    found_record,
    joined_context,
    same_content,
    shown_record,
    spared_dots,
    superseded_contents,
)
from protocol.errors import LocalError
from protocol.limits import MAX_CONTEXT, MAX_ENTRY, MAX_SIBLINGS, MAX_SPARES, MAX_STAMP, SUPERSEDED_KEPT
from protocol.merge import conflicts, merge, winner
from protocol.record import Kind, decode_record
from tests.protocol import merge_model as model
from tests.protocol.merge_model import FOLDER, History, as_dict, directory, file_entry, link_entry

A, B, C = (bytes([n]) * 8 for n in (1, 2, 3))
PATH = b"a"


def edit(state, before, after, dot, stamp=None):
    return edit_record(PATH, state, before, after, dot, stamp or 10 * dot[1], FOLDER)


def written(state, after, dot, stamp=None):
    """What the state becomes when a node that is shown its winner writes `after`."""
    best = winner(state)
    before = entry_of(best) if best is not None and best.live else None
    return merge(state, (edit(state, before, after, dot, stamp),))


# --- against the model


@pytest.mark.parametrize("block", range(12))
def test_edits_say_what_the_model_says(block):
    seen = {"edit": 0, "metadata": 0, "delete": 0, "several": 0, "spares": 0}
    for seed in range(block * 30, block * 30 + 30):
        history = History(seed, paths=(b"a", b"a/b", b"a/b/c"), rollbacks=seed % 3 == 0).run(60)
        for path, state, before, after, record in history.edits:
            expected = model.edit_fields(as_dict(state), before, after, record.dot, record.stamp)
            assert {name: getattr(record, name) for name in expected} == expected
            assert record.path == path
            assert decode_record(record.raw, FOLDER) == record
            seen["metadata" if record.content_dot != record.dot else "edit"] += 1
            seen["delete"] += not record.live
            seen["several"] += len(state) > 1
            seen["spares"] += bool(record.spares)
        for _, record in history.log:
            assert decode_record(record.raw, FOLDER) == record
    assert all(seen.values())


@pytest.mark.parametrize("block", range(6))
def test_parts_of_an_edit(block):
    for seed in range(block * 20, block * 20 + 20):
        for state in History(seed, rollbacks=True).run(40).states:
            plain = as_dict(state)
            assert joined_context(state) == model.joined_context(state)
            entries = [None, file_entry(1), directory(0o755), *[model.entry(r) for r in state if r.live]]
            for before in entries:
                assert shown_record(state, before) is model.shown_record(plain, before)
                for after in entries[:2]:
                    spares = spared_dots(state, before, after)
                    assert spares == model.spared_dots(plain, before, after)
                    expected = model.superseded_contents(plain, spares, after)
                    assert superseded_contents(state, spares, after) == expected


def test_an_edit_wins_where_it_was_made():
    for seed in range(100):
        for _, state, before, after, record in History(seed).run(40).edits:
            after_it = merge(state, (record,))
            assert record in after_it
            if after is not None and not same_content(before, after):
                assert same_content(winner(after_it), after)


# --- single cases


def test_a_new_file():
    record = edit((), None, file_entry(7, 0o600, 5), (A, 1), 50)
    assert (record.kind, record.size, record.mode, record.mtime, record.stamp) == (Kind.FILE, 7, 0o600, 5, 50)
    assert (record.context, record.spares, record.superseded, record.found) == ({}, frozenset(), (), False)
    assert (record.content_dot, record.content_stamp) == ((A, 1), 50)
    assert entry_of(record) == file_entry(7, 0o600, 5)


@pytest.mark.parametrize("entry", [file_entry(3), link_entry(b"to"), directory(0o711)])
def test_an_entry_survives_its_record(entry):
    assert entry_of(decode_record(edit((), None, entry, (A, 1)).raw, FOLDER)) == entry


def test_a_chmod_and_a_touch_keep_the_content():
    state = written((), file_entry(1), (A, 1))
    changed = written(written(state, file_entry(1, 0o600), (B, 2)), file_entry(1, 0o600, 99), (C, 3))
    (record,) = changed
    assert (record.content_dot, record.content_stamp, record.stamp) == ((A, 1), 10, 30)
    assert (record.context, record.superseded) == ({A: 1, B: 2}, ())


def test_a_chmod_of_what_was_found_stays_found():
    found = found_record(PATH, file_entry(1), (A, 1), 5000, FOLDER)
    (record,) = written((found,), file_entry(1, 0o600), (B, 1))
    assert (record.found, record.content_stamp, record.stamp) == (True, 5000, 10)
    assert decode_record(record.raw, FOLDER) == record


def test_a_chmod_of_an_implied_directory_is_a_full_edit():
    state = written((), file_entry(1), (A, 1))
    record = edit(state, directory(0o755), directory(0o700), (B, 1))
    assert (record.content_dot, record.found) == ((B, 1), False)
    assert record.spares == {(A, 1)}


def test_a_delete_of_a_directory_remembers_its_mode():
    (record,) = written(written((), directory(0o711), (A, 1)), None, (A, 2))
    assert (record.kind, record.was_directory, record.mode, record.content) == (Kind.DELETE, True, 0o711, b"")
    (record,) = written(written((), file_entry(1), (A, 1)), None, (A, 2))
    assert (record.was_directory, record.mode, record.superseded) == (False, 0, (file_entry(1).content,))


def test_an_edit_spares_what_was_not_shown_and_a_delete_does_not():
    state = merge(written((), file_entry(1), (A, 1)), written((), file_entry(2), (B, 2)))
    shown = entry_of(winner(state))
    replaced = edit(state, shown, file_entry(3), (C, 1), 30)
    assert replaced.spares == {(A, 1)}
    assert replaced.superseded == (file_entry(2).content,)
    assert conflicts(merge(state, (replaced,))) == list(written((), file_entry(1), (A, 1)))
    assert merge(state, (edit(state, shown, None, (C, 1), 30),)) == (edit(state, shown, None, (C, 1), 30),)


def test_spares_of_what_has_not_arrived_are_inherited():
    unseen = edit((), None, file_entry(1), (A, 1))
    both = merge((unseen,), written((), file_entry(2), (B, 2)))
    spares_a = edit(both, file_entry(2), file_entry(3), (B, 3))
    here = written((spares_a,), file_entry(4), (C, 4))
    assert here[0].spares == {(A, 1)}
    assert winner(merge(here, (unseen,))) == here[0]
    assert len(merge(here, (unseen,))) == 2
    deleted = written((spares_a,), None, (C, 4))
    assert deleted[0].spares == {(A, 1)}


def test_superseded_contents_are_the_last_ones_once_each():
    state = ()
    for n in range(1, 13):
        state = written(state, file_entry(n), (A, n))
    last = [file_entry(n).content for n in range(12 - SUPERSEDED_KEPT, 12)]
    assert list(state[0].superseded) == last
    reverted = written(state, file_entry(6), (A, 13))
    assert list(reverted[0].superseded) == [c for c in last if c != file_entry(6).content] + [file_entry(12).content]


def test_what_a_fresh_index_found():
    record = found_record(PATH, link_entry(b"x"), (A, 1), 77, FOLDER)
    assert (record.found, record.context, record.spares, record.superseded) == (True, {}, frozenset(), ())
    assert (record.stamp, record.content_stamp, record.content_dot) == (77, 77, (A, 1))
    assert entry_of(record) == link_entry(b"x")
    for stamp, kept in ((-1, 0), (MAX_STAMP + 1, MAX_STAMP)):
        record = found_record(PATH, directory(0o755), (A, 1), stamp, FOLDER)
        assert record.stamp == kept
        assert decode_record(record.raw, FOLDER) == record


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (None, None, False),
        (None, file_entry(1), False),
        (file_entry(1), None, False),
        (file_entry(1), file_entry(1, 0o600, 9), True),
        (file_entry(1), file_entry(2), False),
        (directory(0o700), directory(0o755), True),
        (file_entry(1), Entry(Kind.LINK, file_entry(1).content, 0, 0o777, 0, b"x"), False),
    ],
)
def test_same_content(a, b, same):
    assert same_content(a, b) is same


# --- bounds


def siblings(count, path=PATH, target=b""):
    """A state of so many contents that were written without knowing of each other."""
    entries = [link_entry(target + str(n).encode()) if target else file_entry(n + 1) for n in range(count)]
    return merge(*[(edit_record(path, (), None, entry, (n.to_bytes(8, "big"), 1), 10 + n, FOLDER),)
                   for n, entry in enumerate(entries)])  # fmt: skip


def test_a_path_with_too_many_siblings_takes_no_further_one():
    state = siblings(MAX_SIBLINGS - 1)
    state = merge(state, (edit(state, None, file_entry(999), (A, 1), 900),))
    assert len(state) == MAX_SIBLINGS
    shown = entry_of(winner(state))
    for before, after in ((shown, file_entry(1000)), (None, file_entry(1000)), (shown, shown._replace(mode=0))):
        with pytest.raises(TooManySiblings, match="64 siblings") as caught:
            edit(state, before, after, (B, 1), 1000)
        assert isinstance(caught.value, LocalError)
    assert len(merge(state, (edit(state, shown, None, (B, 1), 1000),))) == 1


def test_below_the_bound_siblings_are_no_obstacle():
    state = siblings(MAX_SIBLINGS - 1)
    assert len(merge(state, (edit(state, entry_of(winner(state)), file_entry(999), (A, 1), 900),))) == MAX_SIBLINGS - 1


def test_an_edit_that_makes_siblings_fewer_is_made_however_many_there_are():
    state = siblings(MAX_SIBLINGS + 5)
    copies = merge(state, *[(edit((), None, file_entry(1), (bytes([9, n]) * 4, 1), 5),) for n in range(3)])
    assert len(copies) == MAX_SIBLINGS + 8
    after = merge(copies, (edit(copies, file_entry(1), file_entry(999), (A, 1), 900),))
    assert len(after) == MAX_SIBLINGS + 5


def test_an_entry_does_not_grow_beyond_its_bytes():
    path = b"/".join([b"x" * 255] * 16)
    state = siblings(16, path, b"t" * 4000)
    size = sum(len(r.raw) for r in state)
    assert MAX_ENTRY - 10_000 < size < MAX_ENTRY
    with pytest.raises(TooManySiblings, match="siblings of"):
        edit_record(path, state, None, link_entry(b"t" * 4000), (A, 1), 900, FOLDER)
    assert edit_record(path, state, None, None, (A, 1), 900, FOLDER).kind == Kind.DELETE


def test_no_more_authors_than_a_context_holds():
    state = (edit((), None, file_entry(1), (A, 1)),)
    state[0].context.update({n.to_bytes(8, "big"): 1 for n in range(MAX_CONTEXT - 1)})
    assert len(edit(state, None, file_entry(2), (B, 1)).context) == MAX_CONTEXT
    state[0].context[C] = 1
    with pytest.raises(TooManySiblings, match="1025 authors"):
        edit(state, None, file_entry(2), (B, 1))


def test_no_more_spares_than_a_record_holds():
    state = (edit((), None, file_entry(1), (A, 1)),)
    state[0].spares = frozenset((C, n + 1) for n in range(MAX_SPARES))
    assert len(edit(state, file_entry(1), file_entry(2), (B, 1)).spares) == MAX_SPARES
    with pytest.raises(TooManySiblings, match="1025 spared"):
        edit(state, None, file_entry(2), (B, 1))


# --- what an operator decides


def test_a_dismissal_leaves_itself_alone_in_any_order():
    seen = 0
    for seed in range(60):
        history = History(seed, paths=(b"a", b"a/b"), rollbacks=False).run(60)
        for path, state, _, _, record in history.edits:
            best = winner(state)
            if not conflicts(state) or best is None:
                continue
            seen += 1
            shown = entry_of(best) if best.live else None
            over = frozenset(member.content_dot for member in state)
            stamp = max(member.stamp for member in (*state, record)) + 1
            said = edit_record(path, state, shown, shown, (b"operator", 1), stamp, FOLDER, over)
            assert decode_record(said.raw, FOLDER) == said
            assert merge(state, (said,)) == merge((said,), state) == (said,)
            if best.live:
                assert (said.content, said.content_dot, said.found) == (best.content, best.content_dot, best.found)
                assert said.spares.isdisjoint(over)
            one_by_one = (said,)
            for member in reversed(state):
                one_by_one = merge(one_by_one, (member,))
            assert one_by_one == (said,)
    assert seen > 20
