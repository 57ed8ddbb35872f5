"""Whom a node dials may be anybody: every answer ends in one reason, in time, and nothing of it stays."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from protocol.connection import Established
from protocol.handshake import HandshakeResult
from protocol.keys import generate_secret
from protocol.messages import Hello
from syncd.net import endpoint as endpoint_module
from syncd.net import session as session_module
from syncd.net.endpoint import DialFailed, DialledSelf, Endpoint
from syncd.net.limiter import Limiter, Limits
from syncd.net.session import Session
from tests.hostile.peer import Persona

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
SECRET = generate_secret(bytes(range(32)))
DEADLINE = 0.3  # seconds for a handshake here


class Dialler:
    """An endpoint with what it told."""

    def __init__(self, persona: Persona) -> None:
        self.persona = persona
        self.sessions: list[Session] = []
        self.strangers: list[str] = []
        self.endpoint = Endpoint(
            [persona.keys], persona.static_private, secrets.token_bytes, self._hello, self._established,
            lambda session, reason: None, lambda address, reason: self.strangers.append(reason),
            Limits(Limiter(0, time.monotonic), Limiter(0, time.monotonic)),
        )  # fmt: skip

    def _hello(self, result: HandshakeResult) -> Hello:
        return self.persona.hello(result)

    def _established(self, session: Session, event: Established) -> None:
        self.sessions.append(session)

    async def dial(self, port: int) -> Session:
        return await self.endpoint.dial(self.persona.keys, "127.0.0.1", port)


@pytest.fixture
def dialler(monkeypatch: pytest.MonkeyPatch) -> Dialler:
    monkeypatch.setattr(session_module, "HANDSHAKE_DEADLINE", DEADLINE)
    monkeypatch.setattr(endpoint_module, "HANDSHAKE_DEADLINE", DEADLINE)
    return Dialler(Persona.of(SECRET))


@asynccontextmanager
async def served(behave: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[int]:
    """A port at which each connection is met like this."""

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await behave(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(meet, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(65_536):
        pass


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    pass


async def noise(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(secrets.token_bytes(65_536))
        await writer.drain()


async def noise_in_a_frame(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write((96).to_bytes(2, "big") + secrets.token_bytes(96))
    await reader.read()


async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    for byte in (96).to_bytes(2, "big") + bytes(94):
        writer.write(bytes([byte]))
        await writer.drain()
        await reader.read(1)


async def banner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    await writer.drain()


@pytest.mark.parametrize("behave", [echo, silence, hang_up, noise, noise_in_a_frame, trickle, banner])
async def test_no_server_makes_a_session(
    dialler: Dialler, behave: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
) -> None:
    async with served(behave) as port:
        async with asyncio.timeout(DEADLINE * 100):
            with pytest.raises(DialFailed):
                await dialler.dial(port)
    assert dialler.sessions == []
    assert dialler.endpoint._sessions == set()


async def test_a_recorded_server_cannot_be_played_back(dialler: Dialler) -> None:
    """It authenticated once; to another ephemeral key its bytes mean nothing."""
    other = Dialler(Persona.of(SECRET))
    port = await other.endpoint.listen("127.0.0.1", 0)
    recorded = bytearray()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering, asking = await asyncio.open_connection("127.0.0.1", port)

        async def forth() -> None:
            while data := await reader.read(65_536):
                asking.write(data)

        copying = asyncio.create_task(forth())
        while data := await answering.read(65_536):
            recorded.extend(data)
            writer.write(data)
        copying.cancel()

    async with served(relay) as relayed:
        session = await dialler.dial(relayed)
        session.close("enough")
    assert len(recorded) > 300

    async def play_back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(recorded)
        await reader.read()

    dialler.sessions.clear()
    async with served(play_back) as port_of_player:
        with pytest.raises(DialFailed):
            await dialler.dial(port_of_player)
    assert dialler.sessions == []
    await other.endpoint.close()


async def test_dialling_oneself_is_seen_before_our_key_is_shown(dialler: Dialler) -> None:
    port = await dialler.endpoint.listen("127.0.0.1", 0)
    with pytest.raises(DialledSelf):
        await dialler.dial(port)
    assert dialler.sessions == []
    await dialler.endpoint.close()


async def test_a_server_of_another_folder_is_a_stranger(dialler: Dialler) -> None:
    other = Dialler(Persona.of(generate_secret(secrets.token_bytes(32))))
    port = await other.endpoint.listen("127.0.0.1", 0)
    with pytest.raises(DialFailed, match="other secret"):
        await dialler.dial(port)
    assert len(other.strangers) == 1
    await other.endpoint.close()
