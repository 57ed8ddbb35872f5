"""The heart: an event in, effects out. All that a node decides about records and its disk is decided here.

Each event is handled inside one transaction of the driver, whose outcome is in the index: the manifest, what was last
seen on the disk, and what the disk lacks. The replica never looks at the disk and never waits.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from protocol.edit import Entry, entry_of
from protocol.paths import display, to_key, to_path
from protocol.record import Kind, Record
from protocol.shown import losers
from syncd.core.damage import Aftermath, Sign, damage
from syncd.core.decide import Refused, decide
from syncd.core.events import (
    DAMAGED,
    Action,
    Alive,
    Applied,
    Dismiss,
    Effects,
    Event,
    Forget,
    Observation,
    Observed,
    PeerCounters,
    Placed,
    Problem,
    Put,
    Received,
    Reconsider,
    Reserve,
    Scanned,
    Seen,
    Settle,
    Started,
    Stopped,
    Trusted,
)
from syncd.core.fresh import SETTLE_ROWS, Freshness, known_contents
from syncd.core.guard import Suspect, Suspicion, suspicion
from syncd.core.identity import RESERVE, Author, Identity, Signer
from syncd.core.index import Index, Row
from syncd.core.intake import newcomers
from syncd.core.observe import Sight, concerned, counts, is_edit, look
from syncd.core.planner import Planner, entry, is_directory
from syncd.core.policy import Policy
from syncd.core.publish import Publisher, Turn
from syncd.core.receive import take_in
from syncd.core.scene import Memory, Scene
from syncd.core.unit_plan import UnitPlan, plan_unit
from syncd.core.units import Units

__all__ = ["Identity", "Refused", "Replica", "Signer"]

_HANDLED: Final = "handled"  # number of events: differs from ours if a transaction was undone
_NO_SIGN: Final = Sign(1, None)  # nothing is suspicious about the bytes
_ROLLED_BACK: Final = "this index was rolled back or copied: it goes on under a new actor id"


class Replica:
    """One folder's judgement over one index. Whoever else changes rows there has to call `reload` then."""

    def __init__(
        self,
        index: Index,
        identity: Identity,
        policy: Policy,
        signer: Signer,
        new_actor: Callable[[], bytes],
        *,
        reserve: int = RESERVE,
        settle_rows: int = SETTLE_ROWS,
        units: Units | None = None,
    ) -> None:
        """Go on with `index`; an empty one becomes fresh, which writes to it.

        new_actor: 8 random bytes. reserve: counters reserved at a time. settle_rows: rows settled by one event. units:
        directories that are published all at once.
        """
        self._units = units or Units()
        self._index, self._identity, self._policy, self._signer = index, identity, policy, signer
        self._new_actor, self._reserve, self._settle_rows = new_actor, reserve, settle_rows
        self.author = Author(index, new_actor, reserve)
        self._aftermath = Aftermath(index)
        self.reload()

    def reload(self) -> None:
        """Go on from what the index holds now: has to be called after others changed rows.

        After a transaction that was undone this happens by itself. Counters that were used then stay used.
        """
        self._memory = Memory()
        self._handled = self._index.meta(_HANDLED)
        self.author = Author(self._index, self._new_actor, self._reserve, self.author)
        self._freshness = Freshness(self._index)
        self._planner = Planner(self._index, self._policy, self._freshness, self._identity.read_only)
        self._publisher = Publisher(self.author, self._identity.folder_id)
        if not self.author.actor:
            self.author.renew()
            self._freshness.restart()

    @property
    def fresh(self) -> bool:
        """Whether the index holds back what it cannot know to be an edit."""
        return self._freshness.fresh

    @property
    def actor(self) -> bytes:
        """The actor id under which this index publishes."""
        return self.author.actor

    @property
    def counter_low(self) -> bool:
        """Whether a Reserve is due before more is published."""
        return self.author.low

    @property
    def cautious(self) -> bool:
        """Whether nothing is published since an unclean stop: `Trusted` ends it."""
        return self._aftermath.cautious

    @property
    def power_was_cut(self) -> bool:
        """Whether the machine went down with the node, and the disk was not looked at since."""
        return self._aftermath.crash is not None and self._aftermath.crash.machine

    @property
    def doubtful(self) -> bool:
        """Whether what is found on the disk may be damage: `Observed` should bring signs until `Scanned`."""
        return self._aftermath.crash is not None

    def counters(self) -> dict[bytes, int]:
        """The highest counter known of each actor, for HELLO; at most MAX_COUNTERS."""
        return self.author.counters()

    def suspects(self, observations: Sequence[Observation], rewrites: bool = False) -> dict[bytes, Suspect]:
        """The keys whose change would be published and is of a kind that disasters bring by the thousand.

        rewrites: whether a file with a new content is of that kind, too.
        """
        if self._identity.read_only or self._freshness.boundary == b"":
            return {}
        found = {}
        rows = self._index.rows([to_key(item.path) for item in observations])
        for path, disk in observations:
            row = rows.get(to_key(path))
            if row is None or self._freshness.holds(row.key):
                continue
            why = suspicion(row, disk)
            if why is Suspicion.REWRITTEN and not rewrites:
                continue
            if why is not None and not self._policy.ignored(path, is_directory(disk.entry if disk else entry(row))):
                needed = row.need is not None
                found[row.key] = Suspect(why, needed, needed and not counts(self._index, row, entry(row)))
        return found

    def plan(self, keys: Iterable[bytes]) -> list[Action]:
        """The actions that meet the needs of `keys`, in the order in which they have to be done.

        Needed directories above them, and what has to leave a directory first, are added; what has to wait (something
        below or above is held) is left out. Each is valid only while the disk still is what it expects.
        """
        return self._planner.plan(self._scene(), list(keys))

    def plan_unit(self, unit: bytes, holds: Callable[[bytes], bool]) -> UnitPlan:
        """What a unit is to become as a whole. holds(key): whether something is held back there or below."""
        return plan_unit(self._index, self._scene(), unit, holds)

    def newcomers(self, records: Sequence[Record], contents: Collection[bytes]) -> list[Record]:
        """Those of a peer's verified `records` that may be placed at once, if nothing is there; then Placed is due.

        contents: those of small files that are at hand.
        """
        return newcomers(self._index, self._policy, self._freshness, self._units, records, contents)

    def handle(self, event: Event, now: int) -> Effects:
        """Take in an event. now: the wall clock, ns.

        Raises LocalError if something has to be published and no counter is reserved, Refused for a decision that
        cannot be carried out. If it raises, the transaction has to be undone.
        """
        turn = Turn(self._scene(), now)
        handled = int.from_bytes(self._handled or b"", "big") + 1
        self._handled = None  # so that what is left of an event that fails is not believed
        self._decide(turn, event)
        if turn.published:
            self._index.store_proofs(self._signer.sign(self.actor, turn.published))
        needs, overtaken = self._planner.replan(turn.scene)
        self.author.save()
        self._aftermath.note(now)
        self._handled = handled.to_bytes(8, "big")
        self._index.set_meta(_HANDLED, self._handled)
        return Effects(
            turn.published, turn.news, needs, turn.alarms, turn.resume, overtaken, turn.problems, turn.damaged
        )  # fmt: skip

    def _scene(self) -> Scene:
        if self._handled is None or self._handled != self._index.meta(_HANDLED):
            self.reload()
        return Scene(self._index, self._memory)

    def _decide(self, turn: Turn, event: Event) -> None:
        match event:
            case Observed():
                self._observed(turn, event.observations, event.signs or {})
            case Received():
                self._received(turn, event)
            case Placed():
                self._placed(turn, event)
            case Applied():
                self._see(turn, look(self._index, self._policy, turn.scene, event.observations))
            case Seen():
                self._see(turn, look(self._index, self._policy, turn.scene, event.observations, alone=True))
            case Settle():
                self._settle(turn)
            case PeerCounters():
                if event.counters.get(self.actor, 0) > self.author.counter:
                    self._rolled_back(turn)
            case Reserve():
                self.author.reserve()
            case Reconsider():
                self._reconsider(turn, event.low)
            case Forget():
                self._forget(turn)
            case Started() | Alive() | Trusted() | Scanned() | Stopped():
                self._live(event, turn.now)
            case Put() | Dismiss():
                self._decided(turn, event)

    def _live(self, event: Started | Alive | Trusted | Scanned | Stopped, now: int) -> None:
        match event:
            case Started():
                self._aftermath.start(event.boot, now)
            case Trusted():
                self._aftermath.trust()
            case Scanned():
                self._aftermath.scanned()
            case Stopped():
                self._aftermath.stop()

    # ---- what is on the disk

    def _observed(self, turn: Turn, observations: Sequence[Observation], signs: dict[bytes, Sign]) -> None:
        """Publish what users did. All of it is compared with what was shown before the first of it."""
        if self._aftermath.cautious:
            return  # not even seen: it is looked at again, and published, as soon as that may be
        sights = look(self._index, self._policy, turn.scene, observations)
        edits = [
            sight
            for sight in sights
            if not self._freshness.holds(sight.key) and is_edit(self._index, turn.scene.row(sight.key), sight)
        ]
        unpublished: set[bytes] = set()
        if self._aftermath.crash is not None:
            edits = [sight for sight in edits if not self._is_damage(turn, sight, signs)]
        else:  # after an unclean stop it may be what that left: it is seen, and needed again
            unpublished = {s.key for s in sights if self._freshness.waits(s.key, s.before, s.entry, s.want)}
        if self._identity.read_only:
            self._report_changes(turn, [sight.key for sight in edits])
        else:
            unpublished |= {sight.key for sight in edits if not self._edit(turn, sight)}
        # What was not published stays unseen: so it is never taken for something that may be replaced.
        self._see(turn, [sight for sight in sights if sight.key not in unpublished])

    def _is_damage(self, turn: Turn, sight: Sight, signs: dict[bytes, Sign]) -> bool:
        row, path, crash = turn.scene.row(sight.key), to_path(sight.key), self._aftermath.crash
        assert crash is not None
        sign = signs.get(path, _NO_SIGN)
        what = damage(crash, row.disk, sight.want, known_contents(row.state), sight.disk, sign)
        if what is not None:
            reason = f"{what} after an unclean stop; it is fetched again"
            turn.damaged.append(Problem(path, DAMAGED, reason))
        return what is not None

    def _edit(self, turn: Turn, sight: Sight) -> bool:
        row = turn.scene.row(sight.key)
        return self._publisher.edit(turn, sight.key, concerned(row, sight), sight.before, sight.entry)

    def _report_changes(self, turn: Turn, keys: Sequence[bytes]) -> None:
        if keys:
            fate = "are reverted" if self._policy.overwrite_changes else "stay and go nowhere"
            example = display(to_path(keys[0]))
            turn.alarms.append(
                f"local changes on a read-only node {fate}: {len(keys)}, one of them at {example}; only nodes with the "
                "read-write secret publish"
            )

    def _see(self, turn: Turn, sights: Iterable[Sight]) -> None:
        for sight in sights:
            turn.scene.put_disk(sight.key, sight.disk)

    # ---- what the operator decides

    def _decided(self, turn: Turn, event: Put | Dismiss) -> None:
        if self._identity.read_only:
            raise Refused("this node is read-only: decide it on one that may write")
        if self._freshness.holds(to_key(event.path)):
            raise Refused("the folder is not settled yet: try again when a peer has answered")
        decide(turn, event, self._policy, self._publisher)

    def versions(self, key: bytes) -> tuple[Entry | None, list[Record]]:
        """What is shown at a path, and a live record of each content there that is not, the newest first."""
        scene = self._scene()
        want = scene.shown(key)
        newest = sorted(losers(scene.state(key), want), key=lambda r: (r.stamp, r.dot, r.hash))
        return want, list({(record.kind, record.content): record for record in newest}.values())[::-1]

    # ---- what peers say

    def _received(self, turn: Turn, event: Received) -> None:
        twins = take_in(turn, event.records)
        if turn.news:
            self._index.store_proofs(event.proofs)
        if self.author.see(event.records) or any(actor == self.actor for actor, _ in twins):
            self._rolled_back(turn)

    def _placed(self, turn: Turn, event: Placed) -> None:
        """Those that the disk could not hold quite as their records say are taken in like any others."""
        rows, others = [], []
        for record, disk in event.placed:
            want = entry_of(record)
            if disk.entry == want or self._policy.normalise(disk.entry, want) == want:
                rows.append(Row(to_key(record.path), (record,), disk, None))
            else:
                others.append((record, disk))
        self._index.store_proofs(event.proofs)
        self._index.add(rows)
        self._memory = Memory()  # what it knows of the liveness below directories is outdated
        turn.scene = Scene(self._index, self._memory)
        take_in(turn, [record for record, _ in others])
        self._see(turn, look(self._index, self._policy, turn.scene, [Observation(r.path, disk) for r, disk in others]))
        if self.author.see([record for record, _ in event.placed]):
            self._rolled_back(turn)

    def _rolled_back(self, turn: Turn) -> None:
        turn.alarms.append(_ROLLED_BACK)
        self._forget(turn)

    # ---- a fresh index

    def _forget(self, turn: Turn) -> None:
        """Become somebody else, who cannot know what the disk holds."""
        self.author.renew()
        self._freshness.restart()
        for keys in self._planner.needed():
            turn.scene.touch(keys)

    def _settle(self, turn: Turn) -> None:
        """Settle the next rows. Where to go on is kept in the index: an event cannot lead past anything."""
        boundary = self._freshness.boundary
        if boundary is None:
            return
        if not self._freshness.strange:
            self._freshness.finish()
            return
        rows = self._index.span(boundary, None, self._settle_rows)
        turn.scene.load_with_ancestors([row.key for row in rows])
        unknown = [row for row in rows if self._is_unknown(row)]
        if self._identity.read_only:
            self._report_changes(turn, [row.key for row in unknown])
        else:
            for row in unknown:
                assert row.disk is not None
                self._publisher.found(turn, row.key, row.disk.entry)
        self._freshness.advance(rows, self._settle_rows)
        turn.scene.touch([row.key for row in rows])
        turn.resume = self._freshness.boundary

    def _is_unknown(self, row: Row) -> bool:
        """Whether the disk has at the path what the manifest neither knows nor knew there."""
        found = entry(row)
        if found is None or found.content in known_contents(row.state):
            return False
        return not self._policy.ignored(to_path(row.key), found.kind == Kind.DIR)

    def _reconsider(self, turn: Turn, low: bytes) -> None:
        rows = self._index.span(low, None, self._settle_rows)
        turn.scene.load_with_ancestors([row.key for row in rows])
        turn.scene.touch([row.key for row in rows])
        turn.resume = rows[-1].key + b"\0" if len(rows) == self._settle_rows else None
