"""Own changes of a folder on their way out: which of them have reached no peer yet, also those of an earlier run."""

from collections.abc import Sequence

from syncd.core.foreign import features, ignored_there
from syncd.core.reached import Reached
from syncd.node.findings import Report
from syncd.node.peers import Peer, Peers
from syncd.node.standing import Facts
from syncd.node.workshop import Workshop


class Outgoing:
    """shop: its index remembers the root that a peer was last known to have. ignore: the rules of this node.

    largest: bytes of the largest file that takes part here, None for any.
    """

    def __init__(self, shop: Workshop, ignore: Sequence[str], largest: int | None) -> None:
        self._shop = shop
        self._largest = largest
        self.become(ignore)
        known = shop.remembered_root
        self.reached = Reached(earlier=known is not None and known != shop.index.root().hash)
        self._to_remember: bytes | None = b"" if known is None else None

    def become(self, ignore: Sequence[str]) -> None:
        """Other rules from now on."""
        self.features = features(ignore, self._largest)  # that tell peers of them

    def take(self, report: Report) -> None:
        """Something may have been published."""
        if report.pushes:
            self.reached.published([(push.record.path, push.record.size) for push in report.pushes])

    def refreshed(self, facts: Facts, peers: Peers) -> None:
        """Our manifest has a root; peers may have told the same one before."""
        self.reached.had(facts.root.hash, facts.published)
        for peer in peers.all():
            self.heard(peer)

    def heard(self, peer: Peer) -> None:
        """A peer told how it stands."""
        status = peer.status
        ignores = ignored_there(peer.hello.features, self.features)
        if status is not None and self.reached.heard(status.root, status.need_files, ignores):
            self._to_remember = status.root

    async def remember(self) -> None:
        """Store what is known, for the next run."""
        root, self._to_remember = self._to_remember, None
        if root is not None:
            await self._shop.hands.run(self._shop.remember_root, root)
