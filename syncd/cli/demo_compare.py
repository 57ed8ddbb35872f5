"""Two trees, entry by entry: names, kinds, permission bits, modification times to the nanosecond, bytes."""

import os
import stat
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Final

from syncd.cli.wording import clean

IGNORED: Final = ".syncd"  # at the top: lock and marker of the node itself
_READ: Final = 1 << 20  # bytes compared at once
_KINDS: Final = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}


def differences(one: str, two: str, most: int) -> tuple[list[str], Counter[str]]:
    """(the first `most` differences, a line each; how many entries of each kind are in `one`)."""
    here, there = dict(_entries(one)), dict(_entries(two))
    kinds = Counter(_kind(status) for status in here.values())
    return list(islice(_compare(one, here, two, there), most)), kinds


def _compare(one: str, here: dict[str, os.stat_result], two: str, there: dict[str, os.stat_result]) -> Iterator[str]:
    for path in sorted(here.keys() | there.keys()):
        if path not in there:
            yield f"{clean(path)}: missing on the secondary"
        elif path not in here:
            yield f"{clean(path)}: only on the secondary"
        elif difference := _difference(os.path.join(one, path), here[path], os.path.join(two, path), there[path]):
            yield f"{clean(path)}: {difference}"


def _difference(first: str, here: os.stat_result, second: str, there: os.stat_result) -> str:
    kind = _kind(here)
    if kind != _kind(there):
        return f"a {kind}, a {_kind(there)} on the secondary"
    if kind != "link" and stat.S_IMODE(here.st_mode) != stat.S_IMODE(there.st_mode):
        return f"mode {stat.S_IMODE(here.st_mode):04o}, {stat.S_IMODE(there.st_mode):04o} on the secondary"
    if kind != "directory" and here.st_mtime_ns != there.st_mtime_ns:
        return f"mtime {here.st_mtime_ns} ns, {there.st_mtime_ns} ns on the secondary"
    if kind == "link" and os.readlink(first) != os.readlink(second):
        return "another target"
    if kind == "file" and (here.st_size != there.st_size or not same_bytes(first, second)):
        return "other bytes"
    return ""


def same_bytes(first: str, second: str) -> bool:
    """Whether two files hold the same. Raises OSError."""
    with open(first, "rb", buffering=0) as one, open(second, "rb", buffering=0) as two:
        while True:
            data = one.read(_READ)
            if data != two.read(_READ):
                return False
            if not data:
                return True


def _entries(tree: str) -> Iterator[tuple[str, os.stat_result]]:
    below = [""]
    while below:
        directory = below.pop()
        with os.scandir(os.path.join(tree, directory)) as entries:
            for entry in entries:
                path = os.path.join(directory, entry.name)
                if path == IGNORED:
                    continue
                yield path, entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    below.append(path)


def _kind(status: os.stat_result) -> str:
    return _KINDS.get(stat.S_IFMT(status.st_mode), "special file")
