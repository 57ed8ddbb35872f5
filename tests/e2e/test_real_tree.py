"""A tree of real software on three nodes: equal byte for byte, mode for mode, nanosecond for nanosecond."""

import os
import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from tests.lab.cluster import Cluster, differences, snapshot
from tests.lab.machine import cannot_run

FILES = 3_200
LARGEST = 4 << 20  # bytes of one file


def software() -> Iterator[Path]:
    """Directories of real software that this machine has: Python's own libraries, then what packages brought along."""
    paths = sysconfig.get_paths()
    for name in (paths["stdlib"], paths["purelib"], "/usr/share/doc", "/usr/share", "/usr/include"):
        if Path(name).is_dir():
            yield Path(name)


def collect(tree: Path) -> int:
    """Copy real software into `tree` until there are enough files; how many there are."""
    copied = 0
    for number, source in enumerate(software()):
        for directory, directories, files in os.walk(source):
            directories.sort()
            target = tree / str(number) / os.path.relpath(directory, source)
            target.mkdir(parents=True, exist_ok=True)
            for name in sorted(files):
                copied += _copy(Path(directory, name), target / name)
                if copied >= FILES:
                    return copied
            shutil.copystat(directory, target)
    return copied


def _copy(source: Path, target: Path) -> int:
    try:
        if source.is_symlink() or source.stat().st_size <= LARGEST:
            shutil.copy2(source, target, follow_symlinks=False)
            return 1
    except OSError:  # not ours to read
        target.unlink(missing_ok=True)
    return 0


def link(tree: Path) -> None:
    """Links as software has them: beside, up and down, absolute, to directories, to nothing, to themselves."""
    top = next(path for path in sorted(tree.iterdir()) if path.is_dir())
    for number, directory in enumerate(sorted(path for path in top.iterdir() if path.is_dir())[:20]):
        (directory / "libmade.so").symlink_to(f"libmade.so.{number}")
        (directory / f"libmade.so.{number}").write_bytes(b"\x7fELF")
        (directory / "up").symlink_to("..")
        (directory / "absolute").symlink_to(tree / "nowhere")
        (directory / "loop").symlink_to("loop")
        os.utime(directory / "up", ns=(1, 1_234_567_890_123_456_789), follow_symlinks=False)
    (tree / "current").symlink_to(top.name)


def test_real_software_is_the_same_on_three_nodes(cluster: Cluster) -> None:
    first = cluster.add("first")
    if collect(first.tree) < FILES:
        cannot_run("this machine has too little software to copy")
    link(first.tree)
    expected = snapshot(first.tree)
    first.start()
    second = cluster.add("second", knows=[first]).start()
    third = cluster.add("third", knows=[first, second]).start()
    cluster.converge()
    for daemon in (first, second, third):
        assert differences(expected, snapshot(daemon.tree)) == [], daemon.base.name
        assert daemon.status()["conflicts"] == 0
        assert daemon.status()["problems"] == []
        assert daemon.archive == []
