"""How a folder finds its peers: known hosts, acquaintances, and what peers tell of each other, put together."""

import asyncio

from protocol.messages import Peers as PeersMessage
from syncd.config.settings import Folder as FolderSettings
from syncd.net.endpoint import NOT_ALLOWED, Endpoint
from syncd.net.networks import attached_networks
from syncd.net.session import format_address
from syncd.node.acquaintances import Acquaintances
from syncd.node.caller import Caller, Target
from syncd.node.dialer import Dialer
from syncd.node.gossip import Gossip, host_of, is_at
from syncd.node.greeting import NodeFacts
from syncd.node.peers import Peer, Peers
from syncd.node.workshop import Workshop


class Finding:
    """One per folder."""

    def __init__(
        self, settings: FolderSettings, node: NodeFacts, workshop: Workshop, endpoint: Endpoint, peers: Peers
    ) -> None:
        self._shop = workshop
        self._node = node
        self._peers = peers
        self.endpoint = endpoint
        caller = Caller(settings.keys, endpoint, node.chance, peers.gone, node.on_clone)
        self.dialer = Dialer(caller, settings.known_hosts)
        self.acquaintances = Acquaintances(
            caller,
            endpoint,
            node.identity.node_id,
            lambda node_id: peers.connected(node_id) is not None,
            peers.gone,
            node.chance,
            lambda host, port: self.dialer.at((host, port)) is not None,
            lambda addresses: workshop.hands.run(workshop.remember_peers, addresses),
        )
        self._gossip = Gossip(peers, self.acquaintances, attached_networks)
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        """Work until cancelled."""
        remembered = await self._shop.hands.run(lambda: self._shop.remembered_peers)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.dialer.run())
            tasks.create_task(self.acquaintances.run(remembered))
            tasks.create_task(self._gossip.run())

    def allowed_changed(self) -> None:
        """Peers may be elsewhere from now on: sessions with those that may not are ended."""
        self.acquaintances.drop_forbidden()
        for peer in self._peers.all():
            if not self.endpoint.allowed.admits(host_of(peer)):
                peer.session.close(NOT_ALLOWED)

    def joined(self, peer: Peer) -> None:
        """A session stands."""
        self._node.clocks.compare(peer.node_id, peer.name, peer.hello.clock, self._node.clock())
        self._gossip.joined(peer)

    def left(self) -> None:
        """A session has ended."""
        self._gossip.left()

    def told(self, peer: Peer, message: PeersMessage) -> None:
        """A peer tells where others are."""
        self._gossip.told(peer, message)

    def places(self) -> list[tuple[str, int]]:
        """Addresses where peers are known, or said, to be, and that may be spoken to."""
        found = dict.fromkeys([*self.dialer.addresses(), *self.acquaintances.addresses()])
        return [place for place in found if self.endpoint.allowed.admits(place[0])]

    def targets(self) -> list[Target]:
        """All addresses that are dialled, for the status."""
        return [*self.dialer.targets.values(), *self.acquaintances.targets]

    def invited(self, host: str, port: int, node_id: bytes | None, origin: str) -> None:
        """Somebody who is not connected is there. origin: how we know, for people."""
        known = self.dialer.at((host, port))
        if node_id is None and any(is_at(peer, host, port) for peer in self._peers.all()):
            return
        if known is None:
            self.acquaintances.hear(host, port, node_id, origin)
        elif self.endpoint.invitations.take(format_address(host, port), self._loop.time()):
            known.hurry()
