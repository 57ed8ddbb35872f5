"""Walking the tree in the order of keys."""

import os
import socket
import stat as modes
import subprocess
from pathlib import Path

import pytest

from protocol.paths import to_key
from protocol.record import Kind
from syncd.core.events import Problem
from syncd.store import syscalls
from syncd.store.look import Stat, clamp
from syncd.store.scanner import Gone
from tests.store.trees import (
    NOBODY,
    SOME_TIME,
    Folder,
    differences,
    paths,
    shorten,
)  # fmt: skip

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")


def walked(folder: Folder, path: bytes = b"") -> list[bytes]:
    return [item.path for item in folder.scanner.walk(path)]


def test_order_is_that_of_keys(folder: Folder) -> None:
    for path in (b"a.b", b"a/x", b"a/\x01", b"a/b/c", b"a-b/y", b"a\x01/z", b"b", b"\xff", b"a/b.c"):
        folder.write(path, b"")
    found = walked(folder)
    assert sorted(found, key=to_key) == found
    assert found[:5] == [b"a", b"a/\x01", b"a/b", b"a/b/c", b"a/b.c"]
    assert walked(folder, b"a") == [b"a/\x01", b"a/b", b"a/b/c", b"a/b.c", b"a/x"]


def test_a_file_above_the_size_is_a_problem_and_nothing_that_is_gone(folder: Folder) -> None:
    folder.write(b"d/large", b"12345")
    folder.write(b"d/small", b"1234")
    rows = [(to_key(path), folder.seen(path)) for path in (b"d/large", b"d/small")]
    folder.scanner.largest = 4
    assert walked(folder) == [b"d", b"d/large", b"d/small"]
    large = folder.scanner.stat_one(b"d/large")
    assert isinstance(large, Problem)
    assert large.reason.startswith("skipped: 5 bytes are more than max_file_size (4)")
    found = differences(folder.scanner.compare([large], rows[:1], SOME_TIME))
    assert [type(item) for item in found] == [Problem]
    takes_part = [folder.scanner.takes_part(path, os.lstat(folder.at(path))) for path in (b"d/large", b"d/small")]
    assert takes_part == [False, True]


def test_what_a_look_tells(folder: Folder) -> None:
    folder.write(b"f", b"12345", 0o4640, SOME_TIME)
    os.symlink(b"to/\xff", folder.at(b"l"))
    os.utime(folder.at(b"l"), ns=(0, 7), follow_symlinks=False)
    os.mkdir(folder.at(b"d"))
    os.chmod(folder.at(b"d"), 0o2751)
    directory, file, link = folder.scanner.walk()
    assert isinstance(directory, Stat)
    assert isinstance(file, Stat)
    assert isinstance(link, Stat)
    assert (directory.kind, directory.mode, directory.size) == (Kind.DIR, 0o751, 0)
    assert (file.kind, file.mode, file.size, file.mtime_ns) == (Kind.FILE, 0o640, 5, SOME_TIME)
    assert (link.kind, link.mode, link.size, link.mtime_ns, link.target) == (Kind.LINK, 0o777, 0, 7, b"to/\xff")
    assert file.inode == os.stat(folder.at(b"f")).st_ino
    assert directory.disk().entry.mtime == 0
    for found in (directory, file, link):
        assert folder.scanner.stat_one(found.path) == found
        assert not folder.scanner.differs(found, folder.seen(found.path))


def test_walking_below_what_is_no_directory_finds_nothing(folder: Folder) -> None:
    folder.write(b"d/f", b"")
    os.symlink(b"d", folder.at(b"l"))
    for path in (b"missing", b"d/f", b"l"):
        assert walked(folder, path) == []
    for path in (b"missing", b"d/f/x", b"l/f", b"d/missing"):
        assert folder.scanner.stat_one(path) is None


def test_the_private_place_is_not_seen(folder: Folder) -> None:
    folder.write(b"d/.syncd/x", b"")
    assert walked(folder) == [b"d", b"d/.syncd", b"d/.syncd/x"]


def test_another_replicated_folder_is_unknown(folder: Folder) -> None:
    folder.write(b"d/.syncd/marker", b"")
    folder.write(b"d/f", b"")
    found = list(folder.scanner.walk())
    assert [item.path for item in found] == [b"d", b"d"]
    assert isinstance(found[1], Problem)
    assert "another replicated folder" in found[1].reason


def test_all_names(folder: Folder) -> None:
    names = [bytes([value]) for value in range(1, 256) if value not in b"./"] + [b"x" * 255, b"-rf", b"a ", b"..."]
    for name in names:
        folder.write(name, b"")
    assert walked(folder) == sorted(names)


def test_special_files_are_skipped_with_a_reason(folder: Folder) -> None:
    os.mkfifo(folder.at(b"fifo"))
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(folder.path)
        try:
            listener.bind("socket")
        finally:
            os.chdir("/")
        wanted = [b"fifo", b"socket"]
        if not os.geteuid():
            os.mknod(folder.at(b"device"), 0o600 | modes.S_IFCHR, os.makedev(1, 3))
            wanted.insert(0, b"device")
        found = list(folder.scanner.walk())
    assert [item.path for item in found] == wanted
    assert all(isinstance(item, Problem) and item.reason.startswith("skipped") for item in found)
    assert isinstance(folder.scanner.stat_one(b"fifo"), Problem)


def test_times_out_of_range_are_clamped(folder: Folder) -> None:
    folder.write(b"f", b"")
    for time in (-1, 0, (1 << 63) - 1, -(1 << 63)):
        try:
            os.utime(folder.at(b"f"), ns=(time, time))
        except OSError:
            continue
        (found,) = folder.scanner.walk()
        assert isinstance(found, Stat)
        assert found.mtime_ns == clamp(os.stat(folder.at(b"f")).st_mtime_ns)
    assert [clamp(time) for time in (1 << 70, -(1 << 70), 5)] == [(1 << 63) - 1, -(1 << 63), 5]


def test_times_beyond_64_bits(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    class Strange:
        st_mode, st_size, st_ino, st_nlink, st_uid = 0o100644, 0, 1, 1, 0
        st_mtime_ns, st_ctime_ns = 1 << 103, -(1 << 103)

    Strange.st_dev = folder.directories.device  # type: ignore[attr-defined]
    folder.write(b"f", b"")
    monkeypatch.setattr(os, "stat", lambda *_, **__: Strange)
    (found,) = folder.scanner.walk()
    assert isinstance(found, Stat)
    assert (found.mtime_ns, found.ctime_ns) == ((1 << 63) - 1, -(1 << 63))


def test_a_thousand_levels_and_too_long_paths(folder: Folder, request: pytest.FixtureRequest) -> None:
    request.addfinalizer(lambda: shorten(folder.path))
    fd = os.dup(folder.root.fd)
    for _ in range(1100):
        os.mkdir(b"ddd", dir_fd=fd)
        following = os.open(b"ddd", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = following
    os.close(fd)
    *found, last = folder.scanner.walk()
    assert [item.path for item in found] == [b"/".join([b"ddd"] * depth) for depth in range(1, 1025)]
    assert isinstance(last, Problem)
    assert last.operation == "name"
    deepest = found[-1].path
    assert len(deepest) == 4095
    assert folder.scanner.stat_one(deepest) == found[-1]


def test_ignored_directories_are_not_entered(tmp_path: Path) -> None:
    asked: list[tuple[bytes, bool]] = []

    def ignored(path: bytes, directory: bool) -> bool:
        asked.append((path, directory))
        return path == b"cache" and directory

    folder = Folder(str(tmp_path), ignored=ignored)
    folder.write(b"cache/a", b"")
    folder.write(b"d/cache", b"")
    assert walked(folder) == [b"d", b"d/cache"]
    assert asked == [(b"cache", True), (b"d", True), (b"d/cache", False)]
    folder.close()


def test_ignored_trouble_is_not_told(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path), ignored=lambda path, directory: path == b"fifo")
    os.mkfifo(folder.at(b"fifo"))
    assert walked(folder) == []
    folder.close()


@needs_root
def test_unreadable_directories_are_unknown(folder: Folder) -> None:
    for name in (b"dark", b"listed", b"open"):
        folder.write(name + b"/f", b"")
    rows = folder.seen_tree()
    os.chmod(folder.at(b"dark"), 0o700)
    os.chmod(folder.at(b"listed"), 0o704)
    rows |= {path: folder.seen(path) for path in (b"dark", b"listed")}
    os.unlink(folder.at(b"open/f"))
    folder.directories.forget(b"")
    os.seteuid(NOBODY)
    try:
        found = folder.compare(rows)
        again = folder.scanner.stat_one(b"dark/f")
    finally:
        os.seteuid(0)
    assert [(type(item), path) for item, path in zip(found, paths(found), strict=True)] == [
        (Problem, b"dark"),
        (Problem, b"listed"),
        (Gone, b"open/f"),
    ]
    assert isinstance(again, Problem)


@needs_root
def test_a_mounted_file_system_is_unknown(folder: Folder) -> None:
    os.mkdir(folder.at(b"mount"))
    folder.write(b"mount/f", b"")
    rows = folder.seen_tree()
    folder.directories.forget(b"")
    if subprocess.run(["mount", "-t", "tmpfs", "none", folder.at(b"mount")], capture_output=True).returncode:
        pytest.skip("may not mount")
    try:
        (found,) = folder.compare(rows)
    finally:
        subprocess.run(["umount", folder.at(b"mount")], check=True)
    assert found == Problem(b"mount", "list", "skipped: lies on another file system")
    assert folder.compare(rows) == []


@pytest.mark.parametrize("mount", [None, 5])
def test_files_of_an_overlay_have_devices_of_their_own(
    folder: Folder, mount: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write(b"f", b"")
    folder.scanner._device += 1
    monkeypatch.setattr(syscalls, "mount_id", lambda fd, name: mount)
    (found,) = folder.scanner.walk()
    assert isinstance(found, Problem if mount is None else Stat)


def test_errors_of_one_name_do_not_hide_the_others(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (b"a", b"b", b"c", b"d"):
        folder.write(name, b"")
    real = os.stat

    def broken(path: bytes, **options: object) -> os.stat_result:
        if path == b"b":
            raise OSError(5, "Input/output error")
        if path == b"c":
            raise FileNotFoundError
        return real(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", broken)
    found = list(folder.scanner.walk())
    assert [(type(item), item.path) for item in found] == [(Stat, b"a"), (Problem, b"b"), (Stat, b"d")]


@pytest.mark.parametrize(("error", "count"), [(FileNotFoundError(), 0), (OSError(5, "broken"), 1)])
def test_a_directory_that_goes_while_it_is_looked_at(
    folder: Folder, error: OSError, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write(b"d/f", b"")
    opened = []
    real = folder.directories.open

    def once(path: bytes) -> int:
        if path == b"d" and opened:
            raise error
        opened.append(path) if path else None
        return real(path)

    monkeypatch.setattr(folder.directories, "open", once)
    directory, *rest = folder.scanner.walk()
    assert directory.path == b"d"
    assert [type(item) for item in rest] == [Problem] * count
