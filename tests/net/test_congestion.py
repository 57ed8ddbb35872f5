"""Which reaction to losses a connection gets, by the length of its way."""

import socket
import struct

import pytest

from syncd.net.congestion import LONG_WAY, round_trip, suit

pytestmark = pytest.mark.skipif(not hasattr(socket, "TCP_CONGESTION"), reason="Linux only")


class Socket:
    """A socket whose kernel has measured `seconds`. refuses: as without the right to choose."""

    def __init__(self, seconds: float, refuses: bool = False) -> None:
        self.info = bytes(68) + struct.pack("=I", int(seconds * 1e6)) + bytes(32)
        self.refuses = refuses
        self.chosen: list[bytes] = []

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        assert (level, option) == (socket.IPPROTO_TCP, socket.TCP_INFO)
        return self.info[:size]

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        assert (level, option) == (socket.IPPROTO_TCP, socket.TCP_CONGESTION)
        if self.refuses:
            raise PermissionError
        self.chosen.append(value)


def test_a_long_way_is_measured_and_not_slowed_by_each_loss() -> None:
    sock = Socket(0.1)
    assert suit(sock)
    assert sock.chosen == [b"bbr"]


def test_a_short_way_stays_as_it_is() -> None:
    sock = Socket(LONG_WAY / 2)
    assert not suit(sock)
    assert sock.chosen == []


def test_a_kernel_that_refuses_is_no_error() -> None:
    assert not suit(Socket(0.1, refuses=True))


def test_a_kernel_that_says_little_is_no_error() -> None:
    sock = Socket(0.1)
    sock.info = sock.info[:60]
    assert round_trip(sock) is None
    assert not suit(sock)


def test_a_real_connection_is_measured() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        with accepted:
            client.sendall(b"x")
            accepted.recv(1)
            measured = round_trip(client)
            before = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
            chosen = suit(client)
            after = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
    assert measured is not None
    assert 0 < measured < 60
    assert chosen or after == before
