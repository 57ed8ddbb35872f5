"""Hosts that do not all reach each other, and one that moves."""

import errno
import socket
import time

import pytest

from tests.lab.cluster import Cluster, await_file, snapshot
from tests.lab.hosts import Host, Network

pytestmark = pytest.mark.root

EVERYWHERE = "0.0.0.0"
MOVED_DEADLINE = 14.0  # seconds: less than the silence after which a session is given up


def chain(network: Network) -> tuple[Host, Host, Host]:
    """Three hosts; the one in the middle does not forward packets, and the outer ones know no way to each other."""
    left, middle, right = map(network.host, ("left", "middle", "right"))
    network.connect(left, "10.81.1.1/24", middle, "10.81.1.2/24")
    network.connect(middle, "10.81.2.2/24", right, "10.81.2.1/24")
    return left, middle, right


def cannot_reach(host: Host, other: Host) -> bool:
    """Whether there is no way from one host to another."""

    def dial() -> int:
        with socket.socket() as sock:
            sock.settimeout(5.0)
            return sock.connect_ex((other.address, 9))

    return host.inside(dial) == errno.ENETUNREACH


def test_a_read_only_node_passes_changes_on(network: Network, cluster: Cluster) -> None:
    left, middle, right = chain(network)
    assert cannot_reach(left, right)
    assert cannot_reach(right, left)
    between = cluster.add("between", read_only=True, address=EVERYWHERE, prefix=middle.prefix)
    a, c = (cluster.add(host.name, address=host.address, prefix=host.prefix) for host in (left, right))
    a.known_hosts = [f"{middle.addresses[0]}:{between.port}"]
    c.known_hosts = [f"{middle.addresses[1]}:{between.port}"]
    for daemon, name in ((a, "from-a"), (c, "from-c")):
        (daemon.tree / "themes").mkdir()
        (daemon.tree / "themes" / name).write_text(name)
    for daemon in (a, between, c):
        daemon.start()
    cluster.converge()
    assert snapshot(a.tree) == snapshot(between.tree) == snapshot(c.tree)
    assert {b"themes/from-a", b"themes/from-c"} <= snapshot(c.tree).keys()
    assert [peer["tier"] for peer in between.status()["peers"]] == ["read-write", "read-write"]

    for source, target in ((a, c), (c, a)):
        name = f"new-{source.base.name}"
        (source.tree / name).write_bytes(bytes(300_000))
        await_file(target.tree / name, bytes(300_000))
        (source.tree / name).write_bytes(b"changed")
        await_file(target.tree / name, b"changed")
        (source.tree / name).unlink()
        await_file(target.tree / name, None)

    # what the node in the middle changes stays its own affair: it is put back, and reaches nobody
    (between.tree / "themes/from-a").write_text("not its business")
    await_file(between.tree / "themes/from-a", b"from-a")
    cluster.converge()
    assert snapshot(a.tree) == snapshot(between.tree) == snapshot(c.tree)
    assert (c.tree / "themes/from-a").read_text() == "from-a"
    # and what happens while it is away arrives when it is back
    assert between.stop() == 0
    (a.tree / "meanwhile").write_bytes(b"1")
    (c.tree / "themes/from-c").unlink()
    between.start()
    await_file(c.tree / "meanwhile", b"1", deadline=30.0)
    await_file(a.tree / "themes/from-c", None, deadline=30.0)
    cluster.converge()


def test_a_host_that_moves_is_found_at_its_other_address(network: Network, cluster: Cluster) -> None:
    here, there = network.host("here"), network.host("there")
    network.connect(here, "10.81.0.1/24", there, "10.81.0.2/24")
    moving = cluster.add("moving", address=EVERYWHERE, prefix=there.prefix)
    staying = cluster.add("staying", address=here.address, prefix=here.prefix)
    staying.known_hosts = [f"{address}:{moving.port}" for address in ("10.81.0.2", "10.81.0.3")]
    moving.start()
    staying.start()
    (staying.tree / "before").write_bytes(b"1")
    await_file(moving.tree / "before", b"1")
    there.ip("address", "delete", "10.81.0.2/24", "dev", "eth0")
    there.ip("address", "add", "10.81.0.3/24", "dev", "eth0")
    began = time.monotonic()
    (staying.tree / "after").write_bytes(b"2")
    await_file(moving.tree / "after", b"2", MOVED_DEADLINE)
    print(f"found again after {time.monotonic() - began:.1f} s")
    (address,) = (peer["address"] for peer in staying.status()["peers"] if peer["connected"])
    assert address.startswith("10.81.0.3:")
