"""Beacons of a node: said to where peers are known to be, and heard from anywhere. Nothing that comes is answered."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from protocol.beacon import NONCE_SIZE, Beacon, BeaconKeys, Hearing, Instances, looks_like_beacon, tag_of
from syncd.net.datagrams import Datagrams
from syncd.net.networks import send_to_all
from syncd.net.session import format_address
from syncd.node.acquaintances import BEACON
from syncd.node.folder import Folder
from syncd.node.greeting import NodeFacts
from syncd.node.telling import announce_again

TICK: Final = 1.0  # seconds between two looks at what is due; also between two beacons of a root that keeps changing
IDLE_INTERVAL: Final = 30.0  # seconds between two beacons to an address: 5 bytes a second, and half of what is timely
LAN_INTERVAL: Final = 10.0  # the same to the local network, where a new node shall not wait for half a minute
PER_TICK: Final = 256  # beacons sent at once; those that are left have their turn at the next tick
_HOUR: Final = 3_600_000  # ms

_log = structlog.get_logger()


@dataclass(slots=True)
class _Voice:
    """What is said and heard of one folder."""

    folder: Folder
    keys: BeaconKeys
    instances: Instances
    told: dict[tuple[str, int], tuple[float, bytes]] = field(default_factory=dict)  # {address: (when, root)}
    lan_due: float = 0.0


class Beacons:
    """folders: those of the node, as they are now. port: where it listens. host: the address that it listens on, or
    empty. clock: seconds, monotonic.
    """

    def __init__(
        self, node: NodeFacts, folders: Sequence[Folder], port: int, host: str, clock: Callable[[], float]
    ) -> None:
        self._node = node
        self._folders = folders
        self._port, self._host = port, host
        self._clock = clock
        self._voices: dict[bytes, _Voice] = {}
        self._tags: dict[bytes, tuple[_Voice, int]] = {}
        self._tags_of: tuple[int, tuple[Folder, ...]] = -1, ()
        self._seq = 0
        self._datagrams = Datagrams(self.heard, clock)
        self.ignored = 0  # datagrams

    async def open(self) -> None:
        """Raises OSError if the port cannot be had."""
        await self._datagrams.open(self._host, self._port)

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._datagrams.run())
                while True:
                    self._say()
                    await asyncio.sleep(TICK)
        finally:
            self._datagrams.close()

    # ---- saying

    def _say(self) -> None:
        now, left = self._clock(), PER_TICK
        for folder in list(self._folders):
            voice = self._voice(folder)
            root = folder.standing.facts.root.hash
            places = folder.finding.places()
            voice.told = {place: said for place, said in voice.told.items() if place in places}
            due = [place for place in places if _is_due(voice.told.get(place), root, now)][:left]
            for host, port in due:
                voice.told[host, port] = now, root
                self._datagrams.send(self._sealed(voice, root), host, port)
            left -= len(due)
            if folder.settings.search_lan and now >= voice.lan_due:
                voice.lan_due = now + LAN_INTERVAL
                send_to_all(self._sealed(voice, root), self._host, self._port)

    def _sealed(self, voice: _Voice, root: bytes) -> bytes:
        self._seq += 1
        node = self._node
        beacon = Beacon(
            node.start_nonce, self._seq, node.clock() // 1_000_000, self._port, node.identity.node_id, 0, root
        )
        return voice.keys.seal(beacon, node.draw(NONCE_SIZE))

    # ---- hearing

    def heard(self, data: bytes, host: str, port: int) -> None:
        """A datagram came. What costs least is looked at first."""
        if not looks_like_beacon(data):
            self.ignored += 1
            return
        now_ms = self._node.clock() // 1_000_000
        self._renew_tags(now_ms)
        found = self._tags.get(tag_of(data))
        beacon = found[0].keys.open(data, found[1], now_ms) if found is not None else None
        if found is None or beacon is None or not found[0].folder.finding.endpoint.allowed.admits(host):
            self.ignored += 1
            return
        voice = found[0]
        hearing = voice.instances.hear(beacon, now_ms)
        if hearing is Hearing.ACCEPTED:
            self._act(voice.folder, beacon, host)
            return
        self.ignored += 1
        if hearing is Hearing.SKEWED and beacon.node_id != self._node.identity.node_id:
            self._node.clocks.compare_beacon(beacon.node_id, format_address(host, port), beacon.unix_ms, now_ms)

    def _act(self, folder: Folder, beacon: Beacon, host: str) -> None:
        if beacon.node_id == self._node.identity.node_id or not beacon.tcp_port:
            return
        peer = folder.peers.connected(beacon.node_id)
        if peer is None:
            folder.finding.invited(host, beacon.tcp_port, beacon.node_id, BEACON)
        elif peer.hello.nonce != beacon.instance:
            folder.finding.acquaintances.meet(host, beacon.tcp_port)
        elif peer.status is not None and beacon.root not in (peer.status.root, folder.standing.facts.root.hash):
            announce_again(peer, self._clock())

    # ---- for mDNS

    def tag_now(self, folder: Folder) -> bytes:
        """The folder's tag of this hour."""
        return self._voice(folder).keys.tag(self._node.clock() // 1_000_000 // _HOUR)

    def folder_of(self, tag: bytes) -> Folder | None:
        """Whose tag it is, of this hour, the last or the next one."""
        self._renew_tags(self._node.clock() // 1_000_000)
        found = self._tags.get(tag)
        return found[0].folder if found is not None else None

    def _voice(self, folder: Folder) -> _Voice:
        voice = self._voices.get(folder.keys.folder_id)
        if voice is None or voice.folder is not folder:
            instances = Instances(self._node.start_nonce) if voice is None else voice.instances
            voice = self._voices[folder.keys.folder_id] = _Voice(folder, BeaconKeys(folder.keys), instances)
        return voice

    def _renew_tags(self, now_ms: int) -> None:
        """Tags change every hour, and with the folders."""
        current = now_ms // _HOUR, tuple(self._folders)
        if current == self._tags_of:
            return
        self._tags_of = current
        there = {folder.keys.folder_id for folder in self._folders}
        self._voices = {id_: voice for id_, voice in self._voices.items() if id_ in there}
        self._tags = {}
        for folder in self._folders:
            voice = self._voice(folder)
            self._tags |= {tag: (voice, hour) for tag, hour in voice.keys.tags(now_ms).items()}


def _is_due(said: tuple[float, bytes] | None, root: bytes, now: float) -> bool:
    if said is None:
        return True
    when, what = said
    return now - when >= (IDLE_INTERVAL if what == root else TICK)
