"""How long does it take to start? The command line until it has answered, and a node until it listens.

Beside them a bare interpreter, in turn. The node has an empty folder; it is timed from its call to the moment in which
its port takes a connection.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from benchmarks.measure import Cost, cpu_of_children, median
from benchmarks.report import COST_COLUMNS, Budget, Options, Report, cost_rows, run
from tests.lab.cluster import Cluster, Daemon

BARE: Final = "python -c pass"
VERBS: Final = ("version", "status")
VERB_LIMIT: Final = 0.35  # seconds, median
RATIO_LIMIT: Final = 12.0  # of a bare interpreter
NODE_LIMIT: Final = 1.0  # seconds
RUNS_EACH: Final = 5  # calls in a run: one is over too soon to tell much
DEADLINE: Final = 60.0  # seconds
STEP: Final = 0.002  # seconds between two tries to connect


def measure(options: Options) -> Iterator[Report]:
    """One table."""
    with tempfile.TemporaryDirectory() as base, Cluster(Path(base)) as cluster:
        node = cluster.add("node").start()
        other = cluster.add("other")
        other.write_config()
        works: dict[str, Callable[[], float]] = {BARE: lambda: timed([sys.executable, "-c", "pass"])}
        for verb in VERBS:
            command = [sys.executable, "-m", "syncd.cli", verb, "--config", str(node.config)]
            works[f"syncd {verb}"] = lambda command=command: timed(command)  # type: ignore[misc]
        works["a node, until it listens"] = lambda: listening(other)
        costs: dict[str, list[Cost]] = {name: [] for name in works}
        for _ in range(options.runs * (1 if options.tiny else RUNS_EACH)):
            for name, work in works.items():
                before = cpu_of_children()
                seconds = work()
                costs[name].append(Cost(seconds, cpu_of_children() - before))
    medians = {name: median(found) for name, found in costs.items()}
    budgets = [Budget("a node, until it listens", medians["a node, until it listens"].seconds, NODE_LIMIT, "s")]
    for verb in VERBS:
        seconds = medians[f"syncd {verb}"].seconds
        budgets.append(Budget(f"syncd {verb}", seconds, VERB_LIMIT, "s"))
        budgets.append(Budget(f"syncd {verb}", seconds / medians[BARE].seconds, RATIO_LIMIT, f"x {BARE}"))
    binds = "imports: of click for the verbs, of cryptography, pydantic and aiohttp for a node"
    yield Report("startup", "start-up", binds, COST_COLUMNS, cost_rows(medians, BARE), budgets)


def timed(command: list[str]) -> float:
    """Seconds that a command takes."""
    began = time.perf_counter()
    subprocess.run(
        command, check=True, stdout=subprocess.DEVNULL, timeout=DEADLINE, env={**os.environ, "NO_COLOR": "1"}
    )
    return time.perf_counter() - began


def listening(daemon: Daemon) -> float:
    """Seconds from the call of a node until its port takes a connection; it is stopped then."""
    began = time.perf_counter()
    daemon.start(wait=False)
    while True:
        try:
            socket.create_connection((daemon.address, daemon.port), timeout=DEADLINE).close()
            break
        except ConnectionRefusedError:
            if time.perf_counter() - began > DEADLINE:
                raise
            time.sleep(STEP)
    seconds = time.perf_counter() - began
    daemon.wait_started()
    daemon.stop()
    return seconds


if __name__ == "__main__":
    sys.exit(run(measure, __doc__))
