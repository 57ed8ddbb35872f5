"""A21: the wall clock of a machine steps by an hour, back and forth, while the node runs; that of its peer does not.

libfaketime gives one process a clock that a file moves. Monotonic clocks stay as they are, as with a kernel; so do the
times of files, which come from another clock then, as on a network file system.
"""

import mmap
import subprocess
import time
from pathlib import Path

import pytest

from tests.lab.cluster import Cluster, await_condition, await_file, snapshot
from tests.lab.machine import cannot_run

HOUR = 3_600
STEPS = [HOUR, 0, -HOUR, HOUR]  # seconds ahead
LARGEST = 20_000  # bytes that one step, and what is done around it, may cost one node: a storm is megabytes


class Clock:
    """A wall clock for one daemon. file: says how far ahead it is."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.step(0)
        library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
        if library is None:
            cannot_run("libfaketime is not installed (faketime)")
        self.prefix = [
            "env", f"LD_PRELOAD={library}", f"FAKETIME_TIMESTAMP_FILE={file}", "FAKETIME_NO_CACHE=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1", "NO_FAKE_STAT=1",
        ]  # fmt: skip

    def step(self, ahead: int) -> None:
        """The clock is that many seconds ahead from now on."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{ahead:+d}\n")
        fresh.replace(self._file)

    def ahead(self) -> float:
        """By how many seconds it is, as a process sees it."""
        told = subprocess.run([*self.prefix, "date", "+%s"], capture_output=True, text=True, check=True)
        return int(told.stdout) - time.time()


@pytest.mark.heavy
def test_the_clock_steps_while_the_node_runs(cluster: Cluster, tmp_path: Path) -> None:
    clock = Clock(tmp_path / "clock")
    one = cluster.add("one", prefix=clock.prefix, options={"folder_rescan_interval": 1})
    (one.tree / "mapped").write_bytes(b"old")
    (one.tree / "both").write_text("old")
    one.start()
    two = cluster.add("two", knows=[one]).start()
    cluster.converge()
    await_condition(lambda: bool(one.status()["watching"]), "it does not watch")
    for number, ahead in enumerate(STEPS):
        sent = [daemon.status()["bytes_out"] for daemon in (one, two)]
        (one.tree / f"before {number}").write_text("here")
        (two.tree / f"before {number}, there").write_text("there")
        (one.tree / "both").write_text(f"here, before {number}")
        clock.step(ahead)
        assert abs(clock.ahead() - ahead) < HOUR / 2
        await_file(two.tree / "both", f"here, before {number}".encode())
        (two.tree / "both").write_text(f"there {number}")
        await_file(one.tree / "both", f"there {number}".encode())
        (one.tree / "both").write_text(f"here {number}")
        await_file(two.tree / "both", f"here {number}".encode())
        (one.tree / f"after {number}").write_text("here")
        (two.tree / f"after {number}, there").write_text("there")
        for when in ("before", "after"):
            await_file(two.tree / f"{when} {number}", b"here")
            await_file(one.tree / f"{when} {number}, there", b"there")
        # No event tells of this: the next scan finds it, so the timers go on.
        with (one.tree / "mapped").open("r+b") as file, mmap.mmap(file.fileno(), 3) as mapped:
            mapped[:] = b"%03d" % number
            mapped.flush()
            await_file(two.tree / "mapped", b"%03d" % number)
        for daemon in (one, two):
            daemon.wait(state="in-sync")
        for daemon, before in zip((one, two), sent, strict=True):
            assert daemon.status()["bytes_out"] - before < LARGEST
    cluster.converge()
    assert snapshot(one.tree) == snapshot(two.tree)
    for daemon in (one, two):
        assert daemon.status()["conflicts"] == 0
        assert "disconnected" not in daemon.log.read_text()
    assert two.status()["alarms"] == []
    assert one.stop() == 0  # libfaketime clears its shared memory away then
