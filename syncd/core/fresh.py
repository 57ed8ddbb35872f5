"""A fresh index: one that cannot know what its disk holds. It never deletes and never wins.

It is settled in pieces, in order of keys, once a settled peer's manifest was merged or it may found the folder. Keys
below the boundary are settled already, those from it on are held: nothing that only the disk knows is changed there.
"""

from collections.abc import Sequence
from typing import Final

from protocol.edit import Entry, same_content
from protocol.merge import State
from protocol.record import Kind
from syncd.core.index import Index, Row

SETTLE_ROWS: Final = 2_000  # rows settled by one event: some milliseconds

_BOUNDARY: Final = "fresh"
_STRANGE: Final = "fresh.strange"
_BLANK: Final = "fresh.blank"


class Freshness:
    """How much of the index is settled, kept in its meta values."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self.boundary = index.meta(_BOUNDARY)  # the first key that is held; None: all is settled
        self._strange = index.meta(_STRANGE)
        self._blank = index.meta(_BLANK)

    @property
    def fresh(self) -> bool:
        """Whether anything is held."""
        return self.boundary is not None

    def holds(self, key: bytes) -> bool:
        """Whether the key is not settled."""
        return self.boundary is not None and key >= self.boundary

    @property
    def strange(self) -> bool:
        """Whether anything but what the manifest shows was seen on the disk. Without that nothing has to be settled."""
        return self._strange is not None

    def waits(self, key: bytes, before: Entry | None, have: Entry | None, want: Entry | None) -> bool:
        """Whether a difference is a user's edit that has to wait until the key is settled, and is found again then.

        The disk was seen to have what is shown (it was placed here, as a rule), and has it no longer. Where rows are
        left of a life before, what they tell may be older than that. Directories are needed for what is still to come.
        """
        if self._blank is None or before is None or before.kind == Kind.DIR:
            return False
        return self.holds(key) and before == want and have != before

    def keeps(self, key: bytes, have: Entry | None, want: Entry | None) -> bool:
        """Whether what the disk has at the key has to stay until it is settled."""
        keeps = have is not None and self.holds(key) and not same_content(have, want)
        if keeps and self._strange is None:
            self._note_strange(b"1")
        return keeps

    def restart(self) -> None:
        """Hold everything."""
        has_rows = bool(self._index.span(b"", None, 1))
        self._move(b"")
        self._note_strange(b"1" if has_rows else None)
        self._blank = None if has_rows else b"1"
        self._index.set_meta(_BLANK, self._blank)

    def finish(self) -> None:
        """All is settled."""
        self._move(None)

    def advance(self, rows: Sequence[Row], limit: int) -> None:
        """`rows`, the first `limit` ones that were held, are settled."""
        self._move(rows[-1].key + b"\0" if len(rows) >= limit else None)

    def _note_strange(self, value: bytes | None) -> None:
        self._strange = value
        self._index.set_meta(_STRANGE, value)

    def _move(self, boundary: bytes | None) -> None:
        self.boundary = boundary
        self._index.set_meta(_BOUNDARY, boundary)


def known_contents(state: State) -> set[bytes]:
    """The contents that the manifest knows at a path: of live records, and superseded ones."""
    known = {token for record in state for token in record.superseded}
    known.update([record.content for record in state if record.kind != Kind.DELETE])
    return known
