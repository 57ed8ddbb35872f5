"""How long the folder, and each peer, have been behind: since when they are not in sync. Pure: time is an argument."""

from collections.abc import Sequence

from syncd.node.peers import Peer
from syncd.node.standing import Standing


class Lag:
    """Seconds behind, as of the latest look. One that is behind by changes that never end is behind all the time."""

    def __init__(self) -> None:
        self._since: dict[bytes, float] = {}  # node id -> when it fell behind
        self._own_since: float | None = None
        self._now = 0.0

    def see(self, now: float, standing: Standing, peers: Sequence[Peer]) -> None:
        """How things are. now: seconds, monotonic."""
        root, state = standing.facts.root.hash, standing.state(peers)
        self._now = now
        behind = {peer.node_id for peer in peers if not in_sync(peer, root)}
        self._since = {node: self._since.get(node, now) for node in behind}
        if state == "in-sync":
            self._own_since = None
        elif self._own_since is None:
            self._own_since = now

    def of(self, peer: Peer) -> float:
        """Seconds since when the peer needs something, or has another manifest; 0 if it is in sync."""
        return self._now - self._since.get(peer.node_id, self._now)

    @property
    def own(self) -> float:
        """Seconds since when the folder is not in sync; 0 if it is."""
        return 0.0 if self._own_since is None else self._now - self._own_since

    @property
    def none(self) -> bool:
        """Whether neither the folder nor any peer was behind."""
        return self._own_since is None and not self._since


def in_sync(peer: Peer, root: bytes) -> bool:
    """Whether the peer has our manifest, and all of it on its disk."""
    return peer.status is not None and peer.status.root == root and peer.status.in_sync
