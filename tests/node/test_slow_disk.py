"""A disk that is slower than the peers: what came and is not written yet is bounded, whatever the window."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from protocol.keys import generate_secret
from syncd.core.scheduler import WINDOW_MOST
from syncd.node.fetcher import UNWRITTEN_MOST
from syncd.node.sources import Sources
from tests.lab.inside import Inside
from tests.lab.meeting import agree, running

SIZE = 3 * (UNWRITTEN_MOST + WINDOW_MOST)  # bytes


async def test_nothing_is_asked_for_while_the_disk_is_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = generate_secret(os.urandom(32))
    one, two = Inside(tmp_path / "one", secret), Inside(tmp_path / "two", secret)
    (one.tree / "large").write_bytes(os.urandom(SIZE))
    stuck, writes = threading.Event(), threading.Event()
    original = Sources.write

    def write(self: Sources, batch: Any) -> Any:
        if self is two.folder.fetcher._sources:
            writes.set()
            stuck.wait()
        return original(self, batch)

    monkeypatch.setattr(Sources, "write", write)
    async with running(one, two):
        try:
            await two.join(one)
            scheduler = two.folder.fetcher.scheduler
            await one.reach(lambda: writes.is_set() and not scheduler.in_flight)
            came = two.folder.fetcher.fetched_bytes
            assert UNWRITTEN_MOST < came <= UNWRITTEN_MOST + WINDOW_MOST + (1 << 20)
        finally:
            stuck.set()
        await agree(one, two)
        assert (two.tree / "large").read_bytes() == (one.tree / "large").read_bytes()
