"""A power cut below a whole daemon: its file system stops in the middle of everything, and what was not synced is gone.

FS_IOC_SHUTDOWN without a flush of the log does that to a mounted ext4: nothing reaches the image any more.
"""

import fcntl
import os
import random
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.cluster import Cluster, Daemon, await_condition, differences, snapshot
from tests.lab.machine import cannot_run

pytestmark = pytest.mark.root
SHUTDOWN = 0x8004587D  # FS_IOC_SHUTDOWN
NO_LOG_FLUSH = 2
SIZE = 192 << 20
CUTS = 2


class Disk:
    """An ext4 in a file, mounted."""

    def __init__(self, image: Path, point: Path) -> None:
        self.image, self.point = image, point
        point.mkdir()
        image.touch()
        os.truncate(image, SIZE)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
        self.mount()
        (point / "lost+found").rmdir()

    def mount(self) -> None:
        subprocess.run(["mount", "-o", "loop", str(self.image), str(self.point)], check=True)

    def unmount(self) -> None:
        """Returns when the file system is gone: a process that was begun with a copy of all mounts may hold it."""
        subprocess.run(["umount", str(self.point)], check=True)
        await_condition(lambda: not self._loops(), "the file system stays in use")

    def _loops(self) -> str:
        return subprocess.run(["losetup", "-j", str(self.image)], check=True, capture_output=True, text=True).stdout

    def cut(self) -> None:
        """The power goes."""
        fd = os.open(self.point, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(fd)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid():
        cannot_run("this test mounts a file system, which needs root")
    disk = Disk(tmp_path / "image", tmp_path / "two")
    yield disk
    subprocess.run(["umount", "-l", str(disk.point)], check=True)


def told_in_sync(one: Daemon) -> bool:
    """Whether the peer's word, as it was heard, is that it has everything of now."""
    peer = one.peer("two")
    return bool(peer) and bool(peer.get("in_sync")) and one.status()["state"] == "in-sync"


def test_what_was_told_is_there_after_a_power_cut(cluster: Cluster, disk: Disk) -> None:
    chance = random.Random(7)
    one = cluster.add("one")
    one.start()
    two = cluster.add("two", knows=[one]).start()
    versions: dict[str, set[bytes]] = {}

    def write(daemon: Daemon, name: str) -> None:
        content = chance.randbytes(chance.choice((100, 5_000, 300_000)))
        (daemon.tree / name).write_bytes(content)
        versions.setdefault(name, set()).add(content)

    for cut in range(CUTS):
        for number in range(60):
            write(one, f"f{number}")
        for number in range(5):
            write(two, f"mine{cut}{number}")
        cluster.converge()
        await_condition(lambda: told_in_sync(one), "the peer does not say that it is in sync")
        told = {path: item for path, item in snapshot(two.tree).items() if item[0] == "file"}
        moved = {f"f{number}" for number in range(20)} | {"new"}
        for name in sorted(moved):
            write(one, name)
        await_condition(lambda told=told: snapshot(two.tree).get(b"f0") != told[b"f0"], "no more comes")
        disk.cut()
        two.kill()
        disk.unmount()
        disk.mount()
        found = snapshot(two.tree)
        for path, item in told.items():
            name = os.fsdecode(path)
            assert path in found, f"{name} was told of, and is gone"
            if name in moved:
                assert found[path][3] in versions[name], f"{name} is neither old nor new in full"
            else:
                assert found[path] == item, f"{name} was told of, and is another one"
        two.start()
        cluster.converge()
        assert differences(snapshot(one.tree), snapshot(two.tree)) == []
        for name in versions:
            assert (one.tree / name).read_bytes() in versions[name]
        for daemon in cluster.daemons:
            assert daemon.status()["problems"] == []
            assert daemon.status()["conflicts"] == 0
    assert two.stop() == 0
