"""Addresses: who may be dialled, and who may be told of whom."""

import ipaddress

import pytest

from syncd.core.invitations import ADDRESS_INTERVAL, ADDRESSES_KEPT, INTERVAL, Invitations
from syncd.core.networks import Allowed, may_dial, may_tell, parse_address

BRIDGE, LAN = ipaddress.ip_network("172.17.0.0/16"), ipaddress.ip_network("10.0.0.0/24")


@pytest.mark.parametrize(
    ("address", "may"),
    [
        ("10.0.0.1", True), ("8.8.8.8", True), ("fd00::1", True), ("2001:db8::1", True), ("127.0.0.1", False),
        ("::1", False), ("::ffff:127.0.0.1", False), ("169.254.169.254", False), ("fe80::1%eth0", False),
        ("224.0.0.251", False), ("ff02::1", False), ("0.0.0.0", False), ("::", False), ("255.255.255.255", False),
        ("example.com", False), ("", False),
    ],
)  # fmt: skip
def test_what_a_peer_told_is_dialled_only_if_it_means_one_place(address: str, may: bool) -> None:
    assert may_dial(address) is may


@pytest.mark.parametrize(
    ("peer", "listener", "may"),
    [
        ("172.17.0.2", "172.17.0.3", True),  # two containers on one bridge
        ("172.17.0.2", "10.0.0.9", False),  # a container, to another host: not beyond this host
        ("10.0.0.9", "172.17.0.2", False),
        ("10.0.0.9", "10.0.0.8", True),
        ("10.5.0.1", "172.17.0.2", True),  # behind a router
        ("172.17.0.2", "10.5.0.1", False),  # the bridge again, to somebody behind a router
        ("10.5.0.1", "10.6.0.1", True),
        ("10.5.0.1", "8.8.4.4", False),  # private, to the other side of the world
        ("8.8.8.8", "172.17.0.2", True),
        ("8.8.8.8", "8.8.4.4", True),
        ("127.0.0.1", "127.0.0.1", False),
        ("fe80::1%2", "fe80::2%2", False),
        ("10.0.0.9", "no address", False),
    ],
)
def test_an_address_is_told_where_it_means_the_same(peer: str, listener: str, may: bool) -> None:
    assert may_tell(peer, listener, [LAN, BRIDGE]) is may


def test_networks_that_are_allowed() -> None:
    assert Allowed().admits("anything")
    allowed = Allowed([ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")])
    inside = ["10.1.2.3", "::ffff:10.1.2.3", "fd12::1", "fd12::1%eth0"]
    outside = ["11.0.0.1", "::ffff:11.0.0.1", "fe80::1", "a.name", "", "10.0.0.1.2"]
    assert [allowed.admits(each) for each in inside + outside] == [True] * len(inside) + [False] * len(outside)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.1:55555", ("10.0.0.1", 55_555)), ("[fd00::1]:1", ("fd00::1", 1)), (":55555", ("", 55_555)),
        ("name:1", None), ("10.0.0.1", None), ("10.0.0.1:0", None), ("10.0.0.1:65536", None), ("fd00::1:1", None),
        ("[10.0.0.1]:1", None), ("10.0.0.1:+1", None), ("10.0.0.1:\u0661", None), ("", None), (":", None),
        ("10.0.0.1:1:1", None), ("[]:1", None),
    ],
)  # fmt: skip
def test_addresses_are_numbers(text: str, address: object) -> None:
    assert parse_address(text) == address


def test_dials_on_invitation_are_seldom() -> None:
    invitations = Invitations()
    assert invitations.take("a", 0.0)
    assert not invitations.take("a", ADDRESS_INTERVAL - 0.1)
    assert not invitations.take("b", INTERVAL - 0.1)
    assert invitations.take("b", INTERVAL)
    assert invitations.wait("a", INTERVAL) == ADDRESS_INTERVAL - INTERVAL
    assert invitations.take("a", ADDRESS_INTERVAL)


def test_a_flood_of_addresses_leads_to_one_dial_a_second() -> None:
    invitations = Invitations()
    dials = [n for n in range(100_000) if invitations.take(f"10.{n % 7}.{n % 251}.{n % 241}", n / 1_000)]
    assert len(dials) == 100
    for n in range(3 * ADDRESSES_KEPT):
        invitations.take(str(n), 1_000.0 + n)
    assert len(invitations._last) == ADDRESSES_KEPT
