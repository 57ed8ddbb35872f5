"""Every benchmark of whole nodes runs, on the smallest corpus, and writes a document that can be read."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import link

pytestmark = pytest.mark.root

ROOT = Path(__file__).parents[2]
BETWEEN_HOSTS = (
    "delta", "first_sync", "growth", "idle", "latency", "memory", "mesh", "rate_limits", "restart",
)  # fmt: skip
DEADLINE = 120.0  # seconds of one of them, on a machine that does other things


def found(name: str, where: Path) -> list[dict]:
    """The reports of a benchmark."""
    target = where / f"{name}.json"
    command = [sys.executable, "-m", f"benchmarks.{name}", "--tiny", "--only", "syncd", "--json", str(target)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(target.read_text())
    assert document["benchmark"] == name
    assert document["machine"]["cores"]
    return document["reports"]


@pytest.mark.parametrize("name", BETWEEN_HOSTS)
def test_a_benchmark_measures(name: str, tmp_path: Path) -> None:
    reports = found(name, tmp_path)
    assert reports
    for report in reports:
        assert report["rows"]
        for row in report["rows"].values():
            assert len(row) == len(report["columns"])
            assert any(row)
        for budget in report["budgets"]:
            assert budget["met"] == (budget["value"] <= budget["limit"])


def test_what_a_node_without_syncs_needs_is_compared(tmp_path: Path) -> None:
    assert all(set(report["rows"]) == {"as it is", "without syncs"} for report in found("durability", tmp_path))


def test_a_long_link_is_long(tmp_path: Path) -> None:
    if (why := link.available()) is not None:
        pytest.skip(why)
    for report in found("long_link", tmp_path):
        assert report["rows"]["syncd"][0] > 0.1, "a round trip at least"
