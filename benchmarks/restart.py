"""How long does a restart take when 100 000 files are as they were, and one is new?

The node is stopped; one file appears on the holder; the node starts again. From the moment it listens until the new
file is there, and until it is in sync, which it is not before it has looked at all of its own files. rsync runs once
more over the same trees.
"""

import shutil
import sys
import time
from collections.abc import Iterator
from typing import Final

from benchmarks.corpus import small
from benchmarks.measure import Cost, cpu_and_peak, median
from benchmarks.report import Options, Report, cost_rows, ratio_budget, run
from benchmarks.rivals import RIVALS, Field, missing
from benchmarks.stage import DEADLINE, Stage, cpu, listens_since, skipped, until

FILES: Final = 100_000
SIZE: Final = 256  # bytes of each: what they hold is not looked at
LIMIT: Final = 1.5  # times what rsync takes
BASE: Final = "rsync daemon"
COLUMNS: Final = ("seconds", "ratio", "CPU s", "MB peak", "MB wire", "new file s")


def measure(options: Options) -> Iterator[Report]:
    """One table; rivals in turn with us."""
    files = 300 if options.tiny else FILES
    costs: dict[str, list[Cost]] = {}
    with Stage() as stage:
        full = stage.holder(lambda tree: small(tree, files, SIZE))
        fresh = stage.joiner(full)
        fresh.start()
        fresh.wait(state="in-sync", deadline=DEADLINE)
        copies = {}
        for name in ("rsync daemon", "rsync over ssh"):
            if missing(RIVALS[name][1]):
                skipped(name, "not installed")
            elif options.wants(name):
                copies[name] = stage.base / name.replace(" ", "-")
                shutil.copytree(fresh.tree, copies[name], ignore=shutil.ignore_patterns(".syncd"))
        for number in range(options.runs):
            fresh.stop()
            new = f"d00000/new-{number}"
            (full.tree / new).write_bytes(bytes([number]) * SIZE)
            full.rescan()
            before, holder_before = stage.joiner_host.counters(), cpu(full)
            fresh.start()
            began = listens_since(fresh)
            until((fresh.tree / new).exists, "the new file")
            there = time.time() - began
            fresh.wait(state="in-sync", deadline=DEADLINE)
            seconds = time.time() - began
            wire = sum(stage.joiner_host.counters()) - sum(before)
            assert fresh.process is not None
            used, peak = cpu_and_peak(fresh.process.pid)
            cost = Cost(seconds, used + cpu(full) - holder_before, peak, wire, there)
            costs.setdefault("syncd", []).append(cost)
            for name, copy in copies.items():
                field = Field(stage.holder_host, stage.joiner_host, full.tree, copy, stage.base)
                costs.setdefault(name, []).append(RIVALS[name][0](field))
                assert (copy / new).exists()
    medians = {name: median(values) for name, values in costs.items()}
    title = f"restart with {files:,} unchanged files and a new one, medians of {options.runs}"
    binds = "a look at every file: one system call and one comparison with the index for each"
    budgets = ratio_budget("restart, until in sync", medians, BASE, LIMIT)
    yield Report("restart", title, binds, COLUMNS, cost_rows(medians, BASE), budgets)


if __name__ == "__main__":
    sys.exit(run(measure, __doc__))
