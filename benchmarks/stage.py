"""Two hosts on tmpfs with a cable between them, and a holder that is up and idle: where most benchmarks play."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import Cost, cpu_and_peak
from tests.lab.cluster import PRIORITY, Cluster, Daemon
from tests.lab.hosts import Network
from tests.lab.link import Link, Nature

DEADLINE: Final = 3_600.0  # seconds
CONGESTION_CONTROL: Final = "reno"  # of hosts with a long cable: one that reacts to each loss, as what Linux comes with
REST: Final = 4.0  # seconds without work after which a node is idle
LOOK: Final = 0.002  # seconds between two looks
_STARTED: Final = " started "  # what the log says once a node listens


class Stage:
    """A context manager. base: a directory on tmpfs, if there is one, and everything is removed with it.

    nature: of the cable, if it is not a short one.
    """

    def __init__(self, nature: Nature | None = None) -> None:
        self._undo = ExitStack()
        self._nature = nature

    def __enter__(self) -> "Stage":
        directory = tempfile.TemporaryDirectory(dir=scratch(), prefix="syncd-bench-")
        self.base = Path(self._undo.enter_context(directory))
        self.network = self._undo.enter_context(Network())
        self.cluster = self._undo.enter_context(QuietCluster(self.base))
        if self._nature is None:
            self.holder_host, self.joiner_host = self.network.pair("holder", "joiner")
        else:
            one, other = self.holder_host, self.joiner_host = self.network.host("holder"), self.network.host("joiner")
            self._undo.enter_context(Link(one, "10.82.0.1/24", other, "10.82.0.2/24", self._nature))
            for host in (one, other):
                host.run("sysctl", "-q", "-w", f"net.ipv4.tcp_congestion_control={CONGESTION_CONTROL}")
        return self

    def __exit__(self, *error: object) -> None:
        self._undo.close()

    def holder(self, fill: Callable[[Path], object], **options: Any) -> Daemon:
        """A node on the first host that holds what `fill` wrote, up and idle. options: keys of its configuration."""
        full = self.cluster.add("holder", address=self.holder_host.address, prefix=self.holder_host.prefix)
        fill(full.tree)
        full.folder_options["priority"] = PRIORITY
        full.options.update(options)
        full.start()
        full.wait_settled(DEADLINE)
        _rest(full)
        return full

    def joiner(self, full: Daemon, base: Path | None = None) -> Daemon:
        """An empty node on the second host that knows the holder; not started yet. base: where, if not on tmpfs."""
        host, name = self.joiner_host, f"joiner-{time.monotonic_ns()}"
        fresh = self.cluster.add(str((base or self.base) / name), knows=[full], address=host.address)
        fresh.prefix = list(host.prefix)
        fresh.folder_options["priority"] = PRIORITY
        return fresh

    def remove(self, daemon: Daemon) -> None:
        """Stop a node and forget it with all its files."""
        daemon.stop()
        self.cluster.daemons.remove(daemon)
        shutil.rmtree(daemon.base)

    def join(self, full: Daemon, fresh: Daemon | None = None) -> Cost:
        """An empty node joins the holder that runs already: from the moment it listens until it is in sync."""
        fresh = fresh or self.joiner(full)
        before, holder_before = self.joiner_host.counters(), cpu(full)
        fresh.start()
        began = listens_since(fresh)
        first = 0.0
        if (full.tree / "themes").exists():
            fresh.wait(ready="themes", deadline=DEADLINE)
            first = time.time() - began
        fresh.wait(state="in-sync", deadline=DEADLINE)
        seconds = time.time() - began
        wire = sum(self.joiner_host.counters()) - sum(before)
        assert fresh.process is not None
        used, peak = cpu_and_peak(fresh.process.pid)
        used += cpu(full) - holder_before
        fresh.stop()
        compare(full.tree, fresh.tree)
        self.remove(fresh)
        return Cost(seconds, used, peak, wire, first)


class QuietCluster(Cluster):
    """A cluster that does not print logs, unless something failed."""

    def __exit__(self, *error: object) -> None:
        if error[0] is not None:
            super().__exit__(*error)
            return
        for daemon in self.daemons:
            daemon.stop()


def scratch() -> str | None:
    """A directory on tmpfs, if there is one: what a disk does is none of most questions."""
    return "/dev/shm" if os.path.isdir("/dev/shm") else None


def until(reached: Callable[[], bool], what: str, deadline: float = DEADLINE) -> float:
    """Look again and again until it is so; the seconds that it took. what: to say if it never is."""
    began = time.monotonic()
    while not reached():
        if time.monotonic() - began > deadline:
            raise RuntimeError(f"{what}: not within {deadline:.0f} s")
        time.sleep(LOOK)
    return time.monotonic() - began


def cpu(daemon: Daemon) -> float:
    """CPU seconds of a running node so far."""
    assert daemon.process is not None
    return cpu_and_peak(daemon.process.pid)[0]


def _rest(daemon: Daemon) -> None:
    """Return when a node has nothing more to do: what is young it hashes once more some seconds later."""
    since, used = time.monotonic(), cpu(daemon)
    while time.monotonic() - since < REST:
        time.sleep(0.25)
        if cpu(daemon) - used > 0.1:
            since, used = time.monotonic(), cpu(daemon)


def listens_since(daemon: Daemon) -> float:
    """When the latest run of a node said that it listens: wall clock, seconds."""
    line = next(line for line in reversed(daemon.log.read_text().splitlines()) if _STARTED in line)
    return datetime.fromisoformat(line.split(" ", 1)[0]).timestamp()


def compare(full: Path, other: Path) -> None:
    """Both trees must be equal."""
    subprocess.run(["diff", "-rq", "--no-dereference", "-x", ".syncd", full, other], check=True)


def skipped(name: str, why: str) -> None:
    """Say that a contender does not take part."""
    print(f"{name}: skipped, {why}", file=sys.stderr, flush=True)
