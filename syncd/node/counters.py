"""What a folder did since the start, counted for those who watch it from outside."""

from bisect import bisect_left
from collections.abc import Iterable
from typing import Any, Final

from protocol.paths import to_key
from syncd.node.findings import Report
from syncd.store.applier import Outcome

# seconds: from what is hardly noticed to what somebody has to look at
LATENCIES: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
AWAITED: Final = 10_000  # paths whose way to the disk is timed: the rest of a first sync says nothing about latency


class Counters:
    """Fed with every report of the folder. Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self.applied = 0  # paths brought to what peers say
        self.published = 0  # records of this node
        self.batches = 0  # of applied paths, each synced before peers hear of it
        self.problems = 0  # paths that could not be brought to what peers say, each time
        self._awaited: dict[bytes, float] = {}  # by key: when a peer told of it
        self._latencies = [0] * (len(LATENCIES) + 1)  # the last one: above all bounds
        self._waited = 0.0

    def take(self, report: Report, now: float) -> None:
        """Learn from a report."""
        self.published += len(report.pushes)
        self._await(report.news, now)
        if not report.results:
            return
        self.batches += 1
        for result in report.results:
            self.applied += result.outcome is Outcome.DONE
            self.problems += result.outcome is Outcome.FAILED
            if result.outcome is Outcome.DONE and (since := self._awaited.pop(to_key(result.path), None)) is not None:
                self._latencies[bisect_left(LATENCIES, now - since)] += 1
                self._waited += now - since

    def _await(self, keys: Iterable[bytes], now: float) -> None:
        for key in keys:
            if len(self._awaited) >= AWAITED:
                self._awaited.clear()  # they are of a flood, or of paths that need nothing
            self._awaited.setdefault(key, now)

    def document(self, overflows: int) -> dict[str, Any]:
        """For the status. overflows: how often events of the watcher were lost."""
        return {
            "applied": self.applied,
            "published": self.published,
            "durable_batches": self.batches,
            "apply_problems": self.problems,
            "watch_overflows": overflows,
            "apply_latency": {
                "bounds_seconds": list(LATENCIES),
                "counts": list(self._latencies),
                "sum_seconds": round(self._waited, 6),
            },
        }
