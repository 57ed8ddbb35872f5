"""Descriptors of directories: where they lead, where they must not, and how long they are believed."""

import errno
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncd.store import directories
from syncd.store.directories import KEPT, TRUST_SECONDS, Directories, Names, SortedNames, names_in
from tests.store.trees import shorten


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tree(tmp_path: Path, clock: Clock) -> Iterator[Directories]:
    (tmp_path / "root").mkdir()
    root = os.open(tmp_path / "root", os.O_RDONLY | os.O_DIRECTORY)
    directories = Directories(root, clock)
    yield directories
    directories.close()
    assert len(directories) == 0
    os.close(root)


def test_open_leads_to_the_directory(tmp_path: Path, tree: Directories) -> None:
    (tmp_path / "root/a/b/c").mkdir(parents=True)
    for path in (b"a/b/c", b"a", b"", b"a/b", b"a/b/c"):
        assert os.path.samestat(os.fstat(tree.open(path)), os.stat(os.fsencode(tmp_path / "root") + b"/" + path))
    assert len(tree) == 3
    fd, name = tree.parent(b"a/b/file")
    assert name == b"file"
    assert os.path.samestat(os.fstat(fd), os.stat(tmp_path / "root/a/b"))
    assert tree.parent(b"file") == (tree.root_fd, b"file")


def test_missing_and_not_directories(tmp_path: Path, tree: Directories) -> None:
    (tmp_path / "root/file").write_text("")
    (tmp_path / "outside").mkdir()
    (tmp_path / "root/link").symlink_to(tmp_path / "outside")
    (tmp_path / "root/loop").symlink_to("loop")
    with pytest.raises(FileNotFoundError):
        tree.open(b"missing/a")
    for path in (b"file", b"file/a", b"link", b"link/a", b"loop"):
        with pytest.raises(NotADirectoryError):
            tree.open(path)


def test_a_loop_of_links_counts_as_no_directory(tree: Directories, monkeypatch: pytest.MonkeyPatch) -> None:
    def loop(*_: object, **__: object) -> int:
        raise OSError(errno.ELOOP, "loop")

    monkeypatch.setattr(os, "open", loop)
    with pytest.raises(NotADirectoryError):
        tree.open(b"a")


@pytest.mark.parametrize("path", [b"..", b"a/..", b".", b"a/.", b"a//b", b"/a", b"a/", b".syncd", b".syncd/staging"])
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, tree: Directories, path: bytes) -> None:
    (tmp_path / "root/a/b").mkdir(parents=True)
    (tmp_path / "root/.syncd/staging").mkdir(parents=True)
    for attempt in (tree.open, tree.parent):
        with pytest.raises(OSError, match="no name of an entry"):
            attempt(path)


def test_many_directories_keep_few_descriptors(tmp_path: Path, tree: Directories) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in range(2 * KEPT):
        (tmp_path / f"root/{number}").mkdir()
        tree.open(b"%d" % number)
    assert len(tree) == KEPT
    assert len(os.listdir("/proc/self/fd")) == before + KEPT
    for number in (0, 2 * KEPT - 1, 0):
        assert os.path.samestat(os.fstat(tree.open(b"%d" % number)), os.stat(tmp_path / f"root/{number}"))


def test_a_thousand_levels(tmp_path: Path, tree: Directories, request: pytest.FixtureRequest) -> None:
    request.addfinalizer(lambda: shorten(os.fsencode(tmp_path)))
    fd = tree.root_fd
    path = b""
    for _ in range(1000):
        os.mkdir(b"d", dir_fd=fd)
        path = path + b"/d" if path else b"d"
        fd = tree.open(path)
    deepest = os.fstat(fd)
    assert len(tree) == KEPT
    tree.forget(b"")
    assert os.path.samestat(os.fstat(tree.open(path)), deepest)


def test_a_moved_directory_is_believed_for_an_instant_only(tmp_path: Path, tree: Directories, clock: Clock) -> None:
    (tmp_path / "root/a/b").mkdir(parents=True)
    inside = os.fstat(tree.open(b"a/b"))
    (tmp_path / "root/a").rename(tmp_path / "elsewhere")
    (tmp_path / "root/a").symlink_to(tmp_path / "elsewhere")
    assert os.path.samestat(os.fstat(tree.open(b"a/b")), inside)
    clock.now += TRUST_SECONDS * 1.01
    with pytest.raises(NotADirectoryError):
        tree.open(b"a/b")


def test_forget_closes_the_subtree(tmp_path: Path, tree: Directories) -> None:
    for path in ("a/b", "a-b", "ab"):
        (tmp_path / "root" / path).mkdir(parents=True)
    for path in (b"a/b", b"a-b", b"ab"):
        tree.open(path)
    tree.forget(b"a")
    assert len(tree) == 2
    (tmp_path / "root/a").rename(tmp_path / "gone")
    with pytest.raises(FileNotFoundError):
        tree.open(b"a/b")


def test_another_device_is_not_entered(tmp_path: Path, tree: Directories) -> None:
    (tmp_path / "root/a").mkdir()
    tree.device += 1
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="another file system") as failure:
        tree.open(b"a")
    assert failure.value.errno == errno.EXDEV
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_directory_that_may_only_be_searched_is_walked_through(tmp_path: Path, tree: Directories) -> None:
    (tmp_path / "root/dark/inside").mkdir(parents=True)
    os.chmod(tmp_path / "root/dark", 0o711)
    os.seteuid(65534)
    try:
        assert names_in(tree.open(b"dark/inside")) == []
        with pytest.raises(PermissionError):
            names_in(tree.open(b"dark"))
    finally:
        os.seteuid(0)


def test_names_are_bytes(tmp_path: Path, tree: Directories) -> None:
    names = {bytes([value]) * 3 for value in range(1, 256) if value not in b"/."}
    for name in names:
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=tree.root_fd))
    assert set(names_in(tree.root_fd)) == names
    listed = Names(names_in(tree.root_fd))
    assert all(name in listed for name in names)
    assert b"\xff" not in listed
    assert b"" not in Names(())
    file = os.open(b"aaa", os.O_RDONLY, dir_fd=tree.root_fd)
    with pytest.raises(NotADirectoryError):
        names_in(file)
    os.close(file)


@pytest.mark.parametrize("number", [0, 1, 4, 5, 8, 9, 30])
def test_very_many_names_are_sorted_in_runs(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directories, "_RUN", 4)
    monkeypatch.setattr(directories, "_PACKED", 3)
    names = [b"%d \xff\n" % (7 * place % 31) for place in range(number)]
    listed = SortedNames(iter(names))
    assert list(listed) == sorted(names)
    assert list(listed) == sorted(names), "as often as one likes"


def test_very_many_names_take_little_more_than_their_letters() -> None:
    tracemalloc.start()
    try:
        listed = SortedNames(b"%08d" % number for number in range(200_000))
        size, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < 6_000_000, "with 65 536 names of the last run as they are"
    assert most < 12_000_000
    assert next(iter(listed)) == b"00000000"
