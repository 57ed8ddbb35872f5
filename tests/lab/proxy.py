"""A TCP relay between two daemons that counts what passes, so that a test sees the wire without trusting either."""

import contextlib
import select
import socket
import threading
import time
from collections.abc import Iterable

BUFFER = 1 << 18  # bytes that the kernel holds on each side, so that little is on the way
# For nodes that shall have no way to each other but a proxy: an address of loopback is told, and dialled by nobody.
UNREACHABLE = {"advertise_address": "127.0.0.1:1"}


class Proxy:
    """Relays connections to host:port `target`; a context manager. Runs in a thread of its own.

    cuts: after how many bytes, of both directions, each of the first connections is cut off; later ones are not.
    """

    def __init__(self, target: str, cuts: Iterable[int] = ()) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server((host, 0))
        self._wakeup, self._waker = socket.socketpair()
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._dialled: set[socket.socket] = set()
        self._progress = threading.Condition()
        self._cuts = list(cuts)
        self._left: dict[socket.socket, list[int]] = {}  # of a connection's two sockets: bytes until it is cut, shared
        self.cuts_left = len(self._cuts)  # that have not happened yet
        self.to_dialler = 0  # bytes that the target sent
        self.endpoint = f"{host}:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Proxy":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._waker.send(b"x")
        self._thread.join()
        for sock in [self._listener, self._wakeup, self._waker, *self._pairs]:
            sock.close()

    def await_sent(self, amount: int, deadline: float = 60.0) -> bool:
        """Wait until the target has sent so many bytes in all; False at the deadline."""
        end = time.monotonic() + deadline
        with self._progress:
            return self._progress.wait_for(lambda: self.to_dialler >= amount, end - time.monotonic())

    def _run(self) -> None:
        while True:
            readable, _, _ = select.select([self._listener, self._wakeup, *self._pairs], [], [])
            if self._wakeup in readable:
                return
            for sock in readable:
                if sock is self._listener:
                    self._accept()
                elif sock in self._pairs:
                    self._relay(sock)

    def _accept(self) -> None:
        incoming, _ = self._listener.accept()
        outgoing = socket.socket()
        for sock in (incoming, outgoing):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            outgoing.connect(self._target)
        except OSError:
            incoming.close()
            outgoing.close()
            return
        self._pairs |= {incoming: outgoing, outgoing: incoming}
        if self._cuts:
            self._left[incoming] = self._left[outgoing] = [self._cuts.pop(0)]
        self._dialled.add(outgoing)

    def _measure(self, sock: socket.socket, data: bytes) -> bytes:
        """What still passes of some bytes."""
        left = self._left[sock]
        data = data[: left[0]]
        left[0] -= len(data)
        if not left[0]:
            self.cuts_left -= 1
        return data

    def _relay(self, sock: socket.socket) -> None:
        other = self._pairs[sock]
        try:
            data = sock.recv(BUFFER)
            if sock in self._left:
                data = self._measure(sock, data)
            other.sendall(data)
        except OSError:
            data = b""
        if sock in self._dialled:
            with self._progress:
                self.to_dialler += len(data)
                self._progress.notify_all()
        if not data or self._left.get(sock) == [0]:
            for end in (sock, other):
                self._left.pop(end, None)
                self._pairs.pop(end, None)
                self._dialled.discard(end)
                with contextlib.suppress(OSError):
                    end.close()
