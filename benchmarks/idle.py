"""What does a pair cost that has nothing to do? CPU of both nodes, and bytes that pass between them."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.corpus import small
from benchmarks.report import Budget, Options, Report, run
from benchmarks.stage import DEADLINE, Stage
from tests.lab.cluster import Daemon

FILES: Final = 10_000
SETTLING: Final = 10.0  # seconds until what follows a first sync is over
SECONDS: Final = 60.0
CPU_LIMIT: Final = 0.3  # per cent of a core, both nodes together
WIRE_LIMIT: Final = 2.0  # kB/s, both directions, headers included
COLUMNS: Final = ("CPU %", "kB/s")


def measure(options: Options) -> Iterator[Report]:
    """One table."""
    with Stage() as stage:
        full = stage.holder(lambda tree: small(tree, 100 if options.tiny else FILES))
        fresh = stage.joiner(full)
        fresh.start()
        fresh.wait(state="in-sync", deadline=DEADLINE)
        time.sleep(0.1 if options.tiny else SETTLING)
        nodes = {"holder": full, "joined": fresh}
        before = {name: run_time(node) for name, node in nodes.items()}
        wire, began = stage.joiner_host.counters(), time.monotonic()
        time.sleep(2.5 if options.tiny else SECONDS)
        seconds = time.monotonic() - began
        passed = (sum(stage.joiner_host.counters()) - sum(wire)) / seconds / 1e3
        rows: dict[str, list[float | None]] = {
            name: [(run_time(node) - before[name]) / seconds * 100, passed] for name, node in nodes.items()
        }
    together = sum(row[0] or 0.0 for row in rows.values())
    budgets = [
        Budget("idle, both nodes", together, CPU_LIMIT, "% of a core"),
        Budget("idle, on the wire", passed, WIRE_LIMIT, "kB/s"),
    ]
    binds = "timers: a look at the beacons a second, at the standing and the session in five seconds"
    yield Report("idle", f"an idle pair over {seconds:.0f} s", binds, COLUMNS, rows, budgets)


def run_time(daemon: Daemon) -> float:
    """CPU seconds of all threads of a node, to the nanosecond."""
    assert daemon.process is not None
    tasks = Path(f"/proc/{daemon.process.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


if __name__ == "__main__":
    sys.exit(run(measure, __doc__))
