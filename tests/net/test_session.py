"""How much a session lets wait in the kernel: what a fast link takes in some milliseconds, and little on a slow one."""

import asyncio
import time
from typing import Any

import pytest

from syncd.net.limiter import Limiter, Limits
from syncd.net.session import NOT_SENT_LEAST, NOT_SENT_MOST, RATE_SECONDS, Session


class Socket:
    def __init__(self) -> None:
        self.not_sent = [NOT_SENT_LEAST]

    def setsockopt(self, _level: int, _name: int, value: int) -> None:
        self.not_sent.append(value)


class Link(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.socket = Socket()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.socket if name == "socket" else default

    def is_closing(self) -> bool:
        return False

    def writelines(self, parts: Any) -> None:
        pass


class Clock:
    now = 0.0

    def time(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("rate", "suits"),
    [(1e6, NOT_SENT_LEAST), (20e6, 2 * NOT_SENT_LEAST), (60e6, 8 * NOT_SENT_LEAST), (1e9, NOT_SENT_MOST)],
)
async def test_what_waits_unsent_follows_the_rate(rate: float, suits: int) -> None:
    limits = Limits(Limiter(0, time.monotonic), Limiter(0, time.monotonic))
    session = Session(None, lambda *_: None, lambda *_: None, limits, initiator=False)  # type: ignore[arg-type]
    clock, link = Clock(), Link()
    session._loop, session._transport = clock, link  # type: ignore[assignment]
    session._last_sent = session._written_since = 0.0
    for _ in range(30):
        clock.now += RATE_SECONDS / 10
        session._write([bytes(int(rate * RATE_SECONDS / 10))])
    assert link.socket.not_sent[-1] == suits
    assert len(link.socket.not_sent) <= 2
    clock.now += 10.0
    session._write([b"after a pause"])
    clock.now += 10.0
    session._write([b"and another one"])
    assert link.socket.not_sent[-1] == NOT_SENT_LEAST
