"""What does it cost that nothing is lost in a power cut?

A first sync as it is, and one of a node whose calls of fsync, fdatasync and syncfs do nothing; on tmpfs, where syncing
is free, and on ext4 on a loop device, where it is not. Every other figure of these benchmarks is with durability.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from benchmarks.corpus import small, wordpress
from benchmarks.measure import Cost, median
from benchmarks.report import COST_COLUMNS, Options, Report, cost_rows, run
from benchmarks.stage import Stage, skipped

IMAGE: Final = 4 << 30  # bytes of the ext4 file system
TINY_IMAGE: Final = 64 << 20
CORPORA: Final[dict[str, Callable[[Path], None]]] = {"small": small, "wordpress": wordpress}
WITHOUT: Final = "without syncs"
WITH: Final = "as it is"


def measure(options: Options) -> Iterator[Report]:
    """A table per corpus and file system."""
    for name in options.what:
        for disk in ("tmpfs", *(["ext4"] if possible() else [])):
            costs: dict[str, list[Cost]] = {WITH: [], WITHOUT: []}
            with Stage() as stage, ExitStack() as stack:
                place = stage.base
                if disk == "ext4":
                    place = stack.enter_context(_ext4(stage.base, TINY_IMAGE if options.tiny else IMAGE))
                full = stage.holder((lambda tree: small(tree, 100)) if options.tiny else CORPORA[name])
                for _ in range(min(options.runs, 3)):
                    for how, found in costs.items():
                        fresh = stage.joiner(full, place)
                        if how == WITHOUT:
                            fresh.prefix += [sys.executable, "-m", "benchmarks.without_syncs"]
                        found.append(stage.join(full, fresh))
            medians = {how: median(found) for how, found in costs.items()}
            title = f"durability, {name} on {disk}, medians of {min(options.runs, 3)}"
            binds = "the disk, once for each batch of files" if disk == "ext4" else "as in first_sync"
            yield Report("durability", title, binds, COST_COLUMNS, cost_rows(medians, WITHOUT), [])


@contextmanager
def _ext4(base: Path, size: int) -> Iterator[Path]:
    """An ext4 file system of its own, in a file on the real disk if there is room."""
    image, mount = Path("/var/tmp") / f"{base.name}.img", base / "ext4"
    mount.mkdir()
    try:
        with image.open("wb") as file:
            file.truncate(size)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, mount], check=True)
        try:
            yield mount
        finally:
            subprocess.run(["umount", mount], check=True)
    finally:
        image.unlink()
        shutil.rmtree(mount)


def possible() -> bool:
    """Whether file systems can be made here; if not, that is said."""
    if shutil.which("mkfs.ext4") is None:
        skipped("ext4", "e2fsprogs is not installed")
        return False
    return True


if __name__ == "__main__":
    sys.exit(run(measure, __doc__, choices=CORPORA))
