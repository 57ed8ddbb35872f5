"""docs/RELIABILITY.md names every scenario once, and every test that it names is there."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs/RELIABILITY.md"
SCENARIOS = {  # all but those that wait for a feature
    "A": (1, 2, 4, 5, 6, 8, 9, 11, 12, 13, 14, 15, 18, 20, 21, 22, 24, 25, 26, 28, 29, 30, 32, 33, 34),
    "B": (1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 14, 15, 17, 18, 19, 20, 23, 24),
    "C": (1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19, 22, 24, 25, 26, 27),
    "D": (1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 14, 16, 17, 18, 19, 20, 21),
    "E": (1, 2, 3, 4, 7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 23, 24, 25, 27, 28, 30, 31, 32, 33, 34, 35),
    "F": (1, 2, 3, 6, 7, 8, 10, 12, 13, 14),
}
RINGS = {
    "pure", "core simulator", "whole-node simulator", "simulated disk", "store", "in-process", "processes", "root",
    "crash sweep",
}  # fmt: skip
RESULT = re.compile(r"(tested|partly: \S.*|tested: \S.*|not tested(: \S.*)?)")
LINE = re.compile(r"\| ([A-F]\d+) \| (.+) \| (.+) \| (.+) \| (.+) \|")


class Row(NamedTuple):
    """One scenario. tests: "file::function" below `tests/`."""

    id: str
    situation: str
    tests: list[str]
    rings: list[str]
    result: str


def read() -> Iterator[Row]:
    """The rows of the table."""
    for line in PAGE.read_text().splitlines():
        if found := LINE.fullmatch(line):
            id_, situation, tests, rings, result = found.groups()
            named = [] if tests == "-" else [name.strip("`") for name in tests.split(", ")]
            yield Row(id_, situation, named, [] if rings == "-" else rings.split(", "), result)


@cache
def functions(file: str) -> set[str]:
    """The tests that are defined in a file below `tests/`, also within classes."""
    tree = ast.parse((TESTS / file).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


ROWS = list(read())


def test_every_scenario_is_listed_once() -> None:
    assert [row.id for row in ROWS] == [f"{group}{number}" for group in SCENARIOS for number in SCENARIOS[group]]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_row(row: Row) -> None:
    for name in row.tests:
        file, _, function = name.partition("::")
        assert (TESTS / file).is_file(), name
        assert function.startswith("test_"), name
        assert function in functions(file), name
    assert RESULT.fullmatch(row.result), row.result
    assert bool(row.tests) == bool(row.rings) == (not row.result.startswith("not tested"))
    assert set(row.rings) <= RINGS, row.rings
