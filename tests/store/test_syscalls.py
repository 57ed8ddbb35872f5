"""Raw calls, what is probed with them, and how bytes are copied."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from syncd.store import capabilities, syscalls
from syncd.store.capabilities import Capabilities, probe
from syncd.store.copies import copy_contents, data_runs, write_at
from syncd.store.moves import move_to_free_name


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def unsupported(code: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def test_rename_without_replacing(tmp_path: Path, fd: int) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    with pytest.raises(FileExistsError):
        syscalls.rename(fd, b"a", fd, b"b", syscalls.RENAME_NOREPLACE)
    assert (tmp_path / "b").read_text() == "b"
    syscalls.rename(fd, b"a", fd, b"c", syscalls.RENAME_NOREPLACE)
    assert sorted(os.listdir(tmp_path)) == ["b", "c"]


def test_exchange(tmp_path: Path, fd: int) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").mkdir()
    syscalls.rename(fd, b"a", fd, b"b", syscalls.RENAME_EXCHANGE)
    assert (tmp_path / "b").read_text() == "a"
    assert (tmp_path / "a").is_dir()
    with pytest.raises(FileNotFoundError):
        syscalls.rename(fd, b"a", fd, b"missing", syscalls.RENAME_EXCHANGE)


def test_a_name_with_a_nul_is_refused(fd: int) -> None:
    with pytest.raises(ValueError, match="NUL"):
        syscalls.rename(fd, b"a", fd, b"b\0c", syscalls.RENAME_NOREPLACE)


def test_what_the_library_lacks_fails_with_enosys(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syscalls, "_renameat2", syscalls._bind("no_such_call"))
    with pytest.raises(OSError, match=os.strerror(errno.ENOSYS)):
        syscalls.rename(fd, b"a", fd, b"b", syscalls.RENAME_NOREPLACE)


def test_sync(fd: int) -> None:
    syscalls.sync_file_system(fd)
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        syscalls.sync_file_system(1 << 20)


def test_reserve_keeps_size_and_reads_as_zeros(tmp_path: Path, fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    file = os.open(tmp_path / "f", os.O_RDWR | os.O_CREAT)
    os.ftruncate(file, 100_000)
    syscalls.reserve(file, 0, 200_000)
    assert os.pread(file, 300_000, 0) == bytes(100_000)
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        syscalls.reserve(1 << 20, 0, 1)
    monkeypatch.setattr(syscalls, "_fallocate", syscalls._bind("no_such_call"))
    syscalls.reserve(file, 0, 1)
    os.close(file)


def test_mount_id_tells_mounts_apart(tmp_path: Path, fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").write_text("")
    own = syscalls.mount_id(fd, b"f")
    root = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    if own is not None:
        assert own == syscalls.mount_id(fd, b".") != syscalls.mount_id(root, b"proc/self")
    os.close(root)
    assert syscalls.mount_id(fd, b"missing") is None
    monkeypatch.setattr(syscalls, "_statx", lambda *_: 0)
    assert syscalls.mount_id(fd, b"f") is None


def test_mode_and_times_through_a_descriptor_that_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    for flags in (os.O_RDONLY, os.O_PATH):
        file = os.open(tmp_path / "f", flags)
        syscalls.set_mode(file, 0o640 if flags else 0o600)
        syscalls.set_mtime(file, 5_000_000_007 + flags, 0)
        os.close(file)
        status = os.stat(tmp_path / "f")
        assert (status.st_mode & 0o777, status.st_mtime_ns) == (0o640 if flags else 0o600, 5_000_000_007 + flags)
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    with pytest.raises(OSError, match=os.strerror(errno.ENOENT)):
        syscalls.set_mode(writer, 0o600)  # closed: neither way leads anywhere


# ---- what a file system can do


def test_probe_finds_what_works_and_leaves_nothing(tmp_path: Path, fd: int) -> None:
    (tmp_path / "probe-2").write_text("left by a start that was killed")
    found = probe(fd)
    assert found.create
    assert found.exchange
    assert found.hard_links
    assert found.mtime_step == 1
    assert found.lacking() == []
    assert os.listdir(tmp_path) == []


def test_probe_finds_what_is_missing(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syscalls, "rename", unsupported(errno.EINVAL))
    monkeypatch.setattr(os, "link", unsupported(errno.EPERM))
    found = probe(fd)
    assert (found.create, found.exchange, found.hard_links) == (False, False, False)
    assert len(found.lacking()) == 3


@pytest.mark.parametrize("step", [1, 100, 1_000, 1_000_000_000, 2_000_000_000])
def test_probe_finds_the_step_and_range_of_times(fd: int, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    first, last = -(1 << 31) * 1_000_000_000, (1 << 31) * 1_000_000_000

    def kept(_: int, time: int) -> int:
        time = max(first, min(last, time))
        return time - time % step

    monkeypatch.setattr(capabilities, "_kept_time", kept)
    found = probe(fd)
    assert (found.mtime_step, found.mtime_first, found.mtime_last) == (step, first, last)
    for time in (0, -1, 1_234_567_891_123_456_789, 1 << 62, -(1 << 62)):
        assert found.stored_mtime(time) == kept(0, time)


def test_times_that_are_refused_are_not_a_limit(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "utime", unsupported(errno.EINVAL))
    assert probe(fd)[4:] == Capabilities()[4:]


def test_lacking_tells_what_matters() -> None:
    assert Capabilities(hard_links=False, clone=False).lacking() == []
    assert len(Capabilities(create=False, hard_links=False, mtime_step=2_000_000_000).lacking()) == 3


# ---- moves


@pytest.mark.parametrize("links", [True, False])
def test_move_to_free_name_without_the_call(
    tmp_path: Path, fd: int, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syscalls, "rename", unsupported(errno.EINVAL))
    if not links:
        monkeypatch.setattr(os, "link", unsupported(errno.EPERM))
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    (tmp_path / "d").mkdir()
    with pytest.raises(FileExistsError):
        move_to_free_name(fd, b"a", fd, b"b")
    move_to_free_name(fd, b"a", fd, b"c")
    move_to_free_name(fd, b"d", fd, b"e")
    assert sorted(os.listdir(tmp_path)) == ["b", "c", "e"]
    assert os.stat(tmp_path / "c").st_nlink == 1
    with pytest.raises(FileNotFoundError):
        move_to_free_name(fd, b"missing", fd, b"x")


# ---- copies


def sparse(path: Path) -> int:
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    os.ftruncate(file, 5 << 20)
    os.pwrite(file, b"middle" * 1000, 2 << 20)
    os.pwrite(file, b"end", (5 << 20) - 3)
    return file


def test_data_runs_leave_holes_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = sparse(tmp_path / "f")
    runs = list(data_runs(file, 5 << 20))
    assert sum(end - start for start, end in runs) < 1 << 20
    assert any(start <= 2 << 20 < end for start, end in runs)
    assert runs[-1][1] == 5 << 20
    monkeypatch.setattr(os, "lseek", unsupported(errno.EINVAL))
    assert list(data_runs(file, 5 << 20)) == [(0, 5 << 20)]
    monkeypatch.setattr(os, "lseek", unsupported(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        list(data_runs(file, 1))
    os.close(file)


def test_data_runs_of_a_file_that_became_shorter(tmp_path: Path) -> None:
    file = os.open(tmp_path / "f", os.O_RDWR | os.O_CREAT)
    os.write(file, b"x" * 10)
    assert list(data_runs(file, 10)) == [(0, 10)]
    assert next(data_runs(file, 1 << 30))[0] == 0
    os.ftruncate(file, 0)
    assert list(data_runs(file, 10)) == []
    os.close(file)


@pytest.mark.parametrize("way", ["kernel", "buffer", "zero"])
def test_copy_contents_keeps_bytes_and_holes(tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "buffer":
        monkeypatch.setattr(os, "copy_file_range", unsupported(errno.EXDEV))
    elif way == "zero":
        monkeypatch.setattr(os, "copy_file_range", lambda *_: 0)
    source = sparse(tmp_path / "f")
    target = os.open(tmp_path / "g", os.O_RDWR | os.O_CREAT)
    copy_contents(source, target, 5 << 20)
    assert (tmp_path / "g").read_bytes() == (tmp_path / "f").read_bytes()
    assert os.fstat(target).st_blocks * 512 < 1 << 20
    os.close(source)
    os.close(target)


def test_copying_a_source_that_became_shorter_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = os.open(tmp_path / "f", os.O_RDWR | os.O_CREAT)
    target = os.open(tmp_path / "g", os.O_RDWR | os.O_CREAT)
    os.write(source, b"short")
    monkeypatch.setattr("syncd.store.copies.data_runs", lambda fd, size: iter([(0, size)]))
    with pytest.raises(OSError, match="shorter"):
        copy_contents(source, target, 1000)
    os.close(source)
    os.close(target)


def test_clone_is_used_where_it_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fcntl.ioctl", lambda *_: 0)
    source = os.open(tmp_path / "f", os.O_RDWR | os.O_CREAT)
    monkeypatch.setattr(os, "ftruncate", unsupported(errno.EIO))
    copy_contents(source, source, 1000)
    os.close(source)


def test_write_at_goes_on_after_a_short_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: real(fd, data[:3], offset))
    file = os.open(tmp_path / "f", os.O_RDWR | os.O_CREAT)
    write_at(file, b"0123456789", 2)
    os.close(file)
    assert (tmp_path / "f").read_bytes() == b"\0\x000123456789"
