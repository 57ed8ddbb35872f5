"""A peer that dials while a folder is being opened: the port is open a moment earlier than the folder."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from protocol.connection import Established
from protocol.keys import generate_secret
from syncd.net.session import Session
from tests.lab.inside import Inside
from tests.lab.meeting import agree, running


class Early:
    """A session that stands already."""

    def __init__(self) -> None:
        self.reason = ""

    def close(self, reason: str) -> None:
        self.reason = reason


async def test_whoever_dials_before_the_folder_is_open_is_sent_away_and_comes_again(tmp_path: Path) -> None:
    secret = generate_secret(os.urandom(32))
    one, two = Inside(tmp_path / "one", secret), Inside(tmp_path / "two", secret)
    (one.tree / "a").write_bytes(b"a")
    early = Early()
    one.folder.attach(cast(Session, early), cast(Established, SimpleNamespace(tier=0)))
    assert early.reason == "the folder is not open yet"
    arrived: Any = two.tree / "a"
    async with running(one, two):
        await two.join(one)
        await agree(one, two)
        assert arrived.read_bytes() == b"a"
