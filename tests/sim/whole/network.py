"""A network in memory: delays, slow links, torn frames, cut and half-open connections, partitions."""

import asyncio
import errno
import os
import random
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any

from tests.sim.whole.loop import LIFE, SimLoop

DELAY = (0.0001, 0.004)  # seconds one way
TORN = 0.15  # share of deliveries that stop at any byte
FAST = 100e6  # bytes per second
SLOW = 30e3


class Network:
    """on_bytes(sender, receiver, data): told of everything that arrives."""

    def __init__(self, loop: SimLoop, rng: random.Random, on_bytes: Callable[[int, int, bytes], None]) -> None:
        self.loop, self.random, self.on_bytes = loop, rng, on_bytes
        self.servers: dict[tuple[str, int], Server] = {}
        self.links: list[Link] = []
        self.cut: set[tuple[int, int]] = set()  # (sender, receiver): what is sent does not arrive
        self.slow: set[int] = set()
        self.delivered = 0  # bytes

    def listen(self, factory: Callable[[], asyncio.Protocol], host: str, port: int) -> "Server":
        life = LIFE.get()
        assert life is not None
        server = Server(self, factory, life.number, (host, port), copy_context())
        self.servers[host, port] = server
        return server

    async def connect(self, factory: Callable[[], asyncio.Protocol], host: str, port: int) -> Any:
        life = LIFE.get()
        assert life is not None
        server = self.servers.get((host, port))
        await asyncio.sleep(self.loop.delay(DELAY))
        target = number_of(host)
        if {(life.number, target), (target, life.number)} & self.cut:
            await asyncio.sleep(3600)
        if server is None or server.closed:
            raise OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        protocol = factory()
        link = Link(self, life.number, target)
        self.links.append(link)
        near, far = link.ends
        near.context, far.context = copy_context(), server.context.copy()
        self.loop.call_later(self.loop.delay(DELAY), far.open, server.factory(), context=far.context)
        near.open(protocol)
        return near, protocol

    # ---- faults

    def between(self, first: int, second: int) -> list["Link"]:
        """The open links of a pair."""
        self.links = [link for link in self.links if not link.over]
        return [link for link in self.links if set(link.numbers) == {first, second}]

    def heal(self) -> None:
        """All links work, and what was held up comes through."""
        self.cut.clear()
        self.slow.clear()
        for link in self.links:
            for end in link.ends:
                end.resume()

    def reset(self, first: int, second: int) -> None:
        """Connections end, somewhere in what is under way."""
        for link in self.between(first, second):
            for end in link.ends:
                end.tear(self.random)

    def drop(self, number: int, silent: bool) -> None:
        """The node's process is gone; silent: its machine too, and nobody is told."""
        for key, server in list(self.servers.items()):
            if server.number == number:
                del self.servers[key]
        for link in self.links:
            if number in link.numbers and not link.over:
                mine, other = link.ends if link.numbers[0] == number else link.ends[::-1]
                mine.closed = True
                mine.pending.clear()
                if silent:
                    other.deaf = True
                else:
                    other.tear(self.random)


def number_of(host: str) -> int:
    """The node with this address."""
    return int(host.rsplit(".", 1)[1])


class Server:
    """What create_server returns."""

    def __init__(self, network: Network, factory: Any, number: int, address: tuple[str, int], context: Context) -> None:
        self.network, self.factory, self.number = network, factory, number
        self.address, self.context, self.closed = address, context, False
        self.sockets = [self]

    def getsockname(self) -> tuple[str, int]:
        return self.address

    def close(self) -> None:
        self.closed = True
        if self.network.servers.get(self.address) is self:
            del self.network.servers[self.address]


class Link:
    """A connection: two ends, each the transport of one side."""

    def __init__(self, network: Network, first: int, second: int) -> None:
        self.numbers = (first, second)
        self.ends = (End(network, first, second), End(network, second, first))
        self.ends[0].other, self.ends[1].other = self.ends[1], self.ends[0]

    @property
    def over(self) -> bool:
        return all(end.lost or end.closed for end in self.ends)


class End(asyncio.Transport):
    """One side of a connection. pending: what the other side has sent and this one has not received."""

    other: "End"
    context: Context

    def __init__(self, network: Network, number: int, peer: int) -> None:
        super().__init__()
        self.network, self.loop = network, network.loop
        self.number, self.peer = number, peer
        self.protocol: Any = None
        self.pending: deque[tuple[float, bytes | None]] = deque()  # (due, bytes; None: the end)
        self.last_due = 0.0
        self.timer: asyncio.TimerHandle | None = None
        self.reading = True
        self.closed = self.lost = self.deaf = False
        self.unsent = 0
        self.high = 1 << 16
        self.paused = False

    def open(self, protocol: Any) -> None:
        if not self.lost:
            self.protocol = protocol
            protocol.connection_made(self)
            self._arm()

    # ---- asyncio.Transport

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self if name == "socket" else (f"10.0.0.{self.peer}", 40_000 + self.number)

    def setsockopt(self, *_: Any) -> None:
        pass

    def getsockopt(self, *_: Any) -> bytes:
        raise OSError

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = high or self.high

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def writelines(self, parts: Any) -> None:
        self.write(b"".join(bytes(part) for part in parts))

    def write(self, data: Any) -> None:
        if self.closed or self.lost or not data:
            return
        data = bytes(data)
        self.unsent += len(data)
        self._send(data)
        if self.unsent > self.high and not self.paused:
            self.paused = True
            self.protocol.pause_writing()

    def _send(self, data: bytes | None) -> None:
        other, network = self.other, self.network
        speed = SLOW if {self.number, self.peer} & network.slow else FAST
        now = self.loop.time()
        due = max(now + self.loop.delay(DELAY), other.last_due) + len(data or b"") / speed
        other.last_due = due
        other.pending.append((due, data))
        other._arm()

    def is_closing(self) -> bool:
        return self.closed or self.lost

    def close(self) -> None:
        if not self.closed and not self.lost:
            self.closed = True
            self._send(None)
            self.loop.call_soon(self._lose, context=self.context)

    def abort(self) -> None:
        self.close()

    def is_reading(self) -> bool:
        return self.reading

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True
        self._arm()

    # ---- what arrives

    def _arm(self) -> None:
        if self.timer is None and self.pending and self.reading and self.protocol is not None and not self.lost:
            self.timer = self.loop.call_at(self.pending[0][0], self._deliver, context=self.context)

    def resume(self) -> None:
        """Go on after a cut."""
        self._arm()

    def _deliver(self) -> None:
        self.timer = None
        if self.lost or not self.reading or not self.pending:
            return
        if (self.peer, self.number) in self.network.cut or self.deaf:
            return  # TCP sends it again; `heal` lets it through
        due, data = self.pending.popleft()
        if data is None:
            self.protocol.eof_received()
            self._lose()
            return
        if len(data) > 1 and self.network.random.random() < TORN:
            cut = self.network.random.randrange(1, len(data))
            self.pending.appendleft((due, data[cut:]))
            data = data[:cut]
        self.other._taken(len(data))
        self.network.delivered += len(data)
        self.network.on_bytes(self.peer, self.number, data)
        while data and not self.closed:  # as the loop does: into the protocol's own buffer
            room = self.protocol.get_buffer(-1)
            size = min(len(room), len(data))
            room[:size] = data[:size]
            data = data[size:]
            self.protocol.buffer_updated(size)
        self._arm()

    def _taken(self, size: int) -> None:
        self.unsent -= size
        if self.paused and self.unsent <= self.high // 2 and not self.lost and not self.closed:
            self.paused = False
            self.loop.call_soon(self.protocol.resume_writing, context=self.context)

    def tear(self, rng: random.Random) -> None:
        """Lose the connection after any byte of what is under way."""
        if self.pending and rng.random() < 0.5:
            due, data = self.pending[0]
            self.pending.clear()
            if data:
                self.pending.append((due, data[: rng.randrange(len(data)) + 1]))
        self.pending.append((max(self.last_due, self.loop.time()), None))
        if self.protocol is None:
            self.lost = True
        self._arm()

    def _lose(self) -> None:
        if self.lost:
            return
        self.lost = self.closed = True
        self.pending.clear()
        if self.protocol is not None:
            self.protocol.connection_lost(None)
