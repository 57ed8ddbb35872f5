"""What is left of a file: where its data ends, and whether it begins as the version that was known."""

import os
from pathlib import Path

import pytest

from protocol.content import Block, block_id
from syncd.core.damage import Sign
from syncd.store.directories import Directories
from syncd.store.remains import Remains

KEY = bytes(32)
PARTS = [b"a" * 70_000, b"b" * 50_000, b"c" * 30_000]
WHOLE = b"".join(PARTS)


def known() -> list[Block]:
    offsets = (0, 70_000, 120_000)
    return [
        Block(block_id(KEY, part), offset, len(part)) for part, offset in zip(PARTS, offsets, strict=True)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "blocks", "sign"),
    [
        (b"", True, Sign(0, None)),
        (bytes(3_000_000), True, Sign(0, None)),
        (WHOLE[:130_000], True, Sign(130_000, True)),
        (WHOLE[:130_000] + bytes(20_000), True, Sign(130_000, True)),
        (WHOLE[:70_000], True, Sign(70_000, True)),
        (WHOLE[:69_999], True, Sign(69_999, None)),
        (b"x" + WHOLE[1:130_000], True, Sign(130_000, False)),
        (WHOLE, True, Sign(150_000, None)),
        (WHOLE + b"more", True, Sign(150_004, None)),
        (WHOLE[:130_000], False, Sign(130_000, None)),
        (b"x" + bytes(2_000_000), False, Sign(1, None)),
    ],
)
def test_what_is_left(tmp_path: Path, data: bytes, blocks: bool, sign: Sign) -> None:
    (tmp_path / "f").write_bytes(data)
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    directories = Directories(fd)
    try:
        assert Remains(directories, KEY).look(b"f", known() if blocks else None) == sign
    finally:
        directories.close()
        os.close(fd)


@pytest.mark.parametrize(("hole", "begins"), [(bytes(50_000), True), (b"x" * 50_000, False)])
def test_holes_are_zeros(tmp_path: Path, hole: bytes, begins: bool) -> None:
    (tmp_path / "f").write_bytes(PARTS[0] + hole + b"c")
    blocks = [known()[0], Block(None, 70_000, 50_000), known()[2]]
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    directories = Directories(fd)
    try:
        assert Remains(directories, KEY).look(b"f", blocks) == Sign(120_001, begins)
    finally:
        directories.close()
        os.close(fd)
