"""The node's UDP port: datagrams in, as many as it can bear, and out, as far as they go."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable
from typing import Final

import asyncio_dgram

from syncd.core.networks import address_of
from syncd.net.networks import broadcast_addresses, pick_scope
from syncd.net.session import scoped

# Datagrams a second that are looked at: a node is told of by two a minute and peer. A flood costs no more than these.
ATTENTION_RATE: Final = 1_000.0
ATTENTION_BURST: Final = 256.0  # as many as the kernel holds of a socket, so that a short burst loses nothing
PAUSE: Final = 0.1  # seconds without reading once it was too much; the kernel drops what it has no room for

Heard = Callable[[bytes, str, int], None]


class Datagrams:
    """on_datagram(data, host, port): what came from there. It must not wait. clock: seconds, monotonic."""

    def __init__(self, on_datagram: Heard, clock: Callable[[], float]) -> None:
        self._on_datagram = on_datagram
        self._clock = clock
        self._sockets: list[socket.socket] = []
        self._attention = ATTENTION_BURST
        self._counted = clock()
        self.pauses = 0  # times that it was too much

    async def open(self, host: str, port: int) -> int:
        """Listen on an address and for what is sent to all of its network, or on all addresses; the port.

        Raises OSError if there is no such address at all, or the port is taken.
        """
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)
        own = address_of(host)
        places = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
        if own is not None and not own.is_unspecified:
            places += [(socket.AF_INET, (address, port)) for address, _ in broadcast_addresses(host)]
        failure: OSError | None = None
        for family, address in places:
            try:
                self._sockets.append(_bound(family, address))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    self.close()
                    raise
                failure = error  # such as no IPv6 on this machine
        if not self._sockets:
            raise failure or OSError(errno.EADDRNOTAVAIL, "no such address")
        return int(self._sockets[0].getsockname()[1])

    def send(self, data: bytes, host: str, port: int) -> None:
        """To one address, if it can be had at once; nobody is told if not: datagrams get lost anyway."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        for sock in self._sockets:
            if sock.family == family:
                with contextlib.suppress(OSError):
                    sock.sendto(data, pick_scope(host, port) if family == socket.AF_INET6 else (host, port))
                return

    async def run(self) -> None:
        """Hear until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for sock in self._sockets:
                tasks.create_task(self._listen(sock))

    def close(self) -> None:
        """Neither hear nor send any more."""
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()

    async def _listen(self, sock: socket.socket) -> None:
        """The stream's queue has no bound: what is too much is left in the kernel, whose queue has one.

        The socket itself stays bound meanwhile, so that no sender is told that nobody is here.
        """
        while True:
            stream = await asyncio_dgram.from_socket(sock.dup())
            try:
                while self._attentive():
                    try:
                        data, address = await stream.recv()
                    except OSError:  # what the kernel says of a datagram that we sent
                        continue
                    if isinstance(address, tuple):
                        self._on_datagram(data, scoped(address), address[1])
            finally:
                stream.close()
            self.pauses += 1
            await asyncio.sleep(PAUSE)

    def _attentive(self) -> bool:
        now = self._clock()
        self._attention = min(ATTENTION_BURST, self._attention + (now - self._counted) * ATTENTION_RATE)
        self._counted = now
        if self._attention < 1:
            return False
        self._attention -= 1
        return True


def _bound(family: int, address: tuple[object, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock
