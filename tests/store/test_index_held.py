"""The list of what is held, beside an index."""

from pathlib import Path

from syncd.core.guard import Suspicion
from syncd.store.index import SqliteIndex
from syncd.store.index_held import Held
from tests.store.indexes import FOLDER, SEED

DELETED, DIRECTORY, REVERTED, REWRITTEN = Suspicion


def test_keys_are_held_until_they_are_dropped(index: SqliteIndex, path: Path) -> None:
    held = Held(index.database)
    assert (held.counts(), held.among([b"a"]), held.list(b"", 9), held.any_below(b"a")) == ({}, {}, [], False)
    with index.transaction():
        held.put({b"a": DIRECTORY, b"a\0b": DELETED, b"a.x": DELETED, b"c": REVERTED})
        held.put({b"c": REWRITTEN})
    index.close()
    reopened = SqliteIndex(path, FOLDER, SEED)
    held = Held(reopened.database)
    assert held.counts() == {DELETED: 2, DIRECTORY: 1, REWRITTEN: 1}
    assert held.among([b"%d" % n for n in range(300)] + [b"c", b"a", b"b"]) == {b"a": DIRECTORY, b"c": REWRITTEN}
    assert (held.any_below(b"a"), held.any_below(b"a.x")) == (True, False)
    assert held.list(b"", 2) == [b"a", b"a\0b"]
    assert held.list(b"a\0b", 9) == [b"a.x", b"c"]
    with reopened.transaction():
        held.drop([b"a\0b", b"nobody"])
    assert held.counts() == {DELETED: 1, DIRECTORY: 1, REWRITTEN: 1}
    with reopened.transaction():
        held.clear()
    assert held.counts() == {}
    reopened.close()
