"""What peers have told of units, and when that was all of it."""

import asyncio
from collections.abc import Iterable, Sequence

from protocol.messages import Status
from protocol.paths import to_key
from syncd.core.priority import Priority
from syncd.core.units import Arrivals, Units
from syncd.node.peers import Peer


class UnitNews:
    """Of one folder. units: which directories are units."""

    def __init__(self, units: Units) -> None:
        self._units = units
        self._loop = asyncio.get_running_loop()
        self.arrivals = Arrivals(self._loop.time())

    def news(self, keys: Iterable[bytes]) -> None:
        """Peers changed what is known at these keys."""
        self.arrivals.news(self._units.among(keys), self._loop.time())

    def compared(self, peer: Peer, priority: Priority, numbers: Sequence[int]) -> None:
        """All that a peer has in these key ranges of `priority` is known here."""
        ranges = priority.ranges()
        for low, high, rank in [ranges[number] for number in numbers if number < len(ranges)]:
            names = priority.names if rank is None else [priority.names[rank]]

            def covers(unit: bytes, low: bytes = low, high: bytes | None = high) -> bool:
                return low <= to_key(unit) and (high is None or to_key(unit) < high)

            self.arrivals.compared(covers, _has_all(peer.status, names), self._loop.time())

    def agreed(self, peers: Iterable[Peer], root: bytes, mark: int) -> bool:
        """The manifest had this root at the mark. Whether a peer says that this is all, and that is news."""
        agrees = any(peer.status is not None and peer.status.root == root and _lacks_nothing(peer) for peer in peers)
        return agrees and self.arrivals.agreed(mark) and not self._units.none


def _lacks_nothing(peer: Peer) -> bool:
    return peer.status is not None and not peer.status.need_files


def _has_all(status: Status | None, names: Iterable[str]) -> bool:
    """Whether the peer's disk has all that it knows of in these classes."""
    return status is not None and (not status.need_files or set(names) <= set(status.complete))
