"""How fast over a long fat pipe that loses packets? 50 ms each way, one frame in 200 lost, no other limit.

The hosts use Reno: it reacts to each loss, like CUBIC, the default of Linux, and every machine has it.
Bulk (one file) and small files, against rsync over ssh through the same link. What binds is the round trip and what TCP
makes of losses, so little data is enough.
"""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.corpus import big, small
from benchmarks.measure import Cost, median
from benchmarks.report import COST_COLUMNS, Options, Report, cost_rows, ratio_budget, run
from benchmarks.rivals import RIVALS, Field, missing
from benchmarks.stage import Stage, compare, skipped
from tests.lab.link import Nature, available

NATURE: Final = Nature(delay=0.05, loss=0.005)
BASE: Final = "rsync over ssh"
LIMIT: Final = 1.0  # times what rsync over ssh takes: our own bound


class Part(NamedTuple):
    """What is sent."""

    title: str
    fill: Callable[[Path], None]
    tiny: Callable[[Path], None]


PARTS: Final = {
    "bulk": Part("one file of 16 MiB", lambda tree: big(tree, 16 << 20), lambda tree: big(tree, 1 << 18)),
    "many": Part("2 000 files of 4 KiB", lambda tree: small(tree, 2_000), lambda tree: small(tree, 50)),
}


def measure(options: Options) -> Iterator[Report]:
    """A table per part."""
    if (why := available()) is not None:
        skipped("long link", why)
        return
    for name in options.what:
        part = PARTS[name]
        costs: dict[str, list[Cost]] = {}
        with Stage(NATURE) as stage:
            full = stage.holder(part.tiny if options.tiny else part.fill)
            for _ in range(min(options.runs, 3)):
                if options.wants("syncd"):
                    costs.setdefault("syncd", []).append(stage.join(full))
                rival, programs = RIVALS[BASE]
                if missing(programs):
                    skipped(BASE, "not installed")
                elif options.wants(BASE):
                    empty = stage.base / "empty"
                    empty.mkdir()
                    field = Field(stage.holder_host, stage.joiner_host, full.tree, empty, stage.base)
                    costs.setdefault(BASE, []).append(rival(field))
                    compare(full.tree, empty)
                    shutil.rmtree(empty)
        medians = {name: median(values) for name, values in costs.items()}
        title = f"long link, {part.title}, medians of {min(options.runs, 3)}"
        budgets = ratio_budget("over a long link", medians, BASE, LIMIT)
        binds = "what TCP makes of losses, and round trips"
        yield Report("long_link", title, binds, COST_COLUMNS, cost_rows(medians, BASE), budgets)


if __name__ == "__main__":
    sys.exit(run(measure, __doc__, choices=PARTS))
