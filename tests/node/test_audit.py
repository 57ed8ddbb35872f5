"""The audit log: whole lines, rotated; trouble with the file stops nothing."""

import asyncio
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from syncd.config.settings import Audit as Settings
from syncd.node import audit
from syncd.node.audit import Audit, append
from syncd.node.events import Events

NODE = {"node": "web1", "node_id": "ab"}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in path.read_text().splitlines()]


def raw(place: Settings) -> str:
    assert Path(place.file).stat().st_mode & 0o777 == 0o600
    return Path(place.file).read_text()


async def until(reached: Callable[[], bool]) -> None:
    while not reached():  # noqa: ASYNC110 - another task's thread gets there
        await asyncio.sleep(0)


def settings(tmp_path: Path, max_bytes: int = 10_000, files: int = 3) -> Settings:
    return Settings(str(tmp_path / "audit.jsonl"), max_bytes, files)


async def test_who_what_when(tmp_path: Path) -> None:
    events = Events(lambda: 1_700_000_000_123_456_789)
    place = settings(tmp_path)
    async with Audit(place, events, NODE):
        events.put("applied", "/srv/site", path="a\x1b\n", kind="file", bytes=3, author="web2")
        events.put("state", "/srv/site", state="in-sync")
        events.put("stopping")
        events.close()
    (first, last) = lines(Path(place.file))
    assert first == {
        "time": "2023-11-14T22:13:20.123457+00:00", **NODE, "seq": 1, "event": "applied", "folder": "/srv/site",
        "path": "a\x1b\n", "kind": "file", "bytes": 3, "author": "web2",
    }  # fmt: skip
    assert last["event"] == "stopping"
    assert "\x1b" not in raw(place)


async def test_trouble_is_told_and_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "RETRY", 0.0)
    events = Events(lambda: 0)
    place = Settings(str(tmp_path / "gone/audit.jsonl"), 10_000, 2)
    log = Audit(place, events, NODE)
    events.kept = 5
    async with log:
        for number in range(20):
            events.put("applied", path=str(number))
        await until(lambda: bool(log.problem))
        assert log.document()["problem"] == "No such file or directory"
        (tmp_path / "gone").mkdir()
        await until(lambda: not log.problem)
        events.close()
    written = lines(Path(place.file))
    assert written[0] == {**NODE, "event": "missed", "count": 15}
    assert [item["path"] for item in written[1:]] == ["15", "16", "17", "18", "19"]
    assert log.missed == 15


def test_rotation(tmp_path: Path) -> None:
    place = settings(tmp_path, max_bytes=30)
    for number in range(5):
        append(place, f"{number:019}\n".encode())
    found = {path.name: int(path.read_text()) for path in tmp_path.iterdir()}
    assert found == {"audit.jsonl": 4, "audit.jsonl.1": 3, "audit.jsonl.2": 2}


def test_one_file_begins_anew(tmp_path: Path) -> None:
    place = settings(tmp_path, max_bytes=30, files=1)
    append(place, b"one".ljust(20) + b"\n")
    append(place, b"two".ljust(20) + b"\n")
    assert [path.read_text().strip() for path in tmp_path.iterdir()] == ["two"]


def test_a_write_that_fails_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = settings(tmp_path)
    append(place, b"whole\n")
    write = os.write

    def full(fd: int, data: memoryview) -> int:
        if len(data) < 9:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data[:4])

    monkeypatch.setattr(audit.os, "write", full)
    with pytest.raises(OSError, match="No space"):
        append(place, b"much too long\n")
    monkeypatch.undo()
    append(place, b"again\n")
    assert Path(place.file).read_text() == "whole\nagain\n"


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        append(settings(tmp_path), b"line\n")
    assert not (tmp_path / "elsewhere").exists()
