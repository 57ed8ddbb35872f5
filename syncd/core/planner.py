"""What a disk lacks: needs, kept in the rows, and the ordered actions that meet them.

A path is also needed, though its disk holds what is shown, while it has siblings that came since the disk was last
looked at: the action looks, and changes nothing. Until then a deletion is not taken to dismiss these siblings, because
it may be older than they are.
"""

from collections.abc import Collection, Iterator
from typing import Final

from protocol.edit import Entry, same_content
from protocol.merge import State
from protocol.paths import to_path
from protocol.record import Kind, Record
from protocol.shown import losers
from syncd.core.events import Action
from syncd.core.fresh import Freshness, known_contents
from syncd.core.index import Index, Need, Row
from syncd.core.policy import Policy
from syncd.core.scene import Scene

NEEDS_READ: Final = 2_000  # needed rows read at a time
BEFORE_ALL: Final = (-(1 << 63), b"")  # below every place within a class


def entry(row: Row) -> Entry | None:
    """What was last seen on the disk."""
    return row.disk.entry if row.disk else None


def is_directory(thing: Entry | None) -> bool:
    """Whether it is there and a directory."""
    return thing is not None and thing.kind == Kind.DIR


def is_refused(policy: Policy, path: bytes, want: Entry | None) -> bool:
    """Whether it is a symbolic link, or a file of a size, that is never made here."""
    if want is not None and want.kind == Kind.LINK:
        return policy.refusal(path, want.target) is not None
    return policy.too_large(want)


def has_siblings(state: State, shown: Entry) -> bool:
    """Whether something else than what is shown is alive at the path."""
    return any(record.live and not same_content(record, shown) for record in state)


class Planner:
    """Judges row by row whether the disk has to change."""

    def __init__(self, index: Index, policy: Policy, freshness: Freshness, read_only: bool) -> None:
        self._index, self._policy, self._freshness, self._read_only = index, policy, freshness, read_only

    # ---- needs

    def replan(self, scene: Scene) -> tuple[bool, list[bytes]]:
        """Set and clear the needs of all rows that the scene affects, and store it.

        Returns whether there is work (a need that is new, or one of a row that changed otherwise), and the keys that
        were needed before and of which anything changed.
        """
        work = False
        overtaken = []
        losing: dict[bytes, list[Record]] = {}
        others: list[bytes] = []
        for key in scene.affected():
            need = self._need(scene, key)
            scene.put_need(key, need)
            if scene.changed(key):
                work = work or need is not None
                if scene.before(key).need is not None:
                    overtaken.append(key)
            records = self._losers(scene, key)
            if records:
                losing[key] = records
            else:
                others.append(key)
        scene.store()
        self._index.mark_losing(losing, others)
        return work, overtaken

    def _need(self, scene: Scene, key: bytes) -> Need | None:
        path = to_path(key)
        have, want = entry(scene.row(key)), scene.shown(key)
        if have is not None and have != want:
            have = self._policy.normalise(have, want)
        if have == want and not self._has_to_be_looked_at(scene, key, have):
            return None
        if self._policy.ignored(path, is_directory(want or have)) or is_refused(self._policy, path, want):
            return None
        if self._policy.too_large(have):
            return None
        if self._freshness.keeps(key, have, want) or self._is_left(scene, key, have, want):
            return None
        rank, order = self._policy.place(path, want)
        return Need(rank, order, want.size if want and not same_content(have, want) else 0)

    def _losers(self, scene: Scene, key: bytes) -> list[Record]:
        """The records that users are told about; of a path that takes no part here there are none."""
        want = scene.shown(key)
        found = losers(scene.state(key), want)
        if found and self._policy.ignored(to_path(key), is_directory(want)):
            return []
        return found

    def _has_to_be_looked_at(self, scene: Scene, key: bytes, have: Entry | None) -> bool:
        if have is None or scene.looked_at(key) or self._read_only or self._freshness.holds(key):
            return False
        in_question = scene.is_about(key) or scene.before(key).need is not None
        return in_question and has_siblings(scene.state(key), have)

    def _is_left(self, scene: Scene, key: bytes, have: Entry | None, want: Entry | None) -> bool:
        """Whether the disk holds a local edit that stays. What the manifest knows, or knew, is none."""
        if not self._read_only or self._policy.overwrite_changes or have is None or same_content(have, want):
            return False
        if have.kind == Kind.DIR:
            below = self._index.seen_below(key)
            scene.load(below)
            return any(scene.row(other).need is None for other in below)
        if have.content in known_contents(scene.state(key)):
            return False
        before = scene.before(key)
        unchanged = same_content(entry(before), have)
        return not unchanged or (before.need is None and have.content not in known_contents(before.state))

    def needed(self) -> Iterator[list[bytes]]:
        """The keys of all needed rows, some at a time."""
        for rank in self._index.totals().needs:
            after = BEFORE_ALL
            while rows := self._index.needs(rank, after, NEEDS_READ):
                yield [row.key for row in rows]
                after = rows[-1].need.order if rows[-1].need else 0, rows[-1].key

    # ---- actions

    def plan(self, scene: Scene, keys: Collection[bytes]) -> list[Action]:
        """The actions that meet the needs of `keys`, in the order in which they have to be done.

        Directories that something has to go into, and what has to leave a directory that goes, are added if they are
        needed too. What cannot be done yet, because a directory above or something below is held, is left out.
        """
        scene.load_with_ancestors(keys)
        chosen: dict[bytes, Action] = {}
        first: set[bytes] = set()  # removals that make room for something
        for key in sorted(keys):
            self._choose(scene, key, chosen, first)
        makings = sorted(key for key, action in chosen.items() if action.want is not None)
        clearings = sorted(first, reverse=True)
        removals = sorted((key for key, a in chosen.items() if a.want is None and key not in first), reverse=True)
        return [chosen[key] for key in (*clearings, *makings, *removals)]

    def _choose(self, scene: Scene, key: bytes, chosen: dict[bytes, Action], first: set[bytes]) -> None:
        action = self._action(scene, key)
        if action is None:
            return
        making = self._missing_above(scene, key, chosen) if action.want is not None else []
        leaving = self._leaving(scene, action)
        if making is None or leaving is None:
            return
        chosen.update((item.key, item) for item in (*making, action, *leaving))
        if action.want is not None:
            first.update([item.key for item in leaving])

    def _missing_above(self, scene: Scene, key: bytes, chosen: dict[bytes, Action]) -> list[Action] | None:
        """The directories that have to be made for `key`; None if one of them cannot be made yet."""
        making: list[Action] = []
        end = key.rfind(b"\0")
        while end > 0 and key[:end] not in chosen and not is_directory(entry(scene.row(key[:end]))):
            action = self._action(scene, key[:end])
            if action is None or not is_directory(action.want):
                return None
            making.append(action)
            end = key.rfind(b"\0", 0, end)
        return making

    def _action(self, scene: Scene, key: bytes) -> Action | None:
        row = scene.row(key)
        return Action(key, to_path(key), row.disk, scene.shown(key)) if row.need else None

    def _leaving(self, scene: Scene, action: Action) -> list[Action] | None:
        """What has to leave a directory before the action; None if something there has to stay."""
        if action.expect is None or action.expect.entry.kind != Kind.DIR or is_directory(action.want):
            return []
        below = self._index.seen_below(action.key)
        scene.load(below)
        leaving = []
        for key in below:
            item = self._action(scene, key)
            if item is not None and item.want is None:
                leaving.append(item)
            elif not self._takes_no_part(key, entry(scene.row(key))):
                return None
        return leaving

    def _takes_no_part(self, key: bytes, have: Entry | None) -> bool:
        return self._policy.ignored(to_path(key), is_directory(have)) or self._policy.too_large(have)
