"""A node that the kernel does not tell of changes finds them by itself."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.cluster import Cluster, Daemon, await_condition, await_file
from tests.lab.machine import cannot_run

# Limits of a user namespace of its own: nothing else on the machine notices.
LIMIT = ["unshare", "--user", "--map-root-user", "sh", "-c"]


def limited(name: str, value: int) -> list[str]:
    """A command that runs another one with a limit of inotify."""
    return [*LIMIT, f'echo {value} > /proc/sys/user/{name} && exec "$@"', "limited"]


@pytest.fixture(autouse=True)
def _namespaces() -> None:
    if subprocess.run([*limited("max_inotify_watches", 1), "true"], capture_output=True).returncode:
        cannot_run("no user namespaces with limits here")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        yield cluster


def full(cluster: Cluster, prefix: list[str]) -> tuple[Daemon, Daemon]:
    one = cluster.add("one", prefix=prefix, options={"folder_rescan_interval": 1})
    for number in range(8):
        (one.tree / f"d{number}").mkdir()
        (one.tree / f"d{number}/file").write_text("old")
    one.start()
    two = cluster.add("two", knows=[one]).start()
    cluster.converge()
    return one, two


def test_watches_that_run_out(cluster: Cluster) -> None:
    one, two = full(cluster, limited("max_inotify_watches", 4))
    await_condition(lambda: "raise fs.inotify.max_user_watches" in one.log.read_text(), "no warning")
    assert one.status()["watching"] is False
    for number in range(8):
        (one.tree / f"d{number}/file").write_text(f"new {number}")
    for number in range(8):
        await_file(two.tree / f"d{number}/file", f"new {number}".encode())
    os.unlink(one.tree / "d7/file")
    await_file(two.tree / "d7/file", None)


@pytest.mark.heavy
def test_no_inotify_at_all(cluster: Cluster) -> None:
    one, two = full(cluster, limited("max_inotify_instances", 0))
    assert "looking again and again (no inotify: " in one.status()["limitations"]
    one.stop()
    one.options["folder_rescan_interval"] = 0
    one.start()
    await_condition(lambda: one.status()["watching"], "polling does not begin")
    (one.tree / "d3/file").write_text("new")
    await_file(two.tree / "d3/file", b"new", deadline=30.0)


def test_a_change_of_which_no_event_tells_is_found_by_the_next_scan(cluster: Cluster) -> None:
    """C18: a writable mapping changes a file without any event, as another mount of the same file system does."""
    import mmap

    one, two = full(cluster, [])
    with (one.tree / "d1/file").open("r+b") as file, mmap.mmap(file.fileno(), 3) as mapped:
        await_condition(lambda: one.status()["watching"], "it does not watch")
        mapped[:] = b"map"
        mapped.flush()
        await_file(two.tree / "d1/file", b"map")
