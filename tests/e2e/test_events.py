"""What a node tells of itself while it works: events that are followed, and the audit log."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.lab.cluster import Cluster, Daemon, await_condition, await_file


class Follower:
    """`syncd events --follow --json` of a node."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.seen: list[dict[str, Any]] = []

    def until(self, event: str, **fields: Any) -> dict[str, Any]:
        """The next event of this kind with these fields."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            item = json.loads(line)
            self.seen.append(item)
            if item["event"] == event and fields.items() <= item.items():
                return item
        raise AssertionError(f"the events end before {event} {fields}: {self.seen}")


@contextmanager
def following(daemon: Daemon, *arguments: str) -> Iterator[Follower]:
    command = [sys.executable, "-m", "syncd.cli", "events", "--json", *arguments, "--config", str(daemon.config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Follower(process)
        finally:
            process.kill()


def audited(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_events_and_audit_log_say_who_did_what(cluster: Cluster) -> None:
    log = cluster.base / "audit.jsonl"
    one = cluster.add("one").start()
    two = cluster.add("two", knows=[one], options={"audit": {"file": str(log)}})
    (one.tree / "first").write_bytes(b"1")
    one.rescan()
    one.wait_settled()
    two.start()
    with following(two, "--follow", "--since", "0") as follower:
        follower.until("started", name="two")
        follower.until("connected", peer="one", tier="read-write")
        assert follower.until("applied", path="first")["author"] == "one"
        follower.until("ready", **{"class": "rest"})
        follower.until("state", state="in-sync")
        (one.tree / "news").write_bytes(b"22")
        assert follower.until("applied", path="news").items() >= {"kind": "file", "bytes": 2, "author": "one"}.items()
        (two.tree / "mine").write_bytes(b"333")
        follower.until("published", path="mine", kind="file", bytes=3)
        await_file(one.tree / "mine", b"333")
        (one.tree / "news").unlink()
        assert follower.until("applied", path="news").items() >= {"kind": "removal", "author": "one"}.items()
        one.stop()
        follower.until("disconnected", peer="one")
        numbers = [item["seq"] for item in follower.seen]
        assert numbers == list(range(1, len(numbers) + 1))
        two.stop()
        follower.until("stopping")
    told = [(item["event"], item.get("path"), item.get("author")) for item in audited(log)]
    assert [item for item in told if item[0] in ("applied", "published")] == [
        ("applied", "first", "one"),
        ("applied", "news", "one"),
        ("published", "mine", None),
        ("applied", "news", "one"),
    ]
    assert {item[0] for item in told} >= {"started", "connected", "disconnected", "stopping"}
    assert all((item["node"], item["time"][:2]) == ("two", "20") for item in audited(log))


@pytest.mark.heavy
def test_an_audit_log_that_cannot_be_written_stops_nothing(cluster: Cluster) -> None:
    place = cluster.base / "logs"
    place.mkdir()
    one = cluster.add("one").start()
    two = cluster.add("two", knows=[one], options={"audit": {"file": str(place / "audit.jsonl")}}).start()
    (place / "audit.jsonl").unlink(missing_ok=True)
    (place / "audit.jsonl").mkdir()
    (one.tree / "file").write_bytes(b"1")
    await_file(two.tree / "file", b"1")
    await_condition(lambda: bool(two.get("/v1/status")[1]["audit"]["problem"]), "the problem is not told")
    command = [sys.executable, "-m", "syncd.cli", "status", "--config", str(two.config)]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "problem: audit log: Is a directory" in text
    (place / "audit.jsonl").rmdir()
    await_condition(lambda: not two.get("/v1/status")[1]["audit"]["problem"], "it is not tried again")
    assert "file" in {item.get("path") for item in audited(place / "audit.jsonl")}


def test_what_operators_decide_is_told_with_who_decided(cluster: Cluster) -> None:
    one = cluster.add("one").start()
    two = cluster.add("two", knows=[one]).start()
    (one.tree / "file").write_bytes(b"1")
    await_file(two.tree / "file", b"1")
    (one.tree / "file").unlink()
    await_file(two.tree / "file", None)
    await_condition(lambda: bool(two.archive), "what was deleted is not in the archive")
    assert two.get(f"/v1/archive/restore?path={b'file'.hex()}", method="POST")[0] == 200
    with following(two, "--type", "restored") as follower:
        assert follower.until("restored", path="file")["by"].startswith(f"uid {os.getuid()}, process ")
