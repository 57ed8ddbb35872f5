"""A node talks to its known hosts and to nobody else, and says little when there is nothing to say."""

import select
import socket
import sys
import time
from collections import Counter
from ipaddress import IPv4Address
from typing import NamedTuple

import pytest

from tests.lab.cluster import Cluster
from tests.lab.hosts import Host, Network

pytestmark = pytest.mark.root

WINDOW = 40.0  # seconds of idleness that are listened to: names are looked up every 30 s
IDLE_RATE = 2_000  # bytes per second, both ways, with link headers
ANYTHING = 0x0003  # ETH_P_ALL of linux/if_ether.h
_IPV4, _ARP, _IPV6 = 0x0800, 0x0806, 0x86DD
_DNS = 53  # port
_HOP_BY_HOP, _ICMP, _TCP, _UDP, _ICMPV6 = 0, 1, 6, 17, 58
_KERNEL_ICMP = {3, 5}  # unreachable and redirect: answers, which depend on how the machine forwards (RFC 792)
# what a kernel says by itself: multicast listener, router and neighbour discovery (RFC 4443, 4861, 3810)
_KERNEL_ICMPV6 = {130, 131, 132, 133, 134, 135, 136, 137, 143}


class Packet(NamedTuple):
    """From where to where, as text. protocol: of IPv4, or -1 for what is none. port: the larger one of two."""

    source: str
    destination: str
    protocol: int
    ports: tuple[int, ...]


class Listener:
    """Hears every packet of all interfaces of a host, those to itself too."""

    def __init__(self, host: Host) -> None:
        self._socket = host.inside(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ANYTHING)))
        self._socket.setblocking(False)

    def __enter__(self) -> "Listener":
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def hear(self, seconds: float) -> "Counter[Packet]":
        """What came since the last call, and for so long from now; without what kernels say by themselves."""
        heard: Counter[Packet] = Counter()
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self._socket], [], [], left)[0]:
                data, (_, protocol, *_rest) = self._socket.recvfrom(65_535)
                if not kernel_noise(protocol, data[14:]):
                    heard[packet_of(protocol, data[14:])] += 1
        return heard

    @property
    def lost(self) -> int:
        """Packets that were not heard."""
        statistics = self._socket.getsockopt(263, 6, 8)  # SOL_PACKET, PACKET_STATISTICS: packets, drops
        return int.from_bytes(statistics[4:], "little")


def kernel_noise(protocol: int, data: bytes) -> bool:
    """Whether no program asked for the packet."""
    if protocol == _ARP:
        return True
    if protocol == _IPV4:
        return data[9] == _ICMP and data[4 * (data[0] & 15)] in _KERNEL_ICMP
    if protocol != _IPV6:
        return False
    following, payload = data[6], data[40:]
    if following == _HOP_BY_HOP:  # a router alert, before listener reports
        following, payload = payload[0], payload[8 + 8 * payload[1] :]
    return following == _ICMPV6 and payload[0] in _KERNEL_ICMPV6


def packet_of(protocol: int, data: bytes) -> Packet:
    """The addresses of a packet."""
    if protocol != _IPV4:
        return Packet(f"0x{protocol:04x}", data[:40].hex(), -1, ())
    header = 4 * (data[0] & 15)
    ports = tuple(int.from_bytes(data[header + at : header + at + 2]) for at in (0, 2))
    return Packet(str(IPv4Address(data[12:16])), str(IPv4Address(data[16:20])), data[9], ports)


def test_packets_go_to_known_hosts_only(network: Network, cluster: Cluster) -> None:
    one, two = network.pair("one", "two")
    with Listener(two) as listener:
        first = cluster.add("first", address=one.address, prefix=one.prefix)
        (first.tree / "file").write_bytes(b"content")
        second = cluster.add("second", knows=[first], address=two.address, prefix=two.prefix)
        second.start()
        alone = listener.hear(0.3)
        first.start()
        cluster.converge()
        busy = listener.hear(0.3)
        for verb in (["status"], ["status", "--json"], ["check-config"], ["rescan"], ["version"]):
            command = [sys.executable, "-m", "syncd.cli", *verb]
            two.run(*command, *([] if verb == ["version"] else ["--config", str(second.config)]))
        asked = listener.hear(0.3)
        before = two.counters()
        idle = listener.hear(WINDOW)
        after = two.counters()
        assert second.stop() == 0
        end_of_log = first.log_text().rpartition(" disconnected ")[2]
        assert " connected " not in end_of_log, "a node that stops does not come back"
        ending = listener.hear(0.1)
        assert not listener.lost
    heard = alone + busy + asked + idle + ending
    print(*(f"{count:5} {packet}" for packet, count in heard.items()), sep="\n")
    rate = (after.received + after.sent - before.received - before.sent) / WINDOW
    print(f"an idle pair exchanges {rate:.0f} B/s in {sum(idle.values()) / WINDOW:.1f} packets/s")

    assert alone
    assert idle
    beacons = {(two.address, one.address): first.port, (one.address, two.address): second.port}
    for packet in heard:
        way = packet.source, packet.destination
        assert way in beacons, packet
        if packet.protocol == _UDP:
            assert packet.ports[1] == beacons[way], packet
        else:
            assert packet.protocol == _TCP, packet
            assert first.port in packet.ports or second.port in packet.ports, packet
    assert rate < IDLE_RATE
    assert sum(count for packet, count in idle.items() if packet.protocol == _UDP) <= 2 * (2 + WINDOW // 30)


def test_name_servers_are_asked_if_a_name_is_configured(network: Network, cluster: Cluster) -> None:
    one, _ = network.pair("one", "two")
    daemon = cluster.add("named", address=one.address, prefix=one.prefix)
    daemon.known_hosts = ["syncd-test.invalid:55555"]
    with Listener(one) as listener:
        daemon.start()
        deadline = time.monotonic() + 20.0
        heard: Counter[Packet] = Counter()
        while not heard and time.monotonic() < deadline:
            heard = listener.hear(0.5)
        assert daemon.stop() == 0
    assert heard
    assert all(_DNS in packet.ports for packet in heard), heard


def test_an_unknown_host_is_heard_if_there_is_one(network: Network) -> None:
    """The listener itself: a question to a name server and a packet to oneself do not escape it."""
    one, _ = network.pair("one", "two")
    with Listener(one) as listener:

        def ask() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.sendto(b"?", ("192.0.2.53", 53))
                sock.sendto(b"?", ("127.0.0.53", 53))

        one.inside(ask)
        heard = {(packet.destination, packet.protocol) for packet in listener.hear(0.2)}
    assert {("192.0.2.53", 17), ("127.0.0.53", 17)} <= heard
