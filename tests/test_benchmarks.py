"""Every benchmark of single parts runs, on the smallest corpus, and writes a document that can be read."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import BETWEEN_NODES, IN_PARTS, question
from tests.root import test_benchmarks as between_nodes

ROOT = Path(__file__).parents[1]
DEADLINE = 120.0  # seconds of one of them, on a machine that does other things


@pytest.mark.heavy
@pytest.mark.parametrize("name", IN_PARTS)
def test_a_benchmark_measures(name: str, tmp_path: Path) -> None:
    target = tmp_path / "found.json"
    command = [sys.executable, "-m", f"benchmarks.{name}", "--tiny", "--json", str(target)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(target.read_text())
    assert document["benchmark"] == name
    for report in document["reports"]:
        assert report["rows"]
        assert all(len(row) == len(report["columns"]) and row[1] > 0 for row in report["rows"].values())


def test_all_benchmarks_are_known_and_tried() -> None:
    modules = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if "    sys.exit(run(" in path.read_text()}
    assert modules == {*BETWEEN_NODES, *IN_PARTS}
    assert {*between_nodes.BETWEEN_HOSTS, "durability", "long_link"} == set(BETWEEN_NODES)


@pytest.mark.parametrize("name", [*BETWEEN_NODES, *IN_PARTS])
def test_each_asks_one_question(name: str) -> None:
    assert question(name).startswith(("How ", "What ", "When ", "Do "))
