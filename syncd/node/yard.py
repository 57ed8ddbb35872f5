"""Where units are made: from what waits in staging to the live directory, in one step where that can be.

Runs in the folder's worker thread.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from protocol.paths import to_key
from protocol.record import Kind
from syncd.core.events import Action, Applied, Effects, Observation
from syncd.core.unit_plan import Turn
from syncd.node.findings import Report
from syncd.node.ledger import DELETED, REPLACED, Ledger
from syncd.store.applier import Job, Outcome, Source
from syncd.store.displaced import Displaced, TakenApart
from syncd.store.unit_trees import CannotBeOne

LINGER: Final = 10.0  # seconds for which a displaced directory stays whole, for those who have it open
MOST_DISPLACED: Final = 32  # that stay whole at a time; the oldest of more is taken apart sooner
SINGLY_JOBS: Final = 256  # paths in one batch, where a unit is made path by path: their small contents are in memory


_ALL: Final = 1 << 62


class Shown(NamedTuple):
    """What became of a unit. report: what to tell. outcome: DONE also if nothing was to be done."""

    outcome: Outcome
    report: Report


class Yard:
    """find(content, size): the bytes, or the staged file, of a content that is here. monotonic: seconds.

    rewatch(paths): these directories are new ones; called before they are looked at.
    """

    def __init__(
        self,
        ledger: Ledger,
        find: Callable[[bytes, int], Source],
        monotonic: Callable[[], float],
        rewatch: Callable[[list[bytes]], None],
    ) -> None:
        self._ledger = ledger
        self._find = find
        self._monotonic = monotonic
        self._rewatch = rewatch
        self._displaced: deque[tuple[float, Displaced]] = deque()

    def show(self, unit: bytes, may_go: bool) -> Shown:
        """Bring a unit to what the manifest shows. may_go: not only if something takes its place."""
        plan = self._ledger.read(lambda: self._ledger.replica.plan_unit(unit, self._is_held))
        if plan.turn is Turn.NONE:
            return Shown(Outcome.DONE, Report())
        if plan.turn is Turn.GONE and not may_go:
            return Shown(Outcome.WAITS, Report())
        if plan.turn is Turn.SINGLY:
            return self._show_singly(unit, may_go)
        result = self._ledger.tree.applier.publish_unit(plan, self._rewatch)
        placed = result.placed
        if placed.displaced is not None:
            self._displaced.append((self._monotonic() + LINGER, placed.displaced))
        report = self._enter([*self._refreshed(placed.shared), *placed.observations], placed.observations)
        if result.outcome is Outcome.SINGLY:
            return self._show_singly(unit, may_go)
        if placed.edited or result.outcome is Outcome.DIFFERS:
            report.units.add(unit)
        if result.problem is not None:
            report.problems.append(result.problem)
        elif result.outcome is Outcome.DONE:
            report.fine.append(unit)
        report.kept += [
            part.want.content for part in plan.parts
            if result.outcome is Outcome.DONE and part.needed and part.want is not None
        ]  # fmt: skip
        return Shown(result.outcome, report)

    def _is_held(self, key: bytes) -> bool:
        held = self._ledger.sieve.held
        return held.any_below(key) or bool(held.among([key]))

    def _enter(self, observations: list[Observation], news: Sequence[Observation] = ()) -> Report:
        report = Report()
        if observations:
            effects = self._ledger.steadily(lambda: self._applied(observations, news))
            self._ledger.tell(report, effects, {})
        return report

    def _applied(self, observations: list[Observation], news: Sequence[Observation] = ()) -> Effects:
        """news: those that came from peers."""
        self._ledger.note_applied([item.path for item in news])
        return self._ledger.replica.handle(Applied(observations), self._ledger.now())

    def _refreshed(self, paths: Iterable[bytes]) -> list[Observation]:
        """What the index has of these files, with the ctimes that a name more or less has given them."""
        found = []
        rows = self._ledger.rows(paths)
        for path in paths:
            row = rows.get(to_key(path))
            if row is None or row.disk is None:
                continue
            disk = self._ledger.tree.scanner.with_ctime(path, row.disk)
            if disk is not None and disk != row.disk:
                found.append(Observation(path, disk))
        return found

    # ---- path by path

    def _show_singly(self, unit: bytes, may_go: bool) -> Shown:
        """What others include comes first, what they begin with last, and what goes after that."""
        key = to_key(unit)
        rows = self._ledger.read(lambda: self._ledger.index.span(key, key + b"\x01", _ALL))
        actions = self._ledger.plan(row.key for row in rows if row.need is not None)
        if not may_go and any(action.want is None and action.path == unit for action in actions):
            return Shown(Outcome.WAITS, Report())
        report, outcome = Report(), Outcome.DONE
        for phase in _phases(unit, actions):
            for start in range(0, len(phase), SINGLY_JOBS):
                jobs = [Job(action, self._source(action)) for action in phase[start : start + SINGLY_JOBS]]
                part = self._ledger.apply(jobs, [])
                _add(report, part)
                bad = [result for result in part.results if result.outcome is not Outcome.DONE]
                for result in bad:
                    outcome = result.outcome
                    report.problems += [result.problem] if result.problem is not None else []
            if outcome is not Outcome.DONE:
                report.units.add(unit)
                break
        return Shown(outcome, report)

    def _source(self, action: Action) -> Source:
        want = action.want
        if want is None or want.kind is not Kind.FILE:
            return None
        expect = action.expect.entry if action.expect is not None else None
        if expect is not None and (expect.kind, expect.content) == (want.kind, want.content):
            return None
        return self._find(want.content, want.size)

    # ---- what was displaced

    @property
    def due(self) -> float | None:
        """When something displaced is to be taken apart, on the monotonic clock; None if there is nothing."""
        if len(self._displaced) > MOST_DISPLACED:
            return 0.0
        return self._displaced[0][0] if self._displaced else None

    def clear(self, everything: bool = False) -> Report:
        """Take apart what has been displaced for long enough, or all of it."""
        report = Report()
        while self._displaced and (everything or (self.due or 0.0) <= self._monotonic()):
            _, displaced = self._displaced.popleft()
            try:
                taken = self._ledger.tree.applier.displacements.take_apart(displaced)
            except (OSError, CannotBeOne) as error:  # the next start finds it, and keeps what is in it
                report.alarms.append(f"what was displaced cannot be put into the archive: {error}")
                continue
            self._archive(taken, report)
            if taken.forward:
                report.units.add(displaced.unit)
        return report

    def _archive(self, taken: TakenApart, report: Report) -> None:
        observations = self._refreshed(taken.shared)

        def work() -> Effects | None:
            now = self._ledger.now()
            for reason, items in ((DELETED, taken.deleted), (REPLACED, taken.replaced)):
                known = {item.name: taken.contents[item.name] for item in items if item.name in taken.contents}
                self._ledger.contents.archive_add(items, now, reason, known)
            return self._applied(observations) if observations else None

        effects = self._ledger.steadily(work)
        if effects is not None:
            self._ledger.tell(report, effects, {})
        report.kept += taken.contents.values()


def _phases(unit: bytes, actions: Sequence[Action]) -> list[list[Action]]:
    top = unit.count(b"/") + 1
    makings = [action for action in actions if action.want is not None]
    main = [item for item in makings if item.path.count(b"/") == top and item.want and item.want.kind is not Kind.DIR]
    last = {item.key for item in main}
    clearings = []
    if makings:  # what has to leave so that something can be made comes before it in the plan
        first = actions.index(makings[0])
        clearings = [action for action in actions[:first] if action.want is None]
    cleared = {item.key for item in clearings}
    removals = [item for item in actions if item.want is None and item.key not in cleared]
    return [clearings, [item for item in makings if item.key not in last], main, removals]


def _add(report: Report, part: Report) -> None:
    report.results += part.results
    report.news += part.news
    report.overtaken += part.overtaken
    report.needs |= part.needs
    report.alarms += part.alarms
    report.problems += part.problems
