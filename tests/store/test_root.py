"""A folder's root: who may open it, where its private part lies, and what became of it."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from syncd.store.root import Marker, Root, RootError, RootState, _is_below
from tests.store.trees import FOLDER_ID, NOBODY

NONCE = b"n" * 16


def test_open_makes_a_private_place(tmp_path: Path) -> None:
    root = Root.open(str(tmp_path), FOLDER_ID)
    for name in (".syncd", ".syncd/staging", ".syncd/archive"):
        assert os.stat(tmp_path / name).st_mode & 0o7777 == 0o700
    assert os.path.samestat(os.fstat(root.staging_fd), os.stat(tmp_path / ".syncd/staging"))
    assert os.path.samestat(os.fstat(root.archive_fd), os.stat(tmp_path / ".syncd/archive"))
    assert root.capabilities.lacking() == []
    root.close()
    Root.open(str(tmp_path), FOLDER_ID).close()


def test_a_private_place_that_others_could_enter_is_closed(tmp_path: Path) -> None:
    os.mkdir(tmp_path / ".syncd")
    os.chmod(tmp_path / ".syncd", 0o2777)
    if not os.geteuid():
        os.chown(tmp_path / ".syncd", NOBODY, NOBODY)
    Root.open(str(tmp_path), FOLDER_ID).close()
    status = os.stat(tmp_path / ".syncd")
    assert (status.st_mode & 0o7777, status.st_uid) == (0o700, os.geteuid())


def test_everything_is_closed_again(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    Root.open(str(tmp_path), FOLDER_ID, str(tmp_path.parent / "storage")).close()
    with pytest.raises(RootError):
        Root.open(str(tmp_path), FOLDER_ID, str(tmp_path / "inside"))
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("what", ["missing", "file"])
def test_what_is_no_directory_is_refused(tmp_path: Path, what: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RootError, match=what) as failure:
        Root.open(str(tmp_path / what), FOLDER_ID)
    assert "\n" not in str(failure.value)


def test_not_writable_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    with pytest.raises(RootError, match="not writable"):
        Root.open(str(tmp_path), FOLDER_ID)


def test_a_read_only_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "mkdir", read_only)
    with pytest.raises(RootError, match="Read-only"):
        Root.open(str(tmp_path), FOLDER_ID)


@pytest.mark.parametrize("place", [".syncd", ".syncd/staging"])
def test_a_link_planted_for_the_private_place_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "elsewhere").mkdir()
    if place != ".syncd":
        (tmp_path / "root/.syncd").mkdir()
    (tmp_path / "root" / place).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RootError):
        Root.open(str(tmp_path / "root"), FOLDER_ID)
    assert os.listdir(tmp_path / "elsewhere") == []


def test_one_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "root")
    root = Root.open(str(tmp_path / "root"), FOLDER_ID)
    for way in ("root", "link"):
        with pytest.raises(RootError, match="in use by another syncd"):
            Root.open(str(tmp_path / way), FOLDER_ID)
    root.close()
    Root.open(str(tmp_path / "link"), FOLDER_ID).close()


def test_where_only_what_may_be_written_can_be_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = fcntl.flock

    def as_on_nfs(fd: int, operation: int) -> None:
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        real(fd, operation)

    monkeypatch.setattr("fcntl.flock", as_on_nfs)
    root = Root.open(str(tmp_path), FOLDER_ID)
    with pytest.raises(RootError, match="in use by another syncd"):
        Root.open(str(tmp_path), FOLDER_ID)
    root.close()


def test_other_failures_of_the_lock_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", no_locks)
    with pytest.raises(RootError, match=os.strerror(errno.ENOLCK)):
        Root.open(str(tmp_path), FOLDER_ID)


def test_a_root_inside_another_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outer/a/b").mkdir(parents=True)
    outer = Root.open(str(tmp_path / "outer"), FOLDER_ID)
    Root.open(str(tmp_path / "outer/a/b"), FOLDER_ID).close()  # not marked yet
    outer.write_marker(Marker(FOLDER_ID, NONCE))
    with pytest.raises(RootError, match=f"inside {tmp_path}/outer,"):
        Root.open(str(tmp_path / "outer/a/b"), FOLDER_ID)
    outer.close()


def test_looking_upwards_ends_where_one_may_not_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def guarded(path: bytes, *arguments: object, **options: object) -> int:
        if path == b"..":
            raise PermissionError
        return real(path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", guarded)
    Root.open(str(tmp_path), FOLDER_ID).close()


# ---- marker


def test_marker_is_kept(tmp_path: Path) -> None:
    root = Root.open(str(tmp_path), FOLDER_ID)
    assert root.marker() is None
    for nonce in (NONCE, b"m" * 16):
        root.write_marker(Marker(FOLDER_ID, nonce))
        assert root.marker() == Marker(FOLDER_ID, nonce)
    root.close()
    root = Root.open(str(tmp_path), FOLDER_ID)
    assert root.marker() == Marker(FOLDER_ID, b"m" * 16)
    assert sorted(os.listdir(tmp_path / ".syncd")) == ["archive", "lock", "marker", "staging"]
    root.close()


def test_another_folders_marker_is_refused(tmp_path: Path) -> None:
    root = Root.open(str(tmp_path), FOLDER_ID)
    root.write_marker(Marker(FOLDER_ID, NONCE))
    root.close()
    with pytest.raises(RootError, match="another secret"):
        Root.open(str(tmp_path), b"g" * 16)


@pytest.mark.parametrize(
    "text",
    [b"", b"x" * 5000, b"syncd 1\n66\n", b"syncd 1\nzz\nzz\n", b"syncd 2\n66\n" + b"6e" * 16 + b"\n", b"\xff\n\n\n",
     b"syncd 1\n66\n6e\n", b"syncd 1\n66\n" + b"6e" * 16 + b"\nmore"],
)  # fmt: skip
def test_a_damaged_marker_is_refused(tmp_path: Path, text: bytes) -> None:
    os.mkdir(tmp_path / ".syncd")
    (tmp_path / ".syncd/marker").write_bytes(text)
    with pytest.raises(RootError, match="damaged"):
        Root.open(str(tmp_path), FOLDER_ID)


# ---- storage


def test_storage_on_the_same_file_system_holds_staging_and_archive(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    first = Root.open(str(tmp_path / "root"), FOLDER_ID)
    (tmp_path / "root/.syncd/archive/old").write_text("archived before there was a storage path")
    first.close()
    root = Root.open(str(tmp_path / "root"), FOLDER_ID, str(tmp_path / "storage"))
    home = tmp_path / "storage" / FOLDER_ID.hex()
    assert sorted(os.listdir(home)) == ["archive", "lock", "staging"]
    assert os.path.samestat(os.fstat(root.staging_fd), os.stat(home / "staging"))
    assert os.listdir(home / "archive") == ["old"]
    assert os.listdir(tmp_path / "root/.syncd/archive") == []
    (tmp_path / "other").mkdir()
    with pytest.raises(RootError, match="in use"):  # its staging would be cleaned by the other's start
        Root.open(str(tmp_path / "other"), FOLDER_ID, str(tmp_path / "storage"))
    root.close()


def test_storage_elsewhere_is_not_used_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "root").mkdir()
    real = os.rename

    def across_mounts(source: bytes, target: bytes, **places: int) -> None:
        if source == b"probe":
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        real(source, target, **places)

    monkeypatch.setattr(os, "rename", across_mounts)
    root = Root.open(str(tmp_path / "root"), FOLDER_ID, str(tmp_path / "storage"))
    assert os.path.samestat(os.fstat(root.staging_fd), os.stat(tmp_path / "root/.syncd/staging"))
    assert os.listdir(tmp_path / "storage" / FOLDER_ID.hex()) == []
    root.close()


def test_storage_on_another_device_is_not_used_for_them(tmp_path: Path) -> None:
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK) or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system at hand")
    storage = shared / f"syncd-test-{os.getpid()}"
    try:
        root = Root.open(str(tmp_path), FOLDER_ID, str(storage))
        assert os.path.samestat(os.fstat(root.archive_fd), os.stat(tmp_path / ".syncd/archive"))
        root.close()
    finally:
        os.rmdir(storage / FOLDER_ID.hex())
        os.rmdir(storage)


def test_storage_inside_the_folder_is_refused(tmp_path: Path) -> None:
    for storage in (tmp_path, tmp_path / "deep/er"):
        with pytest.raises(RootError, match="inside the folder"):
            Root.open(str(tmp_path), FOLDER_ID, str(storage))
    Root.open(str(tmp_path), FOLDER_ID, str(tmp_path / ".syncd/state")).close()


def test_storage_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "root").mkdir()
    with pytest.raises(RootError, match="storage_path"):
        Root.open(str(tmp_path / "root"), FOLDER_ID, str(tmp_path / "file/storage"))


def test_the_top_of_the_file_system_is_below_nothing(tmp_path: Path) -> None:
    root = Root.open(str(tmp_path), FOLDER_ID)
    top = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    assert not _is_below(top, root.fd)
    os.close(top)
    root.close()


# ---- what became of it


def test_states(tmp_path: Path) -> None:
    path = tmp_path / "root"
    path.mkdir()
    root = Root.open(str(path), FOLDER_ID)
    assert root.tree_empty()
    assert root.state() == RootState.NEW
    (path / "lost+found").mkdir()
    assert root.tree_empty()
    root.write_marker(Marker(FOLDER_ID, NONCE))
    assert root.state() == RootState.EMPTIED
    (path / "file").write_text("")
    assert not root.tree_empty()
    assert root.state() == RootState.KNOWN
    root.close()


def test_a_root_that_was_renamed_away_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "root"
    path.mkdir()
    root = Root.open(str(path), FOLDER_ID)
    path.rename(tmp_path / "away")
    assert not root.in_place()
    assert root.state() == RootState.REPLACED
    path.mkdir()
    assert root.state() == RootState.REPLACED
    path.rmdir()
    (tmp_path / "away").rename(path)
    assert root.state() == RootState.NEW
    root.close()


def test_a_root_whose_marker_went_is_noticed(tmp_path: Path) -> None:
    root = Root.open(str(tmp_path), FOLDER_ID)
    (tmp_path / "file").write_text("")
    root.write_marker(Marker(FOLDER_ID, NONCE))
    (tmp_path / ".syncd/marker").unlink()
    assert root.state() == RootState.REPLACED
    (tmp_path / ".syncd").rename(tmp_path / "moved")
    assert root.state() == RootState.REPLACED
    (tmp_path / ".syncd").mkdir()
    assert not root.in_place()
    root.close()


def test_errors_that_are_not_of_the_system_close_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: int) -> None:
        raise ZeroDivisionError

    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr("syncd.store.root.probe", broken)
    with pytest.raises(ZeroDivisionError):
        Root.open(str(tmp_path), FOLDER_ID)
    assert len(os.listdir("/proc/self/fd")) == before
