"""Who follows the events of a watcher, and the tree that it is to know by them."""

import os
import shutil
import stat
from typing import Final

from hypothesis import strategies as st

from syncd.store.syscalls import RENAME_EXCHANGE, rename
from syncd.store.watch import Cause
from tests.store.watch_bench import CAME, Bench

_NAMES: Final = st.sampled_from([b"a", b"b", b"\xff"])
_PATHS: Final = st.lists(_NAMES, min_size=1, max_size=3).map(b"/".join)
OPERATIONS: Final = st.tuples(
    st.sampled_from(
        ["write", "append", "mode", "make", "remove", "rename", "rename", "swap", "link", "out", "in", "scan", "follow"]
    ),
    _PATHS,
    _PATHS,
)

Facts = tuple[int, ...]


def facts(path: bytes) -> Facts:
    """What of an entry must not change unnoticed."""
    status = os.lstat(path)
    if stat.S_ISDIR(status.st_mode):
        return (status.st_mode,)
    return (status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns)


def snapshot(root: bytes) -> dict[bytes, Facts]:
    """All entries but the marks of the bench."""
    found = {}
    for above, names, files in os.walk(root):
        for name in names + files:
            if not name.startswith(b"mark-"):
                path = os.path.join(above, name)
                found[os.path.relpath(path, root)] = facts(path)
    return found


class Follower:
    """Does what a node does: adds and lists directories that appear, and looks at every path that is reported."""

    def __init__(self, bench: Bench, exact: bool) -> None:
        self.bench = bench
        self.exact = exact
        self.seen: dict[bytes, Facts] = {}
        bench.start()

    def do(self, action: str, one: bytes, other: bytes) -> None:
        """Something happens to the tree, if it can."""
        here, there = self.bench.at(one), self.bench.at(other)
        kept = self.bench.outside + b"/kept"
        try:
            match action:
                case "write" | "append":
                    with open(here, "wb" if action == "write" else "ab") as file:
                        file.write(b"x")
                case "mode":
                    os.chmod(here, 0o700 if stat.S_IMODE(os.lstat(here).st_mode) != 0o700 else 0o755)
                case "make":
                    os.makedirs(here)
                case "remove":
                    shutil.rmtree(here) if os.path.isdir(here) else os.unlink(here)
                case "rename":
                    os.rename(here, there)
                case "swap":
                    rename(self.bench.fd, one, self.bench.fd, other, RENAME_EXCHANGE)
                case "link":
                    os.link(here, there)
                case "out":
                    os.rename(here, kept)
                case "in":
                    os.rename(kept, here)
                case "scan":
                    if not self.exact:  # else it may see what comes and goes between two looks of the watcher
                        self.follow()
                    self.scan(b"")
                case _:
                    self.follow()
        except OSError:
            pass

    def follow(self) -> None:
        """Act on events until there are none."""
        while events := self.bench.events():
            for event in events:
                if event.cause is Cause.OVERFLOW:
                    self.scan(b"")
                elif event.cause in CAME and event.directory:
                    self.scan(event.path)
                self.look(event.path)

    def look(self, path: bytes) -> None:
        try:
            self.seen[path] = facts(self.bench.at(path))
        except OSError:
            self.seen.pop(path, None)
        if path not in self.seen or not stat.S_ISDIR(self.seen[path][0]):
            for below in [known for known in self.seen if known.startswith(path + b"/")]:
                del self.seen[below]

    def scan(self, path: bytes) -> None:
        """List a directory, after it was watched."""
        self.bench.watcher.add(path)
        prefix = path + b"/" if path else b""
        try:
            names = {name for name in os.listdir(self.bench.at(path)) if not name.startswith(b"mark-")}
        except OSError:
            names = set()
        known = {below[len(prefix) :].partition(b"/")[0] for below in self.seen if below.startswith(prefix)}
        for name in names | known:
            self.look(prefix + name)
            if stat.S_ISDIR(self.seen.get(prefix + name, (0,))[0]):
                self.scan(prefix + name)
