"""The local network: what strangers say there fills no table, and leads nowhere but to neighbours."""

import subprocess
import sys

from zeroconf import ServiceInfo

from syncd.net.mdns import SERVICE, TABLE, LocalNetwork
from syncd.net.networks import attachments

TAG = bytes(range(8))


def network(found: list[tuple[bytes, str, int]]) -> LocalNetwork:
    return LocalNetwork(lambda: [TAG], lambda *what: found.append(what), lambda n: bytes(n), "", 55_555)


def info(address: str, tag: str = TAG.hex(), port: int = 55_555) -> ServiceInfo:
    return ServiceInfo(SERVICE, f"x.{SERVICE}", port=port, properties={"tag": tag}, parsed_addresses=[address])


def test_ten_thousand_instances_fill_a_small_table() -> None:
    local = network([])
    for number in range(10_000):
        local.heard_of(f"{number:016x}.{SERVICE}")
    assert len(local.waiting) == TABLE
    assert f"{9_999:016x}.{SERVICE}" in local.waiting


def test_only_neighbours_are_believed() -> None:
    """A record that points at a victim elsewhere leads to no dial at all."""
    found: list[tuple[bytes, str, int]] = []
    local = network(found)
    for address in ("203.0.113.7", "2001:db8::7", "127.0.0.1", "0.0.0.0", "224.0.0.251"):
        local._take(info(address))
    assert found == []
    own = next((each.address for each in attachments() if ":" not in each.address), None)
    for wrong in (info(own or "203.0.113.7", tag="no hex"), info(own or "203.0.113.7", tag=""), info("::1")):
        local._take(wrong)
    assert found == []
    if own is not None:  # a machine without any network has no neighbours
        local._take(info(own))
        assert found == [(TAG, own, 55_555)]


def test_what_only_some_need_is_not_loaded_at_the_start() -> None:
    program = (
        "import sys, syncd.node.daemon; print([name for name in ('zeroconf', 'dns', 'ifaddr') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
