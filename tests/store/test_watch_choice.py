"""Which watcher a folder gets."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncd.store import syscalls, watch_inotify, watch_polling
from syncd.store.directories import Directories
from syncd.store.watch_choice import NETWORK, open_watcher
from syncd.store.watch_inotify import InotifyWatcher
from syncd.store.watch_polling import PollingWatcher
from tests.store.disturbances import failing


@pytest.fixture
def directories(tmp_path: Path) -> Iterator[Directories]:
    fd = os.open(tmp_path, os.O_RDONLY)
    directories = Directories(fd)
    yield directories
    directories.close()
    os.close(fd)


def test_the_kernels_on_a_local_file_system(directories: Directories) -> None:
    watcher, limitation = open_watcher(directories)
    assert isinstance(watcher, InotifyWatcher)
    assert limitation == ""
    watcher.close()


@pytest.mark.parametrize("type_", NETWORK)
def test_looking_where_others_change_files_too(
    directories: Directories, type_: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syscalls, "file_system_type", lambda _fd: type_)
    watcher, limitation = open_watcher(directories)
    assert isinstance(watcher, PollingWatcher)
    assert NETWORK[type_] in limitation
    watcher.close()


def test_looking_where_there_is_no_inotify(directories: Directories, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_inotify, "INotify", failing(errno.EMFILE))
    watcher, limitation = open_watcher(directories)
    assert isinstance(watcher, PollingWatcher)
    assert "no inotify: Too many open files" in limitation
    watcher.close()


def test_scanning_where_nothing_else_is_left(directories: Directories, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_inotify, "INotify", failing(errno.ENOSYS))
    monkeypatch.setattr(watch_polling, "PollingWatcher", failing(errno.EMFILE))
    watcher, limitation = open_watcher(directories)
    assert watcher is None
    assert "scanning only" in limitation


def test_the_type_of_a_file_system(directories: Directories, monkeypatch: pytest.MonkeyPatch) -> None:
    fd = os.open("/proc/self", os.O_RDONLY)
    try:
        assert syscalls.file_system_type(fd) == 0x9FA0
        assert syscalls.file_system_type(directories.root_fd) not in (0, 0x9FA0)
        monkeypatch.setattr(syscalls, "_fstatfs", syscalls._bind("no_such_call"))
        assert syscalls.file_system_type(fd) == 0
    finally:
        os.close(fd)
