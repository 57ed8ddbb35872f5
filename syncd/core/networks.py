"""Which addresses may be dialled, and which ones may be told to whom: decisions about numbers alone."""

import ipaddress
from collections.abc import Sequence
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_BROADCAST: Final = ipaddress.IPv4Address("255.255.255.255")


def address_of(host: str) -> Address | None:
    """The address that a text is, without its scope; an IPv4 one within IPv6 as itself. None for a name."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


class Allowed:
    """Whom we have to do with at all. networks: where peers may be; empty: anywhere."""

    def __init__(self, networks: Sequence[Network] = ()) -> None:
        self._networks = tuple(networks)

    def admits(self, host: str) -> bool:
        """Whether an address is in one of the networks. What is no address is not, unless all are allowed."""
        if not self._networks:
            return True
        address = address_of(host)
        return address is not None and any(
            address in network for network in self._networks if network.version == address.version
        )


def is_address(host: str) -> bool:
    """Whether this is an address and no name; nothing is taken off it before."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def may_dial(host: str) -> bool:
    """Whether an address may be dialled that a peer told: no name, and none that means something else on each host."""
    address = address_of(host)
    return address is not None and not (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address == _BROADCAST
    )


def may_tell(host: str, listener: str, attached: Sequence[Network]) -> bool:
    """Whether the address of one peer may be told to another one. listener: its address. attached: our own networks.

    An address that is known everywhere may. Of the others, one in a network that we are attached to means something
    only to who is in the same network: the bridge of the containers of a host is such a one. What lies behind a router
    is told to who is not on the other side of the world.
    """
    address, other = address_of(host), address_of(listener)
    if not may_dial(host) or address is None or other is None:
        return False
    if address.is_global:
        return True
    if other.is_global:
        return False
    own = _attached(address, attached)
    return own is None or own == _attached(other, attached)


def _attached(address: Address, attached: Sequence[Network]) -> Network | None:
    """The narrowest of our networks that has the address."""
    holding = [each for each in attached if each.version == address.version and address in each]
    return max(holding, key=lambda network: network.prefixlen, default=None)


def parse_address(text: str) -> tuple[str, int] | None:
    """(host, port) of `1.2.3.4:5`, `[1::2]:5` or `:5`, whose host is empty; None for anything else, such as a name."""
    host, colon, digits = text.rpartition(":")
    if not colon or not digits.isascii() or not digits.isdigit() or len(digits) > 5 or not 1 <= int(digits) <= 65_535:
        return None
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        return (host, int(digits)) if ":" in host and address_of(host) is not None else None
    if not host or (":" not in host and address_of(host) is not None):
        return host, int(digits)
    return None
