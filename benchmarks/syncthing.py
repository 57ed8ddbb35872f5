"""Syncthing as a contender: two resident nodes that share one folder."""

import contextlib
import http.client
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import Cost, cpu_and_peak
from benchmarks.rivals import missing
from benchmarks.stage import Stage, compare, skipped
from tests.lab.cluster import UnixConnection
from tests.lab.hosts import Host

PORT: Final = 22_000
PATIENCE: Final = 300.0  # seconds until it must have finished
LOOK: Final = 0.02  # seconds between two looks at its state
WATCH_DELAY: Final = 1  # seconds that it gathers changes: the least whole number, 10 by default
_KEY: Final = "benchmark"
_MARKER: Final = ".stfolder"


class Node:
    """One Syncthing. home: its configuration and state. tree: what it replicates."""

    def __init__(self, host: Host, home: Path, tree: Path) -> None:
        self.host, self.home, self.tree = host, home, tree
        home.mkdir()
        subprocess.run(
            ["syncthing", "generate", f"--home={home}", "--skip-port-probing", "--no-default-folder"],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        done = subprocess.run(
            ["syncthing", "serve", "--device-id", f"--home={home}"], check=True, capture_output=True, text=True
        )
        self.device = done.stdout.strip()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, other: "Node") -> None:
        """Begin to share with the other one, and return when it listens."""
        (self.home / "config.xml").write_text(_configuration(self, other))
        command = ["syncthing", "serve", f"--home={self.home}", "--no-browser", "--no-restart", "--no-upgrade"]
        self.process = subprocess.Popen(
            [*self.host.prefix, *command],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "STMONITORED": "yes"},  # one process, not one that watches another
        )
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                if self.ask("/rest/system/ping"):
                    return
            time.sleep(LOOK)
        raise RuntimeError("Syncthing does not answer")

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()

    def ask(self, path: str) -> dict[str, Any]:
        """The answer of its interface."""
        connection = UnixConnection(str(self.home / "gui.sock"), 10.0)
        try:
            connection.request("GET", path, headers={"X-API-Key": _KEY})
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
            return answer
        finally:
            connection.close()

    def wait_idle(self, files: int) -> None:
        """Return once it has looked at its tree, and has as many files as there are."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with contextlib.suppress(ValueError):
                state = self.ask("/rest/db/status?folder=bench")
                if state.get("state") == "idle" and state.get("localFiles", -1) >= files and not state["needFiles"]:
                    return
            time.sleep(LOOK)
        raise RuntimeError("Syncthing does not get ready")


def available() -> bool:
    """Whether it is installed; if not, that is said."""
    if missing(("syncthing",)):
        skipped("Syncthing", "not installed")
        return False
    return True


def first_sync(stage: Stage, full: Path, runs: int) -> list[Cost]:
    """An empty node joins one that has everything."""
    if not available():
        return []
    files = sum(1 for item in full.rglob("*") if item.is_file() and ".syncd" not in item.parts)
    holder = Node(stage.holder_host, stage.base / "syncthing-holder", full)
    costs = []
    for number in range(runs):
        empty = stage.base / "syncthing-tree"
        empty.mkdir()
        joiner = Node(stage.joiner_host, stage.base / f"syncthing-joiner-{number}", empty)
        if costs:  # else it says that the folder's marker is missing
            (full / _MARKER).mkdir()
        try:
            holder.start(joiner)
            holder.wait_idle(files)
            costs.append(_join(stage, holder, joiner, files))
        except RuntimeError as error:
            skipped("Syncthing", str(error))
            return costs
        finally:
            joiner.stop()
            holder.stop()
        for tree in (full, empty):
            shutil.rmtree(tree / _MARKER, ignore_errors=True)
        compare(full, empty)
        shutil.rmtree(empty)
    return costs


def _join(stage: Stage, holder: Node, joiner: Node, files: int) -> Cost:
    before, used = stage.joiner_host.counters(), _cpu(holder)
    joiner.start(holder)
    began = time.monotonic()
    joiner.wait_idle(files)
    seconds = time.monotonic() - began
    assert joiner.process is not None
    cpu, peak = cpu_and_peak(joiner.process.pid)
    return Cost(seconds, cpu + _cpu(holder) - used, peak, sum(stage.joiner_host.counters()) - sum(before))


def _cpu(node: Node) -> float:
    assert node.process is not None
    return cpu_and_peak(node.process.pid)[0]


def _configuration(own: Node, other: Node) -> str:
    devices = "".join(
        f'<device id="{node.device}" name="{node.home.name}" compression="metadata">'
        f"<address>tcp4://{node.host.address}:{PORT}</address></device>"
        for node in (own, other)
    )
    members = "".join(f'<device id="{node.device}"></device>' for node in (own, other))
    return f"""<configuration version="35">
<folder id="bench" path="{own.tree}" type="sendreceive" rescanIntervalS="3600" fsWatcherEnabled="true"
  fsWatcherDelayS="{WATCH_DELAY}" ignorePerms="false" autoNormalize="false">
  {members}<filesystemType>basic</filesystemType><minDiskFree unit="%">0</minDiskFree></folder>
{devices}
<gui enabled="true" tls="false"><address>{own.home}/gui.sock</address><apikey>{_KEY}</apikey></gui>
<options><listenAddress>tcp4://{own.host.address}:{PORT}</listenAddress>
  <globalAnnounceEnabled>false</globalAnnounceEnabled><localAnnounceEnabled>false</localAnnounceEnabled>
  <relaysEnabled>false</relaysEnabled><natEnabled>false</natEnabled><startBrowser>false</startBrowser>
  <urAccepted>-1</urAccepted><autoUpgradeIntervalH>0</autoUpgradeIntervalH><crashReportingEnabled>false</crashReportingEnabled>
  <reconnectionIntervalS>1</reconnectionIntervalS></options>
</configuration>
"""
