"""Notices what changes on the disk: the watcher where it can, scans where it cannot, and now and then to be sure."""

import asyncio
from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import Final

import structlog

from protocol.paths import ancestors, display
from syncd.core import units as unit_rules
from syncd.core.events import Scanned
from syncd.core.settle import Settle
from syncd.core.units import Units
from syncd.node.findings import UNLISTED, YOUNG, Report
from syncd.node.hands import Hands
from syncd.node.judging import Judging
from syncd.node.ledger import Ledger
from syncd.node.unit_looks import observe_unit, watch_below
from syncd.store.watch import Cause, Watcher, WatchEvent

UNWATCHED_INTERVAL: Final = 30.0  # seconds between scans while the directories are not watched
OBSERVE_PATHS: Final = 1_000  # paths looked at in one call
MOST_READS: Final = 256  # of the watcher, until what changes meanwhile is left for later
_URGENT: Final = {Cause.CLOSED, Cause.MOVED_OUT, Cause.REMOVED}
_NEW_DIRECTORY: Final = {Cause.CLOSED, Cause.CREATED}
_WAYS_OUT: Final = {
    Cause.OVERFLOW: "if it comes often, raise fs.inotify.max_queued_events",
    Cause.EXHAUSTED: "raise fs.inotify.max_user_watches: until then changes are found by scans",
}

_log = structlog.get_logger()


class Watching:
    """watcher: None if there is none on this system. interval: seconds between full scans while watching; 0: none.

    units: which directories are looked at as a whole, when they are settled; for this thread. wall: clock, ns.
    guard(): in the worker thread, why the tree must not be believed, or None. is_filling(): whether a peer fills the
    tree of a node that publishes nothing yet: all of it is looked at when that is over, and no more often than that.
    on_phase(begins): a full scan begins or has ended.
    """

    def __init__(
        self,
        ledger: Ledger,
        hands: Hands,
        watcher: Watcher | None,
        interval: float,
        units: Units,
        wall: Callable[[], int],
        guard: Callable[[], str | None],
        is_filling: Callable[[], bool],
        on_report: Callable[[Report], None],
        on_phase: Callable[[bool], None],
    ) -> None:
        self._ledger = ledger
        self._judging = Judging(ledger)
        self._hands = hands
        self._watcher = watcher
        self._interval = interval
        self._units = units
        self._wall = wall
        self._guard = guard
        self._is_filling = is_filling
        self._on_report = on_report
        self._on_phase = on_phase
        self._loop = asyncio.get_running_loop()
        self._settle = Settle()
        self._settling = Settle(unit_rules.QUIET, unit_rules.LONGEST)  # units
        self._unsettled: dict[bytes, float] = {}  # units, and since when they change
        self._written: set[bytes] = set()  # noted files that are hashed whatever their times say
        self._grown: set[bytes] = set()  # directories that appeared in units
        self._noted = asyncio.Event()
        self._rounds = 0  # of looking at what was noted
        self._looking = False
        self._round_over = asyncio.Condition()
        self._scan_wanted = asyncio.Event()
        self._scans_done = 0
        self._scan_finished = asyncio.Condition()
        self._subtrees: set[bytes] = set()
        self._unlisted: set[bytes] = set()  # directories that could not be looked into
        self._young: dict[bytes, float] = {}  # in the order in which they are due
        self.armed = False
        self._scans = 0  # under way: of everything, or of what appeared
        self._scanning_all = False
        self.scanned_once = False
        self.scanned_entries = 0
        self.held: str | None = None
        self.overflows = 0  # how often events were lost

    # ---- what others want

    def arm(self) -> None:
        """Watch from now on, after one more scan."""
        if not self.armed and self._watcher is not None:
            self.armed = True
            self._loop.add_reader(self._watcher.fileno(), self._read)
        self._scan_wanted.set()

    def become(self, interval: float, look: bool) -> None:
        """Another interval from now on. look: whether other paths take part now."""
        if look or interval != self._interval:
            self._interval = interval
            self._scan_wanted.set()  # the pause under way is that of before

    async def rescan(self) -> None:
        """A full scan from beginning to end that starts after this call. What it finds suspicious is judged, too."""
        target = self._scans_done + (2 if self._scanning_all else 1)
        self._scan_wanted.set()
        async with self._scan_finished:
            await self._scan_finished.wait_for(lambda: self._scans_done >= target)
        await self._looked_at(set(self._unsettled))
        await self.judged()

    async def catch_up(self) -> None:
        """Look at everything that has changed until now, without waiting for it to be quiet."""
        if not self.complete or self._watcher is None or not self._watcher.prompt:
            await self.rescan()
        else:
            reads = 0
            while self._read() and reads < MOST_READS:
                reads += 1
        self._settle.hasten(self._loop.time())
        self._ledger.sieve.hasten()
        self._young = dict.fromkeys(self._young, self._loop.time())
        target = self._rounds + (2 if self._looking else 1)
        self._noted.set()
        async with self._round_over:
            await self._round_over.wait_for(lambda: self._rounds >= target)
        await self.judged()

    async def judged(self) -> None:
        """Returns when what has been found suspicious until now was judged."""
        sieve = self._ledger.sieve
        target = sieve.judged + sieve.to_judge
        async with self._scan_finished:
            await self._scan_finished.wait_for(
                lambda: sieve.due is None or sieve.judged >= target or self.held is not None
            )

    async def decide(self, meant: bool) -> None:
        """The operator's word on what is held."""
        await self._each(self._judging.decide(meant))

    def look_again(self, paths: list[bytes]) -> None:
        """Hash these files once more when a change of them would be visible."""
        due = self._loop.time() + YOUNG / 1e9
        for path in paths:
            unit = self._units.of(path)
            if unit is None or unit == path:
                self._young.pop(path, None)
                self._young[path] = due
            else:
                self.look_at_unit(unit)
        self._noted.set()

    def look_at_unit(self, unit: bytes) -> None:
        """Something changed in a unit, or may have: it is looked at when it is settled."""
        now = self._loop.time()
        self._settling.note(unit, False, now)
        self._unsettled.setdefault(unit, now)
        self._noted.set()

    def note_directory(self, path: bytes) -> None:
        """The directory is about to be listed: it is watched first, so that nothing is missed in between."""
        if self.armed and self._watcher is not None:
            self._watcher.add(path)

    @property
    def scanning(self) -> bool:
        """Whether a scan is under way."""
        return self._scans > 0

    @property
    def gathering(self) -> bool:
        """Whether suspicious changes, or those of a unit, are waited for to be over, and nothing is published yet."""
        return self._ledger.sieve.due is not None or bool(self._unsettled)

    @property
    def complete(self) -> bool:
        """Whether every directory is watched."""
        return self.armed and self._watcher is not None and self._watcher.complete

    # ---- tasks

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._scan_loop())
                tasks.create_task(self._settle_loop())
        finally:
            if self.armed and self._watcher is not None:
                self._loop.remove_reader(self._watcher.fileno())

    async def _scan_loop(self) -> None:
        while True:
            self._scan_wanted.clear()
            self._scanning_all = True
            await self._scan(b"")
            self._scanning_all = False
            self._scans_done += 1
            async with self._scan_finished:
                self._scan_finished.notify_all()
            await self._pause()

    async def _pause(self) -> None:
        """Return when the next full scan is due."""
        pause: float | None = self._interval if self.complete else min(self._interval, UNWATCHED_INTERVAL)
        if not self._interval:
            pause = None if self.complete else UNWATCHED_INTERVAL
        if self.held is not None:
            pause = UNWATCHED_INTERVAL
        while True:
            try:
                async with asyncio.timeout(pause):
                    await self._scan_wanted.wait()
            except TimeoutError:
                if self.held is None and self._is_filling():
                    continue
            return

    async def _scan(self, below: bytes) -> None:
        self.held = await self._hands.run(self._guard)
        if self.held is not None:
            if below:
                self._scan_wanted.set()  # finds what appeared when the tree may be believed again
            return
        self._scans += 1
        self.scanned_entries = 0
        self.note_directory(below)
        if not below:
            self._unlisted.clear()
            self._on_phase(True)
        slices = self._ledger.scan(below, self.note_directory)
        try:
            while (report := await self._hands.run(next, slices, None)) is not None:
                self.scanned_entries += report.entries
                if report != Report(entries=report.entries):
                    self._tell(report)
        finally:
            self._scans -= 1
        await self._each(self._judging.review())
        if not below:
            if not self.scanned_once:
                await self._judge(first_look=True)
                if self._ledger.replica.doubtful:  # what was gathered had to be judged first: it may be damage
                    await self._looked_at(set(self._unsettled))
                    await self._hands.run(self._ledger.handle, Scanned())
            self.scanned_once = True
            self._on_phase(False)
        self._noted.set()  # what was gathered may be judged now

    async def _each(self, reports: Iterator[Report]) -> None:
        while (report := await self._hands.run(next, reports, None)) is not None:
            self._tell(report)

    def _tell(self, report: Report) -> None:
        self._unlisted.update(problem.path for problem in report.problems if problem.operation == UNLISTED)
        self._on_report(report)

    async def _settle_loop(self) -> None:
        while True:
            await self._wait_until_due()
            self._looking = True
            if self._settle.overflowed:
                self._written.clear()  # of paths that were left out; the scan hashes what is young
                self._scan_wanted.set()
            paths = self._settle.due(self._loop.time())
            written = self._written.intersection(paths)
            self._written -= written
            for first in range(0, len(paths), OBSERVE_PATHS):
                part = paths[first : first + OBSERVE_PATHS]
                self._tell(await self._hands.run(self._ledger.observe, part, written))
            again = self._unlisted.intersection(paths)
            self._unlisted -= again
            subtrees, self._subtrees = self._subtrees | again, set()
            for path in _tops(subtrees):
                await self._scan(path)
            if again:
                self._on_report(Report(fine=sorted(again - self._unlisted)))
            await self._rehash()
            await self._look_at_units()
            await self._judge_when_due()
            self._looking = False
            self._rounds += 1
            async with self._round_over:
                self._round_over.notify_all()

    async def _wait_until_due(self) -> None:
        due = self._settle.next_due()
        settled = self._settling.next_due() if self.held is None else None
        grown = self._loop.time() if self._grown else None
        young = next(iter(self._young.values()), None)
        burst = self._ledger.sieve.due if self._may_judge else None
        nearest = min((moment for moment in (due, settled, grown, young, burst) if moment is not None), default=None)
        if nearest is not None and nearest <= self._loop.time():
            return
        self._noted.clear()
        try:
            async with asyncio.timeout_at(nearest):
                await self._noted.wait()
        except TimeoutError:
            pass

    async def _rehash(self) -> None:
        now = self._loop.time()
        paths = [path for path, _ in takewhile(lambda item: item[1] <= now, self._young.items())]
        for path in paths:
            del self._young[path]
        for first in range(0, len(paths), OBSERVE_PATHS):
            self._tell(await self._hands.run(self._ledger.rehash, paths[first : first + OBSERVE_PATHS]))

    # ---- units

    async def _look_at_units(self) -> None:
        """Have new directories watched; publish what is settled."""
        grown, self._grown = self._grown, set()
        for directory in _tops(grown):
            await self._hands.run(watch_below, self._ledger, directory, self.note_directory)
            self.look_at_unit(self._units.of(directory) or directory)
        if self.held is not None:
            return
        for unit in self._settling.due(self._loop.time()):
            now = self._loop.time()
            forced = now - self._unsettled.setdefault(unit, now) >= unit_rules.LONGEST
            look = self._hands.run(observe_unit, self._ledger, unit, self.note_directory, forced, self._wall())
            report = await look
            if report is None:
                self._settling.note(unit, False, self._loop.time())
                continue
            del self._unsettled[unit]
            self._tell(report)
        async with self._scan_finished:
            self._scan_finished.notify_all()

    async def _looked_at(self, units: set[bytes]) -> None:
        """Returns when these units were looked at; LONGEST bounds how long that takes."""
        async with self._scan_finished:
            await self._scan_finished.wait_for(lambda: self.held is not None or units.isdisjoint(self._unsettled))

    # ---- judging what was gathered

    @property
    def _may_judge(self) -> bool:
        """Not in the middle of a scan: it may find more. Not in a folder that is not to be believed."""
        return not self._scans and self.held is None

    async def _judge_when_due(self) -> None:
        due = self._ledger.sieve.due
        if due is None or due > self._loop.time() or not self._may_judge:
            return
        self.held = await self._hands.run(self._guard)
        if self.held is None:
            await self._judge(first_look=not self.scanned_once)
        else:
            self._scan_wanted.set()  # asks again now and then whether it is to be believed

    async def _judge(self, first_look: bool) -> None:
        if self._ledger.sieve.due is not None:
            await self._each(self._judging.judge(first_look))
        async with self._scan_finished:
            self._scan_finished.notify_all()

    # ---- events

    def _read(self) -> bool:
        """Take what the watcher has now; whether that was anything."""
        assert self._watcher is not None
        events = self._watcher.read()
        for event in events:
            self._note(event)
        self._noted.set()
        return bool(events)

    def _note(self, event: WatchEvent) -> None:
        if event.cause in (Cause.OVERFLOW, Cause.EXHAUSTED):
            self.overflows += 1
            _log.warning(
                "changes may have been missed, scanning",
                cause=event.cause.name.lower(),
                directory=display(event.path),
                way_out=_WAYS_OUT[event.cause],
            )
            self._scan_wanted.set()
            return
        unit = self._units.of(event.path)
        if unit is not None and (event.directory or unit != event.path):
            if event.directory and event.cause in _NEW_DIRECTORY and self._watcher is not None:
                self._watcher.add(event.path)
                self._grown.add(event.path)
            self.look_at_unit(unit)
            return
        if event.directory and event.cause in _NEW_DIRECTORY and self._watcher is not None:
            self._watcher.add(event.path)
            self._subtrees.add(event.path)
        self._settle.note(event.path, event.cause in _URGENT, self._loop.time())
        if event.written:
            self._written.add(event.path)


def _tops(paths: set[bytes]) -> list[bytes]:
    """Those that are below none of the others, in order."""
    return [path for path in sorted(paths) if paths.isdisjoint(ancestors(path))]
