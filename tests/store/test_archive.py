"""The archive: what comes in is kept, apart from the tree, until it is removed."""

import errno
import os

import pytest

from protocol.record import Kind
from syncd.store.archive import Archive, ArchivedItem
from tests.store.trees import NOBODY, SOME_TIME, Folder, shorten


def put(folder: Folder, path: bytes) -> ArchivedItem:
    fd, name = folder.directories.parent(path)
    return folder.archive.put(fd, name, path)


def read(folder: Folder, item: ArchivedItem) -> bytes:
    fd = folder.archive.open(item.name)
    with open(fd, "rb") as file:
        return file.read()


def status_of(folder: Folder, item: ArchivedItem) -> os.stat_result:
    return os.stat(item.name, dir_fd=folder.archive.fd, follow_symlinks=False)


def test_a_file_moves_in(folder: Folder) -> None:
    folder.write(b"d/f", b"bytes", 0o755, SOME_TIME)
    inode = os.stat(folder.at(b"d/f")).st_ino
    item = put(folder, b"d/f")
    assert item[1:] == (b"d/f", Kind.FILE, 5, 0o755, SOME_TIME)
    assert folder.archive.names() == [item.name]
    assert not os.path.exists(folder.at(b"d/f"))
    status = status_of(folder, item)
    assert (status.st_ino, status.st_mode & 0o7777, status.st_mtime_ns) == (inode, 0o600, SOME_TIME)
    assert read(folder, item) == b"bytes"


def test_a_link_moves_in(folder: Folder) -> None:
    os.symlink(b"../x", folder.at(b"l"))
    item = put(folder, b"l")
    assert (item.kind, item.size) == (Kind.LINK, 0)
    assert folder.archive.target(item.name) == b"../x"
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        folder.archive.open(item.name)


def test_names_say_nothing(folder: Folder) -> None:
    archives = (folder.archive, Archive(folder.archive.fd))
    names = {archive.slot() for archive in archives for _ in range(100)}
    assert len(names) == 200
    assert all(name.isalnum() for name in names)


@pytest.mark.parametrize("full", [False, True])
def test_no_inode_is_in_the_tree_too(folder: Folder, full: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write(b"f", b"bytes", 0o644, SOME_TIME)
    os.link(folder.at(b"f"), folder.at(b"g"))
    if full:

        def no_room(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr("syncd.store.archive.copy_contents", no_room)
    item = put(folder, b"f")
    shared = status_of(folder, item).st_ino == os.stat(folder.at(b"g")).st_ino
    assert shared == full  # without room for a copy it is kept all the same
    assert os.stat(folder.at(b"g")).st_mode & 0o777 == 0o644
    assert item[1:] == (b"f", Kind.FILE, 5, 0o644, SOME_TIME)
    assert status_of(folder, item).st_mtime_ns == SOME_TIME
    assert folder.archive.names() == [item.name]
    if not full:
        folder.write(b"g", b"later")
        assert read(folder, item) == b"bytes"


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_another_users_file_is_kept(folder: Folder) -> None:
    folder.write(b"f", b"bytes", 0o644)
    for place in (folder.path, folder.at(b".syncd/archive")):
        os.chown(place, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        item = put(folder, b"f")
    finally:
        os.seteuid(0)
    assert status_of(folder, item).st_mode & 0o777 == 0o644


def test_bytes_that_were_in_no_tree(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    item = folder.archive.add(b"loser", b"d/f", 0o640, SOME_TIME)
    assert item[1:] == (b"d/f", Kind.FILE, 5, 0o640, SOME_TIME)
    assert read(folder, item) == b"loser"
    assert folder.archive.changed(item) is None

    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", no_room)
    with pytest.raises(OSError, match="space"):
        folder.archive.add(b"loser", b"d/f", 0o640, SOME_TIME)
    assert folder.archive.names() == [item.name]


def test_restore_copies_and_never_replaces(folder: Folder) -> None:
    folder.write(b"f", b"old", 0o640, SOME_TIME)
    os.symlink(b"target", folder.at(b"l"))
    os.utime(folder.at(b"l"), ns=(SOME_TIME, SOME_TIME), follow_symlinks=False)
    items = [put(folder, b"f"), put(folder, b"l")]
    for item in items:
        folder.archive.restore(item, folder.root.fd, item.path)
        with pytest.raises(FileExistsError):
            folder.archive.restore(item, folder.root.fd, item.path)
    assert folder.tree() == {
        b"f": (Kind.FILE, b"old", 0o640, SOME_TIME),
        b"l": (Kind.LINK, b"target", 0o777, SOME_TIME),
    }
    assert sorted(folder.archive.names()) == sorted(item.name for item in items)
    assert status_of(folder, items[0]).st_ino != os.stat(folder.at(b"f")).st_ino


def test_a_writer_that_held_it_open_is_noticed(folder: Folder) -> None:
    folder.write(b"f", b"1", mtime=SOME_TIME)
    os.symlink(b"x", folder.at(b"l"))
    link = put(folder, b"l")
    with open(folder.at(b"f"), "ab") as file:
        item = put(folder, b"f")
        assert folder.archive.changed(item) is None
        file.write(b"2")
    now = folder.archive.changed(item)
    assert now is not None
    assert (now.size, now.name, now.path, now.mode) == (2, item.name, b"f", item.mode)
    assert now.mtime > SOME_TIME
    assert folder.archive.changed(now) is None
    assert folder.archive.changed(link) is None


def test_remove(folder: Folder) -> None:
    items = [folder.archive.add(bytes([n]), b"f", 0o644, 0) for n in range(3)]
    folder.archive.remove([items[0].name, b"missing", items[2].name])
    assert folder.archive.names() == [items[1].name]


def test_what_an_unclean_stop_left_is_adopted(folder: Folder, request: pytest.FixtureRequest) -> None:
    request.addfinalizer(lambda: shorten(folder.path))
    known = folder.archive.add(b"known", b"f", 0o644, 0)
    place = folder.at(b".syncd/archive/")
    folder.write(b".syncd/archive/lost", b"lost", 0o644)
    folder.write(b"live", b"live")
    os.link(folder.at(b"live"), place + b"second-name")
    os.symlink(b"target", place + b"link")
    folder.write(b".syncd/archive/d/e/f", b"deep")
    found = folder.archive.adopt({known.name})
    assert {(item.kind, item.path) for item in found} == {(Kind.FILE, b""), (Kind.LINK, b"")}
    assert {read(folder, item) for item in found if item.kind is Kind.FILE} == {b"lost", b"deep"}
    assert {item.name for item in found} | {known.name} == set(folder.archive.names())
    assert folder.read(b"live") == b"live"
    assert folder.archive.adopt({item.name for item in found} | {known.name}) == []
