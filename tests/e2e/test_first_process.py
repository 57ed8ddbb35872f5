"""Pid 1 of a container: a node that stops when it is told to, and leaves no zombies of others."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.cluster import Cluster, await_condition, await_file
from tests.lab.machine import cannot_run

CONTAINER = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        yield cluster


def children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def test_a_node_is_the_first_process(cluster: Cluster) -> None:
    if subprocess.run([*CONTAINER, "true"], capture_output=True).returncode:
        cannot_run("no user and process namespaces here")
    one = cluster.add("one", prefix=CONTAINER).start()
    two = cluster.add("two", knows=[one]).start()
    assert one.process is not None
    (first,) = children(one.process.pid)
    # what `docker exec` leaves behind: a process whose parent ends before it does
    entered = ["nsenter", f"--target={first}", "--user", "--pid", "--mount", "--preserve-credentials"]
    orphan = "import os, time\nif not os.fork():\n    os.setsid(); os.read(0, 1)\n"
    with subprocess.Popen([*entered, "python3", "-c", orphan], stdin=subprocess.PIPE, stderr=subprocess.PIPE) as parent:
        assert parent.stdin is not None
        if parent.wait(30):
            cannot_run("a process namespace cannot be entered here")
        await_condition(lambda: len(children(first)) == 1, "the orphan does not come to the first process")
        parent.stdin.write(b"x")
    await_condition(lambda: not children(first), "the orphan stays a zombie")
    (one.tree / "file").write_text("file")
    await_file(two.tree / "file", b"file")
    os.kill(first, signal.SIGTERM)
    assert one.process.wait(10) == 0
    assert "stopped" in one.log_text()
