"""Beacons at work: who is dialled for them, and what else they do."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog

from protocol.beacon import NONCE_SIZE, Beacon, BeaconKeys
from protocol.keys import generate_secret, parse_secret
from protocol.messages import Records, Status
from syncd.config.hosts import HostKind, KnownHost
from syncd.core.backoff import Backoff
from syncd.core.invitations import Invitations
from syncd.core.networks import Allowed, Network, address_of
from syncd.node import beacons as module
from syncd.node.acquaintances import BEACON, TRIES
from syncd.node.beacons import Beacons
from tests.lab.inside import Inside
from tests.lab.meeting import agree, running

SECRET = generate_secret(bytes(range(32)))
DEADLINE = 30.0  # seconds


class Guest:
    """Somebody with the secret who sends beacons, and a port that counts who dials it."""

    def __init__(self, secret: str = SECRET) -> None:
        self.keys = BeaconKeys(parse_secret(secret))
        self.instance = secrets.token_bytes(16)
        self.node_id = secrets.token_bytes(16)
        self.dialled = 0
        self.happened = asyncio.Event()
        self.port = 0
        self.seq = 0

    def beacon(self, **changed: Any) -> bytes:
        """The next one, with some fields changed."""
        self.seq += 1
        now = time.time_ns() // 1_000_000
        plain = Beacon(self.instance, self.seq, now, self.port, self.node_id, 0, bytes(32))
        return self.keys.seal(replace(plain, **changed), secrets.token_bytes(NONCE_SIZE))

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        def factory() -> asyncio.Protocol:
            self.dialled += 1
            self.happened.set()
            return asyncio.Protocol()

        server = await asyncio.get_running_loop().create_server(factory, "0.0.0.0", 0)
        self.port = server.sockets[0].getsockname()[1]
        yield
        server.close()

    async def visited(self) -> None:
        """Wait until somebody dials."""
        async with asyncio.timeout(DEADLINE):
            await self.happened.wait()
        self.happened.clear()


def beacons_of(inside: Inside) -> Beacons:
    """Without a port: what it hears is handed to it."""
    return Beacons(inside.folder.node, [inside.folder], 1, "127.0.0.1", time.monotonic)


def pair(base: Path) -> tuple[Inside, Inside]:
    """Two folders, of which the first one has something."""
    one, two = Inside(base / "one", SECRET), Inside(base / "two", SECRET)
    (one.tree / "before").write_bytes(b"0")
    return one, two


def targets(inside: Inside) -> list[str]:
    return [target.address for target in inside.folder.finding.acquaintances.targets]


async def test_a_beacon_leads_to_one_dial_of_its_source(tmp_path: Path) -> None:
    inside, guest = Inside(tmp_path / "one", SECRET), Guest()
    async with inside.running(settled=False), guest.listening():
        beacons = beacons_of(inside)
        beacons.heard(guest.beacon(), "127.0.0.1", 4)
        await guest.visited()
        assert targets(inside) == [f"127.0.0.1:{guest.port}"]
        assert inside.folder.finding.acquaintances.targets[0].origin == BEACON
        assert beacons.ignored == 0


async def test_what_is_no_fresh_beacon_is_ignored(tmp_path: Path) -> None:
    inside, guest, stranger = Inside(tmp_path / "one", SECRET), Guest(), Guest(generate_secret(bytes(32)))
    async with inside.running(settled=False), guest.listening():
        stranger.port = guest.port
        beacons = beacons_of(inside)
        now = time.time_ns() // 1_000_000
        heard = guest.beacon(tcp_port=0)  # accepted, and nobody can be dialled
        beacons.heard(heard, "127.0.0.1", 4)
        assert beacons.ignored == 0
        own = inside.folder.node
        ignored = [
            stranger.beacon(), b"", bytes(144), secrets.token_bytes(144), heard[:-1], heard + b"\0",
            heard, heard, bytes([*heard[:143], heard[143] ^ 1]),
            guest.beacon(unix_ms=now - 91_000), guest.beacon(unix_ms=now + 99_000), guest.beacon(seq=0),
            guest.beacon(instance=own.start_nonce),
        ]  # fmt: skip
        for number, datagram in enumerate(ignored):
            beacons.heard(datagram, f"127.0.0.{number + 1}", 4)
        assert beacons.ignored == len(ignored)
        beacons.heard(guest.beacon(node_id=own.identity.node_id), "127.0.0.1", 4)
        assert targets(inside) == []
        assert guest.dialled == 0


async def test_a_replay_from_elsewhere_is_ignored(tmp_path: Path) -> None:
    inside, guest = Inside(tmp_path / "one", SECRET), Guest()
    async with inside.running(settled=False), guest.listening():
        beacons = beacons_of(inside)
        datagram = guest.beacon()
        beacons.heard(datagram, "127.0.0.1", 4)
        for address in ("127.0.0.1", "127.0.0.2", "::1", "203.0.113.7"):
            beacons.heard(datagram, address, 5)
        assert beacons.ignored == 4
        assert targets(inside) == [f"127.0.0.1:{guest.port}"]
        await guest.visited()


async def test_forgers_with_the_secret_cause_few_dials(tmp_path: Path) -> None:
    """A thousand nodes that do not exist: the table stays small, and the dials are one a second."""
    inside, guest = Inside(tmp_path / "one", SECRET), Guest()
    now = time.monotonic()
    async with inside.running(settled=False), guest.listening():
        beacons = beacons_of(inside)
        for number in range(1_000):
            forged = guest.beacon(instance=secrets.token_bytes(16), node_id=secrets.token_bytes(16))
            beacons.heard(forged, f"127.0.{number // 250}.{number % 250 + 1}", 4)
        assert len(targets(inside)) <= 64
        await guest.visited()
        assert guest.dialled <= 2 + (time.monotonic() - now)


async def test_an_address_that_leads_to_nobody_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncd.node.acquaintances.ADDRESS_INTERVAL", 0.01)
    monkeypatch.setattr("syncd.core.invitations.ADDRESS_INTERVAL", 0.01)
    monkeypatch.setattr("syncd.core.invitations.INTERVAL", 0.01)
    inside, guest = Inside(tmp_path / "one", SECRET), Guest()
    async with guest.listening():
        pass
    async with inside.running(settled=False):
        beacons_of(inside).heard(guest.beacon(), "127.0.0.1", 4)
        (target,) = inside.folder.finding.acquaintances.targets
        await inside.reach(lambda: not targets(inside))
        assert target.reason == "refused (nothing listens there)"
        assert TRIES == 3
        inside.folder.finding.acquaintances.hear("127.0.0.1", guest.port, None, "a rumour")
        assert targets(inside) == [], "it is not taken up again for a while"
        beacons_of(inside).heard(guest.beacon(), "127.0.0.1", 4)
        assert targets(inside), "a beacon is a sign of life"


async def test_a_beacon_cuts_the_wait_for_a_known_host_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "failed", lambda self, chance: 3600.0)
    guest = Guest()
    async with guest.listening():
        pass  # the port is known, and nobody is there yet
    host = KnownHost(HostKind.HOST, "127.0.0.1", guest.port)
    inside = Inside(tmp_path / "one", SECRET, known_hosts=(host,))
    async with inside.running(settled=False):
        dialer = inside.folder.finding.dialer
        await inside.reach(lambda: dialer.all_tried)
        dialled = asyncio.Event()
        server = await asyncio.start_server(lambda reader, writer: dialled.set(), "127.0.0.1", guest.port)
        beacons_of(inside).heard(guest.beacon(), "127.0.0.1", 4)
        async with asyncio.timeout(DEADLINE):
            await dialled.wait()
        server.close()
        assert targets(inside) == [], "it is a known host"


async def test_news_that_was_missed_is_noticed(tmp_path: Path) -> None:
    """Everything that one says of a change is lost; its next beacon tells that there is one."""
    one, two = pair(tmp_path)
    async with running(one, two):
        session = await two.join(one)
        await agree(one, two)
        (peer,) = one.folder.peers.all()
        post, lost = peer.session.post, []

        def lose(message: Any, rank: Any = None) -> None:
            lost.append(message) if isinstance(message, Status | Records) else post(message, rank)

        peer.session.post = lose  # type: ignore[method-assign]
        (one.tree / "news").write_bytes(b"1")
        await one.folder.watching.rescan()
        await one.reach(lambda: any(isinstance(message, Status) and message.in_sync for message in lost), 8)
        peer.session.post = post  # type: ignore[method-assign]
        assert not (two.tree / "news").exists()

        said = Guest()
        datagram = said.beacon(
            instance=one.folder.node.start_nonce, node_id=one.identity.node_id, root=one.root, tcp_port=9
        )
        beacons_of(two).heard(datagram, "127.0.0.1", 4)
        await two.reach(lambda: (two.tree / "news").exists(), 8)
        await agree(one, two)
        assert session.reason is None, "on the session that there was"
        assert targets(two) == []


async def test_two_that_differ_do_not_remind_each_other_for_ever(tmp_path: Path) -> None:
    one, two = pair(tmp_path)
    async with running(one, two):
        await two.join(one)
        await agree(one, two)
        (peer,) = two.folder.peers.all()
        sent: list[Any] = []
        post = peer.session.post
        peer.session.post = lambda *messages, rank=None: (sent.extend(messages), post(*messages, rank=rank))[1]  # type: ignore
        beacons = beacons_of(two)
        guest = Guest()
        guest.port = 9
        for _ in range(50):
            odd = guest.beacon(
                instance=one.folder.node.start_nonce, node_id=one.identity.node_id, root=secrets.token_bytes(32)
            )
            beacons.heard(odd, "127.0.0.1", 4)
        await two.folder.refresh_now()
        await one.folder.refresh_now()
        assert sum(isinstance(message, Status) for message in sent) == 1


async def test_a_peer_that_was_restarted_unnoticed_is_dialled(tmp_path: Path) -> None:
    """Its machine lost power, and the session with what it was seems alive for 15 s."""
    (one, two), guest = pair(tmp_path), Guest()
    async with running(one, two), guest.listening():
        await two.join(one)
        await agree(one, two)
        beacons = beacons_of(two)
        beacons.heard(guest.beacon(instance=one.folder.node.start_nonce, node_id=one.identity.node_id), "127.0.0.1", 4)
        assert guest.dialled == 0
        beacons.heard(guest.beacon(node_id=one.identity.node_id), "127.0.0.1", 4)
        await guest.visited()


def warnings(run: Callable[[], None]) -> list[str]:
    with structlog.testing.capture_logs() as lines:
        run()
    return [line["event"] for line in lines if line["log_level"] == "warning"]


async def test_a_wrong_clock_is_told_once(tmp_path: Path) -> None:
    inside, guest = Inside(tmp_path / "one", SECRET), Guest()
    async with inside.running(settled=False):
        beacons = beacons_of(inside)
        late = time.time_ns() // 1_000_000 - 600_000

        def hear() -> None:
            for _ in range(20):
                beacons.heard(guest.beacon(unix_ms=late), "127.0.0.1", 4)

        said = warnings(hear)
        assert len(said) == 1
        assert said[0].startswith("the clock of 127.0.0.1:4 differs by -600 s")
        assert targets(inside) == []


async def test_clocks_a_year_apart_are_told_and_change_nothing(tmp_path: Path) -> None:
    one, two = pair(tmp_path)
    year = 31_536_000 * 10**9
    for inside, off in ((one, year), (two, 0)):
        node = inside.folder.node
        inside.folder.finding._node = inside.folder.node = replace(node, clock=lambda off=off: time.time_ns() + off)
    (one.tree / "file").write_bytes(b"1")
    with structlog.testing.capture_logs() as lines:
        async with running(one, two):
            await two.join(one)
            await agree(one, two)
    said = {line["event"] for line in lines if "clock" in line["event"]}
    assert said == {f"the clock of {name} differs by {sign}31536000 s; files are in sync all the same"
                    for name, sign in (("one", "+"), ("two", "-"))}  # fmt: skip


async def test_beacons_of_networks_that_are_not_allowed_are_ignored(tmp_path: Path) -> None:
    import ipaddress

    inside, guest = Inside(tmp_path / "one", SECRET), Guest()
    inside.endpoint.allowed = Allowed([ipaddress.ip_network("10.0.0.0/8")])
    async with inside.running(settled=False), guest.listening():
        beacons = beacons_of(inside)
        beacons.heard(guest.beacon(), "127.0.0.1", 4)
        assert (beacons.ignored, targets(inside), guest.dialled) == (1, [], 0)


class Said:
    """In place of a port: what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, str, int]] = []

    def send(self, data: bytes, host: str, port: int) -> None:
        self.sent.append((data, host, port))


async def test_what_is_said_to_whom_and_when(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = tuple(KnownHost(HostKind.HOST, f"127.0.0.{n}", 9) for n in (1, 2))
    inside = Inside(tmp_path / "one", SECRET, known_hosts=hosts)
    (inside.tree / "before").write_bytes(b"0")
    now = 100.0
    async with inside.running():
        beacons, said = Beacons(inside.folder.node, [inside.folder], 7, "", lambda: now), Said()
        beacons._datagrams = said  # type: ignore[assignment]
        places = [(str(host.host), host.port) for host in hosts]

        def tick(seconds: float) -> list[tuple[str, int]]:
            nonlocal now
            now += seconds
            beacons._say()
            sent, said.sent = said.sent, []
            for data, _, _ in sent:
                found = beacons_of_keys.open(data, time.time_ns() // 3_600_000_000_000, time.time_ns() // 1_000_000)
                assert found is not None
                assert (found.tcp_port, found.node_id, found.root) == (7, inside.identity.node_id, inside.root)
            return [(host, port) for _, host, port in sent]

        beacons_of_keys = BeaconKeys(inside.keys)
        await inside.reach(lambda: inside.folder.finding.dialer.all_tried)
        assert tick(0) == places
        assert tick(29) == []
        assert tick(1) == places
        (inside.tree / "file").write_bytes(b"1")
        before = inside.folder.standing.facts.root.hash
        await inside.folder.watching.rescan()
        await inside.reach(lambda: inside.folder.standing.facts.root.hash != before)
        assert tick(1) == places
        assert tick(1) == []
        inside.endpoint.allowed = Allowed([_network("127.0.0.2/32")])
        assert tick(30) == places[1:]


def _network(text: str) -> Network:
    import ipaddress

    assert address_of(text.partition("/")[0]) is not None
    return ipaddress.ip_network(text)


def test_a_beacon_is_small_and_seldom() -> None:
    """To an idle peer: far below the 2 kB/s that an idle pair may cost."""
    assert (144 + 42) / module.IDLE_INTERVAL < 10
    assert Invitations().take("a", 0.0)
