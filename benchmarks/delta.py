"""How many bytes pass the wire when a file of 256 MiB gets three small insertions?

Insertions move all that is behind them; who compares by offset sends everything again.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.corpus import big, insert
from benchmarks.measure import Cost, median
from benchmarks.report import COST_COLUMNS, Budget, Options, Report, cost_rows, run
from benchmarks.rivals import RIVALS, Field, missing
from benchmarks.stage import DEADLINE, Stage, cpu, skipped, until
from tests.lab.cluster import Daemon

SIZE: Final = 256 << 20  # bytes
PLACES: Final = (0.11, 0.52, 0.83)
LIMIT: Final = 0.6  # MB
BASE: Final = "rsync daemon"


def measure(options: Options) -> Iterator[Report]:
    """One table; each run edits the file once, for everybody."""
    size = 4 << 20 if options.tiny else SIZE
    costs: dict[str, list[Cost]] = {}
    with Stage() as stage:
        full = stage.holder(lambda tree: big(tree, size))
        fresh = stage.joiner(full)
        fresh.start()
        fresh.wait(state="in-sync", deadline=DEADLINE)
        copies: dict[str, Path] = {}
        for name, (_, programs) in RIVALS.items():
            if missing(programs):
                skipped(name, "not installed")
            elif options.wants(name) and name != "Unison":  # it would begin with new archives, and copy all
                copies[name] = stage.base / name.replace(" ", "-")
                shutil.copytree(fresh.tree, copies[name], ignore=shutil.ignore_patterns(".syncd"))
        for _ in range(min(options.runs, 3)):
            costs.setdefault("syncd", []).append(_edited(stage, full, fresh))
            for name, copy in copies.items():
                field = Field(stage.holder_host, stage.joiner_host, full.tree, copy, stage.base)
                costs.setdefault(name, []).append(RIVALS[name][0](field))
                subprocess.run(["cmp", full.tree / "big", copy / "big"], check=True)
    medians = {name: median(values) for name, values in costs.items()}
    budgets = [Budget("three insertions, on the wire", medians["syncd"].wire / 1e6, LIMIT, "MB")]
    binds = "the average size of a block (64 KiB) for the wire; hashing the file on both sides for the time"
    title = f"three insertions into a file of {size >> 20} MiB, medians of {min(options.runs, 3)}"
    yield Report("delta", title, binds, COST_COLUMNS, cost_rows(medians, BASE), budgets)


def _edited(stage: Stage, full: Daemon, fresh: Daemon) -> Cost:
    before, used = stage.joiner_host.counters(), cpu(full) + cpu(fresh)
    inode = (fresh.tree / "big").stat().st_ino
    insert(full.tree / "big", PLACES)
    seconds = until(lambda: (fresh.tree / "big").stat().st_ino != inode, "the edited file")
    fresh.wait(state="in-sync", deadline=DEADLINE)
    subprocess.run(["cmp", full.tree / "big", fresh.tree / "big"], check=True)
    return Cost(seconds, cpu(full) + cpu(fresh) - used, 0, sum(stage.joiner_host.counters()) - sum(before))


if __name__ == "__main__":
    sys.exit(run(measure, __doc__))
