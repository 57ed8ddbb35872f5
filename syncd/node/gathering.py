"""Units on their way: their parts gather in staging. Each is shown when all of it is there and nothing more comes."""

import asyncio
from collections.abc import Callable, Collection
from typing import Final

from syncd.core.events import Problem
from syncd.core.units import REPLACEMENT, Arrivals
from syncd.node.findings import Report
from syncd.node.hands import Hands
from syncd.node.resting import Resting
from syncd.node.sources import Load, Supplied
from syncd.node.yard import Yard
from syncd.store.applier import Outcome

AGAIN: Final = 0.5  # seconds until a unit is tried again whose place is still to be made
CHANGES: Final = "it changes here as well: what peers have is put there when that is published"


class _Unit:
    """here: keys of parts that lack nothing but the others. since: when it became what is on its way. rank: its class.

    due: not to be shown before. troubled: the key under which it rests.
    """

    def __init__(self, since: float, rank: int) -> None:
        self.here: set[bytes] = set()
        self.since = since
        self.rank = rank
        self.due = since
        self.troubled = b""


class Gathering:
    """Of one folder. on_report(report): takes what showing a unit brought. recheck(): called when something is due."""

    def __init__(
        self,
        yard: Yard,
        hands: Hands,
        arrivals: Arrivals,
        trouble: Resting,
        on_report: Callable[[Report], None],
        recheck: Callable[[], None],
    ) -> None:
        self._yard = yard
        self._hands = hands
        self._arrivals = arrivals
        self._trouble = trouble
        self._on_report = on_report
        self._recheck = recheck
        self._loop = asyncio.get_running_loop()
        self._units: dict[bytes, _Unit] = {}
        self._unit_of: dict[bytes, bytes] = {}  # by key
        self._timer: asyncio.TimerHandle | None = None
        self._through = 0

    def meet(self, item: Supplied) -> bool:
        """A part of a unit is needed. Whether it lacks nothing but the others."""
        assert item.unit is not None
        key = item.action.key
        rank = max(item.rank, 0)  # of what goes before all classes, the others are in the first one at best
        unit = self._units.setdefault(item.unit, _Unit(self._loop.time(), rank))
        unit.rank = min(unit.rank, rank)
        self._unit_of[key] = item.unit
        if item.fetch or item.source is not None:
            return False
        unit.here.add(key)
        return True

    def loaded(self, load: Load) -> None:
        """All needs of the classes before `load.through` are known."""
        self._through = load.through

    def is_part(self, key: bytes) -> bool:
        """Whether a needed path is a part of a unit."""
        return key in self._unit_of

    def stocked(self, key: bytes) -> None:
        """The content of a part is in staging."""
        unit = self._units.get(self._unit_of.get(key, b""))
        if unit is not None:
            unit.here.add(key)

    def drop(self, keys: Collection[bytes]) -> None:
        """What these paths need is another thing now."""
        for key in self._unit_of.keys() & set(keys):
            unit = self._units.get(self._unit_of.pop(key))
            if unit is not None:
                unit.here.discard(key)
                unit.since = unit.due = self._loop.time()
                self._trouble.done(unit.troubled)

    def here(self) -> list[bytes]:
        """Keys of needed paths for which nothing is to be done but to show their units."""
        return [key for unit in self._units.values() for key in unit.here]

    @property
    def busy(self) -> bool:
        """Whether any unit is on its way."""
        return bool(self._units)

    # ---- showing

    async def show(self, held: Collection[bytes]) -> None:
        """Show what can be shown. held: keys of paths that are under way."""
        if not self._units and self._yard.due is None:
            return
        if self._yard.due is not None and self._yard.due <= self._loop.time():
            self._on_report(await self._hands.run(self._yard.clear))
        met = set(self._unit_of.values())
        self._units = {name: unit for name, unit in self._units.items() if name in met}
        waiting = {self._unit_of.get(key) for key in (*held, *self._trouble.resting())}
        for name in [name for name, unit in self._units.items() if unit.here and name not in waiting]:
            unit, now = self._units.get(name), self._loop.time()
            if unit is None or not unit.here or unit.rank >= self._through or unit.due > now:
                continue
            if self._arrivals.is_whole(name, now):
                await self._show(name, unit)
        self._arm(waiting)

    async def _show(self, name: bytes, unit: _Unit) -> None:
        keys = set(unit.here)
        may_go = self._loop.time() - unit.since >= REPLACEMENT
        shown = await self._hands.run(self._yard.show, name, may_go)
        if shown.outcome is Outcome.DONE:
            self._forget(name)
            for key in keys:
                self._trouble.done(key)
        elif shown.outcome is Outcome.MISSING:
            self._forget(name)
        elif shown.outcome is Outcome.WAITS and not shown.report.problems:
            unit.due = self._loop.time() + AGAIN if may_go else unit.since + REPLACEMENT
        else:
            problems = shown.report.problems
            reason = problems[0] if problems else Problem(name, "write", CHANGES)
            unit.troubled = min(keys)
            self._trouble.put(unit.troubled, reason._replace(path=name))
            shown.report.problems.clear()
        self._on_report(shown.report)
        if shown.outcome is not Outcome.WAITS:
            self._recheck()

    def _forget(self, name: bytes) -> None:
        self._units.pop(name, None)
        for key in [key for key, unit in self._unit_of.items() if unit == name]:
            del self._unit_of[key]

    def _arm(self, waiting: Collection[bytes | None]) -> None:
        """Come back when something is due without anybody telling."""
        now = self._loop.time()
        moments = [self._yard.due] if self._yard.due is not None else []
        for name, unit in self._units.items():
            if name not in waiting:
                due = self._arrivals.due(name)
                if due is not None or unit.due > now:
                    moments.append(max(due or 0.0, unit.due))
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(max(min(moments), now + 0.01), self._recheck) if moments else None
