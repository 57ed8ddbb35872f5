"""What was kept back is judged, decided by the operator, and looked at again; each a report per slice of work."""

from collections.abc import Iterator
from typing import Final

from protocol.paths import to_key, to_path
from protocol.record import Kind
from syncd.core.guard import Suspicion
from syncd.core.index import Row
from syncd.node.findings import Findings, Report
from syncd.node.ledger import Ledger
from syncd.node.sieve import Sifted
from syncd.node.unit_looks import look_now
from syncd.store.look import Stat

RELEASED_AT_ONCE: Final = 1_000  # paths that were kept back and are looked at in one call


class Judging:
    """Of one folder, in its worker thread."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._sieve = ledger.sieve

    def judge(self, first_look: bool) -> Iterator[Report]:
        """What was gathered is held, or published; a report per slice of work. first_look: see Sieve.judge."""
        paths = self._ledger.read(lambda: self._sieve.judge(first_look))
        for unit, part in self._released(paths):
            findings = self._look_at_end(unit, part)
            if findings is not None:
                yield self._ledger.enter(findings, Sifted(findings.observations, [], []))
            elif unit is not None:
                yield Report(units={unit})

    def _look_at_end(self, unit: bytes | None, part: list[bytes]) -> Findings | None:
        """Look at these paths; None if their unit is there again: what was seen may be half of it, or out of date."""
        if self._is_directory(unit):
            return None
        findings, _ = self._ledger.look_at(part)
        within = unit is not None and any(item.disk and item.path != unit for item in findings.observations)
        return None if within or self._is_directory(unit) else findings

    def _is_directory(self, unit: bytes | None) -> bool:
        stat = self._ledger.tree.scanner.stat_one(unit) if unit is not None else None
        return isinstance(stat, Stat) and stat.kind is Kind.DIR

    def _released(self, paths: list[bytes]) -> Iterator[tuple[bytes | None, list[bytes]]]:
        """The paths in parts of which each is published at once: what lies in one unit, and others."""
        by_unit: dict[bytes | None, list[bytes]] = {}
        for path in paths:
            by_unit.setdefault(self._ledger.units.of(path), []).append(path)
        single = by_unit.pop(None, [])
        for start in range(0, len(single), RELEASED_AT_ONCE):
            yield None, single[start : start + RELEASED_AT_ONCE]
        yield from by_unit.items()

    def decide(self, meant: bool) -> Iterator[Report]:
        """The operator's word on all that is held; a report per slice of work.

        meant: it is published. Otherwise what was there before is needed again, and comes from the archive or from
        peers.
        """
        self._ledger.read(self._sieve.decided)
        after = b""
        while keys := self._held_after(after):
            after = keys[-1]
            for unit, part in self._parts(keys, meant):
                if unit is None:
                    findings, _ = self._ledger.look_at(map(to_path, part))
                else:
                    findings = look_now(self._ledger, unit, self._ledger.now())
                unknown = {to_key(problem.path) for problem in findings.report.problems}
                done = [*part, *(to_key(item.path) for item in findings.observations)]
                sifted = Sifted(findings.observations, [], []) if meant else self._doubtful(findings)
                yield self._ledger.enter(findings, sifted._replace(drop=[key for key in done if key not in unknown]))

    def _parts(self, keys: list[bytes], meant: bool) -> Iterator[tuple[bytes | None, list[bytes]]]:
        """Held keys by the unit that is published with them, of which nothing was while they were held."""
        whole = set()
        if meant:
            held = self._ledger.read(lambda: self._sieve.held.among(keys))
            rewritten = (to_path(key) for key, why in held.items() if why is Suspicion.REWRITTEN)
            whole = {unit for path in rewritten if (unit := self._ledger.units.of(path)) is not None}
        parts: dict[bytes | None, list[bytes]] = {}
        for key in keys:
            unit = self._ledger.units.of(to_path(key))
            parts.setdefault(unit if unit in whole else None, []).append(key)
        yield from parts.items()

    def review(self) -> Iterator[Report]:
        """Look for held paths that are as they were before, or not missed any more; a report per slice of work."""
        after = b""
        while keys := self._held_after(after):
            after = keys[-1]
            rows = self._ledger.rows(map(to_path, keys))
            back = [key for key in keys if self._is_as_seen(to_path(key), rows.get(key))]
            if back:
                self._ledger.steadily(lambda back=back: self._sieve.held.drop(back))  # type: ignore[misc]
            yield Report()

    def _held_after(self, after: bytes) -> list[bytes]:
        return self._ledger.read(lambda: self._sieve.held.list(after, RELEASED_AT_ONCE))

    def _doubtful(self, findings: Findings) -> Sifted:
        return self._ledger.read(lambda: self._sieve.doubtful(findings.observations))

    def _is_as_seen(self, path: bytes, row: Row | None) -> bool:
        if row is None or row.disk is None:
            return True
        stat = self._ledger.tree.scanner.stat_one(path)
        return isinstance(stat, Stat) and not self._ledger.tree.scanner.differs(stat, row.disk)
