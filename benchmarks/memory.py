"""How much memory does a node take that has 100 000 files, and one that has a million?

Resident bytes of a holder that is up and of a node that has just got everything, and the most that each ever took. A
million files take half an hour and 10 GB of tmpfs: `python -m benchmarks.memory million`.
"""

import sys
from collections.abc import Iterator
from typing import Final

from benchmarks.corpus import small
from benchmarks.measure import cpu_and_peak, resident
from benchmarks.report import Budget, Options, Report, run
from benchmarks.stage import DEADLINE, Stage
from tests.lab.cluster import Daemon

SIZE: Final = 256  # bytes of each file
COUNTS: Final = {"hundred-thousand": (100_000, 120.0), "million": (1_000_000, 200.0)}  # files, MB at most
COLUMNS: Final = ("MB resident", "MB peak", "files")


def measure(options: Options) -> Iterator[Report]:
    """A table per number of files."""
    parts = [name for name in options.what if name != "million" or len(options.what) == 1]
    for name in parts:
        files, limit = COUNTS[name]
        files = 300 if options.tiny else files
        with Stage() as stage:
            full = stage.holder(lambda tree, files=files: small(tree, files, SIZE))
            fresh = stage.joiner(full)
            fresh.start()
            fresh.wait(state="in-sync", deadline=DEADLINE)
            rows = {"holder": _row(full, files), "joined": _row(fresh, files)}
        budgets = [
            Budget(f"resident at {files:,} files, {who}", row[0] or 0.0, limit, "MB") for who, row in rows.items()
        ]
        binds = "what Python and its libraries take (40 MB), caches with fixed bounds; nothing that grows with files"
        yield Report("memory", f"memory at {files:,} files", binds, COLUMNS, rows, budgets)


def _row(daemon: Daemon, files: int) -> list[float | None]:
    assert daemon.process is not None
    return [resident(daemon.process.pid) / 1e6, cpu_and_peak(daemon.process.pid)[1] / 1e6, float(files)]


if __name__ == "__main__":
    sys.exit(run(measure, __doc__, choices=COUNTS))
