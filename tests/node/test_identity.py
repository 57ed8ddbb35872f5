"""Who a node is: the same after every restart, another one when its storage was copied."""

import os
import shutil
from pathlib import Path

import pytest

from syncd.node.identity import StorageError, load_identity, renew_identity


def key(number: int) -> bytes:
    return bytes([number]) * 32


def test_a_key_is_kept(tmp_path: Path) -> None:
    first = load_identity(str(tmp_path), key(1))
    assert load_identity(str(tmp_path), key(2)) == first
    renew_identity(str(tmp_path), key(3))
    assert load_identity(str(tmp_path), key(4)) != first
    assert load_identity(str(tmp_path), key(4)).static_private == key(3)


def test_a_copy_is_somebody_else(tmp_path: Path) -> None:
    original, copy = tmp_path / "original", tmp_path / "copy"
    original.mkdir()
    first = load_identity(str(original), key(1))
    shutil.copytree(original, copy)  # with all times
    second = load_identity(str(copy), key(2))
    assert second.node_id != first.node_id
    assert load_identity(str(copy), key(3)) == second
    assert load_identity(str(original), key(3)) == first


@pytest.mark.parametrize("change", ["chmod", "rename", "number", "forget", "garbage"])
def test_what_is_no_copy(tmp_path: Path, change: str) -> None:
    storage = tmp_path / "state"
    storage.mkdir()
    first = load_identity(str(storage), key(1))
    place = storage / "node.place"
    if change == "chmod":
        (storage / "node.key").chmod(0o400)
    elif change == "rename":
        storage = storage.rename(tmp_path / "elsewhere")
    elif change == "number":  # as some network file systems do
        place.write_text(f"12345 {place.read_text().split()[1]}\n")
    elif change == "forget":
        place.unlink()
    else:
        place.write_bytes(os.urandom(64))
    assert load_identity(str(storage), key(2)) == first


def test_a_damaged_key_is_told(tmp_path: Path) -> None:
    load_identity(str(tmp_path), key(1))
    (tmp_path / "node.key").write_bytes(b"short")
    with pytest.raises(StorageError, match="damaged"):
        load_identity(str(tmp_path), key(2))
