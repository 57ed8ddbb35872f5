import random

import pytest

from protocol.edit import Entry, entry_of
from protocol.merge import Liveness, liveness, merge
from protocol.paths import ancestors, subtree, to_key, to_path
from protocol.record import DIRECTORY_CONTENT, LINK_MODE, Kind, link_content, make_record
from protocol.shown import affected, shown
from tests.protocol import merge_model as model
from tests.protocol.merge_model import FOLDER, History, as_dict, as_tuple

POOL = (
    b"a", b"a/b", b"a/b/c", b"a/b/c/d", b"a/b/x", b"a/e", b"a b", b"a!/b", b"b", b"b/c", b"b/c/d/e", b"ab",
)  # fmt: skip
EVERYWHERE = sorted({*POOL, *[above for path in POOL for above in ancestors(path)], b"z"})
A, B = b"A" * 8, b"B" * 8


class Manifest:
    """The view of a dictionary {path: state}."""

    def __init__(self, states):
        self.states = states

    def state(self, key):
        return self.states.get(to_path(key), ())

    def _below(self, key):
        low, high = subtree(key)
        return {to_key(p): liveness(s) for p, s in self.states.items() if low <= to_key(p) < high}

    def liveness_below(self, key):
        return max(self._below(key).values(), default=Liveness.DEAD)

    def found_below(self, key):
        return [below for below, alive in self._below(key).items() if alive == Liveness.FOUND]


def record(path, kind, *, found=False, mode=0o700, token=1, dot=(A, 1), stamp=5):
    content = {
        Kind.FILE: token.to_bytes(32, "big"), Kind.DIR: DIRECTORY_CONTENT, Kind.LINK: link_content(b"to"),
        Kind.DELETE: b"",
    }[kind]  # fmt: skip
    was_directory = kind == Kind.DELETE and token % 2 == 0
    if kind == Kind.LINK:
        mode = LINK_MODE
    elif kind == Kind.DELETE and not was_directory:
        mode = 0
    return make_record(
        folder_id=FOLDER, path=path, kind=kind, dot=dot, context={}, spares=frozenset(), stamp=stamp, content_dot=dot,
        content_stamp=stamp, superseded=(), mode=mode, content=content, target=b"to" if kind == Kind.LINK else b"",
        found=found and kind != Kind.DELETE, was_directory=was_directory,
    )  # fmt: skip


def some_state(draw, path):
    """One to three records of a path; they need not make sense together."""
    return merge(
        tuple(
            record(path, draw.choice(list(Kind)), found=draw.random() < 0.5, mode=draw.choice((0o700, 0o755)),
                   token=draw.randint(1, 4), dot=(draw.choice((A, B)), draw.randint(1, 9)), stamp=draw.randint(1, 3))
            for _ in range(draw.choice((1, 1, 1, 2, 3)))
        )
    )  # fmt: skip


def some_manifest(draw):
    return {path: some_state(draw, path) for path in POOL if draw.random() < 0.45}


def tree_of(manifest):
    return model.shown_tree({path: as_dict(state) for path, state in manifest.items()})


@pytest.mark.parametrize("block", range(10))
def test_the_same_as_the_whole_tree(block):
    kinds = set()
    for seed in range(block * 400, block * 400 + 400):
        manifest = some_manifest(random.Random(seed))
        tree, view = tree_of(manifest), Manifest(manifest)
        for path in EVERYWHERE:
            entry = shown(path, view)
            assert entry == tree.get(path), (seed, path)
            kinds.add(entry and entry.kind)
    assert kinds == {None, Kind.FILE, Kind.DIR, Kind.LINK}


def test_the_same_as_the_whole_tree_in_histories():
    for seed in range(80):
        for node in History(seed, paths=POOL).run(60).nodes:
            manifest = {path: as_tuple(state) for path, state in node.manifest.items()}
            tree, view = tree_of(manifest), Manifest(manifest)
            assert {path: e for path in EVERYWHERE if (e := shown(path, view)) is not None} == tree


@pytest.mark.parametrize("block", range(10))
def test_all_that_changes_is_affected(block):
    """After any batch of changes, what is shown differently is in the batch or affected by a member of it."""
    for seed in range(block * 400, block * 400 + 400):
        draw = random.Random(seed)
        old = some_manifest(draw)
        batch = draw.sample(POOL, draw.choice((1, 1, 1, 2, 4)))
        new = {**old, **{path: some_state(draw, path) for path in batch}}
        if draw.random() < 0.2:
            new.pop(batch[0], None)
        before, after, view = tree_of(old), tree_of(new), Manifest(new)
        changed = {path for path in EVERYWHERE if before.get(path) != after.get(path)}
        named = set(batch)
        for path in batch:
            others = affected(path, liveness(old.get(path, ())), liveness(new.get(path, ())), view)
            assert path not in others
            assert [to_key(other) for other in others] == sorted({to_key(other) for other in others})
            named.update(others)
        assert changed <= named, (seed, changed - named)


def test_nothing_else_is_affected_by_the_usual_change():
    manifest = {b"a/b": (record(b"a/b", Kind.FILE),), b"a/e": (record(b"a/e", Kind.FILE, found=True),)}
    view = Manifest(manifest)
    assert affected(b"a/b", Liveness.USER, Liveness.USER, view) == []
    assert affected(b"a/b", Liveness.DEAD, Liveness.USER, view) == [b"a"]
    assert affected(b"a/e", Liveness.FOUND, Liveness.FOUND, view) == []
    assert affected(b"a/e", Liveness.DEAD, Liveness.FOUND, view) == [b"a"]


USER, FOUND = False, True


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        ({}, {}),
        ({b"a": (Kind.FILE, USER)}, {b"a": Kind.FILE}),
        ({b"a": (Kind.DELETE, USER)}, {}),
        ({b"a": (Kind.LINK, FOUND)}, {b"a": Kind.LINK}),
        ({b"a": (Kind.DIR, FOUND)}, {b"a": Kind.DIR}),
        ({b"a": (Kind.FILE, USER), b"a/b": (Kind.FILE, USER)}, {b"a": Kind.DIR, b"a/b": Kind.FILE}),
        ({b"a": (Kind.DELETE, USER), b"a/b/c": (Kind.LINK, USER)},
         {b"a": Kind.DIR, b"a/b": Kind.DIR, b"a/b/c": Kind.LINK}),
        ({b"a": (Kind.FILE, USER), b"a/b": (Kind.FILE, FOUND)}, {b"a": Kind.FILE}),
        ({b"a": (Kind.FILE, USER), b"a/b": (Kind.DIR, FOUND)}, {b"a": Kind.FILE}),
        ({b"a": (Kind.FILE, FOUND), b"a/b": (Kind.FILE, FOUND)}, {b"a": Kind.DIR, b"a/b": Kind.FILE}),
        ({b"a": (Kind.DIR, USER), b"a/b": (Kind.FILE, FOUND)}, {b"a": Kind.DIR, b"a/b": Kind.FILE}),
        ({b"a": (Kind.FILE, USER), b"a/b/c": (Kind.FILE, FOUND), b"a/e": (Kind.FILE, USER)},
         {b"a": Kind.DIR, b"a/b": Kind.DIR, b"a/b/c": Kind.FILE, b"a/e": Kind.FILE}),
        ({b"a": (Kind.FILE, USER), b"a/e": (Kind.DELETE, USER)}, {b"a": Kind.FILE}),
    ],
)  # fmt: skip
def test_table(manifest, expected):
    view = Manifest({path: (record(path, kind, found=found),) for path, (kind, found) in manifest.items()})
    tree = {path: entry.kind for path in EVERYWHERE if (entry := shown(path, view)) is not None}
    assert tree == expected


def test_the_mode_of_a_directory():
    file = record(b"a", Kind.FILE, stamp=9)
    old = record(b"a", Kind.DIR, mode=0o711, dot=(B, 1), stamp=1)
    gone = record(b"a", Kind.DELETE, mode=0o750, token=2, dot=(B, 2), stamp=2)
    below = {b"a/b": (record(b"a/b", Kind.FILE),)}
    for members, mode in (((file,), 0o755), ((file, old), 0o711), ((file, old, gone), 0o750), ((), 0o755)):
        view = Manifest({b"a": merge(members), **below})
        assert shown(b"a", view) == Entry(Kind.DIR, DIRECTORY_CONTENT, 0, mode, 0, b"")
    assert shown(b"a", Manifest({b"a": merge((file, old))})) == entry_of(file)
