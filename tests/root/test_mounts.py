"""File systems that come, go and become read-only below a running node: nothing of that is a deletion.

All mounts lie in a mount namespace of the node's own.
"""

import os
import subprocess
from pathlib import Path

import pytest

from tests.lab.cluster import Cluster, Daemon, await_condition, await_file, snapshot

pytestmark = pytest.mark.root

RECOVERY = 30.0  # seconds: some tries with growing pauses


class Apart(Daemon):
    """A daemon with mounts of its own; its tree is a file system of its own."""

    def mount(self, *arguments: str) -> None:
        """`mount` where only this daemon sees it."""
        self.inside("mount", *arguments)

    def inside(self, *command: str) -> None:
        """A command among the mounts of the daemon."""
        assert self.process is not None
        subprocess.run(["nsenter", "-t", str(self.process.pid), "-m", *command], check=True, timeout=10)

    @property
    def seen(self) -> Path:
        """The tree as the daemon sees it."""
        assert self.process is not None
        return Path(f"/proc/{self.process.pid}/root{self.tree}")


@pytest.fixture
def apart(cluster: Cluster) -> Apart:
    """In sync with a node that knows nothing of the mounts."""
    full = cluster.add("full")
    for path in ("themes/one.css", "uploads/picture", "free/file"):
        (full.tree / path).parent.mkdir(exist_ok=True)
        (full.tree / path).write_text(path)
    full.start()
    mounts = f"mount -t tmpfs -o size=16m none {cluster.base}/apart/tree"
    prefix = ["unshare", "-m", "sh", "-c", f'{mounts} && exec "$@"', "sh"]
    daemon = Apart(cluster.base / "apart", cluster.secret, [full.endpoint], prefix=prefix)
    cluster.daemons.append(daemon)
    daemon.start()
    cluster.converge()
    return daemon


def test_what_a_mount_hides_is_not_deleted(cluster: Cluster, apart: Apart) -> None:
    full = cluster.daemons[0]
    before = snapshot(full.tree)
    apart.mount("-t", "tmpfs", "none", str(apart.tree / "uploads"))
    apart.rescan()
    assert apart.problem("uploads") == {
        "path": "uploads", "operation": "list", "reason": "skipped: lies on another file system",
    }  # fmt: skip
    assert apart.status()["state"] == "error"
    (apart.seen / "uploads/foreign").write_text("foreign")
    (apart.seen / "free/new").write_text("new")
    await_file(full.tree / "free/new", b"new")
    (full.tree / "uploads/picture").write_text("changed")
    apart.rescan()
    full.rescan()
    assert (full.tree / "uploads/picture").read_text() == "changed"
    assert (apart.seen / "uploads/foreign").read_text() == "foreign"
    assert not (apart.seen / "uploads/picture").exists()

    apart.inside("umount", str(apart.tree / "uploads"))
    cluster.converge()
    assert (apart.seen / "uploads/picture").read_text() == "changed"
    assert snapshot(full.tree) == snapshot(apart.seen)
    assert before.keys() | {b"free/new"} == snapshot(full.tree).keys()


def test_a_read_only_folder_recovers(cluster: Cluster, apart: Apart) -> None:
    full = cluster.daemons[0]
    apart.mount("-o", "remount,ro", str(apart.tree))
    (full.tree / "free/file").write_text("changed")
    (full.tree / "themes/one.css").unlink()
    (full.tree / "free/new").write_text("new")
    reason = os.strerror(30)
    await_condition(
        lambda: {item["reason"] for item in apart.status()["problems"]} == {reason}, "nothing is said of it"
    )
    apart.wait(state="error")
    apart.rescan()
    assert apart.status()["state"] == "error"
    assert (apart.seen / "themes/one.css").exists()
    assert snapshot(full.tree).keys() >= {b"uploads/picture", b"free/file"}
    apart.mount("-o", "remount,rw", str(apart.tree))
    await_condition(lambda: not apart.status()["problems"], "trouble stays", RECOVERY)
    cluster.converge()
    assert snapshot(full.tree) == snapshot(apart.seen)
    assert not (apart.seen / "themes/one.css").exists()


def test_a_whole_tree_that_is_unmounted_is_held(cluster: Cluster, apart: Apart) -> None:
    full = cluster.daemons[0]
    before = snapshot(full.tree)
    apart.inside("umount", "-l", str(apart.tree))
    apart.rescan()
    apart.wait(state="held")
    assert "unmounted" in apart.status()["reason"]
    full.rescan()
    assert snapshot(full.tree) == before
