"""When a fresh node joins N others that have everything, does each block reach it once, and how fast?

Bytes are counted by the sessions themselves: what the joining node received of all peers, and what the others sent each
other meanwhile. All nodes run on one machine, which is what binds at twenty.
"""

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.corpus import big, small
from benchmarks.report import Budget, Options, Report, run
from benchmarks.stage import DEADLINE, QuietCluster, compare, cpu, listens_since, scratch
from tests.lab.cluster import Daemon

SIZES: Final = (2, 5, 10, 20)
FILES: Final = 1_000
LARGE: Final = 64 << 20  # bytes of one large file beside the small ones
TOLERANCE: Final = 1.05  # times the bytes of the contents
COLUMNS: Final = ("seconds", "CPU s", "MB in", "x contents", "MB elsewhere")


def measure(options: Options) -> Iterator[Report]:
    """One table: a row per number of nodes that are there already."""
    rows: dict[str, list[float | None]] = {}
    for others in SIZES[:1] if options.tiny else SIZES:
        rows[f"{others} others"] = _join(others, options.tiny)
    budgets = [
        Budget(f"joining {name}, received", row[3] or 0.0, TOLERANCE, "x contents") for name, row in rows.items()
    ]
    yield Report("mesh", "a fresh node joins", "processors, which all nodes share", COLUMNS, rows, budgets)


def _join(others: int, tiny: bool) -> list[float | None]:
    with tempfile.TemporaryDirectory(dir=scratch()) as base, QuietCluster(Path(base)) as cluster:
        first = cluster.add("node-0")
        small(first.tree, 50 if tiny else FILES)
        big(first.tree, (2 << 20) if tiny else LARGE)
        first.start()
        first.wait_settled(DEADLINE)
        for number in range(1, others):
            node = cluster.add(f"node-{number}", knows=list(cluster.daemons))
            shutil.copytree(first.tree, node.tree, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".syncd"))
            node.start()
        for node in cluster.daemons:
            node.wait(state="in-sync", deadline=DEADLINE)
        there = list(cluster.daemons)
        amount = sum(item.stat().st_size for item in first.tree.rglob("*") if item.is_file())
        received = sum(map(_received, there))
        used = sum(map(cpu, there))
        fresh = cluster.add("fresh", knows=there)
        fresh.start()
        began = listens_since(fresh)
        fresh.wait(state="in-sync", deadline=DEADLINE)
        seconds = time.time() - began
        used = sum(map(cpu, cluster.daemons)) - used
        own = _received(fresh)
        elsewhere = sum(map(_received, there)) - received
        compare(first.tree, fresh.tree)
        return [seconds, used, own / 1e6, own / amount, elsewhere / 1e6]


def _received(daemon: Daemon) -> int:
    return int(daemon.status()["bytes_in"])


if __name__ == "__main__":
    sys.exit(run(measure, __doc__))
