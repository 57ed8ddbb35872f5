"""How long until an empty node has everything? syncd and its peers in turn, between two hosts on tmpfs.

The holder is up and idle. syncd is timed from the moment the joining node listens, a command from its call. Durability
is on. Contenders take turns, so that whatever else the machine does hits all of them.
"""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks import syncthing
from benchmarks.corpus import big, small, wordpress
from benchmarks.measure import Cost, median
from benchmarks.report import COST_COLUMNS, Budget, Options, Report, cost_rows, ratio_budget, run
from benchmarks.rivals import RIVALS, Field, missing
from benchmarks.stage import Stage, compare, skipped


class Case(NamedTuple):
    """What is measured. base: whose seconds count as 1, limit: how many of these we may take."""

    title: str
    fill: Callable[[Path], None]
    tiny: Callable[[Path], None]
    base: str
    limit: float
    binds: str


CASES: Final = {
    "small": Case(
        "20 000 files of 4 KiB", small, lambda tree: small(tree, 300), "rsync daemon", 1.0,
        "work of the interpreter and system calls per file, on the joining side",
    ),
    "wordpress": Case(
        "wp-content, 7 600 files, 634 MB", wordpress, lambda tree: wordpress(tree, 50), "rsync over ssh", 0.8,
        "copies of bytes between socket, cipher, hash and file; for themes the work per file",
    ),
    "big": Case(
        "one file of 2 GiB", big, lambda tree: big(tree, 4 << 20), "rsync over ssh", 0.6,
        "copies of bytes between socket, cipher, hash and file",
    ),
}  # fmt: skip
FIRST_CLASS_SHARE: Final = 0.15  # of what rsync over ssh takes for all, until themes are there


def measure(options: Options) -> Iterator[Report]:
    """A table per corpus."""
    for name in options.what:
        case = CASES[name]
        costs = _costs(case, options)
        budgets = ratio_budget("first sync", costs, case.base, case.limit)
        if name == "wordpress" and {"syncd", case.base} <= costs.keys():
            share = costs["syncd"].first_class / costs[case.base].seconds
            budgets.append(Budget("themes ready", share, FIRST_CLASS_SHARE, f"x {case.base} for all"))
        title = f"first sync, {case.title}, medians of {options.runs}"
        yield Report("first_sync", title, case.binds, COST_COLUMNS, cost_rows(costs, case.base), budgets)


def _costs(case: Case, options: Options) -> dict[str, Cost]:
    costs: dict[str, list[Cost]] = {}
    with Stage() as stage:
        full = stage.holder(case.tiny if options.tiny else case.fill)
        for _ in range(options.runs):
            if options.wants("syncd"):
                costs.setdefault("syncd", []).append(stage.join(full))
            for name, (rival, programs) in RIVALS.items():
                if missing(programs):
                    skipped(name, f"not installed: {', '.join(missing(programs))}")
                elif options.wants(name):
                    empty = stage.base / "empty"
                    empty.mkdir()
                    field = Field(stage.holder_host, stage.joiner_host, full.tree, empty, stage.base)
                    costs.setdefault(name, []).append(rival(field))
                    compare(full.tree, empty)
                    shutil.rmtree(empty)
        full.stop()
        if options.wants("Syncthing"):
            costs["Syncthing"] = syncthing.first_sync(stage, full.tree, min(options.runs, 2))
    return {name: median(values) for name, values in costs.items() if values}


if __name__ == "__main__":
    sys.exit(run(measure, __doc__, choices=CASES))
