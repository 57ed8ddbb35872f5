"""Whoever flips directories and links below the daemon never makes it touch or read anything outside the folder."""

import contextlib
import multiprocessing
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest

from protocol.content import block_id
from protocol.edit import Entry
from protocol.record import Kind
from syncd.core.index import Disk
from syncd.node.holdings import Holdings
from syncd.store import syscalls
from syncd.store.applier import Outcome
from syncd.store.hasher import FileChanged
from syncd.store.look import Stat
from tests.store.trees import KEY, SOME_TIME, Folder, directory_entry, file_entry, link_entry

CANARY: Final = b"what lies outside"
ROUNDS: Final = 2_000
EVERY: Final = 3  # of the places where a flip may happen
DEADLINE: Final = 120.0  # seconds for both states to be met
AT_CWD: Final = -100


class Outside:
    """A tree beside the folder with the same names as in it, and a photograph of it."""

    def __init__(self, top: Path) -> None:
        self.top = top
        for name in ("d", "d/e"):
            (top / name).mkdir(parents=True)
        for name in ("f", "d/f", "d/g", "d/e/f", "d/new"):
            (top / name).write_bytes(CANARY)
            os.utime(top / name, ns=(SOME_TIME, SOME_TIME))
        self.photograph = self.look()

    def look(self) -> dict[str, tuple[object, ...]]:
        """All that can be told of it, but for access times."""
        found: dict[str, tuple[object, ...]] = {}
        for directory, _, files in os.walk(self.top):
            for path in [directory, *(os.path.join(directory, name) for name in files)]:
                status = os.lstat(path)
                data = Path(path).read_bytes() if os.path.isfile(path) else b""
                found[path] = data, status.st_mode, status.st_uid, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
        return found


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    return Outside(tmp_path / "outside")


def rename(source: bytes, target: bytes, flags: int) -> None:
    syscalls.rename(AT_CWD, source, AT_CWD, target, flags)


def swap(one: bytes, other: bytes) -> Callable[[], None]:
    """Exchanges two names, as often as it is called."""

    def act() -> None:
        with contextlib.suppress(OSError):
            rename(one, other, syscalls.RENAME_EXCHANGE)

    return act


class Contents:
    """Says that every content lies at these paths."""

    def __init__(self, *paths: bytes) -> None:
        self._paths = paths

    def files_with(self, _content: bytes) -> list[tuple[bytes, int]]:
        return [(path.replace(b"/", b"\0"), 0) for path in self._paths]

    def archive_find_content(self, _content: bytes) -> list[object]:
        return []


class Work:
    """What a daemon does below `d`, each step with what the index would believe."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.outcomes: Counter[Outcome] = Counter()
        contents: Any = Contents(b"d/f", b"d/e/f", b"f")
        self.holdings = Holdings(contents, folder.directories, folder.archive)
        self.read: set[bytes] = set()

    def scan(self) -> None:
        for item in self.folder.scanner.walk():
            if not isinstance(item, Stat):
                continue
            assert item.path.startswith((b"d", b"f", b"flip", b"p", b"q")), item
            if item.kind is Kind.FILE:
                with contextlib.suppress(OSError, FileChanged):
                    hashed = self.folder.hasher.hash(item.path, item)
                    assert hashed.small != CANARY, item
        self.folder.directories.forget(b"")

    def serve(self) -> None:
        for path in (b"d/f", b"d/e/f", b"f"):
            self.read.update(self.holdings.read(path, 0, len(CANARY), whole=True))

    def step(self, path: bytes, expect: Disk | None, want: Entry | None, data: bytes | None = None) -> Disk | None:
        result = self.folder.apply_one(path, expect, want, data)
        self.outcomes[result.outcome] += 1
        return result.disk if result.outcome is Outcome.DONE else expect

    def seen(self, path: bytes) -> Disk | None:
        with contextlib.suppress(OSError, FileChanged):
            stat = self.folder.scanner.stat_one(path)
            if isinstance(stat, Stat):
                return self.folder.hasher.hash(path, stat).disk if stat.kind is Kind.FILE else stat.disk()
        return None

    def change(self, number: int) -> None:
        """Everything that an applier can do to a path, one after the other."""
        data = b"ours %d" % number
        for path in (b"d/f", b"f", b"d/e/f"):
            seen = self.seen(path)
            seen = self.step(path, seen, file_entry(data, 0o640), data)
            seen = self.step(path, seen, file_entry(data, 0o755, SOME_TIME + number), None)
        for path in (b"d/new", b"d/n/e/w"):
            seen = self.step(path, None, file_entry(data), data)
            self.step(path, seen, None)
        seen = self.step(b"d/link", None, link_entry(b"f"))
        seen = self.step(b"d/link", seen, link_entry(b"f", SOME_TIME + number))
        self.step(b"d/link", seen, None)
        seen = self.step(b"d/sub", None, directory_entry())
        seen = self.step(b"d/sub", seen, directory_entry(0o700))
        self.step(b"d/sub", seen, None)
        directory = self.seen(b"d")
        if directory is not None and directory.entry.kind is Kind.DIR:
            self.step(b"d", directory, directory_entry(0o700 if number % 2 else 0o755))
        self.step(b"d/n/e", self.seen(b"d/n/e"), None)
        self.step(b"d/n", self.seen(b"d/n"), None)

    def everything(self, number: int) -> None:
        self.scan()
        self.change(number)
        self.serve()

    def check(self, outside: Outside) -> None:
        assert outside.look() == outside.photograph
        assert CANARY not in self.read
        for name in self.folder.private(b"archive"):
            path = self.folder.at(b".syncd/archive/" + name)
            assert os.path.islink(path) or Path(os.fsdecode(path)).read_bytes() != CANARY
        names = [name for directory in (b"archive", b"staging") for name in self.folder.private(directory)]
        assert block_id(KEY, CANARY).hex().encode() not in names


def flips(folder: Folder, outside: Outside) -> dict[str, Callable[[], None]]:
    """Ways to swap what is in the folder for what leads outside, each ready to be called again and again."""
    os.symlink(outside.top / "d", folder.at(b"flip-d"))
    os.symlink(outside.top / "f", folder.at(b"flip-f"))
    os.symlink(outside.top / "d/e", folder.at(b"flip-e"))
    os.makedirs(folder.at(b"p/e"))
    folder.write(b"p/f", b"p")
    return {
        "directory": swap(folder.at(b"d"), folder.at(b"flip-d")),
        "file": swap(folder.at(b"f"), folder.at(b"flip-f")),
        "lower directory": swap(folder.at(b"d/e"), folder.at(b"flip-e")),
        "directory with another": swap(folder.at(b"d"), folder.at(b"p")),
    }


def prepare(folder: Folder) -> None:
    folder.write(b"d/f", b"old")
    folder.write(b"d/g", b"old")
    folder.write(b"d/e/f", b"old")
    folder.write(b"f", b"old")


WAYS: Final = ("directory", "file", "lower directory", "directory with another")


class Interruption:
    """Calls something before the n-th system call that the store makes by a function of Python's own."""

    def __init__(self, actions: dict[int, Callable[[], None]]) -> None:
        self.calls = 0
        self._actions = actions

    def __enter__(self) -> "Interruption":
        sys.setprofile(self._see)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _see(self, frame: FrameType, event: str, function: Any) -> None:
        name = frame.f_code.co_filename
        if event == "c_call" and getattr(function, "__module__", "") == "posix" and "/syncd/" in name:
            self.calls += 1
            action = self._actions.get(self.calls)
            if action is not None:
                sys.setprofile(None)
                action()
                sys.setprofile(self._see)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("lasting", [True, False])
def test_a_flip_before_any_system_call(tmp_path: Path, outside: Outside, way: str, lasting: bool) -> None:
    """Once at every place: for the rest of the work, or for one call only."""
    folder = Folder(str(tmp_path / "root"))
    prepare(folder)
    flip = flips(folder, outside)[way]
    work = Work(folder)
    with Interruption({}) as counted:
        work.everything(0)
    assert counted.calls > 200
    work.outcomes.clear()
    for number in range(1, counted.calls + 1, EVERY):
        with Interruption({number: flip} if lasting else {number: flip, number + 1: flip}):
            work.everything(number)
        if lasting:
            flip()
    work.check(outside)
    folder.close()
    assert work.outcomes[Outcome.DONE] > 50
    assert work.outcomes[Outcome.DIFFERS]


def _flip_on(root: bytes, lower: int, stop: Any) -> None:
    """lower: the directory `d` by descriptor, so that nothing of what lies outside is moved by us."""
    top = os.open(root, os.O_RDONLY)
    while not stop.is_set():
        for fd, one, other in (
            (top, b"d", b"flip-d"),
            (top, b"f", b"flip-f"),
            (lower, b"e", b"flip-e"),
            (top, b"d", b"p"),
        ):
            with contextlib.suppress(OSError):
                syscalls.rename(fd, one, top, other, syscalls.RENAME_EXCHANGE)


@pytest.fixture
def flipper(tmp_path: Path, outside: Outside) -> Iterator[Folder]:
    """A folder whose directories and files are swapped for links by another process at full speed."""
    folder = Folder(str(tmp_path / "root"))
    prepare(folder)
    flips(folder, outside)
    context = multiprocessing.get_context("fork")
    stop = context.Event()
    lower = os.open(folder.at(b"d"), os.O_RDONLY)
    process = context.Process(target=_flip_on, args=(folder.path, lower, stop))
    process.start()
    yield folder
    stop.set()
    process.join(10)
    if process.is_alive():
        process.kill()
    os.close(lower)
    folder.close()


def test_flips_at_full_speed(flipper: Folder, outside: Outside) -> None:
    work = Work(flipper)
    deadline = time.monotonic() + DEADLINE
    applied = number = 0
    while applied < ROUNDS or not (work.outcomes[Outcome.DONE] and work.outcomes[Outcome.DIFFERS]):
        assert time.monotonic() < deadline, work.outcomes
        number += 1
        work.everything(number)
        applied = sum(work.outcomes.values())
    work.check(outside)


# ---- no path leads anywhere


def test_no_path_below_the_root_goes_to_the_kernel(
    tmp_path: Path, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names only, each beside the descriptor of its directory; /proc/self/fd/N leads to what is open already."""
    folder = Folder(str(tmp_path / "root"))
    prepare(folder)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/marker").write_text("x")
    os.symlink(tmp_path / "elsewhere", folder.at(b"d/.syncd"))
    os.makedirs(folder.at(b"d/nested/.syncd"))
    seen: list[str] = []
    listening = [True]
    thread = threading.get_ident()

    def note(*arguments: object) -> None:
        if listening and threading.get_ident() == thread:
            seen.extend(os.fsdecode(item) for item in arguments if isinstance(item, str | bytes))

    def hear(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" or event.startswith("os."):
            note(*arguments)

    for place, name in ((os, "stat"), (os, "access"), (syscalls, "_renameat2"), (syscalls, "_statx")):
        monkeypatch.setattr(place, name, _noting(getattr(place, name), note))
    sys.addaudithook(hear)
    Work(folder).everything(1)
    found = [item.path for item in folder.scanner.walk() if isinstance(item, Stat)]
    folder.close()
    listening.clear()
    root = str(tmp_path / "root")
    assert len(seen) > 200
    assert not [name for name in seen if "/" in name and not name.startswith("/proc/self/fd/") and name != root]
    assert b"d/.syncd" in found, "a link of that name is a link and no other folder"


def _noting(real: Callable[..., Any], note: Callable[..., None]) -> Callable[..., Any]:
    def call(*arguments: Any, **where: Any) -> Any:
        note(*arguments)
        return real(*arguments, **where)

    return call


def test_the_flipper_itself_leads_outside(flipper: Folder, outside: Outside) -> None:
    """A reader of plain paths does find the canary: so the tests above can fail."""
    deadline = time.monotonic() + DEADLINE
    found = b""
    while found != CANARY:
        assert time.monotonic() < deadline
        with contextlib.suppress(OSError):
            found = Path(os.fsdecode(flipper.at(b"d/f"))).read_bytes()
