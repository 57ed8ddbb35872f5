"""Making records: what an author says when the disk differs from what is shown.

An edit covers all that its author knew at the path, but spares the contents that it knew of and was not shown: nobody
can replace what they could not see.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from protocol.errors import LocalError
from protocol.limits import MAX_CONTEXT, MAX_ENTRY, MAX_SIBLINGS, MAX_SPARES, MAX_STAMP, SUPERSEDED_KEPT
from protocol.merge import State, covers, is_stale_metadata, rank, supersedes, winner
from protocol.record import Dot, Kind, Record, make_record

_NONE: Final[frozenset[Dot]] = frozenset()


class TooManySiblings(LocalError):
    """The path holds as many siblings, spared contents, authors or bytes as it may: no further record is made there."""


class Entry(NamedTuple):
    """What a disk holds at a path, or has to hold. FILE, LINK or DIR.

    content: the content token, as in a record. size: bytes of a FILE, else 0. mode: permission bits, 0777 for LINK.
    mtime: ns, 0 for DIR. target: of a LINK, else empty.
    """

    kind: Kind
    content: bytes
    size: int
    mode: int
    mtime: int
    target: bytes


def entry_of(record: Record) -> Entry:
    """What a live record says has to be at its path."""
    return Entry(record.kind, record.content, record.size, record.mode, record.mtime, record.target)


def same_content(a: Entry | Record | None, b: Entry | Record | None) -> bool:
    """Whether both are there and hold the same, whatever their mode and mtime."""
    return a is not None and b is not None and a.kind == b.kind and a.content == b.content


def shown_record(state: State, entry: Entry | None) -> Record | None:
    """The record whose content is shown as `entry`; None for nothing and for a merely implied directory."""
    same = [r for r in state if same_content(r, entry)]
    if len(same) < 2:
        return same[0] if same else None
    return max(same, key=lambda r: rank(r, state))


def joined_context(records: Iterable[Record]) -> dict[bytes, int]:
    """All that an author knows who knows these records: {actor: counter}."""
    joined: dict[bytes, int] = {}
    for record in records:
        if joined:
            for actor, counter in record.context.items():
                joined[actor] = max(joined.get(actor, 0), counter)
        else:
            joined = dict(record.context)
        actor, counter = record.dot
        joined[actor] = max(joined.get(actor, 0), counter)
    return joined


def spared_dots(state: State, before: Entry | None, after: Entry | None) -> frozenset[Dot]:
    """The content dots that an edit from `before` (shown) to `after` (on the disk) knows of and does not cover."""
    if not state:
        return _NONE
    spared = _inherited_spares(state)
    if after is None:
        return frozenset(spared)
    for record in state:
        unseen = record.kind != Kind.DELETE and not same_content(record, before)
        if unseen and not is_stale_metadata(record, state):
            spared.add(record.content_dot)
    return frozenset(spared) if spared else _NONE


def _inherited_spares(state: State) -> set[Dot]:
    """Spares of contents that have not arrived here yet: no known record carries or supersedes them."""
    spares = {dot for record in state for dot in record.spares}
    if not spares:
        return spares
    spares.difference_update([record.content_dot for record in state])
    return {dot for dot in spares if not any(supersedes(record, dot) for record in state)}


def superseded_contents(state: State, spares: frozenset[Dot], after: Entry | None) -> tuple[bytes, ...]:
    """The last contents that the new record supersedes, oldest first."""
    ordered = state if len(state) < 2 else sorted(state, key=lambda r: (r.stamp, r.dot, r.hash))
    gone: dict[bytes, None] = {}
    for record in ordered:
        for token in record.superseded:
            gone.pop(token, None)
            gone[token] = None
        if record.kind != Kind.DELETE and record.content_dot not in spares:
            gone.pop(record.content, None)
            gone[record.content] = None
    if after is not None:
        gone.pop(after.content, None)
    return tuple(gone)[-SUPERSEDED_KEPT:]


def edit_record(
    path: bytes,
    state: State,
    before: Entry | None,
    after: Entry | None,
    dot: Dot,
    stamp: int,
    folder_id: bytes,
    over: frozenset[Dot] = _NONE,
) -> Record:
    """The record of a user's edit at `path`, whose state is `state`, from `before` (shown) to `after` (on the disk).

    None for `after` is a deletion. An edit that keeps the winner's content keeps its content dot, content stamp and
    FOUND flag. `over`: content dots of losing members that the user was told of and replaces, too: those are not
    spared. `stamp` (ns) must be greater than all stamps that are not of FOUND records and that the author has seen.
    Raises TooManySiblings if the path has no room for one more record.
    """
    content_dot, content_stamp, found = dot, stamp, False
    if not state:
        context: dict[bytes, int] = {}
        superseded: tuple[bytes, ...] = ()
        spares = _NONE
    else:
        context = joined_context(state)
        spares = spared_dots(state, before, after) - over
        superseded = superseded_contents(state, spares, after)
        best = winner(state)
        if after is not None and same_content(before, after) and same_content(best, after):
            assert best is not None
            content_dot, content_stamp, found = best.content_dot, best.content_stamp, best.found
        if len(context) > MAX_CONTEXT or len(spares) > MAX_SPARES:
            raise TooManySiblings(f"{len(context)} authors and {len(spares)} spared contents at one path")
    removed_directory = after is None and before is not None and before.kind == Kind.DIR
    entry = after or Entry(Kind.DELETE, b"", 0, before.mode if before and removed_directory else 0, 0, b"")
    record = make_record(
        folder_id=folder_id, path=path, kind=entry.kind, dot=dot, context=context, spares=spares, stamp=stamp,
        content_dot=content_dot, content_stamp=content_stamp, superseded=superseded, mode=entry.mode,
        mtime=entry.mtime, size=entry.size, content=entry.content, target=entry.target, found=found,
        was_directory=removed_directory,
    )  # fmt: skip
    if len(state) > 1:
        _check_room(state, record)
    return record


def _check_room(state: State, record: Record) -> None:
    left = [other for other in state if not covers(record, other)]
    if len(state) >= MAX_SIBLINGS and len(left) + 1 >= len(state):
        raise TooManySiblings(f"{len(state)} siblings at one path")
    size = len(record.raw) + sum(len(other.raw) for other in left)
    if left and size > MAX_ENTRY:
        raise TooManySiblings(f"{len(left) + 1} siblings of {size} bytes at one path")


def found_record(path: bytes, after: Entry, dot: Dot, stamp: int, folder_id: bytes) -> Record:
    """The record of what a fresh index found at `path` and nobody knows. It loses to every user's record.

    `stamp` (ns) is min(mtime, now); a file from before 1970 counts as from 1970.
    """
    stamp = min(max(stamp, 0), MAX_STAMP)
    return make_record(
        folder_id=folder_id, path=path, kind=after.kind, dot=dot, context={}, spares=_NONE, stamp=stamp,
        content_dot=dot, content_stamp=stamp, superseded=(), mode=after.mode, mtime=after.mtime, size=after.size,
        content=after.content, target=after.target, found=True,
    )  # fmt: skip
