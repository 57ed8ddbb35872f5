"""One event's view of the index: rows are read once, changes gather here, and are stored together.

Asking the index for the liveness below a path is what costs. Answers are remembered from event to event. A batch that
only adds life is answered from them and from what it raised itself; a batch in which the liveness of a path sank is
stored first, and then asks again.
"""

from collections.abc import Collection, Iterable
from typing import Final

from protocol.edit import Entry
from protocol.merge import Liveness, State, liveness
from protocol.paths import keys_above, to_key, to_path
from protocol.shown import affected, shown
from syncd.core.index import Disk, Index, Need, Row

ROWS_KEPT: Final = 4_096  # rows remembered from event to event: some MiB
BELOW_KEPT: Final = 16_384  # paths whose liveness below is remembered: some MiB


class Memory:
    """What scenes of one index know of it from earlier ones: that what is merged now is planned and applied next.

    rows: as stored, empty ones for keys without. below: {key: the strongest liveness among its strict descendants}.
    """

    def __init__(self) -> None:
        self.rows: dict[bytes, Row] = {}
        self.below: dict[bytes, Liveness] = {}

    def trim(self) -> None:
        """Forget all if it is too much."""
        if len(self.rows) > ROWS_KEPT:
            self.rows.clear()
        if len(self.below) > BELOW_KEPT:
            self.below.clear()


class Scene:
    """Rows with the changes of an event. Implements protocol.shown.FoundView."""

    def __init__(self, index: Index, memory: Memory) -> None:
        """memory: kept in step with the index. It is worthless if the changes are not stored in the end."""
        memory.trim()
        self._index = index
        self._rows = memory.rows
        self._before: dict[bytes, Row] = {}  # rows that changed, as they were
        self._unsaved: set[bytes] = set()
        self._touched: set[bytes] = set()
        self._looked_at: set[bytes] = set()
        self._changes: dict[bytes, tuple[Liveness, Liveness]] = {}
        self._stored_below = memory.below
        self._raised: dict[bytes, Liveness] = {}  # by changes of this scene that are not stored
        self._shown: dict[bytes, Entry | None] = {}
        self._sank = False

    def load(self, keys: Iterable[bytes]) -> None:
        """Read the rows of `keys` in one call."""
        missing = [key for key in keys if key not in self._rows]
        if missing:
            stored = self._index.rows(missing)
            for key in missing:
                self._rows[key] = stored.get(key) or Row(key, (), None, None)

    def load_with_ancestors(self, keys: Collection[bytes]) -> None:
        """Read the rows of `keys` and of all directories above them in one call."""
        wanted = set(keys)
        for parent in {key.rpartition(b"\0")[0] for key in wanted} - {b""}:
            wanted.add(parent)
            wanted.update(keys_above(parent))
        self.load(wanted)
        self._note_new_ground(keys)

    def _note_new_ground(self, keys: Collection[bytes]) -> None:
        """One question about many new neighbours instead of one for each."""
        groups: dict[bytes, list[bytes]] = {}
        for key in keys:
            if not self._rows[key].state and key not in self._stored_below:
                groups.setdefault(key.rpartition(b"\0")[0], []).append(key)
        for parent in sorted(parent for parent, group in groups.items() if len(group) > 1):
            if parent and self._ask_below(parent) == Liveness.DEAD:
                continue
            group = groups[parent]
            if not self._index.span(min(group), max(group) + b"\x01", 1):
                self._stored_below.update((key, Liveness.DEAD) for key in group)

    def row(self, key: bytes) -> Row:
        """The row as it will be; an empty one if there is none."""
        if key not in self._rows:
            self.load((key,))
        return self._rows[key]

    def before(self, key: bytes) -> Row:
        """The row as it was before this event."""
        return self._before.get(key) or self.row(key)

    def changed(self, key: bytes) -> bool:
        """Whether anything of the row changed."""
        return key in self._before

    def looked_at(self, key: bytes) -> bool:
        """Whether the path's disk was looked at in this event."""
        return key in self._looked_at

    def is_about(self, key: bytes) -> bool:
        """Whether the path's own state changed, or the path was touched."""
        return key in self._changes or key in self._touched

    def state(self, key: bytes) -> State:
        """The state of a path."""
        return self.row(key).state

    def shown(self, key: bytes) -> Entry | None:
        """What the disk has to hold at a path."""
        if key not in self._shown:
            self._shown[key] = shown(to_path(key), self)
        return self._shown[key]

    def liveness_below(self, key: bytes) -> Liveness:
        """The strongest liveness among the strict descendants of `key`."""
        below = self._ask_below(key)
        raised = self._raised.get(key)
        return below if raised is None or raised < below else raised

    def _ask_below(self, key: bytes) -> Liveness:
        """Ask from the top down: below a directory without life there is nothing to ask."""
        known = self._stored_below
        if key in known:
            return known[key]
        end = key.rfind(b"\0")
        below = known.get(key[:end]) if end > 0 else Liveness.USER
        if below is None:
            for above in keys_above(key):
                if above not in known:
                    known[above] = self._index.liveness_below(above) if below != Liveness.DEAD else Liveness.DEAD
                below = known[above]
        known[key] = self._index.liveness_below(key) if below != Liveness.DEAD else Liveness.DEAD
        return known[key]

    def found_below(self, key: bytes) -> list[bytes]:
        """Keys of the strict descendants of `key` that were FOUND when the scene last stored its changes."""
        return self._index.found_below(key)

    def put_state(self, key: bytes, state: State) -> None:
        """Change the state of a path; once in a scene."""
        row = self.row(key)
        self._shown.clear()
        self._replace(row, Row(key, state, row.disk, row.need))
        before, after = liveness(row.state) if row.state else Liveness.DEAD, liveness(state)
        self._changes[key] = before, after
        if after < before:
            self._sank = True
        elif after > before:
            self._raise(key, after)

    def _raise(self, key: bytes, to: Liveness) -> None:
        end = key.rfind(b"\0")
        while end > 0 and self.liveness_below(key[:end]) < to:
            self._raised[key[:end]] = to
            end = key.rfind(b"\0", 0, end)

    def put_disk(self, key: bytes, disk: Disk | None) -> None:
        """The path was looked at: change what was last seen there."""
        self._looked_at.add(key)
        row = self.row(key)
        if row.disk != disk:
            self._replace(row, Row(key, row.state, disk, row.need))

    def put_need(self, key: bytes, need: Need | None) -> None:
        """Change what a path needs."""
        row = self.row(key)
        if row.need != need:
            self._replace(row, Row(key, row.state, row.disk, need))

    def _replace(self, old: Row, new: Row) -> None:
        self._before.setdefault(old.key, old)
        self._rows[old.key] = new
        self._unsaved.add(old.key)

    def touch(self, keys: Iterable[bytes]) -> None:
        """Have what these paths need thought over, though their rows did not change."""
        self._touched.update(keys)

    def affected(self) -> list[bytes]:
        """All keys whose need may have changed, descendants first. Stores the changes if that is needed to tell."""
        keys = self._touched | self._unsaved | self._looked_at
        risen = set(self._raised)
        if self._sank:
            self.store()
        done = set()
        for key, (before, after) in self._changes.items():
            # Above itself, a path without life below it affects what its neighbours affect.
            mark = key.rpartition(b"\0")[0], before, after
            if mark not in done or self.liveness_below(key) != Liveness.DEAD:
                done.add(mark)
                found = map(to_key, affected(to_path(key), before, after, self))
                # Where life below was as strong before, more of it changes nothing.
                keys.update(k for k in found if after < before or k in risen or not key.startswith(k + b"\0"))
        self.load(keys)
        return sorted(keys, reverse=True)

    def store(self) -> None:
        """Store all changes."""
        if self._unsaved:
            self._index.store([self._rows[key] for key in sorted(self._unsaved)])
        self._unsaved = set()
        if self._sank:
            self._stored_below.clear()
        for key, level in self._raised.items():
            if self._stored_below.get(key, level) < level:
                self._stored_below[key] = level
        self._raised.clear()
        self._sank = False
