"""Content ids of files that are whole, and nothing of files that are not."""

import os
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.content import assemble, block_id
from protocol.limits import MAX_BLOCK, MIN_BLOCK, SMALL_FILE
from protocol.record import Kind
from syncd.store import hasher as hasher_module
from syncd.store.hasher import UNIT, FileChanged, Hashed
from syncd.store.look import Stat
from tests.store.trees import KEY, NOBODY, SOME_TIME, Folder

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def look(folder: Folder, path: bytes) -> Stat:
    stat = folder.scanner.stat_one(path)
    assert isinstance(stat, Stat)
    return stat


def hashed(folder: Folder, path: bytes) -> Hashed:
    return folder.hasher.hash(path, look(folder, path))


def rebuilt(folder: Folder, path: bytes, result: Hashed) -> bytes:
    """The file's bytes as its blocks say, each checked."""
    data = folder.read(path)
    whole = bytearray()
    for block in result.blocks:
        assert block.offset == len(whole)
        piece = data[block.offset : block.offset + block.length]
        assert len(piece) == block.length
        if block.id is None:
            piece = bytes(block.length)
        else:
            assert block.id == block_id(KEY, piece)
            assert block.length <= MAX_BLOCK
        whole += piece
    return bytes(whole)


@pytest.mark.parametrize("size", [0, 1, 4096, SMALL_FILE])
def test_small_files_are_one_block(folder: Folder, size: int) -> None:
    data = noise(size)
    folder.write(b"d/f", data, 0o640, SOME_TIME)
    result = hashed(folder, b"d/f")
    assert result.content == block_id(KEY, data)
    assert result.small == data
    assert result.segments == {}
    assert result.blocks == [(result.content, 0, size)]
    assert result.disk.entry == (Kind.FILE, result.content, size, 0o640, SOME_TIME, b"")
    assert result.disk.inode == os.stat(folder.at(b"d/f")).st_ino
    assert result.disk.ctime == os.stat(folder.at(b"d/f")).st_ctime_ns


@pytest.mark.parametrize("size", [SMALL_FILE + 1, 300_000, 3 << 20])
def test_larger_files_have_a_block_list(folder: Folder, size: int) -> None:
    data = noise(size)
    folder.write(b"f", data)
    result = hashed(folder, b"f")
    assert result.small is None
    assert rebuilt(folder, b"f", result) == data
    assert assemble(result.content, result.segments.get, size) == result.blocks
    assert all(block.length >= MIN_BLOCK for block in result.blocks[:-1])


def test_an_insertion_changes_few_blocks(folder: Folder) -> None:
    data = noise(4 << 20)
    folder.write(b"f", data)
    folder.write(b"g", data[: 1 << 20] + b"inserted" + data[1 << 20 :])
    before, after = ({block.id for block in hashed(folder, path).blocks} for path in (b"f", b"g"))
    assert len(after - before) <= 3


def pattern(parts: list[tuple[str, int]]) -> bytes:
    return b"".join(bytes(size) if kind == "zero" else noise(size, size) for kind, size in parts)


def write_sparse(folder: Folder, path: bytes, data: bytes) -> None:
    """The same bytes, with a hole wherever the file system can have one."""
    fd = os.open(folder.at(path), os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    for start in range(0, len(data), 4096):
        if any(data[start : start + 4096]):
            os.pwrite(fd, data[start : start + 4096], start)
    os.ftruncate(fd, len(data))
    os.close(fd)


pieces = st.tuples(
    st.sampled_from(["zero", "data"]),
    st.one_of(st.integers(1, 200_000), st.sampled_from([UNIT, 2 * UNIT, 5 * UNIT, UNIT - 1, UNIT + 1])),
)


@given(parts=st.lists(pieces, min_size=1, max_size=8), window=st.sampled_from([8 << 20, 4 * UNIT, 5 * UNIT]))
@settings(max_examples=40, deadline=None)
def test_the_content_id_follows_from_the_bytes_alone(
    tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[str, int]], window: int
) -> None:
    data = bytes(SMALL_FILE) + pattern(parts)
    folder = Folder(str(tmp_path_factory.mktemp("hash")))
    folder.write(b"dense", data)
    write_sparse(folder, b"sparse", data)
    dense = hashed(folder, b"dense")
    assert rebuilt(folder, b"dense", dense) == data
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hasher_module, "_WINDOW", window + MAX_BLOCK)
        folder.hasher._buffer = bytearray()
        assert hashed(folder, b"sparse")[1:] == dense[1:]
    holes = [block for block in dense.blocks if block.id is None]
    assert all(block.offset % UNIT == 0 and block.length % UNIT == 0 for block in holes)
    covered = {unit for block in holes for unit in range(block.offset, block.offset + block.length, UNIT)}
    whole = range(0, len(data) - UNIT + 1, UNIT)
    assert covered == {unit for unit in whole if not any(data[unit : unit + UNIT])}
    folder.close()


def test_windows_do_not_show(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of the greatest size, begun at odd offsets, end within zeros that only begin in a window."""
    data = b""
    while len(data) < 6 << 20:
        data += noise(150_000, len(data)) + b"\1" * (9 * UNIT - 150_000) + bytes(UNIT)
    folder.write(b"f", data)
    expected = hashed(folder, b"f")
    assert rebuilt(folder, b"f", expected) == data
    assert {block.length for block in expected.blocks if block.id is None} == {UNIT}
    for window in range(5 * UNIT, 16 * UNIT, UNIT):
        monkeypatch.setattr(hasher_module, "_WINDOW", window)
        assert hashed(folder, b"f").blocks == expected.blocks


def test_a_huge_sparse_file_is_not_read_through(folder: Folder) -> None:
    fd = os.open(folder.at(b"f"), os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, b"x" * 4096, 300 << 30)
    os.ftruncate(fd, 1 << 40)
    os.close(fd)
    result = hashed(folder, b"f")
    assert [block.length for block in result.blocks if block.id is not None] == [UNIT]
    assert sum(block.length for block in result.blocks) == 1 << 40


# ---- files that do not hold still


def test_another_state_than_was_looked_at_is_refused(folder: Folder) -> None:
    folder.write(b"f", b"1")
    stat = look(folder, b"f")
    for changed in (
        stat._replace(mtime_ns=stat.mtime_ns + 1),
        stat._replace(ctime_ns=stat.ctime_ns + 1),
        stat._replace(inode=stat.inode + 1),
        stat._replace(size=2),
    ):
        with pytest.raises(FileChanged):
            folder.hasher.hash(b"f", changed)


def append(folder: Folder) -> None:
    with open(folder.at(b"f"), "ab") as file:
        file.write(b"more")


def overwrite(folder: Folder) -> None:
    with open(folder.at(b"f"), "r+b") as file:
        file.write(b"other")


def truncate(folder: Folder) -> None:
    os.truncate(folder.at(b"f"), 100)


@pytest.mark.parametrize("size", [1000, 1 << 20])
@pytest.mark.parametrize("change", [append, overwrite, truncate])
def test_a_change_while_it_is_read_is_noticed(
    folder: Folder, size: int, change: Callable[[Folder], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write(b"f", noise(size), mtime=SOME_TIME)
    stat = look(folder, b"f")
    real, real_vectored = os.read, os.preadv

    def read(fd: int, length: int) -> bytes:
        change(folder)
        return real(fd, length)

    def preadv(fd: int, buffers: list[memoryview], offset: int) -> int:
        change(folder)
        return real_vectored(fd, buffers, offset)

    monkeypatch.setattr(os, "read", read)
    monkeypatch.setattr(os, "preadv", preadv)
    with pytest.raises(FileChanged):
        folder.hasher.hash(b"f", stat)


def become_fifo(path: bytes) -> None:
    os.mkfifo(path)


def become_link(path: bytes) -> None:
    os.symlink(b"/etc/passwd", path)


def become_directory(path: bytes) -> None:
    os.mkdir(path)


@pytest.mark.parametrize("become", [become_fifo, become_link, become_directory])
def test_another_kind_swapped_in_is_refused_at_once(folder: Folder, become: Callable[[bytes], None]) -> None:
    folder.write(b"f", b"1")
    stat = look(folder, b"f")
    os.unlink(folder.at(b"f"))
    become(folder.at(b"f"))
    with pytest.raises(FileChanged):
        folder.hasher.hash(b"f", stat)


def test_what_went_is_told(folder: Folder) -> None:
    folder.write(b"d/f", b"1")
    stat = look(folder, b"d/f")
    os.unlink(folder.at(b"d/f"))
    with pytest.raises(FileNotFoundError):
        folder.hasher.hash(b"d/f", stat)


def test_other_errors_pass_through(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write(b"f", b"1")
    stat = look(folder, b"f")

    def broken(*_: object, **__: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "open", broken)
    with pytest.raises(OSError, match="Input/output"):
        folder.hasher.hash(b"f", stat)


def test_a_kept_directory_that_went_elsewhere_does_not_mislead(folder: Folder) -> None:
    folder.write(b"d/f", b"old")
    look(folder, b"d/f")  # keeps a descriptor of d
    os.rename(folder.at(b"d"), folder.at(b"e"))
    folder.write(b"d/f", b"new")
    status = os.stat(folder.at(b"d/f"))
    stat = look(folder, b"e/f")._replace(
        path=b"d/f", inode=status.st_ino, mtime_ns=status.st_mtime_ns, ctime_ns=status.st_ctime_ns, size=3
    )
    assert folder.hasher.hash(b"d/f", stat).small == b"new"
    os.unlink(folder.at(b"e/f"))
    assert folder.hasher.hash(b"d/f", stat).small == b"new"


# ---- hard links as a way to have root read what one cannot


@needs_root
@pytest.mark.parametrize(
    ("owner", "mode", "directory_owner", "directory_mode", "allowed"),
    [
        (0, 0o600, NOBODY, 0o755, False),  # ln /etc/shadow, in one's own directory
        (0, 0o644, NOBODY, 0o755, False),
        (NOBODY, 0o600, 0, 0o755, False),
        (0, 0o600, 0, 0o777, False),  # in a directory of root's that all may write to
        (0, 0o600, 0, 0o775, False),
        (0, 0o644, 0, 0o777, True),  # anybody could read it anyway
        (0, 0o600, 0, 0o755, True),
        (NOBODY, 0o600, NOBODY, 0o755, True),
    ],
)
def test_hard_links(
    folder: Folder, owner: int, mode: int, directory_owner: int, directory_mode: int, allowed: bool
) -> None:
    folder.write(b"d/f", b"secret", mode)
    os.chown(folder.at(b"d/f"), owner, 0)
    os.chown(folder.at(b"d"), directory_owner, 0)
    os.chmod(folder.at(b"d"), directory_mode)
    assert hashed(folder, b"d/f").small == b"secret"
    os.link(folder.at(b"d/f"), folder.at(b"other"))
    if allowed:
        assert hashed(folder, b"d/f").small == b"secret"
    else:
        with pytest.raises(PermissionError, match="hard link"):
            hashed(folder, b"d/f")


def test_descriptors_are_closed_whatever_happens(folder: Folder) -> None:
    folder.write(b"f", noise(1 << 20))
    before = len(os.listdir("/proc/self/fd"))
    hashed(folder, b"f")
    for stat in (look(folder, b"f")._replace(size=5), look(folder, b"f")._replace(inode=1)):
        with pytest.raises(FileChanged):
            folder.hasher.hash(b"f", stat)
    assert len(os.listdir("/proc/self/fd")) == before
