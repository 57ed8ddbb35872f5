"""The port for HAProxy's agent-check."""

import asyncio
import socket

import pytest

from syncd.core.readiness import Verdict
from syncd.node import agent_check
from syncd.node.agent_check import MAX_CONNECTIONS, MAX_HEARD, MAX_REASON, AgentCheck, words

READY = Verdict(True, "ready")
LINE = b"up ready 100%\n"


@pytest.mark.parametrize(
    ("draining", "verdict", "line"),
    [
        (False, READY, LINE),
        (True, READY, b"drain\n"),
        (True, Verdict(False, "waiting"), b"drain\n"),
        (False, Verdict(False, "themes: 3 paths, 2 MB"), b"down #themes: 3 paths, 2 MB\n"),
        (False, Verdict(False, "caf\xe9\nup ready\x00"), b"down #caf??up ready?\n"),
        (False, Verdict(False, "x" * 1000), b"down #" + b"x" * MAX_REASON + b"\n"),
    ],
)
def test_the_words(draining: bool, verdict: Verdict, line: bytes) -> None:
    assert words(draining, verdict) == line


class Running:
    """An agent on a free port, as a context."""

    def __init__(self) -> None:
        self.line = LINE
        self.agent = AgentCheck(lambda: self.line)

    async def __aenter__(self) -> "Running":
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        await self.agent.open("127.0.0.1", self.port)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.agent.close()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, said: bytes = b"") -> bytes:
        """All that is answered until the end; nothing from a connection that is cut off."""
        try:
            reader, writer = await self.connect()
            writer.write(said)
            answer = await asyncio.wait_for(reader.read(), 20)
            writer.close()
        except ConnectionError:
            return b""
        return answer

    async def fill(self) -> list[asyncio.StreamWriter]:
        """As many connections as there may be, each of them answered and left open."""
        held = [await self.connect() for _ in range(MAX_CONNECTIONS)]
        for reader, _ in held:
            assert await asyncio.wait_for(reader.readline(), 20) == LINE
        return [writer for _, writer in held]

    async def until_free(self) -> None:
        """Until a connection is answered again."""
        async with asyncio.timeout(20):
            while await self.ask() != LINE:
                pass


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_check, "DEADLINE", 1_000.0)


async def test_one_line_and_the_end() -> None:
    async with Running() as running:
        assert await running.ask() == LINE
        running.line = b"drain\n"
        assert await running.ask(b"web1\n") == b"drain\n"


async def test_connections_are_bounded_and_become_free() -> None:
    async with Running() as running:
        held = await running.fill()
        assert await running.ask() == b""
        held[0].close()
        await running.until_free()


async def test_who_does_not_close_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_check, "DEADLINE", 0.05)
    async with Running() as running:
        held = [await running.connect() for _ in range(MAX_CONNECTIONS)]
        await running.until_free()
        assert not any(writer.is_closing() for _, writer in held)


async def test_who_talks_too_much_is_cut_off() -> None:
    async with Running() as running:
        for writer in await running.fill():
            writer.write(b"x" * (MAX_HEARD + 1))
        await running.until_free()


async def test_closing_ends_all() -> None:
    async with Running() as running:
        await running.fill()
        await asyncio.wait_for(running.agent.close(), 20)
        assert await running.ask() == b""
