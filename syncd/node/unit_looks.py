"""Looking at a unit as a whole: what an author changed in it is published in one transaction, once it is settled."""

from collections.abc import Callable, Iterator

from protocol.paths import ancestors, to_key
from protocol.record import Kind
from syncd.core import units
from syncd.core.events import Problem
from syncd.core.index import Disk
from syncd.node.findings import Findings, Report
from syncd.node.ledger import Ledger
from syncd.node.telling import INLINE_RECORDS
from syncd.store.look import Stat, differs
from syncd.store.scanner import Changed, Gone


def observe_unit(
    ledger: Ledger, unit: bytes, on_directory: Callable[[bytes], None], forced: bool, now: int
) -> Report | None:
    """Publish what changed in a unit; None if it still changes. forced: it has changed for too long to wait for more.

    on_directory(path): called before a directory's entries are listed. now: wall clock, ns.
    """
    look = _Look(ledger, unit, on_directory, forced, now)
    findings = look.take()
    if not forced:
        if look.young or findings.changing or not look.stands(findings):
            return None
        findings.report.young.clear()  # settled: a change of what was hashed here would be visible
    if len(findings.blobs) > INLINE_RECORDS:
        findings.blobs.clear()
    if not findings.observations:
        return findings.report
    sift = ledger.sieve.sift_unit if look.there else ledger.sieve.sift
    return ledger.enter(findings, ledger.read(lambda: sift(findings.observations)))


def look_now(ledger: Ledger, unit: bytes, now: int) -> Findings:
    """All that changed in a unit until now, settled or not. now: wall clock, ns."""
    findings = _Look(ledger, unit, lambda _directory: None, True, now).take()
    findings.blobs.clear()  # a unit may have many: peers ask for them
    return findings


def watch_below(ledger: Ledger, directory: bytes, on_directory: Callable[[bytes], None]) -> None:
    """Have all directories below a new one watched, so that it is known when its unit is settled."""
    on_directory(directory)
    for _ in ledger.walk(directory, on_directory):
        pass


class _Look:
    """One look. there: whether the unit is a directory. young: whether a file in it changed within QUIET."""

    def __init__(
        self, ledger: Ledger, unit: bytes, on_directory: Callable[[bytes], None], forced: bool, now: int
    ) -> None:
        self._ledger = ledger
        self._unit = unit
        self._on_directory = on_directory
        self._forced = forced
        self._now = now
        self.there = False
        self.young = False

    def take(self) -> Findings:
        """What is found."""
        ledger, unit = self._ledger, self._unit
        findings = ledger.findings()
        ledger.observe_above(ancestors(unit), findings)
        stat = ledger.tree.scanner.stat_one(unit)
        row = ledger.rows([unit]).get(to_key(unit))
        self.there = isinstance(stat, Stat) and stat.kind is Kind.DIR
        seen = row.disk if row is not None else None
        if not self.there or seen is None or seen.entry.kind is not Kind.DIR:
            if self.there:
                assert isinstance(stat, Stat)
                findings.examine(stat)
            else:
                ledger.observe_one(unit, row, findings)
                return findings
        elif isinstance(stat, Stat) and ledger.tree.scanner.differs(stat, seen):
            findings.examine(stat)
        self._on_directory(unit)
        self._compare(findings)
        return findings

    def stands(self, findings: Findings) -> bool:
        """Whether a second look sees the same: of what changed during the first one half may have been found."""
        troubled = {problem.path for problem in findings.report.problems}
        found = {path: disk for path, disk in findings.observations if path.startswith(self._unit + b"/")}
        if not findings.observations:
            return True
        again: dict[bytes, Stat | None] = {}
        scanner = self._ledger.tree.scanner
        for item in scanner.compare(self._stats(), self._ledger.seen(self._unit), self._now):
            if isinstance(item, Changed) and item.stat.path not in troubled:
                again[item.stat.path] = item.stat
            elif isinstance(item, Gone):
                again[item.path] = None
        if again.keys() != found.keys():
            return False
        return all(_is_like(again[path], disk) for path, disk in found.items())

    def _compare(self, findings: Findings) -> None:
        ledger = self._ledger
        for item in ledger.tree.scanner.compare(self._stats(), ledger.seen(self._unit), self._now):
            if isinstance(item, Problem):
                ledger.trouble(item, findings)
            elif isinstance(item, Gone):
                findings.gone(item.path)
            elif isinstance(item, Changed):
                findings.examine(item.stat)
            if self.young and not self._forced:
                return

    def _stats(self) -> Iterator[Stat | Problem]:
        for item in self._ledger.walk(self._unit, self._on_directory):
            if (
                isinstance(item, Stat)
                and item.kind is not Kind.DIR
                and abs(self._now - item.ctime_ns) < units.QUIET * 1e9
            ):
                self.young = True
            yield item


def _is_like(stat: Stat | None, disk: Disk | None) -> bool:
    if stat is None or disk is None:
        return stat is None and disk is None
    return not differs(stat, disk)
