"""What peers tell of others: taken with a grain of salt, and passed on where it means the same."""

import ipaddress
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from protocol.keys import generate_secret
from protocol.messages import Peers as PeersMessage
from syncd.node.acquaintances import CONTACTS_PER_SOURCE
from syncd.node.gossip import shareable
from syncd.node.peers import Peer
from tests.lab.inside import Inside
from tests.lab.meeting import agree, running

LAN, BRIDGE = ipaddress.ip_network("10.0.0.0/24"), ipaddress.ip_network("172.17.0.0/16")


class Saying:
    """In place of a HELLO and a session: what gossip looks at."""

    def __init__(self, address: str, advertise: str) -> None:
        self.address, self.advertise = address, advertise


def peer(address: str, advertise: str) -> Peer:
    saying = cast(Any, Saying(address, advertise))
    return Peer(saying, saying, cast(Any, None))


@pytest.mark.parametrize(
    ("address", "advertise", "listener", "told"),
    [
        ("10.0.0.9:40000", ":55555", "10.0.0.8:1", "10.0.0.9:55555"),
        ("10.0.0.9:40000", ":55555", "172.17.0.2:1", ""),
        ("172.17.0.2:40000", ":55555", "10.0.0.8:1", ""),
        ("172.17.0.2:40000", ":55555", "172.17.0.3:1", "172.17.0.2:55555"),
        ("172.17.0.2:40000", "192.0.2.1:7", "10.0.0.8:1", "192.0.2.1:7"),  # as its operator says
        ("[fd00::9]:40000", ":55555", "[fd00::8]:1", "[fd00::9]:55555"),
        ("[fe80::9%2]:40000", ":55555", "[fe80::8%2]:1", ""),
        ("10.0.0.9:40000", "", "10.0.0.8:1", ""),  # it only dials out
        ("10.0.0.9:40000", "a.name:55555", "10.0.0.8:1", ""),
        ("10.0.0.9:40000", "127.0.0.1:55555", "10.0.0.8:1", ""),
    ],
)
def test_who_is_told_of_whom(address: str, advertise: str, listener: str, told: str) -> None:
    assert shareable(peer(address, advertise), peer(listener, ":1"), [LAN, BRIDGE]) == told


async def test_a_peer_that_tells_much_is_believed_little(tmp_path: Path) -> None:
    """Names, loopback and nonsense are not taken at all; of the rest a few."""
    secret = generate_secret(bytes(32))
    one, two = Inside(tmp_path / "one", secret), Inside(tmp_path / "two", secret)
    (one.tree / "file").write_bytes(b"1")
    async with running(one, two):
        await two.join(one)
        await agree(one, two)
        finding, (liar,) = two.folder.finding, two.folder.peers.all()
        finding.endpoint.invitations.take = lambda address, now: False  # type: ignore[method-assign] -- nobody is dialled
        nonsense = [
            "name:1",
            "127.0.0.1:1",
            "0.0.0.0:1",
            "[fe80::1]:1",
            "224.0.0.1:1",
            "10.0.0.1",
            "",
            ":5",
            "10.0.0.1:0",
        ]
        finding.told(liar, PeersMessage(tuple((secrets.token_bytes(16), text) for text in nonsense)))
        finding.told(liar, PeersMessage(((two.identity.node_id, "10.9.9.9:1"), (one.identity.node_id, "10.9.9.8:1"))))
        assert finding.acquaintances.targets == []
        for n in range(4):
            many = tuple((secrets.token_bytes(16), f"10.{n}.0.{m}:55555") for m in range(60))
            finding.told(liar, PeersMessage(many))
        told = finding.acquaintances.targets
        assert len(told) == CONTACTS_PER_SOURCE
        assert {target.origin for target in told} == {"told by one"}


async def test_what_a_peer_says_of_itself_is_remembered(tmp_path: Path) -> None:
    secret = generate_secret(bytes(32))
    one, two = Inside(tmp_path / "one", secret), Inside(tmp_path / "two", secret)
    (one.tree / "file").write_bytes(b"1")
    one.folder.node = replace(one.folder.node, advertise=":7777")
    async with running(one, two):
        await one.join(two)
        await agree(one, two)
        await two.reach(lambda: two.shop.remembered_peers == ["127.0.0.1:7777"])
        assert one.shop.remembered_peers == []
