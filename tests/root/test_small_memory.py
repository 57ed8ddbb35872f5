"""B24: two nodes that may have 128 MiB each, and 200 000 files: one publishes them, a fresh one fetches them.

What a node makes on a file system in memory would count. So the fetched ones lie on a disk, whose pages count too, but
are given back at the limit. They are empty: it is their number that costs memory.
"""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.cgroup import CannotLimit, memory_limit
from tests.lab.cluster import Cluster
from tests.lab.machine import cannot_run

pytestmark = pytest.mark.root

LIMIT = 128 << 20
FILES = 200_000
PER_DIRECTORY = 1_000
DISK = 1 << 30  # bytes


def fill(tree: Path) -> None:
    for number in range(FILES):
        if number % PER_DIRECTORY == 0:
            (tree / f"{number // PER_DIRECTORY}").mkdir()
        os.close(os.open(tree / f"{number // PER_DIRECTORY}/{number}", os.O_CREAT | os.O_WRONLY, 0o644))


@contextlib.contextmanager
def disk(image: Path, where: Path) -> Iterator[None]:
    """A disk of its own: to remove that many files from a shared one takes longer than to make them."""
    with image.open("wb") as file:
        file.truncate(DISK)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-N", str(2 * FILES), str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(where)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)
        image.unlink()


def test_a_first_sync_of_many_files_in_little_memory(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        try:
            groups = [stack.enter_context(memory_limit(LIMIT)) for _ in range(2)]
        except CannotLimit as error:
            cannot_run(str(error))
        cluster = Cluster(tmp_path)
        one = cluster.add("one", prefix=groups[0].prefix)
        two = cluster.add("two", knows=[one], prefix=groups[1].prefix)
        one.tree = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm")))
        fill(one.tree)
        stack.enter_context(disk(tmp_path / "image", two.tree))
        stack.enter_context(cluster)
        one.start()
        one.wait_settled()
        two.start()
        two.wait(state="in-sync")
        found = (len(os.listdir(each)) for each in os.scandir(two.tree) if each.name.isdigit())
        assert sum(found) == FILES
        for daemon, group in ((one, groups[0]), (two, groups[1])):
            assert daemon.process is not None
            assert daemon.process.pid in group.processes
            assert group.kills == 0
