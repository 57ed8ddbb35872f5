"""Real daemons on loopback that find each other, and each other again."""

import json
import os
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

import pytest

from protocol.beacon import Beacon, BeaconKeys
from protocol.keys import parse_secret
from tests.lab.cluster import Cluster, Daemon, await_condition

AGAIN = 20.0  # seconds: without beacons and memory it would take as long as somebody dials by chance, or for ever


def connected(daemon: Daemon) -> set[str]:
    return {peer["name"] for peer in daemon.status()["peers"] if peer["connected"]}


def await_peers(daemon: Daemon, *names: str, deadline: float = 60.0) -> float:
    """Wait until just these are connected; the seconds it took."""
    began = time.monotonic()
    await_condition(
        lambda: connected(daemon) == set(names), f"{daemon.base.name} has {daemon.status()['peers']}", deadline
    )
    return time.monotonic() - began


def test_a_node_that_knows_nobody_is_connected_at_once_after_a_restart(cluster: Cluster) -> None:
    """It remembers where its peers were, whoever began the session."""
    holder = cluster.add("holder")
    keeper = cluster.add("keeper", knows=[holder])
    for daemon in (holder, keeper):
        daemon.start()
    await_peers(holder, "keeper")
    for kill in (False, True):
        holder.kill() if kill else holder.stop()
        await_peers(keeper)
        holder.start()
        took = await_peers(holder, "keeper", deadline=AGAIN)
        print(f"connected {took:.2f} s after it {'was killed' if kill else 'ended'} and answered again")


def test_a_node_that_only_dials_out_listens_nowhere(cluster: Cluster) -> None:
    """It is in sync all the same, and nobody is told of it."""
    holder = cluster.add("holder")
    hidden = cluster.add("hidden", knows=[holder], options={"advertise_address": "none"})
    third = cluster.add("third", knows=[holder])
    (holder.tree / "file").write_bytes(b"1")
    for daemon in (holder, hidden, third):
        daemon.start()
    await_peers(holder, "hidden", "third")
    cluster.converge()
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as sock:
            sock.bind(("127.0.0.1", hidden.port))  # it is free
    rows = holder.get("/v1/peers")[1]["folders"][0]["peers"]
    assert [row["known_from"] for row in rows if row["name"] == "hidden"] == ["it dialled us"]
    assert not [row for row in rows if row["address"].endswith(f":{hidden.port}")]


def test_only_networks_that_are_allowed_are_spoken_to(cluster: Cluster) -> None:
    """Before a byte of a handshake, in both directions, and changed while the node runs."""
    holder = cluster.add("holder", options={"allow_networks": ["10.0.0.0/8", "127.0.0.0/30"]})
    near = cluster.add("near", knows=[holder])
    for daemon in (holder, near):
        daemon.start()
    await_peers(holder, "near")
    with socket.create_connection(("127.0.0.1", holder.port), source_address=("127.0.0.9", 0)) as stranger:
        stranger.settimeout(20.0)
        with suppress(ConnectionResetError):
            assert stranger.recv(1) == b""
    assert "handshake from 127.0.0.9 failed: not in allow_networks" in holder.log_text()

    holder.options["allow_networks"] = ["10.0.0.0/8"]
    holder.known_hosts = [near.endpoint]
    holder.write_config()
    assert holder.process is not None
    holder.process.send_signal(signal.SIGHUP)
    await_peers(holder)
    await_condition(
        lambda: any(peer["reason"] == "not in allow_networks" for peer in holder.status()["peers"]),
        "the status does not say why",
    )


def test_peers_are_listed_with_where_they_are_known_from(cluster: Cluster) -> None:
    holder = cluster.add("holder")
    keeper = cluster.add("keeper", knows=[holder])
    keeper.known_hosts.append("127.0.0.1:9")
    for daemon in (holder, keeper):
        daemon.start()
    await_peers(keeper, "holder")
    document = json.loads(keeper.verb("peers", "--json").stdout)
    rows = {row["address"]: row for row in document["folders"][0]["peers"]}
    assert (rows[holder.endpoint]["state"], rows[holder.endpoint]["known_from"]) == ("connected", "known_hosts")
    assert rows["127.0.0.1:9"]["reason"] == "refused (nothing listens there)"
    text = keeper.verb("peers").stdout
    print(text)
    assert [line.split() for line in text.splitlines()][1] == [holder.endpoint, "holder", "known_hosts", "connected"]
    assert "refused (nothing listens there)" in text


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["random", "old", "replayed"])
def test_a_flood_of_beacons_costs_little(cluster: Cluster, kind: str) -> None:
    """As many as this machine can send: the node stays small, has time for others, and answers nobody."""
    daemon = cluster.add("target")
    daemon.start()
    assert daemon.process is not None
    keys, now = BeaconKeys(parse_secret(cluster.secret)), time.time_ns() // 1_000_000
    when = now - 600_000 if kind == "old" else now
    sealed = keys.seal(Beacon(bytes(16), 1, when, 0, bytes(16), 0, bytes(32)), bytes(12))
    datagram = os.urandom(144) if kind == "random" else sealed
    before, began, sent = resources(daemon.process.pid), time.monotonic(), 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", daemon.port))
        sock.setblocking(False)
        while time.monotonic() - began < 5.0:
            for _ in range(1_000):
                with suppress(BlockingIOError):
                    sent += bool(sock.send(datagram))
        with pytest.raises(BlockingIOError):
            sock.recv(1)
    took, after = time.monotonic() - began, resources(daemon.process.pid)
    share, grown = (after[0] - before[0]) / took, after[1] - before[1]
    print(f"{kind}: {sent / took:.0f} datagrams a second cost {share:.1%} of a processor and {grown >> 10} KiB")
    assert share < 0.3
    assert grown < 16 << 20
    assert daemon.status()["state"]


def resources(pid: int) -> tuple[float, int]:
    """Seconds of processor time and bytes of memory of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
