"""Which service addresses of peers are believed."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from syncd.core.slots import Server
from syncd.node.peers import Peer
from syncd.node.registration import server_of


def peer(service: str, address: str) -> Peer:
    """What is asked of a peer."""
    return cast(Any, SimpleNamespace(hello=SimpleNamespace(service=service), session=SimpleNamespace(address=address)))


@pytest.mark.parametrize(
    ("service", "address", "server"),
    [
        ("10.0.0.5:8080", "10.0.0.5:40000", Server("10.0.0.5", 8080)),
        ("10.0.0.5:8080", "192.0.2.1:40000", Server("10.0.0.5", 8080)),
        ("[2001:db8::5]:80", "[2001:db8::6]:1", Server("2001:db8::5", 80)),
        ("127.0.0.1:8080", "127.0.0.1:40000", Server("127.0.0.1", 8080)),
        ("127.0.0.1:8080", "10.0.0.5:40000", None),
        ("[::1]:22", "10.0.0.5:40000", None),
        ("0.0.0.0:80", "10.0.0.5:1", None),
        ("224.0.0.1:80", "10.0.0.5:1", None),
        ("web1:80", "10.0.0.5:1", None),
        ("10.0.0.5:80; disable server b/a", "10.0.0.5:1", None),
        ("10.0.0.5\nquit:80", "10.0.0.5:1", None),
        ("10.0.0.5:0", "10.0.0.5:1", None),
        ("10.0.0.5:65536", "10.0.0.5:1", None),
        ("10.0.0.5:\u0668", "10.0.0.5:1", None),
        ("", "10.0.0.5:1", None),
    ],
)
def test_addresses(service: str, address: str, server: Server | None) -> None:
    assert server_of(peer(service, address)) == server
