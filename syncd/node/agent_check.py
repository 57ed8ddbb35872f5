"""The port that HAProxy's agent-check asks: one line to whoever connects, then the connection is closed.

The words are those of HAProxy's configuration manual, "agent-check". HAProxy takes an agent that it cannot reach for no
news: a node that is being restarted stays as it was.
"""

import asyncio
from collections.abc import Callable
from typing import Final, cast

from syncd.core.readiness import Verdict

MAX_CONNECTIONS: Final = 64  # at a time; a balancer has one, and each takes no longer than the deadline
DEADLINE: Final = 2.0  # seconds until a connection that the other side does not close is cut off
MAX_HEARD: Final = 1_024  # bytes of `agent-send` that are read and thrown away
MAX_REASON: Final = 100  # characters; HAProxy shows the reason in its statistics and its log


def words(draining: bool, verdict: Verdict) -> bytes:
    """What is answered. verdict: whether visitors may come."""
    if draining:
        return b"drain\n"
    if verdict.ready:
        return b"up ready 100%\n"  # "up" ends a down, "ready" ends a drain
    reason = "".join(char if " " <= char <= "~" else "?" for char in verdict.reason[:MAX_REASON])
    return f"down #{reason}\n".encode("ascii")  # without the blank HAProxy (2.6) knows no such word, and does nothing


class AgentCheck:
    """answer(): the line for now."""

    def __init__(self, answer: Callable[[], bytes]) -> None:
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._open: set[_Connection] = set()

    async def open(self, host: str, port: int) -> None:
        """Listen; an empty host means all addresses. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self._answer, self._open), host or None, port)

    async def close(self) -> None:
        """Stop listening, and cut off who is connected."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._open):
            connection.cut()
        await self._server.wait_closed()


class _Connection(asyncio.Protocol):
    """Answers at once, then waits for the other side: closing with something unread would destroy the answer."""

    def __init__(self, answer: Callable[[], bytes], others: "set[_Connection]") -> None:
        self._answer = answer
        self._others = others
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._heard = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Answer, unless too many are there."""
        self._transport = cast(asyncio.Transport, transport)
        if len(self._others) >= MAX_CONNECTIONS:
            self._transport.abort()
            return
        self._others.add(self)
        self._deadline = asyncio.get_running_loop().call_later(DEADLINE, self.cut)
        self._transport.write(self._answer())
        self._transport.write_eof()

    def data_received(self, data: bytes) -> None:
        """Nothing that is said changes the answer."""
        self._heard += len(data)
        if self._heard > MAX_HEARD:
            self.cut()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._others.discard(self)
        if self._deadline is not None:
            self._deadline.cancel()

    def cut(self) -> None:
        """End it now."""
        if self._transport is not None:
            self._transport.abort()
