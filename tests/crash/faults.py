"""Faults that strace injects into a daemon's system calls, and how many calls of each kind there are to choose from."""

import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.lab.cluster import await_condition
from tests.lab.machine import cannot_run

KINDS = {  # what changes the disk, by what it does; the names of one kind are counted together
    "rename": "rename,renameat,renameat2",
    "pwrite": "pwrite64",
    "write": "write,writev",
    "sync": "fsync,fdatasync,syncfs",
    "truncate": "ftruncate",
    "unlink": "unlink,unlinkat,rmdir",
    "create": "mkdir,mkdirat,symlinkat,linkat",
    "mode": "fchmod,fchmodat,utimensat",
}
REFUSED = ("rename", "pwrite", "sync", "truncate", "unlink", "create", "mode")  # writes also go to sockets and pipes
_CALL = re.compile(r"^(\d+) +(\w+)\(")
_KIND_OF = {name: kind for kind, names in KINDS.items() for name in names.split(",")}


class Fault(NamedTuple):
    """What happens at the k-th call of a kind. error: its name, or none to be killed there."""

    kind: str
    k: int
    error: str = ""
    always: bool = False  # at every later call of the kind, too

    def __str__(self) -> str:
        what = self.error or "SIGKILL"
        return f"{what} at {self.kind} number {self.k}{' and all after it' if self.always else ''}"

    def prefix(self) -> list[str]:
        """The command that starts a daemon with it. Process id and exit status are those of the daemon."""
        what = f"error={self.error}" if self.error else "signal=KILL"
        when = f"when={self.k}{'+' if self.always else ''}"
        names = KINDS[self.kind]
        return [*_strace(os.devnull), "-e", f"trace={names}", "-e", f"inject={names}:{what}:{when}"]


def _strace(output: str) -> list[str]:
    return ["strace", "-D", "-f", "-qqq", "-o", output]


@contextmanager
def lasting(kind: str, error: str, process: int) -> Iterator[None]:
    """A running daemon in which every call of a kind fails, until the end of the with statement."""
    names = KINDS[kind]
    command = ["strace", "-f", "-qqq", "-o", os.devnull, "-e", f"trace={names}", "-e", f"inject={names}:error={error}"]
    strace = subprocess.Popen([*command, "-p", str(process)], stderr=subprocess.PIPE)
    try:
        await_condition(lambda: _is_traced(process) or strace.poll() is not None, "strace does not attach", 10.0)
        assert strace.poll() is None, strace.communicate()[1].decode()
        yield
    finally:
        strace.terminate()  # it lets go of the daemon
        strace.communicate()


def _is_traced(process: int) -> bool:
    """Whether all threads of a process are."""
    threads = list(Path(f"/proc/{process}/task").iterdir())
    return all("TracerPid:\t0\n" not in (thread / "status").read_text() for thread in threads)


def counting(output: Path) -> list[str]:
    """The command that starts a daemon and writes down its calls."""
    return [*_strace(str(output)), "-e", f"trace={','.join(KINDS.values())}"]


def calls(output: Path) -> dict[str, int]:
    """{kind: most calls of one thread}: strace counts every thread's calls, and every name's, by itself."""
    counts: Counter[tuple[str, str]] = Counter()
    for line in output.read_text(errors="replace").splitlines():
        found = _CALL.match(line)
        if found is not None:
            counts[found[1], found[2]] += 1
    most = dict.fromkeys(KINDS, 0)
    for (_, name), count in counts.items():
        most[_KIND_OF[name]] = max(most[_KIND_OF[name]], count)
    return most


def need_strace() -> None:
    """Skip without strace; fail where tests count."""
    if shutil.which("strace") is None:
        cannot_run("these tests need the program strace")
