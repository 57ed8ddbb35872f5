"""Staged files: whole or known to be not, after whatever interrupted them."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.content import Block, block_id
from syncd.store import staging as staging_module
from syncd.store import syscalls
from syncd.store.staging import Staged, Staging, WrongBlock
from tests.store.trees import KEY, NOBODY, shorten

CONTENT = b"c" * 32


@pytest.fixture
def place(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.fixture
def staging(place: int) -> Iterator[Staging]:
    staging = Staging(place, KEY)
    yield staging
    staging.close()


def cut(parts: list[bytes | int]) -> tuple[list[Block], bytes]:
    """Blocks of these bytes, and holes of these lengths."""
    blocks: list[Block] = []
    data = b""
    for part in parts:
        if isinstance(part, int):
            blocks.append(Block(None, len(data), part))
            data += bytes(part)
        else:
            blocks.append(Block(block_id(KEY, part), len(data), len(part)))
            data += part
    return blocks, data


BLOCKS, DATA = cut([b"a" * 5000, b"b" * 7000, 65536, b"c" * 100])


def piece(number: int) -> bytes:
    return DATA[BLOCKS[number].offset :][: BLOCKS[number].length]


def stage(staging: Staging, content: bytes = CONTENT) -> Staged:
    return staging.open(content, len(DATA), BLOCKS)


def path_of(tmp_path: Path, staged: Staged) -> Path:
    return tmp_path / staged.name.decode()


def test_blocks_in_any_order_make_the_file(tmp_path: Path, staging: Staging) -> None:
    staged = stage(staging)
    assert list(staged.missing) == [0, 1, 3]
    assert not staged.complete
    for number in (3, 0, 1):
        staged.write(number, memoryview(piece(number)))
        staged.write(number, piece(number))
    assert staged.complete
    assert list(staged.missing) == []
    assert path_of(tmp_path, staged).read_bytes() == DATA
    assert os.stat(path_of(tmp_path, staged)).st_mode & 0o777 == 0o600
    assert staged.name == CONTENT.hex().encode()
    assert stage(staging) is staged


def test_wrong_bytes_are_refused(tmp_path: Path, staging: Staging) -> None:
    staged = stage(staging)
    for wrong in (b"x" * 5000, piece(0)[:-1], piece(1), b""):
        with pytest.raises(WrongBlock):
            staged.write(0, wrong)
    assert list(staged.missing) == [0, 1, 3]
    assert path_of(tmp_path, staged).read_bytes() == bytes(len(DATA))


def test_a_block_copied_from_another_file_is_checked(tmp_path: Path, staging: Staging) -> None:
    (tmp_path / "source").write_bytes(b"xx" + piece(1) + b"y" * 5000)
    fd = os.open(tmp_path / "source", os.O_RDONLY)
    staged = stage(staging)
    assert staged.copy_from(fd, 2, 1)
    assert not staged.copy_from(fd, 7002, 0)
    assert not staged.copy_from(fd, 11_000, 0)  # ends too early
    assert list(staged.missing) == [0, 3]
    os.close(fd)


def test_holes_stay_holes(tmp_path: Path, staging: Staging) -> None:
    blocks, data = cut([b"x" * 4096, 64 << 20, b"y" * 10])
    staged = staging.open(CONTENT, len(data), blocks)
    staged.write(0, b"x" * 4096)
    staged.write(2, b"y" * 10)
    assert path_of(tmp_path, staged).read_bytes() == data
    assert os.stat(path_of(tmp_path, staged)).st_blocks * 512 < 1 << 20


@given(written=st.sets(st.sampled_from([0, 1, 3])), garbage=st.integers(0, len(DATA) - 1), grown=st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_new_start_goes_on_with_what_is_right(
    tmp_path_factory: pytest.TempPathFactory, written: set[int], garbage: int, grown: bool
) -> None:
    directory = tmp_path_factory.mktemp("staging")
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    first = Staging(fd, KEY)
    staged = stage(first)
    for number in written:
        staged.write(number, piece(number))
    first.close()
    assert staged.closed
    hit = next(number for number, block in enumerate(BLOCKS) if block.offset <= garbage < block.offset + block.length)
    if hit != 2:  # nothing of ours ever writes into a hole
        with open(path_of(directory, staged), "r+b") as file:
            file.seek(garbage)
            file.write(b"!")
            if grown:
                file.truncate(len(DATA) + 5)
    second = Staging(fd, KEY)
    staged = stage(second)
    assert set(staged.missing) == {0, 1, 3} - (written - {hit})
    for number in list(staged.missing):
        staged.write(number, piece(number))
    assert path_of(directory, staged).read_bytes() == DATA
    second.close()
    os.close(fd)


def test_closing_and_discarding(tmp_path: Path, staging: Staging) -> None:
    staged = stage(staging)
    staged.close()
    staged.close()
    assert path_of(tmp_path, staged).exists()
    with pytest.raises(ValueError, match="closed"):
        staged.descriptor()
    with pytest.raises(ValueError, match="closed"):
        staged.write(0, piece(0))
    again = stage(staging)
    assert again is not staged
    again.discard()
    again.discard()
    assert os.listdir(tmp_path) == []
    third = stage(staging)
    path_of(tmp_path, third).unlink()
    third.discard()


def test_many_staged_files_hold_few_descriptors(tmp_path: Path, staging: Staging) -> None:
    before = len(os.listdir("/proc/self/fd"))
    opened = [stage(staging, bytes([number]) * 32) for number in range(200)]
    assert len(os.listdir("/proc/self/fd")) - before == staging_module._OPEN_FILES
    for staged in opened:
        staged.write(0, piece(0))
    for staged in opened:
        staged.write(1, piece(1))
        staged.write(3, piece(3))
        assert staged.complete
        assert path_of(tmp_path, staged).read_bytes() == DATA
    staging.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_room_is_asked_for_in_advance(tmp_path: Path, staging: Staging, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(syscalls, "reserve", lambda fd, offset, length: asked.append((offset, length)))
    big = [b"x" * 200_000] * 3
    blocks, data = cut([*big, 1 << 20, *big, 65536])
    staging.open(CONTENT, len(data), blocks)
    assert asked == [(0, 600_000), (600_000 + (1 << 20), 600_000)]
    asked.clear()
    stage(staging, b"d" * 32)
    assert asked == []


def test_room_for_a_large_file_is_asked_for_ahead_of_what_is_written(
    tmp_path: Path, staging: Staging, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(syscalls, "reserve", lambda fd, offset, length: asked.append((offset, length)))
    monkeypatch.setattr(staging_module, "_RESERVED_AHEAD", 400_000)
    blocks, data = cut([b"x" * 200_000, b"y" * 200_000, 1 << 20, *(bytes([n]) * 200_000 for n in range(5))])
    staged = staging.open(CONTENT, len(data), blocks)
    hole = 400_000 + (1 << 20)
    assert asked == [(0, 400_000)]
    assert staged.owed == len(data) - (1 << 20)
    for number in (0, 1, 3):
        staged.put(number, data[blocks[number].offset :][: blocks[number].length])
    assert asked == [(0, 400_000), (hole, 400_000)]
    staged.put(7, data[blocks[7].offset :])  # whatever comes first, all before it is asked for
    assert asked == [(0, 400_000), (hole, 400_000), (hole + 400_000, 400_000), (hole + 800_000, 200_000)]
    for number in list(staged.missing):
        staged.put(number, data[blocks[number].offset :][: blocks[number].length])
    assert (staged.complete, staged.owed) == (True, 0)


def test_no_room_leaves_nothing_behind(tmp_path: Path, staging: Staging, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    blocks, data = cut([b"x" * 200_000] * 6)
    monkeypatch.setattr(syscalls, "reserve", full)
    with pytest.raises(OSError, match="space"):
        staging.open(CONTENT, len(data), blocks)
    assert os.listdir(tmp_path) == []
    monkeypatch.undo()
    assert list(staging.open(CONTENT, len(data), blocks).missing) == [0, 1, 2, 3, 4, 5]


def test_a_full_disk_corrupts_nothing(tmp_path: Path, staging: Staging, monkeypatch: pytest.MonkeyPatch) -> None:
    staged = stage(staging)
    staged.write(0, piece(0))
    real = os.pwrite
    calls = []

    def full(fd: int, data: memoryview, offset: int) -> int:
        calls.append(offset)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, data[:100], offset)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="space"):
        staged.write(1, piece(1))
    assert list(staged.missing) == [1, 3]
    monkeypatch.undo()
    staged.write(1, piece(1))
    staged.write(3, piece(3))
    assert path_of(tmp_path, staged).read_bytes() == DATA


def test_clean_keeps_what_is_wanted_only(tmp_path: Path, staging: Staging) -> None:
    stage(staging)
    stage(staging, b"d" * 32)
    staging.close()
    (tmp_path / "not hex").write_text("")
    (tmp_path / os.fsdecode(b"\xff")).write_text("")
    (tmp_path / "link").symlink_to("/etc")
    (tmp_path / "shadow/a/b").mkdir(parents=True)
    (tmp_path / "shadow/a/b/f").write_text("")
    (tmp_path / "shadow/a/link").symlink_to("/etc")
    os.chmod(tmp_path / "shadow/a", 0)
    staging.clean({CONTENT})
    assert os.listdir(tmp_path) == [CONTENT.hex()]
    assert os.path.exists("/etc/passwd")
    staging.remove(b"missing")


def test_clean_removes_temps_whatever_is_kept(tmp_path: Path, staging: Staging) -> None:
    class Everything:
        def __contains__(self, _: object) -> bool:
            return True

    stage(staging)
    staging.close()
    for _ in range(20):
        (tmp_path / staging.fresh_name().decode()).write_text("")
    (tmp_path / ("g" * 64)).write_text("")
    staging.clean(Everything())
    assert os.listdir(tmp_path) == [CONTENT.hex()]


def test_a_deep_directory_is_removed(tmp_path: Path, staging: Staging, request: pytest.FixtureRequest) -> None:
    request.addfinalizer(lambda: shorten(os.fsencode(tmp_path)))
    fd = os.dup(staging.fd)
    for _ in range(1000):
        os.mkdir(b"d", dir_fd=fd)
        following = os.open(b"d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = following
    os.close(fd)
    staging.clean(())
    assert os.listdir(tmp_path) == []


def test_names_are_new(staging: Staging, place: int) -> None:
    made = {staging.fresh_name() for _ in range(100)} | {Staging(place, KEY).fresh_name()}
    assert len(made) == 101


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_file_that_has_its_final_mode_can_still_be_written(tmp_path: Path, staging: Staging) -> None:
    os.chown(tmp_path, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        staged = stage(staging)
        os.chmod(staged.name, 0o444, dir_fd=staging.fd)
        staging.close()
        staged = stage(staging)
        staged.write(0, piece(0))
    finally:
        os.seteuid(0)
    assert list(staged.missing) == [1, 3]
