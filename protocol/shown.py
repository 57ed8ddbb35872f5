"""What a disk has to hold at a path: a function of the whole manifest, not of the path's own state alone.

A path with a user's live descendant is a directory, and a file there is hidden. What a fresh index found never hides a
user's file: it is hidden below one.
"""

from typing import Final, Protocol

from protocol.edit import Entry, entry_of, same_content
from protocol.merge import Liveness, State, directory_record, is_stale_metadata, winner
from protocol.paths import keys_above, to_key, to_path
from protocol.record import DIRECTORY_CONTENT, Kind, Record

DEFAULT_MODE: Final = 0o755  # of a directory that no record speaks of


class View(Protocol):
    """A manifest, asked by key."""

    def state(self, key: bytes) -> State:
        """The state of a path; empty if nothing is known."""

    def liveness_below(self, key: bytes) -> Liveness:
        """The strongest liveness among the strict descendants of `key`."""


class FoundView(View, Protocol):
    """A manifest that can also list what fresh indexes found."""

    def found_below(self, key: bytes) -> list[bytes]:
        """Keys of the strict descendants of `key` whose winner is live and FOUND."""


def shown(path: bytes, view: View) -> Entry | None:
    """What a disk has to hold at `path`; None for nothing."""
    key = to_key(path)
    state = view.state(key)
    best = winner(state)
    live = best is not None and best.kind != Kind.DELETE
    if best is not None and live and not best.found:
        if best.kind == Kind.DIR or view.liveness_below(key) == Liveness.USER:
            return _directory(state)
        return entry_of(best)
    below = view.liveness_below(key)
    if below == Liveness.USER:
        return _directory(state)
    if (not live and below == Liveness.DEAD) or _below_a_users_file(key, view):
        return None
    if best is None or below == Liveness.FOUND or best.kind == Kind.DIR:
        return _directory(state)
    return entry_of(best)


def losers(state: State, entry: Entry | None) -> list[Record]:
    """The live records of a path whose content is not shown by a disk that holds `entry` there, in the state's order.

    Those are its losing siblings, and a file or link that what is below the path, or above it, hides.
    """
    if len(state) == 1 and same_content(state[0], entry):
        return []
    return [r for r in state if r.live and not same_content(r, entry) and not is_stale_metadata(r, state)]


def _directory(state: State) -> Entry:
    source = directory_record(state)
    return Entry(Kind.DIR, DIRECTORY_CONTENT, 0, source.mode if source else DEFAULT_MODE, 0, b"")


def _below_a_users_file(key: bytes, view: View) -> bool:
    """Whether a user's file or link stands at an ancestor. Then nothing below it is a user's."""
    above = keys_above(key)
    return any(_could_be_a_users_file(view.state(key)) and view.liveness_below(key) != Liveness.USER for key in above)


def _could_be_a_users_file(state: State) -> bool:
    best = winner(state)
    return best is not None and not best.found and best.kind in (Kind.FILE, Kind.LINK)


def affected(path: bytes, before: Liveness, after: Liveness, view: FoundView) -> list[bytes]:
    """Paths other than `path` that may be shown differently since its state changed, ancestors before descendants.

    `before` and `after` are the liveness of the old and the new state; `view` is the manifest after the change, or
    after all changes of a batch: then what the batch changes is among its own paths and all that is affected by them.
    """
    own = to_key(path)
    above = keys_above(own)
    keys: set[bytes] = set()
    if Liveness.USER in (before, after):
        tops = [own]
        if before != after:
            tops += [key for key in above if _could_be_a_users_file(view.state(key))]
        for top in tops:
            if view.liveness_below(top) != Liveness.DEAD:
                keys.update(_with_directories(top, view.found_below(top)))
    if before != after:
        keys.update(above)
    keys.discard(own)
    return [to_path(key) for key in sorted(keys)]


def _with_directories(top: bytes, found: list[bytes]) -> set[bytes]:
    """The keys and all between them and `top`: directories that these imply."""
    keys = set(found)
    for key in found:
        end = key.rfind(b"\0")
        while end > len(top) and key[:end] not in keys:
            keys.add(key[:end])
            end = key.rfind(b"\0", 0, end)
    return keys
