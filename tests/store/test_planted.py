"""A private place that somebody else prepared, before the first start or while syncd was stopped."""

import os
from pathlib import Path

import pytest

from protocol.content import Block, block_id
from syncd.store.root import NONCE_SIZE, Marker, Root, RootError
from syncd.store.staging import Staging
from tests.store.disturbances import needs_root
from tests.store.trees import FOLDER_ID, KEY, NOBODY, Folder

THEIRS = "of somebody else"
DATA = b"block" * 20_000


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    path = tmp_path / "theirs"
    path.write_text(THEIRS)
    path.chmod(0o640)
    return path


def private(tmp_path: Path, *names: str) -> Path:
    place = tmp_path / "root/.syncd"
    for name in ("", *names):
        (place / name).mkdir(parents=True, exist_ok=True)
    return place


def check(theirs: Path) -> None:
    assert (theirs.read_text(), theirs.stat().st_mode & 0o7777) == (THEIRS, 0o640)


def test_a_hard_link_in_place_of_the_marker_is_not_written_to(tmp_path: Path, theirs: Path) -> None:
    os.link(theirs, private(tmp_path) / "marker.new")
    root = Root.open(str(tmp_path / "root"), FOLDER_ID)
    root.write_marker(Marker(FOLDER_ID, bytes(NONCE_SIZE)))
    check(theirs)
    assert root.marker() == Marker(FOLDER_ID, bytes(NONCE_SIZE))
    root.close()


def test_a_pipe_in_place_of_the_marker_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(private(tmp_path) / "marker")
    with pytest.raises(RootError, match="damaged"):
        Root.open(str(tmp_path / "root"), FOLDER_ID)


def stage(folder: Folder) -> None:
    """Collect a content that is staged under a name that whoever knows the content's id could guess."""
    content = block_id(KEY, DATA)
    staged = folder.staging.open(content, len(DATA), [Block(content, 0, len(DATA))])
    staged.write(0, DATA)
    with open(os.dup(staged.descriptor()), "rb") as file:
        assert os.pread(file.fileno(), len(DATA), 0) == DATA
        status = os.fstat(file.fileno())
    assert (status.st_mode & 0o7777, status.st_nlink, status.st_uid) == (0o600, 1, os.geteuid())
    assert os.path.samestat(status, os.lstat(folder.at(b".syncd/staging/" + staged.name)))


@pytest.mark.parametrize("kind", ["hard link", "symbolic link", "pipe", "directory"])
def test_what_lies_in_place_of_a_staged_file_is_not_used(tmp_path: Path, theirs: Path, kind: str) -> None:
    name = private(tmp_path, "staging") / "staging" / block_id(KEY, DATA).hex()
    if kind == "hard link":
        os.link(theirs, name)
    elif kind == "symbolic link":
        name.symlink_to(theirs)
    elif kind == "pipe":
        os.mkfifo(name)
    else:
        (name / "below").mkdir(parents=True)
    folder = Folder(str(tmp_path / "root"))
    stage(folder)
    check(theirs)
    folder.close()


@needs_root
def test_a_staged_file_of_another_user_is_not_used(tmp_path: Path) -> None:
    """Who made it may hold it open, and write to it once it was found whole."""
    name = private(tmp_path, "staging") / "staging" / block_id(KEY, DATA).hex()
    name.write_bytes(DATA)
    os.chown(name, NOBODY, NOBODY)
    inode = name.stat().st_ino
    with name.open("rb"):
        folder = Folder(str(tmp_path / "root"))
        stage(folder)
        assert name.stat().st_ino != inode
    folder.close()


def test_links_are_not_followed_when_staging_is_cleaned(
    tmp_path: Path, theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has a directory in there open can still change what is in it."""
    below = private(tmp_path, "staging/left/below") / "staging/left/below"
    outside = tmp_path / "outside"
    outside.mkdir()
    outside.chmod(0o755)
    folder = Folder(str(tmp_path / "root"))
    real = os.unlink
    swapped = []

    def unlink(name: bytes, **where: int) -> None:
        try:
            real(name, **where)
        except IsADirectoryError:
            if name == b"below":
                below.rmdir()
                below.symlink_to(outside)
                swapped.append(name)
            raise

    monkeypatch.setattr(os, "unlink", unlink)
    with pytest.raises(NotADirectoryError):
        folder.staging.clean(())
    assert swapped
    assert outside.stat().st_mode & 0o7777 == 0o755
    monkeypatch.setattr(os, "unlink", real)
    folder.staging.clean(())
    assert folder.private(b"staging") == []
    folder.close()


def test_a_locked_directory_is_removed(tmp_path: Path) -> None:
    (private(tmp_path, "staging/left/below") / "staging/left/below/file").write_text("x")
    for name in ("staging/left/below", "staging/left"):
        (private(tmp_path) / name).chmod(0)
    folder = Folder(str(tmp_path / "root"))
    Staging(folder.root.staging_fd, KEY).clean(())
    assert folder.private(b"staging") == []
    folder.close()
