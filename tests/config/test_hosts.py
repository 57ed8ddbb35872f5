"""Addresses as operators write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.config.hosts import (
    HostKind,
    KnownHost,
    Listen,
    parse_address,
    parse_advertised,
    parse_known_host,
    parse_listen,
    parse_network,
)


@pytest.mark.parametrize(
    ("text", "entry", "written"),
    [
        ("10.0.0.1", KnownHost(HostKind.HOST, "10.0.0.1", 55555), "10.0.0.1:55555"),
        ("10.0.0.1:1", KnownHost(HostKind.HOST, "10.0.0.1", 1), "10.0.0.1:1"),
        ("web-1.example.org:65535", KnownHost(HostKind.HOST, "web-1.example.org", 65535), "web-1.example.org:65535"),
        (" WEB_1. ", KnownHost(HostKind.HOST, "web_1", 55555), "web_1:55555"),
        ("fe80::1", KnownHost(HostKind.HOST, "fe80::1", 55555), "[fe80::1]:55555"),
        ("[FE80::0001]", KnownHost(HostKind.HOST, "fe80::1", 55555), "[fe80::1]:55555"),
        ("[fe80::1%eth0]:77", KnownHost(HostKind.HOST, "fe80::1%eth0", 77), "[fe80::1%eth0]:77"),
        ("dns:tasks.wp:55555", KnownHost(HostKind.DNS, "tasks.wp", 55555), "dns:tasks.wp:55555"),
        ("dns:tasks.wp", KnownHost(HostKind.DNS, "tasks.wp", 55555), "dns:tasks.wp:55555"),
        ("srv:_syncd._tcp.wp", KnownHost(HostKind.SRV, "_syncd._tcp.wp", 0), "srv:_syncd._tcp.wp"),
    ],
)
def test_known_hosts(text: str, entry: KnownHost, written: str) -> None:
    assert parse_known_host(text) == entry
    assert str(entry) == written
    assert parse_known_host(written) == entry


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a host is missing"),
        (":55555", "a host is missing"),
        ("dns:", "a host is missing"),
        ("srv:", "a host is missing"),
        ("host:", "'' is not a port"),
        ("host:0", "'0' is not a port"),
        ("host:65536", "is not a port"),
        ("host:ssh", "'ssh' is not a port"),
        ("host:٣", "is not a port"),
        ("10.0.0.300", "is not an IP address"),
        ("dns:10", "is not an IP address"),
        ("a b", "neither a host name nor an IP address"),
        ("-a", "neither a host name"),
        ("a" * 64, "neither a host name"),
        (".".join(["a" * 60] * 5), "neither a host name"),
        ("bücher.example", "xn--"),
        ("1::2::3", r"\[address\]:port"),
        ("[1::2", "IPv6 is written"),
        ("[1::2]55", "IPv6 is written"),
        ("[10.0.0.1]:5", "not an IPv6 address"),
        ("dns", "is followed by a name"),
        ("SRV:5", "is followed by a name"),
        ("srv:a:5", "takes no port"),
        ("tcp://10.0.0.1:5/", "write '10.0.0.1:5' without tcp://"),
    ],
)
def test_wrong_known_hosts(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_known_host(text)


def test_an_address_is_one_address() -> None:
    assert parse_address("a:5").port == 5
    with pytest.raises(ValueError, match="dns: is for known_hosts"):
        parse_address("dns:a:5")


@pytest.mark.parametrize(
    ("text", "listen"),
    [
        ("127.0.0.1:8385", Listen("127.0.0.1", 8385)),
        (":8385", Listen("", 8385)),
        ("*:8385", Listen("", 8385)),
        ("[::1]:8385", Listen("::1", 8385)),
    ],
)
def test_listen(text: str, listen: Listen) -> None:
    assert parse_listen(text) == listen
    assert str(listen) == text.replace("*", "")


@pytest.mark.parametrize("text", ["8385", "127.0.0.1", "localhost", "::1", ":0", "a b:5"])
def test_wrong_listen(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected host:port|is not a port|neither"):
        parse_listen(text)


@given(st.text(alphabet="[]:.-_%a1fdnsrv/ é", max_size=20))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    for parse in (parse_known_host, parse_listen, parse_address):
        try:
            entry = parse(text)
        except ValueError:
            continue
        assert parse(str(entry)) == entry


@pytest.mark.parametrize("text", ["a.name", "localhost", "10.0.0.0/8 ,", "", "10.0.0.0/33", "10.0.0", "*"])
def test_a_rule_by_name_is_refused(text: str) -> None:
    """Nobody is let in, or kept out, by what a name server says."""
    with pytest.raises(ValueError, match="names are refused"):
        parse_network(text)


def test_networks() -> None:
    assert [str(parse_network(text)) for text in ("10.0.0.0/8", "10.0.0.1", "fd00::/8", " ::1 ")] == [
        "10.0.0.0/8", "10.0.0.1/32", "fd00::/8", "::1/128",
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"did you mean 10\.0\.0\.0/8"):
        parse_network("10.0.0.1/8")


def test_an_advertised_address_is_a_number() -> None:
    assert [parse_advertised(text) for text in ("none", "10.0.0.1", "[fd00::1]:7")] == [
        "none", "10.0.0.1:55555", "[fd00::1]:7",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="do not look up names"):
        parse_advertised("a.name:55555")
