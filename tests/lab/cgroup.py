"""A limit of memory for a daemon, by a control group of version 1 or 2. Needs root."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_V1 = Path("/sys/fs/cgroup/memory")
_V2 = Path("/sys/fs/cgroup")
REMOVAL_DEADLINE = 10.0  # seconds until the kernel has let go of the last process


class CannotLimit(Exception):
    """This machine gives no control group with a limit of memory; the message says why."""


class Cgroup:
    """prefix: put before a command that shall run in it. Page cache counts, but is given back at the limit."""

    def __init__(self, directory: Path, version: int) -> None:
        self._directory, self._version = directory, version
        self.prefix = ["/bin/sh", "-c", f'echo $$ > "{directory}/cgroup.procs" && exec "$@"', "sh"]

    @property
    def processes(self) -> list[int]:
        """What runs in it."""
        return [int(line) for line in (self._directory / "cgroup.procs").read_text().split()]

    @property
    def kills(self) -> int:
        """Processes that the kernel killed because they needed more."""
        name = "memory.oom_control" if self._version == 1 else "memory.events"
        rows = dict(line.split() for line in (self._directory / name).read_text().splitlines())
        return int(rows["oom_kill"])


@contextmanager
def memory_limit(size: int) -> Iterator[Cgroup]:
    """A control group of processes that may have `size` bytes together. Whatever runs in it must have ended by then.

    Raises CannotLimit.
    """
    name = f"syncd-{os.getpid()}-{time.monotonic_ns()}"
    if (_V1 / "memory.limit_in_bytes").exists():
        directory, version, limits = _V1 / name, 1, ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]
    elif "memory" in _read(_V2 / "cgroup.subtree_control").split():
        directory, version, limits = _V2 / name, 2, ["memory.max", "memory.swap.max"]
    else:
        raise CannotLimit("no memory controller in /sys/fs/cgroup")
    try:
        directory.mkdir()
    except OSError as error:
        raise CannotLimit(f"{directory}: {error.strerror}") from error
    try:
        (directory / limits[0]).write_text(str(size))
        if (directory / limits[1]).exists():
            (directory / limits[1]).write_text(str(size if version == 1 else 0))
        yield Cgroup(directory, version)
    finally:
        _remove(directory)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _remove(directory: Path) -> None:
    end = time.monotonic() + REMOVAL_DEADLINE
    while True:
        try:
            directory.rmdir()
        except OSError:
            if time.monotonic() > end:
                raise
            os.sched_yield()
        else:
            return
