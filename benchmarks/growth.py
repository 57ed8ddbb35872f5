"""Do costs stay flat? First sync per file, and a change per change, at 1 000, 10 000 and 100 000 files.

A million files take half an hour and 10 GB of tmpfs: `python -m benchmarks.growth million`.
"""

import sys
import time
from collections.abc import Iterator
from typing import Final

from benchmarks.corpus import small
from benchmarks.measure import cpu_and_peak, resident
from benchmarks.report import Budget, Options, Report, run
from benchmarks.stage import DEADLINE, Stage, cpu, listens_since, until
from tests.lab.cluster import Daemon

SIZE: Final = 256  # bytes of each file
COUNTS: Final = {"1k": 1_000, "10k": 10_000, "100k": 100_000, "million": 1_000_000}
CHANGES: Final = 200  # files that are saved, one after the other
FLAT: Final = 1.5  # times the cost at a hundredth of the size at most
QUIET: Final = 2.5  # seconds: longer than files count as young
QUIET_SHARE: Final = 0.02  # of a core
COLUMNS: Final = ("s", "us CPU/file", "MB resident", "ms CPU/change", "B wire/change", "scan us/file")


def measure(options: Options) -> Iterator[Report]:
    """One table: a row per number of files."""
    parts = [name for name in options.what if name != "million" or len(options.what) < len(COUNTS)]
    rows: dict[str, list[float | None]] = {}
    for name in parts[:2] if options.tiny else parts:
        count = COUNTS[name] // 50 if options.tiny else COUNTS[name]
        rows[f"{count:,} files"] = _grown(count, 5 if options.tiny else CHANGES)
    budgets = []
    if len(rows) > 1:
        first, *_, last = rows.values()
        for what, column in (("CPU per file", 1), ("CPU per change", 3), ("wire per change", 4)):
            small_cost, large_cost = first[column], last[column]
            assert small_cost is not None
            assert large_cost is not None
            budgets.append(Budget(f"{what}, largest against smallest", large_cost / small_cost, FLAT, "x"))
    binds = "work of the interpreter per file; the depth of the index and of the Merkle pages grows with the logarithm"
    yield Report("growth", "growth", binds, COLUMNS, rows, budgets)


def _grown(count: int, changes: int) -> list[float | None]:
    with Stage() as stage:
        full = stage.holder(lambda tree: small(tree, count, SIZE))
        fresh = stage.joiner(full)
        used = cpu(full)
        fresh.start()
        started = cpu(fresh)
        began = listens_since(fresh)
        fresh.wait(state="in-sync", deadline=DEADLINE)
        seconds = time.time() - began
        per_file = (cpu(full) - used + cpu(fresh) - started) / count
        _rest(full, fresh)
        per_change, wire = _changes(stage, full, fresh, changes)
        _rest(full, fresh)
        used = cpu(fresh)
        fresh.rescan()
        scan = (cpu(fresh) - used) / count
        assert fresh.process is not None
        memory = resident(fresh.process.pid)
        assert cpu_and_peak(fresh.process.pid)[1] >= memory
        return [seconds, per_file * 1e6, memory / 1e6, per_change * 1e3, wire, scan * 1e6]


def _rest(*daemons: Daemon) -> None:
    """Return when what follows is over: files are hashed once more, and their blocks become searchable."""

    def quiet() -> bool:
        used = sum(map(cpu, daemons))
        time.sleep(QUIET)
        return sum(map(cpu, daemons)) - used < QUIET * QUIET_SHARE

    until(quiet, "the nodes rest")


def _changes(stage: Stage, full: Daemon, fresh: Daemon, changes: int) -> tuple[float, float]:
    """(CPU seconds of both nodes, bytes on the wire) of a change."""
    names = [f"d00000/changed-{number}" for number in range(changes)]
    before, used = stage.joiner_host.counters(), cpu(full) + cpu(fresh)
    for number, name in enumerate(names):
        (full.tree / name).write_bytes(number.to_bytes(4, "big") * (SIZE // 4))
        until((fresh.tree / name).exists, name)
    wire = sum(stage.joiner_host.counters()) - sum(before)
    return (cpu(full) + cpu(fresh) - used) / changes, wire / changes


if __name__ == "__main__":
    sys.exit(run(measure, __doc__, choices=COUNTS))
