"""The copies of versions that lost, beside an index."""

from protocol.record import Kind
from syncd.store.archive import ArchivedItem
from syncd.store.contents import Contents
from syncd.store.index_copies import Copy, CopyState
from tests.store.indexes import record


def test_conflict_copies_that_are_due_and_over(index):
    losing = [record(b"a", 1), record(b"a", 2), record(b"b", 3)]
    item = ArchivedItem(b"n", b"a", Kind.FILE, 5, 0o644, 5)
    with index.transaction():
        index.mark_losing({b"a": losing[:2], b"b": losing[2:]}, [])
        Contents(index).archive_add([item], 1, contents={b"n": losing[0].content})
    due = index.copies_due((b"", b""), 9)
    assert due == [(b"a", losing[0].content)]
    assert index.copies_due(due[0], 9) == []
    copy = Copy(*due[0], b"a.copy", CopyState.COMING)
    with index.transaction():
        index.put_copies([copy])
        index.put_copies([copy._replace(state=CopyState.THERE)])
    assert index.copies() == index.copies_at(b"a") == [copy._replace(state=CopyState.THERE)]
    assert index.copies_due((b"", b""), 9) == index.copies_over(9) == index.copies_at(b"b") == []
    with index.transaction():
        Contents(index).archive_remove([b"n"])
    assert index.copies_over(9) == index.copies()
    with index.transaction():
        index.drop_copies(index.copies())
    assert index.copies() == []
