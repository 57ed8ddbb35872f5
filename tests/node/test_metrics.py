"""What Prometheus is told: the declared table, filled from a status document."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from protocol.edit import Entry
from protocol.paths import to_key
from protocol.record import Kind
from syncd.core.index import Disk
from syncd.node.counters import AWAITED, LATENCIES, Counters
from syncd.node.findings import Report
from syncd.node.metrics import TABLE, exposition
from syncd.store.applier import Outcome, Result
from tests.lab.machine import cannot_run

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus"
DISK = Disk(Entry(Kind.FILE, bytes(32), 1, 0o644, 0, b""), 1, 0)


def result(path: bytes, outcome: Outcome = Outcome.DONE) -> Result:
    return Result(path, outcome, DISK if outcome is Outcome.DONE else None, None, [], [])


def folder(fingerprint: str, **values: Any) -> dict[str, Any]:
    return {
        "dir": "/srv/secret-place",
        "fingerprint": fingerprint,
        "state": "in-sync",
        "held": {"deletions": 0, "directories": 0, "reverts": 0, "rewrites": 0, "sample": ["secret-place/x"]},
        "files": 3,
        "bytes": 30,
        "need_files": 0,
        "need_bytes": 0,
        "fetched_bytes": 7,
        "bytes_in": 8,
        "bytes_out": 9,
        "watching": True,
        "counters": Counters().document(2),
        "archive_bytes": 11,
        "behind_seconds": 0,
        "classes": [{"class": "themes", "need_files": 0, "need_bytes": 0, "ready": True}],
        "peers": [],
        "conflicts": 0,
        "problem_count": 0,
        "alarms": [],
        **values,
    }


def status(*folders: dict[str, Any]) -> dict[str, Any]:
    node = {"name": "web1", "version": "0.1.0", "uptime_seconds": 1.5, "ready": True, "draining": False}
    return {"node": node, "folders": list(folders)}


def samples(document: dict[str, Any]) -> dict[str, float]:
    """{name{label=value,...}: value}."""
    text = exposition(document)[0].decode()
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def test_every_metric_is_there_and_tells_the_status() -> None:
    peers = [
        {"name": "web2", "id": "0a", "connected": True, "lag_seconds": 4.5, "bytes_in": 1, "bytes_out": 2},
        {"name": "", "id": "", "connected": False},
    ]
    held = {"deletions": 5, "directories": 0, "reverts": 6, "rewrites": 7, "sample": []}
    found = samples(status(folder("aaaaaa", peers=peers), folder("bbbbbb", state="held", held=held, alarms=["clone"])))
    assert found["syncd_info{name=web1,version=0.1.0}"] == 1
    assert (found["syncd_ready"], found["syncd_draining"], found["syncd_uptime_seconds"]) == (1, 0, 1.5)
    assert found["syncd_folder_state{folder=aaaaaa,state=in-sync}"] == 1
    assert found["syncd_folder_state{folder=bbbbbb,state=in-sync}"] == 0
    assert found["syncd_folder_state{folder=bbbbbb,state=held}"] == 1
    assert found["syncd_held_deletions{folder=bbbbbb}"] == 5
    assert found["syncd_held_reverts{folder=bbbbbb}"] == 6
    assert found["syncd_held_rewrites{folder=bbbbbb}"] == 7
    assert found["syncd_alarms{folder=bbbbbb}"] == 1
    assert found["syncd_class_ready{class=themes,folder=aaaaaa}"] == 1
    assert found["syncd_peers_connected{folder=aaaaaa}"] == found["syncd_peers_absent{folder=aaaaaa}"] == 1
    assert found["syncd_peer_lag_seconds{folder=aaaaaa,id=0a,peer=web2}"] == 4.5
    assert found["syncd_watch_overflows_total{folder=aaaaaa}"] == 2
    names = {re.sub(r"(_bucket|_count|_sum)?(\{.*)?$", "", name) for name in found}
    assert names == {metric.name for metric in TABLE}


def test_no_path_is_told() -> None:
    assert b"secret-place" not in exposition(status(folder("aaaaaa")))[0]


def test_latency_runs_from_the_news_to_the_disk() -> None:
    counters = Counters()
    counters.take(Report(news=[to_key(b"a/b"), to_key(b"c")]), 10.0)
    counters.take(Report(results=[result(b"a/b"), result(b"c", Outcome.FAILED), result(b"d")]), 10.02)
    found = samples(status(folder("aaaaaa", counters=counters.document(0))))
    assert found["syncd_apply_latency_seconds_bucket{folder=aaaaaa,le=0.01}"] == 0
    assert found["syncd_apply_latency_seconds_bucket{folder=aaaaaa,le=0.025}"] == 1
    assert found["syncd_apply_latency_seconds_count{folder=aaaaaa}"] == 1
    assert found["syncd_apply_latency_seconds_sum{folder=aaaaaa}"] == pytest.approx(0.02)
    assert found["syncd_applied_total{folder=aaaaaa}"] == 2
    assert found["syncd_apply_problems_total{folder=aaaaaa}"] == 1
    assert found["syncd_durable_batches_total{folder=aaaaaa}"] == 1


def test_what_takes_longer_than_any_bound_is_counted_too() -> None:
    counters = Counters()
    counters.take(Report(news=[b"a"]), 0.0)
    counters.take(Report(news=[b"a"]), 5.0)  # told again: it has been awaited since the first time
    counters.take(Report(results=[result(b"a")]), LATENCIES[-1] + 1)
    assert counters.document(0)["apply_latency"]["counts"] == [*[0] * len(LATENCIES), 1]


def test_a_flood_of_news_takes_no_memory() -> None:
    counters = Counters()
    counters.take(Report(news=[b"%d" % n for n in range(AWAITED + 5)]), 0.0)
    counters.take(Report(results=[result(b"%d" % n) for n in range(AWAITED + 5)]), 1.0)
    assert sum(counters.document(0)["apply_latency"]["counts"]) == 5


def test_the_alert_rules_ask_for_metrics_that_exist() -> None:
    text = (RULES / "syncd.rules.yml").read_text()
    asked = {name for line in text.splitlines() if " expr: " in line for name in re.findall(r"syncd_\w+", line)}
    assert asked
    assert asked <= {metric.name for metric in TABLE}


def test_the_alert_rules_work() -> None:
    if shutil.which("promtool") is None:
        cannot_run("promtool is not installed (Debian: prometheus)")
    for verb in (["check", "rules", "syncd.rules.yml"], ["test", "rules", "syncd.rules.test.yml"]):
        run = subprocess.run(["promtool", *verb], cwd=RULES, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr
