"""Runs a module of Python with system calls that make files durable replaced by nothing: `... MODULE [arguments]`.

For `benchmarks.durability` alone, which tells by it what durability costs. SQLite's own syncs stay.
"""

import os
import runpy
import sys

from syncd.store import syscalls


def nothing(*_: object) -> None:
    """What would have been synced is not."""


def main() -> None:
    """Run the module named first with the arguments behind it, which may begin with an interpreter and `-m`."""
    arguments = sys.argv[1:]
    if "-m" in arguments[:2]:
        arguments = arguments[arguments.index("-m") + 1 :]
    os.fsync = os.fdatasync = nothing  # type: ignore[assignment]
    syscalls.sync_file_system = nothing
    sys.argv = arguments
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
