"""The state of a path: which records stand, which one wins, which ones are conflicts.

A state is the set of records of a path none of which is covered by another. Merging is union and then dropping the
covered, so records may arrive in any order, twice, through any peer. Almost every state has one member; that case never
sorts and never builds a dictionary.
"""

from enum import IntEnum
from typing import Final

from blake3 import blake3

from protocol.record import Dot, Kind, Record

State = tuple[Record, ...]  # sorted by hash, none covered by another

_STALE: Final = 0
_FOUND: Final = 1
_DELETE: Final = 2
_LIVE: Final = 3


class Liveness(IntEnum):
    """How strongly a path is alive: what its winner says."""

    DEAD = 0
    FOUND = 1
    USER = 2


def content(record: Record) -> tuple[Kind, bytes]:
    """What the record says is there; all directories have the same content."""
    return record.kind, record.content


def covers(by: Record, record: Record) -> bool:
    """Whether the author of `by` knew `record`, and did not spare its content."""
    actor, counter = record.dot
    return by.context.get(actor, 0) >= counter and record.content_dot not in by.spares


def supersedes(by: Record, content_dot: Dot) -> bool:
    """Whether the author of `by` knew the content that `content_dot` made, and did not spare it."""
    return by.context.get(content_dot[0], 0) >= content_dot[1] and content_dot not in by.spares


def merge(*states: State) -> State:
    """The union of the states less the covered records, sorted by hash.

    The arguments may be any tuples of records of one path. Commutative, and over records made by edit.py associative
    and idempotent. `merge(old, ...) is old` if and only if nothing changed; a record that several states hold is taken,
    with its proof, from the first of them.
    """
    if len(states) == 2:
        old, new = states
        if old is new or not new:
            states = (old,)
        elif not old:
            states = (new,)
        elif len(old) == 1 and len(new) == 1:
            return _merge_pair(old, new)
    if len(states) == 1 and len(states[0]) < 2:
        return states[0]
    return _merge_many(states)


def _merge_pair(old: State, new: State) -> State:
    known, record = old[0], new[0]
    if known.hash == record.hash:
        return old
    known_stays, record_stays = not covers(record, known), not covers(known, record)
    if not known_stays:
        return new if record_stays else ()
    if not record_stays:
        return old
    return (known, record) if known.hash < record.hash else (record, known)


def _merge_many(states: tuple[State, ...]) -> State:
    union = {record.hash: record for state in reversed(states) for record in reversed(state)}
    members = list(union.values())
    left = [r for r in members if not any(o is not r and covers(o, r) for o in members)]
    merged = tuple(sorted(left, key=lambda r: r.hash))
    return states[0] if states and states[0] == merged else merged


def is_stale_metadata(record: Record, state: State) -> bool:
    """Whether `record` only changes metadata of a content that another content in `state` has superseded."""
    dot = record.content_dot
    if dot == record.dot:
        return False
    own = content(record)
    return any(content(other) != own and supersedes(other, dot) for other in state)


def rank(record: Record, state: State) -> tuple[int, int, int, Dot, bytes]:
    """Sorts the members of `state`: the greatest wins."""
    if is_stale_metadata(record, state):
        tier = _STALE
    elif record.found:
        tier = _FOUND
    elif record.kind == Kind.DELETE:
        tier = _DELETE
    else:
        tier = _LIVE
    return tier, record.content_stamp, record.stamp, record.dot, record.hash


def winner(state: State) -> Record | None:
    """The record that decides what is at the path; None for an empty state."""
    if len(state) < 2:
        return state[0] if state else None
    return max(state, key=lambda r: rank(r, state))


def conflicts(state: State) -> list[Record]:
    """The losing siblings that a user is told about, in the order of the state."""
    if len(state) < 2:
        return []
    best = winner(state)
    assert best is not None
    won = content(best)
    return [r for r in state if r.kind != Kind.DELETE and content(r) != won and not is_stale_metadata(r, state)]


def directory_record(state: State) -> Record | None:
    """The record that gives a directory its mode: the newest DIR, or DELETE of a directory; FOUND ones last."""
    candidates = [r for r in state if r.kind == Kind.DIR or r.was_directory]
    if len(candidates) < 2:
        return candidates[0] if candidates else None
    return max(candidates, key=lambda r: (not r.found, r.stamp, r.dot, r.hash))


def digest(state: State) -> bytes:
    """32 bytes that name the state: the hash of its one record, or BLAKE3 of the hashes of all in order."""
    if len(state) == 1:
        return state[0].hash
    return blake3(b"".join([r.hash for r in state])).digest()


def liveness(state: State) -> Liveness:
    """How alive the winner is."""
    best = winner(state)
    if best is None or best.kind == Kind.DELETE:
        return Liveness.DEAD
    return Liveness.FOUND if best.found else Liveness.USER
