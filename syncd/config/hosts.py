"""Addresses as the operator writes them: peers to dial and sockets to listen on."""

import ipaddress
import re
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import urlsplit

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

DEFAULT_PORT = 55555
MAX_HOST = 253  # characters of a domain name (RFC 1035)


class HostKind(StrEnum):
    """How an entry of known_hosts becomes addresses."""

    HOST = "host"  # an IP address, or a name whose addresses are tried until one answers
    DNS = "dns"  # every address of the name is a peer of its own
    SRV = "srv"  # every target of the SRV record is a peer of its own


class KnownHost(NamedTuple):
    """An entry of known_hosts. `port` is 0 for SRV, whose record says it."""

    kind: HostKind
    host: str
    port: int

    def __str__(self) -> str:
        if self.kind is HostKind.SRV:
            return f"srv:{self.host}"
        address = join(self.host, self.port)
        return f"dns:{address}" if self.kind is HostKind.DNS else address


class Listen(NamedTuple):
    """A TCP address to listen on; an empty host means all addresses."""

    host: str
    port: int

    def __str__(self) -> str:
        return join(self.host, self.port)


def join(host: str, port: int) -> str:
    """`host:port`, with brackets around IPv6."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_known_host(text: str) -> KnownHost:
    """`host`, `host:port`, `[v6]:port`, `dns:name[:port]` or `srv:name`. Raises ValueError with the reason."""
    text = text.strip()
    if "://" in text:
        raise ValueError(f"write {text.split('://', 1)[1].rstrip('/')!r} without {text.split('://', 1)[0]}://")
    scheme, colon, rest = text.partition(":")
    if colon and scheme == HostKind.SRV:
        if ":" in rest:
            raise ValueError("srv: takes no port; the SRV record has it")
        return KnownHost(HostKind.SRV, _name(rest), 0)
    if colon and scheme == HostKind.DNS:
        host, port = _split(rest)
        return KnownHost(HostKind.DNS, _name(host), DEFAULT_PORT if port is None else port)
    host, port = _split(text)
    if host.lower() in (HostKind.DNS, HostKind.SRV):
        raise ValueError(f"{host}: is followed by a name; of a host called {host!r} give the address")
    return KnownHost(HostKind.HOST, check_host(host), DEFAULT_PORT if port is None else port)


def parse_address(text: str) -> KnownHost:
    """`host` or `host:port` of one address. Raises ValueError with the reason."""
    entry = parse_known_host(text)
    if entry.kind is not HostKind.HOST:
        raise ValueError(f"expected host:port; {entry.kind}: is for known_hosts")
    return entry


def parse_advertised(text: str) -> str:
    """`address:port`, `address`, or `none`; with its port. Raises ValueError with the reason."""
    if text == "none":
        return text
    entry = parse_address(text)
    try:
        ipaddress.ip_address(entry.host)
    except ValueError:
        raise ValueError("expected an IP address: peers do not look up names that they are told") from None
    return join(entry.host, entry.port)


def parse_network(text: str) -> Network:
    """An address, or a network such as 10.0.0.0/8. Raises ValueError with the reason."""
    try:
        return ipaddress.ip_network(text.strip())
    except ValueError:
        pass
    try:
        meant = ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        raise ValueError(
            "expected a network such as 10.0.0.0/8 or fd00::/8; names are refused here, because one that cannot be "
            "looked up would let everybody in, or nobody"
        ) from None
    raise ValueError(f"has bits behind its length; did you mean {meant}?")


def parse_listen(text: str) -> Listen:
    """`host:port`, `[v6]:port` or `:port`. Raises ValueError with the reason."""
    host, port = _split(text.strip())
    if port is None:
        raise ValueError("expected host:port, for example 127.0.0.1:8385")
    return Listen(check_host(host) if host not in ("", "*") else "", port)


def parse_local_url(text: str) -> tuple[str, int]:
    """Address and port of `http://127.0.0.1:8080/path`. Raises ValueError with the reason."""
    url = urlsplit(text)
    if url.scheme != "http" or not url.hostname or url.username is not None:
        raise ValueError("expected http:// and an address of this machine, for example http://127.0.0.1:8080/")
    try:
        return str(ipaddress.ip_address(url.hostname)), url.port or 80
    except ValueError:
        raise ValueError(f"{url.netloc!r} is not an IP address; a name might lead elsewhere: see host") from None


def check_webhook(text: str) -> None:
    """Raises ValueError with the reason, which does not repeat what may be a secret."""
    wrong = "expected https:// or http:// and a host, for example https://hooks.example.org/syncd"
    try:
        url = urlsplit(text)
        host, _ = url.hostname or "", url.port
    except ValueError:
        raise ValueError(wrong) from None
    if url.scheme not in ("http", "https") or not host or any(character <= " " for character in text):
        raise ValueError(wrong)
    if url.username is not None or url.fragment:
        raise ValueError("takes no name, password or #fragment")


def check_host(text: str) -> str:
    """An IP address (without brackets) or a host name, in its usual spelling. Raises ValueError with the reason."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return _name(text)


_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


def _name(text: str) -> str:
    if not text:
        raise ValueError("a host is missing")
    name = text.removesuffix(".")
    if not name.isascii():
        raise ValueError("a host name outside ASCII is written in its xn-- form")
    if re.fullmatch(r"[0-9.]+", name):
        raise ValueError(f"{text!r} is not an IP address")
    if len(name) > MAX_HOST or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise ValueError(f"{text!r} is neither a host name nor an IP address")
    return name.lower()


def _split(text: str) -> tuple[str, int | None]:
    """Host and port; None where no port is given."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError("IPv6 is written [address]:port")
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise ValueError(f"{host!r} is not an IPv6 address") from None
        return host, _port(rest[1:]) if rest else None
    if text.count(":") > 1:
        try:
            return str(ipaddress.IPv6Address(text)), None
        except ValueError:
            raise ValueError("expected host:port; IPv6 with a port is written [address]:port") from None
    host, colon, port = text.partition(":")
    return host, _port(port) if colon else None


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise ValueError(f"{text!r} is not a port; ports are 1 to 65535")
    return int(text)
