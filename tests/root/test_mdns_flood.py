"""A stranger on the local network has heard the tag of a folder, and shows thousands of instances with it."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from zeroconf import DNSOutgoing, ServiceInfo

from protocol.beacon import BeaconKeys
from protocol.keys import parse_secret
from syncd.net.mdns import SERVICE
from tests.lab.cluster import Cluster, Daemon, await_condition, await_file
from tests.lab.hosts import Host, Network
from tests.root.test_silence import Listener

pytestmark = pytest.mark.root

INSTANCES = 10_000
IN_A_PACKET = 8
PACKETS_AT_ONCE = 25  # then the victim, on a machine with few cores, has a moment to read them
PORT = 55_555
GROUP = ("224.0.0.251", 5353)
RESPONSE = 0x8400  # an authoritative answer (RFC 6762, 18)
TTL = 4_500  # seconds: of all records, so that none is forgotten before the others
WINDOW = 10.0  # seconds
TCP = 6
MIB = 1 << 20
GROWTH = 48 * MIB  # of the victim: most of it is what the mDNS library remembers, 10 000 records at most


def tag_now(secret: str) -> bytes:
    """What every beacon of the folder begins with, and what its nodes show by mDNS: any neighbour can read it."""
    return BeaconKeys(parse_secret(secret)).tag(int(time.time()) // 3600)


def flood(tag: bytes) -> Iterator[bytes]:
    """Answers that nobody asked for: instances with addresses of their own."""
    for first in range(0, INSTANCES, IN_A_PACKET):
        answer = DNSOutgoing(RESPONSE)
        for number in range(first, first + IN_A_PACKET):
            name = f"{number:016x}"
            info = ServiceInfo(
                SERVICE,
                f"{name}.{SERVICE}",
                port=PORT,
                properties={"tag": tag.hex(), "port": str(PORT)},
                server=f"{name}.local.",
                host_ttl=TTL,
                other_ttl=TTL,
                parsed_addresses=[f"10.82.{64 + number // 250}.{1 + number % 250}"],
            )
            for record in (info.dns_pointer(), info.dns_service(), info.dns_text(), *info.dns_addresses()):
                answer.add_answer_at_time(record, 0)
        yield from answer.packets()


def speaker(host: Host) -> socket.socket:
    """A socket that says things by mDNS as a neighbour does."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(host.address))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
    sock.bind((host.address, GROUP[1]))
    return sock


def resident(daemon: Daemon) -> int:
    """Bytes."""
    assert daemon.process is not None
    lines = Path(f"/proc/{daemon.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def test_a_flood_of_instances_leads_to_one_dial_a_second(network: Network, cluster: Cluster) -> None:
    one, stranger = network.host("one"), network.host("stranger")
    network.connect(one, "10.82.0.1/16", stranger, "10.82.0.2/16")
    stranger.ip("route", "add", "local", "10.82.64.0/18", "dev", "lo")  # all of them
    victim = cluster.add("victim", address="0.0.0.0", port=PORT, prefix=one.prefix, folder_options={"search_lan": True})
    (victim.tree / "file").write_bytes(b"1")
    victim.start()
    victim.wait_settled()
    before = resident(victim)
    with Listener(stranger) as listener, stranger.inside(lambda: speaker(stranger)) as sock:
        packets = list(flood(tag_now(cluster.secret)))
        for number, packet in enumerate(packets):
            sock.sendto(packet, GROUP)
            if number % PACKETS_AT_ONCE == 0:
                victim.status()
        began = time.monotonic()
        dials = [
            packet
            for packet, count in listener.hear(WINDOW).items()
            for _ in range(count)
            if packet.source == one.address and packet.protocol == TCP and packet.ports[1] == PORT
        ]
        seconds = time.monotonic() - began
    grown = resident(victim) - before
    print(f"{INSTANCES} instances: {len(dials)} dials in {seconds:.1f} s, {grown >> 20} MiB more")
    assert dials, "nobody was dialled: the flood was not heard"
    assert len(dials) <= seconds + 2
    assert grown < GROWTH
    friend = cluster.add("friend", address=stranger.address, port=PORT, prefix=stranger.prefix, knows=[])
    friend.known_hosts = [f"{one.address}:{PORT}"]
    friend.start()
    await_file(friend.tree / "file", b"1")
    await_condition(lambda: victim.peer("friend")["in_sync"], "they do not agree")
