"""Hosts that find each other: through a bridge, by names, on the local network, with addresses that change."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab.cluster import Cluster, Daemon, await_condition
from tests.lab.hosts import Host, Network
from tests.lab.machine import cannot_run

pytestmark = pytest.mark.root

DEADLINE = 60.0  # seconds, for what takes a few on a machine that has nothing else to do
EVERYWHERE = "0.0.0.0"
PORT = 55_555
SEARCH = {"search_lan": True}


def peers(daemon: Daemon) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = daemon.get("/v1/peers")[1]["folders"][0]["peers"]
    return rows


def connected(daemon: Daemon) -> set[str]:
    return {row["name"] for row in peers(daemon) if row["state"] == "connected"}


def await_peers(daemon: Daemon, *names: str) -> float:
    """Wait until just these are connected; the seconds it took."""
    began = time.monotonic()
    await_condition(lambda: connected(daemon) == set(names), f"{daemon.base.name} wants {names}", DEADLINE)
    return time.monotonic() - began


def bridge(host: Host, address: str) -> None:
    """A bridge br0 on a host, as a container engine makes it."""
    host.ip("link", "add", "br0", "type", "bridge")
    host.ip("addr", "add", address, "dev", "br0")
    host.ip("link", "set", "br0", "up")
    host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")


def plug(network: Network, host: Host, name: str, address: str, gateway: str) -> Host:
    """A container on the host's bridge."""
    container = network.host(name)
    cable = f"v-{name}"
    container.ip("link", "add", "eth0", "type", "veth", "peer", "name", cable, "netns", host.namespace)
    container.ip("addr", "add", address, "dev", "eth0")
    container.ip("link", "set", "eth0", "up")
    container.addresses.append(address.partition("/")[0])
    container.ip("route", "add", "default", "via", gateway)
    host.ip("link", "set", cable, "master", "br0")
    host.ip("link", "set", cable, "up")
    return container


def on(cluster: Cluster, host: Host, **options: object) -> Daemon:
    return cluster.add(host.name, address=EVERYWHERE, port=PORT, prefix=host.prefix, **options)  # type: ignore[arg-type]


def test_a_rebuilt_container_with_another_address_is_connected_at_once(network: Network, cluster: Cluster) -> None:
    """Nobody but itself knows anybody: its image has the host's address, and nothing of it is left but that."""
    host = network.host("host")
    bridge(host, "172.31.0.1/24")
    keeper = on(cluster, host)
    (keeper.tree / "file").write_bytes(b"1")
    keeper.start()
    for number in (2, 3):
        container = plug(network, host, f"web{number}", f"172.31.0.{number}/24", "172.31.0.1")
        web = on(cluster, container)
        web.known_hosts = [f"172.31.0.1:{PORT}"]
        web.start()
        took = await_peers(web, "host")
        print(f"{container.name} at {container.address}: connected {took:.2f} s after it answered")
        web.kill()
        host.ip("link", "del", f"v-web{number}")  # without a word to anybody, as a container is removed


def test_two_behind_a_bridge_and_one_on_the_other_side_need_one_address(network: Network, cluster: Cluster) -> None:
    """Multicast ends at the bridge. What lies behind it is told to nobody outside."""
    host, remote = network.host("host"), network.host("remote")
    bridge(host, "172.31.0.1/24")
    network.connect(host, "10.81.0.1/24", remote, "10.81.0.2/24")
    remote.ip("route", "add", "default", "via", "10.81.0.1")
    one, two = (plug(network, host, f"web{n}", f"172.31.0.{n}/24", "172.31.0.1") for n in (2, 3))
    outer = on(cluster, remote)
    first, second = (on(cluster, each, folder_options=SEARCH) for each in (one, two))
    first.known_hosts = [f"10.81.0.2:{PORT}"]
    (outer.tree / "file").write_bytes(b"1")
    for daemon in (outer, first, second):
        daemon.start()
    await_peers(first, "remote", second.base.name)
    await_peers(second, "remote", first.base.name)
    await_peers(outer, first.base.name, second.base.name)
    cluster.converge()
    by_name = {row["name"]: row for row in peers(second)}
    print(*(f"{row['address']} {row['name']}: {row['known_from']}" for row in by_name.values()), sep="\n")
    assert by_name["remote"]["known_from"] == "told by web2"
    assert not [row for row in peers(outer) if row["known_from"].startswith("told by")]


def test_peers_on_one_network_find_each_other(network: Network, cluster: Cluster) -> None:
    host = network.host("host")
    bridge(host, "172.31.0.1/24")
    containers = [plug(network, host, f"web{n}", f"172.31.0.{n}/24", "172.31.0.1") for n in (2, 3, 4)]
    daemons = [on(cluster, container, folder_options=SEARCH) for container in containers]
    (daemons[0].tree / "file").write_bytes(b"1")
    for daemon in daemons:
        daemon.start()
    for daemon in daemons:
        await_peers(daemon, *({each.base.name for each in daemons} - {daemon.base.name}))
    cluster.converge()


def test_a_link_local_address_and_an_address_of_ipv6(network: Network, cluster: Cluster) -> None:
    one, two = network.pair("one", "two")
    for host, address in ((one, "fd81::1/64"), (two, "fd81::2/64")):
        host.ip("addr", "add", address, "dev", "eth0", "nodad")
        host.ip("addr", "add", f"fe80::{address[-4]}/64", "dev", "eth0", "nodad")
    for name, known in (("6", "[fd81::1]"), ("l", "[fe80::1%eth0]")):
        with Cluster(cluster.base / name) as pair:
            first = pair.add("first", address="", port=PORT, prefix=one.prefix)
            second = pair.add("second", address="", port=PORT, prefix=two.prefix)
            for daemon in (first, second):
                daemon.options["listening_address"] = None
            second.known_hosts = [f"{known}:{PORT}"]
            first.start()
            second.start()
            await_peers(second, "first")
            assert await_peers(first, "second") < DEADLINE
            assert first.stop() == second.stop() == 0


@contextmanager
def name_server(host: Host, records: list[str]) -> Iterator[None]:
    """dnsmasq on a host, which asks it for all names."""
    program = shutil.which("dnsmasq") or "/usr/sbin/dnsmasq"
    if not os.path.exists(program):
        cannot_run("this test needs dnsmasq")
    own = Path("/etc/netns") / host.namespace
    own.mkdir(parents=True)
    (own / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    command = [program, "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root",
               "--listen-address=127.0.0.1", "--bind-interfaces", "--pid-file=", *records]  # fmt: skip
    server = subprocess.Popen([*host.prefix, *command], stderr=subprocess.PIPE)
    try:
        yield
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(own)


def test_names_are_looked_up(network: Network, cluster: Cluster) -> None:
    """All addresses of a name, and all hosts of a service, each with its own port."""
    middle = network.host("middle")
    hosts = [network.host(name) for name in ("left", "right")]
    for number, host in enumerate(hosts, start=1):
        network.connect(middle, f"10.81.{number}.1/24", host, f"10.81.{number}.2/24")
    daemons = [on(cluster, host) for host in hosts]
    daemons[1].port = PORT + 1
    (daemons[0].tree / "file").write_bytes(b"1")
    records = [
        "--address=/all.test/10.81.1.2", "--address=/all.test/10.81.2.2", "--address=/none.test/",
        "--srv-host=_syncd._tcp.test,left.test,55555,1,1", "--srv-host=_syncd._tcp.test,right.test,55556,2,1",
        "--address=/left.test/10.81.1.2", "--address=/right.test/10.81.2.2",
    ]  # fmt: skip
    for daemon in daemons:
        daemon.start()
    with name_server(middle, records):
        for names, expected in (
            (["srv:_syncd._tcp.test"], {"left", "right"}),
            (["dns:all.test:55555", "srv:_nothing._tcp.test"], {"left"}),
        ):
            with Cluster(cluster.base / names[0][:3]) as asking:
                asking.secret = cluster.secret
                daemon = on(asking, middle)
                daemon.known_hosts = names
                daemon.start()
                await_peers(daemon, *expected)
                rows = peers(daemon)
                print(
                    *(f"{row['address']}: {row['known_from']}, {row['state']} {row['reason']}" for row in rows),
                    sep="\n",
                )
                assert {row["known_from"] for row in rows if row["state"] == "connected"} == {names[0]}
                assert daemon.stop() == 0


def test_what_mdns_shows_tells_nothing(network: Network, cluster: Cluster) -> None:
    """avahi-browse sees a random name, a port, and a mark that changes; our node sees no stranger."""
    for program in ("avahi-daemon", "avahi-browse", "dbus-daemon"):
        if shutil.which(program) is None and not os.path.exists(f"/usr/sbin/{program}"):
            cannot_run(f"this test needs {program}")
    one, two = network.pair("one", "two")
    daemon = on(cluster, one, folder_options=SEARCH)
    daemon.start()
    with avahi(two, cluster.base) as environment:
        shown: list[str] = []

        def look() -> bool:
            command = ["avahi-browse", "--parsable", "--resolve", "--terminate", "_syncd._tcp"]
            done = subprocess.run(
                [*two.prefix, *command], capture_output=True, text=True, env=environment, timeout=30, check=False
            )
            shown[:] = [line for line in done.stdout.splitlines() if line.startswith("=")]
            return bool(shown)

        await_condition(look, "avahi-browse sees nothing", DEADLINE)
    print(*shown, sep="\n")
    secret, status = cluster.secret, daemon.status()
    for line in shown:
        _, _, _, name, kind, domain, server, address, port, *text = line.split(";")
        assert (kind, domain, address, port) == ("_syncd._tcp", "local", one.address, str(PORT))
        assert len(bytes.fromhex(name)) == 8
        assert server == f"{name}.local"
        assert sorted(item.partition("=")[0].strip('"') for item in text[0].split()) == ["port", "tag"]
        for known in (status["id"], status["fingerprint"], daemon.base.name, secret[10:20], socket.gethostname()):
            assert known not in line


@contextmanager
def avahi(host: Host, base: Path) -> Iterator[dict[str, str]]:
    """avahi-daemon on a host, with a message bus of its own; the environment for those who ask it."""
    bus, configuration, avahi_conf = base / "bus", base / "bus.conf", base / "avahi.conf"
    configuration.write_text(
        f'<busconfig><type>system</type><listen>unix:path={bus}</listen><auth>EXTERNAL</auth><policy context="default">'
        '<allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/><allow user="*"/></policy></busconfig>'
    )
    avahi_conf.write_text(
        "[server]\nuse-ipv4=yes\nuse-ipv6=no\nallow-interfaces=eth0\n[wide-area]\nenable-wide-area=no\n"
    )
    environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={bus}"}
    daemons = [
        subprocess.Popen(["dbus-daemon", f"--config-file={configuration}", "--nofork", "--nopidfile"]),
    ]
    try:
        await_condition(bus.exists, "no message bus")
        command = [
            shutil.which("avahi-daemon") or "/usr/sbin/avahi-daemon",
            "--no-drop-root",
            "--no-chroot",
            "--no-rlimits",
        ]
        own = 'mkdir -p /run/avahi-daemon && mount -t tmpfs none /run/avahi-daemon && exec "$@"'  # beside the machine's
        command = [*host.prefix, "sh", "-c", own, "sh", *command, f"--file={avahi_conf}", "--no-proc-title"]
        daemons.append(subprocess.Popen(command, env=environment))
        yield environment
    finally:
        for daemon in reversed(daemons):
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(20)
