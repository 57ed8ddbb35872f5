"""Own records: made, checked against what peers accept, and put into the manifest."""

from collections.abc import Callable
from dataclasses import dataclass, field

from protocol.edit import Entry, TooManySiblings, edit_record, found_record
from protocol.errors import BadPath, BadRecord, LocalError
from protocol.limits import MAX_ENTRY, MAX_RECORD, MAX_SIBLINGS, MAX_STATE
from protocol.merge import State, merge
from protocol.paths import check_path, display, to_path
from protocol.record import Dot, Record
from syncd.core.events import CROWDED, Problem
from syncd.core.identity import Author
from syncd.core.scene import Scene

_MTIMES = range(-(1 << 63), 1 << 63)


@dataclass(slots=True)
class Turn:
    """An event while it is handled. now: the wall clock, ns. The rest becomes Effects."""

    scene: Scene
    now: int
    published: list[Record] = field(default_factory=list)
    news: list[bytes] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)
    resume: bytes | None = None
    problems: list[Problem] = field(default_factory=list)
    damaged: list[Problem] = field(default_factory=list)


class Publisher:
    """Says what users did and what a fresh index found, in the name of an author."""

    def __init__(self, author: Author, folder_id: bytes) -> None:
        self._author, self._folder_id = author, folder_id

    def edit(
        self,
        turn: Turn,
        key: bytes,
        seen: State,
        before: Entry | None,
        after: Entry | None,
        over: frozenset[Dot] = frozenset(),
    ) -> bool:
        """Publish a user's edit; False, with an alarm, if no peer would accept it.

        seen: records that it is about. over: dots of contents that it replaces though they were not shown.
        """
        path, stamp = to_path(key), self._author.tick(turn.now)
        return self._publish(
            turn, key, lambda dot: edit_record(path, seen, before, after, dot, stamp, self._folder_id, over)
        )

    def found(self, turn: Turn, key: bytes, entry: Entry) -> bool:
        """Publish what a fresh index found; False, with an alarm, if no peer would accept it."""
        path, stamp = to_path(key), min(entry.mtime, turn.now)
        return self._publish(turn, key, lambda dot: found_record(path, entry, dot, stamp, self._folder_id))

    def _publish(self, turn: Turn, key: bytes, make: Callable[[Dot], Record]) -> bool:
        state, dot = turn.scene.state(key), self._author.next_dot()
        try:
            record = make(dot)
            _check_acceptable(record)
            merged = merge(state, (record,))
            if len(merged) > max(len(state), MAX_SIBLINGS) or not fits(merged):
                raise TooManySiblings(f"{len(merged)} siblings at one path")
        except (LocalError, BadPath, BadRecord) as error:
            if isinstance(error, TooManySiblings):
                turn.problems.append(Problem(to_path(key), CROWDED, f"not published: {error}"))
            turn.alarms.append(f"cannot be published: {error}: {display(to_path(key))}")
            return False
        turn.scene.put_state(key, merged)
        turn.published.append(record)
        return True


def fits(state: State) -> bool:
    """Whether a path may hold all of these records."""
    return len(state) < 2 or (len(state) <= MAX_STATE and sum(len(record.raw) for record in state) <= MAX_ENTRY)


def _check_acceptable(record: Record) -> None:
    """Raise BadPath or BadRecord for what peers would refuse, though this disk has it."""
    check_path(record.path)
    if len(record.raw) > MAX_RECORD:
        raise BadRecord(f"its record has {len(record.raw)} bytes")
    if record.mtime not in _MTIMES:
        raise BadRecord("its mtime is out of range")
