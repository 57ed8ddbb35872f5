"""A folder on a real file system with all hands on it, and trees as plain values."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterable
from typing import Final

from hypothesis import strategies as st

from protocol.content import block_id
from protocol.edit import Entry
from protocol.paths import to_key
from protocol.record import DIRECTORY_CONTENT, LINK_MODE, Kind, link_content
from syncd.core.events import Action, Problem
from syncd.core.index import Disk
from syncd.store.applier import Applier, Job, Outcome, Result, Source
from syncd.store.archive import Archive, ArchivedItem
from syncd.store.directories import Directories
from syncd.store.hasher import Hasher
from syncd.store.look import Stat
from syncd.store.parents import LocalPolicy
from syncd.store.root import Root
from syncd.store.scanner import Changed, Gone, Passed, Scanner
from syncd.store.staging import Staging

KEY: Final = b"k" * 32
FOLDER_ID: Final = b"f" * 16
LATER: Final = 1 << 62  # ns: a time at which no file of a test is young
SOME_TIME: Final = 1_700_000_000_123_456_789  # ns
NOBODY: Final = 65_534

# path: (kind, bytes of the file or target of the link, mode, mtime)
Tree = dict[bytes, tuple[Kind, bytes, int, int]]


def file_entry(data: bytes, mode: int = 0o644, mtime: int = SOME_TIME) -> Entry:
    """What a small file with these bytes is."""
    return Entry(Kind.FILE, block_id(KEY, data), len(data), mode, mtime, b"")


def link_entry(target: bytes, mtime: int = SOME_TIME) -> Entry:
    """What a link is."""
    return Entry(Kind.LINK, link_content(target), 0, LINK_MODE, mtime, target)


def directory_entry(mode: int = 0o755) -> Entry:
    """What a directory is."""
    return Entry(Kind.DIR, DIRECTORY_CONTENT, 0, mode, 0, b"")


def differences(found: Iterable[Changed | Gone | Problem | Passed]) -> list[Changed | Gone | Problem]:
    """What a comparison says of paths."""
    return [item for item in found if not isinstance(item, Passed)]


class Folder:
    """An open folder at `path`, as a node has it."""

    def __init__(
        self,
        path: str,
        policy: LocalPolicy | None = None,
        ignored: Callable[[bytes, bool], bool] = lambda path, directory: False,
        draw: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        os.makedirs(path, exist_ok=True)
        self.path = os.fsencode(path)
        self.root = Root.open(path, FOLDER_ID)
        self.directories = Directories(self.root.fd)
        self.staging = Staging(self.root.staging_fd, KEY, draw)
        self.archive = Archive(self.root.archive_fd, draw)
        self.policy = policy or LocalPolicy()
        self.applier = self.new_applier()
        self.scanner = Scanner(self.directories, ignored)
        self.hasher = Hasher(self.directories, KEY)

    def new_applier(self) -> Applier:
        """An applier of the user that the process is now."""
        return Applier(self.root, self.directories, self.staging, self.archive, self.policy, lambda: SOME_TIME)

    def close(self) -> None:
        self.staging.close()
        self.directories.close()
        self.root.close()

    def at(self, path: bytes) -> bytes:
        """A name by which the test itself reaches into the tree."""
        return self.path + b"/" + path

    def write(self, path: bytes, data: bytes, mode: int = 0o644, mtime: int | None = None) -> None:
        """Do what a user does: write a file in place, with its directories."""
        os.makedirs(os.path.dirname(self.at(path)), exist_ok=True)
        with open(self.at(path), "wb") as file:
            file.write(data)
        os.chmod(self.at(path), mode)
        if mtime is not None:
            os.utime(self.at(path), ns=(mtime, mtime))

    def read(self, path: bytes) -> bytes:
        with open(self.at(path), "rb") as file:
            return file.read()

    def seen(self, path: bytes) -> Disk:
        """What the index would hold of a path."""
        stat = self.scanner.stat_one(path)
        assert isinstance(stat, Stat), stat
        return self.hasher.hash(path, stat).disk if stat.kind is Kind.FILE else stat.disk()

    def seen_tree(self) -> dict[bytes, Disk]:
        """What the index would hold of all paths."""
        stats = list(self.scanner.walk())
        assert all(isinstance(stat, Stat) for stat in stats), stats
        return {stat.path: self.seen(stat.path) for stat in stats}

    def job(self, path: bytes, expect: Disk | None, want: Entry | None, source: Source = None) -> Job:
        return Job(Action(to_key(path), path, expect, want), source)

    def apply(self, *jobs: Job, durable: bool = False) -> list[Result]:
        return self.applier.apply(jobs, durable=durable)

    def apply_one(self, path: bytes, expect: Disk | None, want: Entry | None, source: Source = None) -> Result:
        (result,) = self.apply(self.job(path, expect, want, source))
        return result

    def create(self, path: bytes, data: bytes, mode: int = 0o644, mtime: int = SOME_TIME) -> Disk:
        """Have the applier make a new file."""
        result = self.apply_one(path, None, file_entry(data, mode, mtime), data)
        assert result.outcome is Outcome.DONE, result
        assert result.disk is not None
        return result.disk

    def compare(self, rows: dict[bytes, Disk], now: int = LATER) -> list[Changed | Gone | Problem]:
        """What a scan finds against these rows."""
        ordered = sorted((to_key(path), disk) for path, disk in rows.items())
        return differences(self.scanner.compare(self.scanner.walk(), ordered, now))

    def tree(self) -> Tree:
        """The tree as it is, read by other means than the code under test."""
        return read_tree(self.path)

    def private(self, directory: bytes) -> list[bytes]:
        """Names in `.syncd/<directory>`."""
        return os.listdir(self.path + b"/.syncd/" + directory)

    def archived(self) -> set[bytes]:
        """The bytes of all archived files."""
        contents = set()
        for name in self.private(b"archive"):
            with open(self.path + b"/.syncd/archive/" + name, "rb") as file:
                contents.add(file.read())
        return contents

    def archived_of(self, items: list[ArchivedItem]) -> list[bytes]:
        """The bytes of these archived files, sorted."""
        contents = []
        for item in items:
            with open(self.archive.open(item.name), "rb") as file:
                contents.append(file.read())
        return sorted(contents)


def read_tree(top: bytes) -> Tree:
    """All entries below a directory but `.syncd`."""
    found: Tree = {}
    for directory, directories, files in os.walk(top):
        if directory == top and b".syncd" in directories:
            directories.remove(b".syncd")
        for name in directories + files:
            path = os.path.join(directory, name)
            status = os.lstat(path)
            mode, short = status.st_mode & 0o777, os.path.relpath(path, top)
            if os.path.islink(path):
                found[short] = (Kind.LINK, os.readlink(path), LINK_MODE, status.st_mtime_ns)
            elif os.path.isdir(path):
                found[short] = (Kind.DIR, b"", mode, 0)
            else:
                with open(path, "rb") as file:
                    found[short] = (Kind.FILE, file.read(), mode, status.st_mtime_ns)
    return found


def make_tree(folder: Folder, tree: Tree) -> None:
    """Make these entries with ordinary means; parents come before what is in them."""
    for path in sorted(tree, key=to_key):
        kind, data, mode, mtime = tree[path]
        if kind is Kind.FILE:
            folder.write(path, data, mode, mtime)
        elif kind is Kind.DIR:
            os.makedirs(folder.at(path), exist_ok=True)
            os.chmod(folder.at(path), mode)
        else:
            os.makedirs(os.path.dirname(folder.at(path)), exist_ok=True)
            os.symlink(data, folder.at(path))
            os.utime(folder.at(path), ns=(mtime, mtime), follow_symlinks=False)


def plan(folder: Folder, seen: dict[bytes, Disk], wanted: Tree) -> list[Job]:
    """Jobs from what is there to a tree: removals from below, then everything else from above."""
    jobs = [folder.job(p, seen[p], None) for p in sorted(seen, key=to_key, reverse=True) if p not in wanted]
    for path in sorted(wanted, key=to_key):
        entry, source = entry_of(wanted[path])
        disk = seen.get(path)
        if disk is None or disk.entry != entry:
            jobs.append(folder.job(path, disk, entry, source))
    return jobs


def entry_of(item: tuple[Kind, bytes, int, int]) -> tuple[Entry, bytes | None]:
    """(entry, bytes of a file)."""
    kind, data, mode, mtime = item
    if kind is Kind.FILE:
        return file_entry(data, mode, mtime), data
    return (link_entry(data, mtime), None) if kind is Kind.LINK else (directory_entry(mode), None)


def paths(items: Iterable[object]) -> list[bytes]:
    """The paths of what a scan found."""
    return [item.stat.path if isinstance(item, Changed) else item.path for item in items]  # type: ignore[attr-defined]


def shorten(top: bytes) -> None:
    """Lift everything below a directory to its top, so that a deep tree can be removed by tools that recurse."""
    number = 0
    pending = [top]
    while pending:
        directory = pending.pop()
        for name in os.listdir(directory):
            path = os.path.join(directory, name)
            if directory != top:
                number += 1
                lifted = os.path.join(top, b"lifted-%d" % number)
                os.rename(path, lifted)
                path = lifted
            if os.path.isdir(path) and not os.path.islink(path):
                pending.append(path)


NAMES: Final = (b"a", b"a.b", b"a-", b"b", b"\x01", b"\xff", b"a\x01")


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Small trees in which names of one tree often are also names of another."""
    tree: Tree = {}
    for parts in draw(st.lists(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4), max_size=10)):
        above = [b"/".join(parts[:length]) for length in range(1, len(parts))]
        path = b"/".join(parts)
        if path in tree or any(tree.get(name, (Kind.DIR,))[0] is not Kind.DIR for name in above):
            continue
        for name in above:
            tree.setdefault(name, (Kind.DIR, b"", draw(st.sampled_from([0o755, 0o700, 0o775])), 0))
        kind = draw(st.sampled_from([Kind.FILE, Kind.FILE, Kind.DIR, Kind.LINK]))
        data = draw(st.sampled_from([b"", b"1", b"2"]))
        mode, mtime = draw(st.sampled_from([0o644, 0o755, 0o600])), draw(st.sampled_from([-1, 0, SOME_TIME]))
        if kind is Kind.FILE:
            tree[path] = (kind, data, mode, mtime)
        elif kind is Kind.DIR:
            tree[path] = (kind, b"", mode | 0o700, 0)
        else:
            tree[path] = (kind, b"to" + data, LINK_MODE, mtime)
    return tree


def wipe(folder: Folder) -> None:
    """Do what a user does: rm -r *."""
    for name in os.listdir(folder.path):
        if name == b".syncd":
            continue
        if os.path.isdir(folder.at(name)) and not os.path.islink(folder.at(name)):
            shutil.rmtree(folder.at(name))
        else:
            os.unlink(folder.at(name))
    folder.directories.forget(b"")
