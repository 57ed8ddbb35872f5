"""The UDP port: what comes is heard, a flood costs little, and nobody is answered."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator

import pytest

from syncd.net import datagrams as module
from syncd.net.datagrams import ATTENTION_BURST, Datagrams
from syncd.net.networks import pick_scope

Got = tuple[bytes, str, int]


class Ear:
    """A port with what it heard."""

    def __init__(self) -> None:
        self.heard: list[Got] = []
        self.happened = asyncio.Event()
        self.datagrams = Datagrams(self._hear, time.monotonic)

    def _hear(self, data: bytes, host: str, port: int) -> None:
        self.heard.append((data, host, port))
        self.happened.set()

    async def next(self) -> Got:
        """The next datagram that was not asked for yet."""
        async with asyncio.timeout(10.0):
            while not self.heard:
                self.happened.clear()
                await self.happened.wait()
        return self.heard.pop(0)


@pytest.fixture
async def ears() -> AsyncIterator[list[Ear]]:
    made: list[Ear] = [Ear(), Ear()]
    tasks: list[asyncio.Task[None]] = []
    for ear in made:
        await ear.datagrams.open("127.0.0.1", 0)
        tasks.append(asyncio.create_task(ear.datagrams.run()))
    yield made
    for ear, task in zip(made, tasks, strict=True):
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        ear.datagrams.close()


def port_of(ear: Ear) -> int:
    return int(ear.datagrams._sockets[0].getsockname()[1])


async def test_datagrams_go_there_and_come_from_the_port(ears: list[Ear]) -> None:
    one, two = ears
    one.datagrams.send(b"there", "127.0.0.1", port_of(two))
    assert await two.next() == (b"there", "127.0.0.1", port_of(one))
    two.datagrams.send(b"and back", "127.0.0.1", port_of(one))
    assert await one.next() == (b"and back", "127.0.0.1", port_of(two))


async def test_what_cannot_be_sent_is_no_error(ears: list[Ear]) -> None:
    one, two = ears
    for host in ("::1", "fe80::1%nowhere", "203.0.113.1%x", "255.255.255.255"):
        one.datagrams.send(b"lost", host, 9)
    one.datagrams.send(b"lost", "127.0.0.1", 9)  # nobody is there, and the kernel says so
    one.datagrams.send(b"heard", "127.0.0.1", port_of(two))
    assert (await two.next())[0] == b"heard"


async def test_a_taken_port_is_an_error(ears: list[Ear]) -> None:
    another = Ear()
    with pytest.raises(OSError, match="in use"):
        await another.datagrams.open("127.0.0.1", port_of(ears[0]))


async def test_a_flood_is_left_to_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """The port stays bound while it is not read, and is read again later."""
    now = 0.0
    ear = Ear()
    ear.datagrams = Datagrams(ear._hear, lambda: now)
    monkeypatch.setattr(module, "PAUSE", 0.01)
    port = await ear.datagrams.open("127.0.0.1", 0)
    task = asyncio.create_task(ear.datagrams.run())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood:
        flood.connect(("127.0.0.1", port))
        async with asyncio.timeout(20.0):
            sent = 0
            while ear.datagrams.pauses < 5:
                flood.send(b"flood")  # raises ConnectionRefusedError if nobody were there
                sent += 1
                await asyncio.sleep(0)
        heard = len(ear.heard)
        assert heard == ATTENTION_BURST
        assert sent >= heard
        now = 1.0
        ear.heard.clear()
        async with asyncio.timeout(20.0):  # once the kernel has room for it again
            while (b"later", *flood.getsockname()) not in ear.heard:
                flood.send(b"later")
                now += 1.0
                await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    ear.datagrams.close()


def test_the_scope_of_a_link_local_address() -> None:
    index = socket.if_nametoindex("lo")
    assert pick_scope("fe80::1%lo", 5) == pick_scope(f"fe80::1%{index}", 5) == ("fe80::1", 5, 0, index)
    assert pick_scope("fd00::1", 5) == ("fd00::1", 5, 0, 0)
    with pytest.raises(OSError, match="interface"):
        pick_scope("fe80::1%nowhere", 5)
