"""What peers have and is never made here: links that lead where none may, files above the size that takes part."""

from collections.abc import Iterable

from protocol.merge import winner
from protocol.paths import to_path
from protocol.record import Kind
from syncd.core import sizes
from syncd.core.events import SKIPPED, Problem
from syncd.core.index import Row
from syncd.node.findings import Report
from syncd.store.scanner import Scanner


class Refusals:
    """scanner: has the rules."""

    def __init__(self, scanner: Scanner) -> None:
        self._scanner = scanner
        self._told: set[bytes] = set()  # paths

    @property
    def none(self) -> bool:
        """Whether everything takes part, whatever it is."""
        return not self._scanner.refuses

    def of(self, row: Row) -> Problem | None:
        """Why what the manifest has at a path is never made here; None if it is."""
        shown = winner(row.state) if row.state and not self.none else None
        if shown is None or shown.kind not in (Kind.LINK, Kind.FILE):
            return None
        if shown.kind is Kind.LINK:
            reason = self._scanner.refusal(shown.path, shown.target)
        else:
            reason = sizes.refusal(shown.size, self._scanner.largest)
        return Problem(shown.path, SKIPPED, reason) if reason is not None else None

    def among(self, rows: Iterable[Row]) -> list[Problem]:
        """Those of a scan."""
        found = [problem for row in rows if (problem := self.of(row)) is not None]
        self._told.update(problem.path for problem in found)
        return found

    def judge(self, rows: Iterable[Row], report: Report) -> None:
        """Tell of what peers have changed so, and of what of it gave way to something else."""
        for row in rows:
            refused = self.of(row)
            if refused is not None:
                report.problems.append(refused)
                self._told.add(refused.path)
            elif (path := to_path(row.key)) in self._told:
                report.fine.append(path)
                self._told.discard(path)
