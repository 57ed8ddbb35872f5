"""A folder to work on, and what its file system offers."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncd.store import syscalls
from tests.store.disturbances import (
    Instant,
    failing,
)
from tests.store.trees import (
    Folder,
)


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
