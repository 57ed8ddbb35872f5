"""What a benchmark found: a table, the budgets that it is held against, and what binds; as text and as JSON."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.measure import Cost, machine

FORMAT: Final = 1  # of the JSON documents
COST_COLUMNS: Final = ("seconds", "ratio", "CPU s", "MB peak", "MB wire", "1st class s")


class Budget(NamedTuple):
    """A bound of DESIGN section 11, or one that we set ourselves. value: what was measured."""

    what: str
    value: float
    limit: float
    unit: str = ""

    @property
    def met(self) -> bool:
        """Whether the value is within the bound."""
        return self.value <= self.limit


class Report(NamedTuple):
    """name: of the module. binds: which resource the work waits for. rows: {name: a value or None per column}."""

    name: str
    title: str
    binds: str
    columns: tuple[str, ...]
    rows: dict[str, list[float | None]]
    budgets: list[Budget]

    def text(self) -> str:
        """For people."""
        width = max([24, *(len(name) + 2 for name in self.rows)])
        lines = [self.title, "  " + " " * width + "".join(f"{column:>13}" for column in self.columns)]
        for name, values in self.rows.items():
            lines.append(f"  {name:{width}}" + "".join(f"{_number(value):>13}" for value in values))
        for budget in self.budgets:
            verdict = "met" if budget.met else "MISSED"
            lines.append(
                f"  {verdict:7} {budget.what}: {_number(budget.value)}, at most {_number(budget.limit)} {budget.unit}"
            )
        lines.append(f"  binds: {self.binds}")
        return "\n".join(lines)

    def document(self) -> dict[str, Any]:
        """For programs."""
        budgets = [{**budget._asdict(), "met": budget.met} for budget in self.budgets]
        return {**self._asdict(), "budgets": budgets}


class Options(NamedTuple):
    """What every benchmark is told. tiny: the smallest corpus that still does everything, to see that it works."""

    runs: int
    tiny: bool
    only: str | None
    without: list[str]
    what: list[str]

    def wants(self, name: str) -> bool:
        """Whether the contender `name` takes part."""
        return self.only in (None, name) and name not in self.without


Measure = Callable[[Options], Iterable[Report]]


def cost_rows(costs: dict[str, Cost], base: str) -> dict[str, list[float | None]]:
    """Rows for COST_COLUMNS. base: whose seconds the ratios refer to."""
    rows: dict[str, list[float | None]] = {}
    for name, cost in costs.items():
        ratio = cost.seconds / costs[base].seconds if base in costs else None
        peak = cost.peak / 1e6 if cost.peak else None
        rows[name] = [cost.seconds, ratio, cost.cpu, peak, cost.wire / 1e6, cost.first_class or None]
    return rows


def ratio_budget(what: str, costs: dict[str, Cost], base: str, limit: float) -> list[Budget]:
    """The seconds of syncd against those of `base`, if both were measured."""
    if "syncd" not in costs or base not in costs:
        return []
    return [Budget(what, costs["syncd"].seconds / costs[base].seconds, limit, f"x {base}")]


def documents(name: str, reports: Iterable[Report]) -> dict[str, Any]:
    """The JSON document of a benchmark; what is found is printed as it comes."""
    before = machine()
    found = []
    for report in reports:
        print(report.text(), flush=True)
        found.append(report.document())
    when = time.strftime("%Y-%m-%d", time.gmtime())
    return {"format": FORMAT, "benchmark": name, "date": when, "machine": before, "reports": found}


def run(measure: Measure, document: str | None, *, choices: Iterable[str] = ()) -> int:
    """The command line of a benchmark: measure, print, write; the exit status. choices: parts that can be named."""
    parser = argparse.ArgumentParser(description=document, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = list(choices)
    if names:
        parser.add_argument("what", nargs="*", choices=[*names, []], default=[], help="parts, all by default")
    parser.add_argument("--runs", type=int, default=5, help="runs of each contender, interleaved; medians are told")
    parser.add_argument("--tiny", action="store_true", help="the smallest corpus: to see that it works")
    parser.add_argument("--only", help="one contender by its name")
    parser.add_argument("--without", action="append", default=[], help="a contender that takes no part")
    parser.add_argument("--json", help="a file for what was found")
    told = parser.parse_args()
    what = getattr(told, "what", None) or names
    options = Options(1 if told.tiny else told.runs, told.tiny, told.only, told.without, what)
    print(" ".join(f"{key}={value}" for key, value in machine().items()))
    found = documents(Path(sys.argv[0]).stem, measure(options))
    if told.json:
        Path(told.json).write_text(json.dumps(found, indent=1) + "\n")
    return 0


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if value and abs(value) < 0.01:
        return f"{value:.5f}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
