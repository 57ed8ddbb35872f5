"""Folders on file systems with peculiarities: whole seconds only, files that nobody may change, attributes."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.cluster import Cluster, Daemon, await_condition, await_file, snapshot
from tests.lab.machine import cannot_run

pytestmark = pytest.mark.root

SIZE = 64 << 20  # bytes of the image
COARSE = ["mkfs.ext4", "-q", "-F", "-I", "128"]  # inodes without room for fractions of seconds
CASELESS = ["mkfs.ext4", "-q", "-F", "-O", "casefold", "-E", "encoding=utf8"]


class Mount:
    """A file system in a file."""

    def __init__(self, base: Path, make: list[str]) -> None:
        self.image, self.point = base / "image", base / "mount"
        self.point.mkdir()
        with self.image.open("wb") as image:
            image.truncate(SIZE)
        for command in ([*make, str(self.image)], ["mount", "-o", "loop", str(self.image), str(self.point)]):
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                cannot_run(f"{command[0]}: {done.stderr.strip()}")

    def end(self) -> None:
        subprocess.run(["umount", "-l", str(self.point)], check=True)


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path / "cluster") as cluster:
        yield cluster


@pytest.fixture
def coarse(tmp_path: Path) -> Iterator[Path]:
    mount = Mount(tmp_path, COARSE)
    yield mount.point
    mount.end()


@pytest.fixture
def caseless(tmp_path: Path) -> Iterator[Path]:
    if not Path("/sys/fs/ext4/features/casefold").exists():
        pytest.skip("this kernel knows no file system that is blind to case")
    mount = Mount(tmp_path, CASELESS)
    (mount.point / "tree").mkdir()
    done = subprocess.run(["chattr", "+F", str(mount.point / "tree")], capture_output=True, text=True)
    if done.returncode:
        mount.end()
        cannot_run(f"chattr +F: {done.stderr.strip()}")
    yield mount.point
    mount.end()


def on(daemon: Daemon, place: Path) -> Daemon:
    """Give a daemon its tree on another file system."""
    daemon.tree.rmdir()
    (place / "tree").mkdir(exist_ok=True)
    daemon.tree = place / "tree"
    return daemon


def bytes_of(tree: Path) -> dict[bytes, tuple[object, ...]]:
    return {path: (item[0], item[-1]) for path, item in snapshot(tree).items()}


def test_times_in_whole_seconds_are_no_edits(own_cluster: Cluster, coarse: Path) -> None:
    one = own_cluster.add("one")
    for number in range(20):
        (one.tree / f"file-{number}").write_text(f"{number}")
    (one.tree / "link").symlink_to("file-0")
    fine = snapshot(one.tree)
    one.start()
    two = on(own_cluster.add("two", knows=[one]), coarse).start()
    own_cluster.converge()
    assert "steps of 1000000000 ns" in two.status()["limitations"]
    assert bytes_of(two.tree) == bytes_of(one.tree)
    root = one.status()["root"]
    for daemon in (two, one, two):
        daemon.rescan()
    assert two.stop() == 0
    (two.tree / "file-1").touch()  # a real change of the time alone is still one
    os.utime(two.tree / "file-2", ns=(0, (two.tree / "file-2").stat().st_mtime_ns))
    two.start()
    own_cluster.converge()
    assert one.status()["root"] != root
    now = snapshot(one.tree)
    assert {path for path in now if now[path] != fine[path]} == {b"file-1"}, "no time was rounded on the other node"
    (two.tree / "file-3").write_text("edited")
    await_file(one.tree / "file-3", b"edited")
    (one.tree / "file-3").write_text("edited again")
    await_file(two.tree / "file-3", b"edited again")
    own_cluster.converge()


def test_a_file_that_nobody_may_change_is_a_problem_and_the_rest_syncs(own_cluster: Cluster, coarse: Path) -> None:
    one = own_cluster.add("one")
    for name in ("immutable", "other"):
        (one.tree / name).write_text(name)
    one.start()
    two = on(own_cluster.add("two", knows=[one]), coarse).start()
    own_cluster.converge()
    subprocess.run(["chattr", "+i", str(two.tree / "immutable")], check=True)
    try:
        (one.tree / "immutable").write_text("edited")
        (one.tree / "other").write_text("edited")
        await_file(two.tree / "other", b"edited")
        await_condition(lambda: two.problem("immutable") is not None, "no problem is told")
        assert (two.problem("immutable") or {})["reason"] == "Operation not permitted"
        assert (two.tree / "immutable").read_text() == "immutable"
        assert (one.tree / "immutable").read_text() == "edited"
    finally:
        subprocess.run(["chattr", "-i", str(two.tree / "immutable")], check=True)
    await_file(two.tree / "immutable", b"edited", deadline=60.0)
    own_cluster.converge()
    assert two.status()["problem_count"] == 0


def test_attributes_and_foreign_bits_do_not_travel(own_cluster: Cluster, coarse: Path) -> None:
    """C11, C12: neither capabilities nor other attributes nor setuid arrive; what a directory has of its own stays."""
    one = own_cluster.add("one")
    (one.tree / "d").mkdir()
    for name in ("program", "d/file"):
        (one.tree / name).write_text(name)
    os.chmod(one.tree / "program", 0o6755)
    os.chmod(one.tree / "d", 0o3775)
    os.setxattr(one.tree / "d/file", "user.note", b"x" * 1000)
    os.setxattr(one.tree / "program", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
    one.start()
    two = on(own_cluster.add("two", knows=[one]), coarse).start()
    own_cluster.converge()
    assert os.stat(two.tree / "program").st_mode & 0o7777 == 0o755
    assert os.stat(two.tree / "d").st_mode & 0o7777 == 0o775
    for name in ("program", "d/file"):
        assert os.listxattr(two.tree / name) == []
    os.chmod(two.tree / "d", 0o2775)
    (one.tree / "d/new").write_text("new")
    os.chmod(one.tree / "d", 0o755)
    await_file(two.tree / "d/new", b"new")
    own_cluster.converge()
    assert os.stat(two.tree / "d").st_mode & 0o7777 == 0o2755, "a local bit stays"


def test_names_that_differ_in_case_alone(own_cluster: Cluster, caseless: Path) -> None:
    one = own_cluster.add("one")
    (one.tree / "Foo").write_text("upper")
    (one.tree / "foo").write_text("lower")
    (one.tree / "other").write_text("other")
    one.start()
    two = on(own_cluster.add("two", knows=[one]), caseless).start()
    await_file(two.tree / "other", b"other")
    await_condition(lambda: bool(two.problem("Foo") or two.problem("foo")), "no problem is told")
    kept = "Foo" if two.problem("foo") else "foo"
    told = two.problem("foo") or two.problem("Foo") or {}
    assert "another name" in told["reason"]
    assert (two.tree / kept).read_text() == {"Foo": "upper", "foo": "lower"}[kept]
    assert [name for name in os.listdir(two.tree) if name.lower() == "foo"] == [kept]
    two.rescan()
    assert ((one.tree / "Foo").read_text(), (one.tree / "foo").read_text()) == ("upper", "lower")


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[tuple[Path, Path, Path]]:
    """(merged, lower, upper) of an overlay, as containers have it."""
    base = tmp_path / "overlay"
    base.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(base)], check=True)
    try:
        lower, upper, work, merged = (base / name for name in ("lower", "upper", "work", "merged"))
        for place in (lower / "tree", upper, work, merged):
            place.mkdir(parents=True)
        (lower / "tree/of-the-image").write_bytes(b"of the image")
        (lower / "tree/d").mkdir()
        (lower / "tree/d/deep").write_bytes(b"deep")
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        done = subprocess.run(
            ["mount", "-t", "overlay", "overlay", "-o", options, str(merged)], capture_output=True, text=True
        )
        if done.returncode:
            cannot_run(f"mount -t overlay: {done.stderr.strip()}")
        yield merged, lower, upper
        subprocess.run(["umount", "-l", str(merged)], check=True)
    finally:
        subprocess.run(["umount", "-l", str(base)], check=True)


def test_changes_below_an_overlay_are_found_by_the_next_scan(
    own_cluster: Cluster, overlay: tuple[Path, Path, Path]
) -> None:
    """A folder in a container's file system: files of its image are replaced, deleted and edited; and what changes in
    the layers below, of which no event tells, is found by the next scan.
    """
    merged, _, upper = overlay
    one = own_cluster.add("one")
    (one.tree / "new").write_bytes(b"new")
    one.start()
    two = on(own_cluster.add("two", knows=[one], options={"folder_rescan_interval": 1}), merged).start()
    own_cluster.converge()
    assert bytes_of(one.tree) == bytes_of(two.tree)
    (one.tree / "of-the-image").write_bytes(b"replaced by a peer")
    (one.tree / "d/deep").unlink()
    await_file(two.tree / "of-the-image", b"replaced by a peer")
    await_file(two.tree / "d/deep", None)
    (two.tree / "mine").write_bytes(b"mine")
    await_file(one.tree / "mine", b"mine")
    with (upper / "tree/mine").open("r+b") as file:  # not through the folder: nobody hears of it
        file.write(b"edited below the overlay")
    await_file(one.tree / "mine", b"edited below the overlay", 60.0)
    own_cluster.converge()
    assert bytes_of(one.tree) == bytes_of(two.tree)
    assert two.status()["problems"] == []
