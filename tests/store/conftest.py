"""A folder to work on, what its file system offers, and an index."""

import errno
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from syncd.store import syscalls
from syncd.store.index import SqliteIndex
from tests.store.disturbances import Instant, failing
from tests.store.indexes import FOLDER, SEED
from tests.store.trees import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    folder = Folder(str(tmp_path / "root"))
    yield folder
    folder.close()


@pytest.fixture(params=["exchange", "links", "steps"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the file system offers: an exchange, hard links only, or neither."""
    if request.param != "exchange":
        monkeypatch.setattr(syscalls, "_renameat2", syscalls._bind("no_such_call"))
    if request.param == "steps":
        monkeypatch.setattr(os, "link", failing(errno.EPERM))
    return str(request.param)


@pytest.fixture
def exchanges(monkeypatch: pytest.MonkeyPatch) -> Instant:
    return Instant(monkeypatch, syscalls, "rename", lambda *a: a[-1] == syscalls.RENAME_EXCHANGE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of the index."""
    return tmp_path / "index.db"


@pytest.fixture
def index(path: Path) -> Iterator[SqliteIndex]:
    with closing(SqliteIndex(path, FOLDER, SEED)) as opened:
        yield opened
