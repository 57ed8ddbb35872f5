"""When a fresh index may publish what it found: DESIGN's "Founding"."""

from collections.abc import Sequence
from typing import NamedTuple


class PeerFacts(NamedTuple):
    """A connected peer."""

    node_id: bytes
    read_only: bool
    settled: bool
    reconciled: bool  # its whole manifest was merged here, after the scan


class Situation(NamedTuple):
    """Everything the decision depends on."""

    node_id: bytes
    read_only: bool
    scanned: bool  # the fresh-index scan is complete
    has_files: bool
    peers: Sequence[PeerFacts]
    all_dialled: bool  # every known host was tried at least once
    alone_for: float  # seconds without any session
    publish_alone_after: float  # seconds


def may_settle(now: Situation) -> bool:
    """Whether the fresh index settles now."""
    if not now.scanned:
        return False
    if any(peer.settled for peer in now.peers):
        return any(peer.settled and peer.reconciled for peer in now.peers)
    if now.read_only:
        return False
    if now.peers:
        writers = [peer.node_id for peer in now.peers if not peer.read_only]
        return now.all_dialled and now.node_id < min(writers, default=b"\xff" * 17)
    return now.has_files and now.alone_for >= now.publish_alone_after
