"""What the demo's verdict rests on: a difference of any kind between two trees is found, and told in one line."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from syncd.cli.demo_compare import differences

Trees = tuple[Path, Path]


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    one, two = tmp_path / "one", tmp_path / "two"
    (one / "themes/a").mkdir(parents=True)
    (one / "themes/a/style.css").write_bytes(b"x" * 3_000_000)
    (one / "themes/link").symlink_to("a")
    (one / "empty").mkdir()
    (one / ".syncd").mkdir()
    shutil.copytree(one, two, symlinks=True)
    os.utime(two / "themes/link", ns=(0, os.lstat(one / "themes/link").st_mtime_ns), follow_symlinks=False)
    (two / ".syncd/marker").touch()
    return one, two


def found(trees: Trees, most: int = 10) -> list[str]:
    return differences(os.fspath(trees[0]), os.fspath(trees[1]), most)[0]


def test_equal_trees(trees: Trees) -> None:
    lines, kinds = differences(os.fspath(trees[0]), os.fspath(trees[1]), 10)
    assert lines == []
    assert kinds == {"directory": 3, "file": 1, "link": 1}


def _set_byte(path: Path) -> None:
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(2_999_999)
        file.write(b"y")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _set_mtime(path: Path) -> None:
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def _retarget(path: Path) -> None:
    changed = os.lstat(path).st_mtime_ns
    path.unlink()
    path.symlink_to("b")
    os.utime(path, ns=(0, changed), follow_symlinks=False)


def _replace_by_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("themes/a/style.css", _set_byte, "other bytes"),
        ("themes/a/style.css", _set_mtime, "mtime"),
        ("themes/a/style.css", Path.unlink, "missing on the secondary"),
        ("themes/a/style.css", _replace_by_directory, "a file, a directory on the secondary"),
        ("themes/a/style.css", lambda path: path.chmod(0o600), "mode 0644, 0600"),
        ("empty", lambda path: path.chmod(0o700), "mode 0755, 0700"),
        ("empty", Path.rmdir, "missing on the secondary"),
        ("themes/link", _retarget, "another target"),
        ("new\nline", lambda path: path.touch(), "only on the secondary"),
    ],
)
def test_each_kind_of_difference(trees: Trees, name: str, change: Callable[[Path], None], told: str) -> None:
    (trees[0] / "themes/a/style.css").chmod(0o644)
    (trees[1] / "themes/a/style.css").chmod(0o644)
    for tree in trees:
        (tree / "empty").chmod(0o755)
    change(trees[1] / name)
    (line,) = found(trees)
    assert told in line
    assert line.isprintable()


def test_only_the_first_differences_are_told(trees: Trees) -> None:
    for number in range(20):
        (trees[1] / f"extra-{number}").touch()
    assert len(found(trees, 5)) == 5
