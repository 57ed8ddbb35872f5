"""Seeded bugs: each replaces functions of the real code by wrong ones, and has to be caught by the oracle.

The first seventeen are those that the model of the rule was tested with.
"""

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from protocol import edit, merge, shown
from protocol.edit import edit_record, entry_of, same_content, shown_record
from protocol.merge import supersedes, winner
from protocol.paths import to_key, to_path
from protocol.record import Kind, make_record
from syncd.core import fresh, observe
from syncd.core.identity import Author
from syncd.core.planner import Planner
from syncd.core.publish import Publisher
from syncd.core.replica import Replica
from syncd.core.scene import Scene
from tests.sim.node import FOLDER, SimNode

CHAOS = random.Random(0)


class Bug(NamedTuple):
    """config: where it shows soon. patches: (owner, name, replacement)."""

    config: str
    patches: list[tuple[Any, str, Any]]


@contextmanager
def seeded(bug: Bug) -> Iterator[None]:
    """The bug is in the code. A function of a module is replaced wherever it was imported."""
    undo = []
    for owner, name, wrong in bug.patches:
        right = getattr(owner, name)
        places = [owner] if isinstance(owner, type) else _importers(right)
        for place in places:
            undo += [(place, key, right) for key, value in list(vars(place).items()) if value is right]
            for key in [key for key, value in list(vars(place).items()) if value is right]:
                setattr(place, key, wrong)
    try:
        yield
    finally:
        for place, key, right in undo:
            setattr(place, key, right)


def _importers(function: Callable) -> list:
    names = ("protocol.", "syncd.core.", "tests.sim.")
    modules = [module for name, module in list(sys.modules.items()) if name.startswith(names) and name != __name__]
    return [module for module in modules if any(value is function for value in vars(module).values())]


# ---- records and states


def remade(record, **changes):
    """The record, with some fields said otherwise."""
    names = (
        "path", "kind", "dot", "context", "spares", "stamp", "content_dot", "content_stamp", "superseded", "mode",
        "mtime", "size", "content", "target", "found", "was_directory",
    )  # fmt: skip
    fields = {name: getattr(record, name) for name in names}
    return make_record(folder_id=FOLDER, **{**fields, **changes})


def editing(change):
    """edit_record, with `change(record, state, before, after)` giving the fields that are said otherwise."""

    def wrong(path, state, before, after, dot, stamp, folder_id, over=frozenset()):
        record = edit_record(path, state, before, after, dot, stamp, folder_id, over)
        return remade(record, **change(record, state, before, after))

    return [(edit, "edit_record", wrong)]


def ranking(tiers):
    """rank with other tiers: {(found, is DELETE): tier}."""

    def wrong(record, state):
        stale = merge.is_stale_metadata(record, state)
        tier = 0 if stale else tiers[record.found, record.kind == Kind.DELETE]
        return tier, record.content_stamp, record.stamp, record.dot, record.hash

    return [(merge, "rank", wrong)]


def same_or_first(state, states):
    return next((known for known in states if known == state), state)


def merge_by_dot(*states):
    union = {record.dot: record for state in states for record in state}
    left = [r for r in union.values() if not any(o is not r and merge.covers(o, r) for o in union.values())]
    return same_or_first(tuple(sorted(left, key=lambda r: r.hash)), states)


def merge_last_writer(*states):
    members = [record for state in states for record in state]
    return same_or_first(tuple(sorted(members, key=lambda r: (r.stamp, r.dot, r.hash))[-1:]), states)


def superseded_less_records(state, spares, after):
    """superseded_contents, with spares that name records."""
    return _SUPERSEDED(state, spares | {r.content_dot for r in state if r.dot in spares}, after)


_SUPERSEDED = edit.superseded_contents


def spared_if(name, is_seen):
    """spared_dots where a spare names the attribute `name`, and `is_seen` says what the author was shown."""

    def wrong(state, before, after):
        known = {getattr(record, name) for record in state}
        inherited = {dot for record in state for dot in record.spares if dot not in known}
        spared = {dot for dot in inherited if not any(supersedes(record, dot) for record in state)}
        if after is None:
            return frozenset(spared)
        unseen = [r for r in state if r.live and not is_seen(r, state, before)]
        return frozenset(spared | {getattr(r, name) for r in unseen if not merge.is_stale_metadata(r, state)})

    return (edit, "spared_dots", wrong)


def covers_record(by, record):
    return by.context.get(record.dot[0], 0) >= record.dot[1] and record.dot not in by.spares


def shown_per_path(path, view):
    best = winner(view.state(to_key(path)))
    return entry_of(best) if best and best.live else None


def keep_content(record, state, before, after):
    best = shown_record(state, before)
    if not (same_content(before, after) and same_content(best, after)):
        return {}
    return {"content_dot": best.content_dot, "content_stamp": best.content_stamp, "found": best.found}


def full_edit(record, state, before, after):
    return {"content_dot": record.dot, "content_stamp": record.stamp, "found": False}


# ---- the core


def found_as_edit(self, turn, key, entry):
    stamp = self._author.tick(turn.now)
    return self._publish(turn, key, lambda dot: edit_record(to_path(key), (), None, entry, dot, stamp, FOLDER))


_EDIT, _IS_EDIT, _INIT, _PUT_STATE = Publisher.edit, observe.is_edit, Author.__init__, Scene.put_state


def edit_as_if_seen(self, turn, key, seen, before, after):
    return _EDIT(self, turn, key, seen, shown.shown(to_path(key), turn.scene), after)


def all_is_concerned(row, sight):
    return row.state


def edits_but_what_was_given_up(index, row, sight):
    return _IS_EDIT(KeepsAll(), row, sight)


class KeepsAll:
    """An index whose archive has everything."""

    def archived(self, content):
        return True


def metadata_is_edit(index, row, sight):
    old = row.disk.entry if row.disk else None
    new = sight.disk.entry if sight.disk else None
    return _IS_EDIT(index, row, sight) or (new not in (old, sight.want) and same_content(old, new))


def put_state_without_sinking(self, key, state):
    _PUT_STATE(self, key, state)
    self._sank = False


def count_from_the_start(self, *args, **kwargs):
    _INIT(self, *args, **kwargs)
    self.counter = 0


BUGS: dict[str, Bug] = {
    "no spares": Bug("no faults", [(edit, "spared_dots", lambda *_: frozenset())]),
    "wall-clock stamps": Bug("no faults", [(Author, "tick", lambda self, now: now)]),
    "no scan before apply": Bug("no faults", [(SimNode, "looks_first", False)]),
    "random winner": Bug("no faults", [(merge, "rank", lambda *_: CHAOS.random())]),
    "counter reuse, state keyed by dot": Bug("undetected rollback", [(merge, "merge", merge_by_dot)]),
    "FOUND beats DELETE": Bug("index loss", ranking({(0, 0): 3, (0, 1): 2, (1, 0): 2.5})),
    "FOUND as a normal edit, mtime now": Bug("index loss", [(Publisher, "found", found_as_edit)]),
    "FOUND hides a file": Bug("index loss", [(shown, "_below_a_users_file", lambda *_: False)]),
    "chmod promotes FOUND": Bug("lagging first peer", editing(lambda *_: {"found": False})),
    "per-path directory scan": Bug("no faults", [(shown, "shown", shown_per_path)]),
    "equal content spared": Bug(
        "no faults", [spared_if("content_dot", lambda r, state, before: r is shown_record(state, before))]
    ),
    "chmod as a full edit": Bug("no faults", editing(full_edit)),
    "delete wins over live": Bug("no faults", ranking({(0, 0): 3, (0, 1): 4, (1, 0): 1})),
    "last writer wins": Bug("no faults", [(merge, "merge", merge_last_writer)]),
    "record spared, not content": Bug(
        "crowded",
        [
            (edit, "superseded_contents", superseded_less_records),
            (merge, "covers", covers_record),
            spared_if("dot", lambda r, _, before: same_content(r, before)),
        ],
    ),
    "implied chmod keeps content": Bug("no faults", editing(keep_content)),
    "own counter ahead ignored": Bug("undetected rollback", [(Replica, "_rolled_back", lambda *_: None)]),
    "unseen siblings covered": Bug("delayed apply", [(Publisher, "edit", edit_as_if_seen)]),
    "outdated deletion dismisses all": Bug("delayed apply", [(observe, "concerned", all_is_concerned)]),
    "what was given up is waited for": Bug("no faults", [(observe, "is_edit", edits_but_what_was_given_up)]),
    "outdated chmod published": Bug("delayed apply", [(observe, "is_edit", metadata_is_edit)]),
    "neighbours not thought over": Bug("no faults", [(shown, "affected", lambda *_: [])]),
    "sunken liveness from memory": Bug("no faults", [(Scene, "put_state", put_state_without_sinking)]),
    "known content published as FOUND": Bug("index loss", [(fresh, "known_contents", lambda _: set())]),
    "settled keys held until the end": Bug("everything late", [(fresh.Freshness, "holds", lambda self, _: self.fresh)]),
    "counters start again": Bug("no faults", [(Author, "__init__", count_from_the_start)]),
    "deletions dismiss what came later": Bug("crowded", [(Planner, "_has_to_be_looked_at", lambda *_: False)]),
    "needs of held paths": Bug("index loss", [(fresh.Freshness, "keeps", lambda *_: False)]),
}
