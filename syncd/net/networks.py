"""The networks that this host is attached to, as the system tells them, and reaching everybody in them at once."""

import contextlib
import ipaddress
import socket
from typing import Final, NamedTuple

from syncd.core.networks import Network, address_of

LAN_HOPS: Final = 1  # TTL of what goes to everybody: no router passes it on
ALL_NODES: Final = "ff02::1"  # everybody on a link (RFC 4291): no membership is needed to hear it
MAX_INTERFACES: Final = 64  # that are spoken to: a host of many containers has as many


class Attachment(NamedTuple):
    """An address of this host on an interface."""

    interface: int  # its number
    address: str
    network: Network


def attachments() -> list[Attachment]:
    """Addresses of this host but those of loopback. Those that the system does not tell are not among them."""
    import ifaddr

    found: list[Attachment] = []
    try:
        adapters = list(ifaddr.get_adapters())
    except OSError:
        return []
    for adapter in adapters:
        for ip in adapter.ips:
            text = str(ip.ip if isinstance(ip.ip, str) else ip.ip[0])
            network = ipaddress.ip_network(f"{text}/{ip.network_prefix}", strict=False)
            if not network.is_loopback:
                found.append(Attachment(adapter.index or 0, text, network))
    return found


def attached_networks() -> list[Network]:
    """The networks that this host is in, loopback and link-local ones aside."""
    return list(dict.fromkeys(each.network for each in attachments() if not each.network.is_link_local))


def broadcast_addresses(host: str) -> list[tuple[str, str]]:
    """(broadcast address, own address) of each IPv4 network, or of that of the own address `host` only."""
    found = [
        (str(each.network.broadcast_address), each.address)
        for each in attachments()
        if isinstance(each.network, ipaddress.IPv4Network) and each.network.prefixlen < 31
    ]
    return [(target, own) for target, own in found if _is_any(host) or host == own][:MAX_INTERFACES]


def _is_any(host: str) -> bool:
    address = address_of(host)
    return not host or (address is not None and address.is_unspecified)


def send_to_all(data: bytes, host: str, port: int) -> None:
    """One datagram to everybody on each attached network, or on that of the own address `host`. Nobody else gets it."""
    for target, own in broadcast_addresses(host):
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, LAN_HOPS)
            sock.bind((own, 0))
            sock.sendto(data, (target, port))
    if not _is_any(host):
        return
    links = {
        each.interface: each.address for each in attachments() if each.network.is_link_local and ":" in each.address
    }
    for index, own in list(links.items())[:MAX_INTERFACES]:
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, LAN_HOPS)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
            sock.bind((own, 0, 0, index))
            sock.sendto(data, (ALL_NODES, port, 0, index))


def pick_scope(host: str, port: int) -> tuple[str, int, int, int]:
    """An IPv6 address and port as the socket calls take them. Raises OSError for an interface that is not there."""
    address, percent, scope = host.partition("%")
    if not percent:
        return address, port, 0, 0
    return address, port, 0, int(scope) if scope.isdigit() else socket.if_nametoindex(scope)
