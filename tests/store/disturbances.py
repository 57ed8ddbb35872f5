"""What happens to a tree while it is worked on, and how to see whether that did harm."""

import os
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from protocol.content import Block, block_id
from protocol.edit import Entry
from protocol.record import Kind
from syncd.store.applier import Outcome, Result
from syncd.store.staging import Staged
from tests.store.trees import (
    KEY,
    SOME_TIME,
    Folder,
    directory_entry,
    file_entry,
    link_entry,
)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")


def failing(code: int) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def outcomes(results: list[Result]) -> list[Outcome]:
    return [result.outcome for result in results]


def check_quiet(folder: Folder, *left: bytes) -> None:
    """Staging holds nothing but `left`, and no inode has a name both in the tree and in a private place."""
    assert sorted(folder.private(b"staging")) == sorted(left)
    for name in folder.private(b"archive"):
        status = os.lstat(folder.at(b".syncd/archive/" + name))
        assert os.path.islink(folder.at(b".syncd/archive/" + name)) or status.st_nlink == 1
        assert os.path.islink(folder.at(b".syncd/archive/" + name)) or status.st_mode & 0o7777 == 0o600


KINDS: dict[str, tuple[Entry, bytes | None]] = {
    "file": (file_entry(b"file"), b"file"),
    "link": (link_entry(b"target"), None),
    "directory": (directory_entry(0o750), None),
}


def edit_in_place(folder: Folder) -> None:
    folder.write(b"d/f", b"edit")


def edit_with_old_times(folder: Folder) -> None:
    folder.write(b"d/f", b"edi", mtime=os.stat(folder.at(b"d/f")).st_mtime_ns)


def edit_by_rename(folder: Folder) -> None:
    mtime = os.stat(folder.at(b"d/f")).st_mtime_ns
    folder.write(b"new", b"edi", mtime=mtime)
    os.rename(folder.at(b"new"), folder.at(b"d/f"))


def become_link(folder: Folder) -> None:
    os.unlink(folder.at(b"d/f"))
    os.symlink(b"/etc/passwd", folder.at(b"d/f"))


def become_fifo(folder: Folder) -> None:
    os.unlink(folder.at(b"d/f"))
    os.mkfifo(folder.at(b"d/f"))


def become_directory(folder: Folder) -> None:
    os.unlink(folder.at(b"d/f"))
    os.mkdir(folder.at(b"d/f"))
    folder.write(b"d/f/inside", b"edit")


def vanish(folder: Folder) -> None:
    os.unlink(folder.at(b"d/f"))


def parent_becomes_file(folder: Folder) -> None:
    shutil.rmtree(folder.at(b"d"))
    folder.write(b"d", b"edit")


def parent_vanishes(folder: Folder) -> None:
    shutil.rmtree(folder.at(b"d"))


CHANGES = [
    edit_in_place, edit_with_old_times, edit_by_rename, become_link, become_fifo, become_directory, vanish,
    parent_becomes_file, parent_vanishes,
]  # fmt: skip
WANTS: dict[str, tuple[Entry | None, bytes | None]] = {
    "replace": (file_entry(b"new"), b"new"),
    "adjust": (file_entry(b"old", 0o700, 7), None),
    "link": (link_entry(b"x"), None),
    "directory": (directory_entry(), None),
    "remove": (None, None),
}


def photograph(top: bytes) -> list[tuple[object, ...]]:
    """Everything in the tree, special files too."""
    found: list[tuple[object, ...]] = []
    for directory, directories, files in os.walk(top):
        if directory == top:
            directories.remove(b".syncd")
        for name in directories + files:
            status = os.lstat(os.path.join(directory, name))
            mtime = None if os.path.isdir(os.path.join(directory, name)) else status.st_mtime_ns
            found.append((directory, name, status.st_ino, status.st_mode, status.st_size, mtime))
    return sorted(found)  # type: ignore[type-var]


class Instant:
    """Runs something right before or after the n-th call of a function."""

    def __init__(self, patch: pytest.MonkeyPatch, place: object, name: str, selected: Callable[..., bool]) -> None:
        self._real = getattr(place, name)
        self._selected = selected
        self.calls = 0
        self.before: dict[int, Callable[[], None]] = {}
        self.after: dict[int, Callable[[], None]] = {}
        patch.setattr(place, name, self)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        if not self._selected(*arguments, **options):
            return self._real(*arguments, **options)
        self.calls += 1
        number = self.calls
        self.before.get(number, lambda: None)()
        result = self._real(*arguments, **options)
        self.after.get(number, lambda: None)()
        return result


def staged(folder: Folder, data: bytes, complete: bool = True) -> tuple[Staged, Entry]:
    half = len(data) // 2
    blocks = [Block(block_id(KEY, part), offset, len(part)) for offset, part in ((0, data[:half]), (half, data[half:]))]
    content = block_id(KEY, b"list of " + data)
    file = folder.staging.open(content, len(data), blocks)
    for number in list(file.missing)[: None if complete else 1]:
        block = blocks[number]
        file.write(number, data[block.offset : block.offset + block.length])
    return file, Entry(Kind.FILE, content, len(data), 0o644, SOME_TIME, b"")
