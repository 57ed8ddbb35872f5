"""What the peers of a folder are told of each other: who is connected, and at which addresses it can be dialled."""

import asyncio
from collections.abc import Callable
from typing import Final

from protocol.limits import MAX_PEERS_PER_MESSAGE
from protocol.messages import Peers as PeersMessage
from syncd.core.networks import Network, may_dial, may_tell, parse_address
from syncd.net.session import format_address
from syncd.node.acquaintances import Acquaintances
from syncd.node.peers import Peer, Peers

GATHER: Final = 0.5  # seconds in which sessions gather before peers are told of them: after a restart all come at once
LEAST_GAP: Final = 5.0  # seconds between two rounds: peers that come and go all the time are no news
TOLD: Final = 64  # addresses that are looked at of one message: as many as would be remembered


class Gossip:
    """attached(): the networks that this host is in."""

    def __init__(self, peers: Peers, acquaintances: Acquaintances, attached: Callable[[], list[Network]]) -> None:
        self._peers = peers
        self._acquaintances = acquaintances
        self._attached = attached
        self._changed = asyncio.Event()

    def joined(self, peer: Peer) -> None:
        """A session stands."""
        said = parse_address(peer.hello.advertise)
        if said is not None and (not said[0] or may_dial(said[0])):
            self._acquaintances.claimed(said[0] or host_of(peer), said[1], peer.node_id)
        self._changed.set()

    def left(self) -> None:
        """A session has ended."""
        self._changed.set()

    def told(self, peer: Peer, message: PeersMessage) -> None:
        """A peer tells of others. It may say anything: only numbers are dialled, and seldom."""
        peer.knows = frozenset(node_id for node_id, _ in message.peers)
        for node_id, text in [item for item in message.peers if item[1]][:TOLD]:
            address = parse_address(text)
            if address is not None and address[0] and self._peers.connected(node_id) is None:
                self._acquaintances.told(*address, node_id, peer.name, peer.node_id)

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._changed.wait()
            await asyncio.sleep(GATHER)
            self._changed.clear()
            self._tell()
            await asyncio.sleep(LEAST_GAP)

    def _tell(self) -> None:
        peers = self._peers.all()
        attached = self._attached() if len(peers) > 1 else []
        for listener in peers:
            others = sorted(peer.node_id for peer in peers if peer is not listener)[:MAX_PEERS_PER_MESSAGE]
            by_id = {peer.node_id: peer for peer in peers}
            news = tuple((node_id, shareable(by_id[node_id], listener, attached)) for node_id in others)
            if news != listener.told_of:
                listener.told_of = news
                listener.session.post(PeersMessage(news))


def shareable(peer: Peer, listener: Peer, attached: list[Network]) -> str:
    """The address at which `listener` may be told that `peer` can be dialled; empty if there is none.

    One that the peer's operator gave is passed on to everybody. One that we saw is passed on where it means the same.
    """
    said = parse_address(peer.hello.advertise)
    if said is None:
        return ""
    host, port = said
    if host:
        return format_address(host, port) if may_dial(host) else ""
    seen = host_of(peer)
    return format_address(seen, port) if may_tell(seen, host_of(listener), attached) else ""


def is_at(peer: Peer, host: str, port: int) -> bool:
    """Whether a connected peer is the one that can be dialled there, as far as it tells."""
    said = parse_address(peer.hello.advertise)
    return said is not None and said[1] == port and host in (said[0], host_of(peer))


def host_of(peer: Peer) -> str:
    """The peer's address, as its session has it."""
    found = peer.session.address.rpartition(":")[0]
    return found[1:-1] if found.startswith("[") else found
