"""What peers are told unasked: records with what goes along, and contents that they asked for in vain before."""

from collections.abc import Iterable
from typing import Final

from protocol import limits
from protocol.batches import Proof, prune
from protocol.messages import PUSH, Have, Records
from syncd.node.findings import Push, Report
from syncd.node.library import pack_records
from syncd.node.peers import Peer, Peers

PUSH_RECORDS: Final = 512  # records that are pushed at once; of more, peers hear by the root and ask
FORWARD_PEERS: Final = 4  # other peers up to which news is passed on at once
REPEAT_GAP: Final = 5.0  # seconds between two repetitions of a STATUS: longer than any answer to one is under way
INLINE_RECORDS: Final = 64  # records that take their small contents, or the tops of their block lists, along


def announce_again(peer: Peer, now: float) -> None:
    """Tell a peer the same once more, which asks it to do likewise: one of us seems to have missed something.

    now: seconds, monotonic. At most once in REPEAT_GAP, so that two of us do not go on for ever.
    """
    latest = peer.pending or peer.last_sent
    if latest is not None and now - peer.repeated >= REPEAT_GAP:
        peer.repeated = peer.told_at = now
        peer.last_sent, peer.pending = latest, None
        peer.session.post(latest)


def push(report: Report, peers: Peers) -> None:
    """Send what was published to all peers at once, unless it is too much."""
    ready = _uncrowded(peers)
    if not ready or len(report.pushes) > PUSH_RECORDS:
        return
    for message in push_messages(report):
        for peer in ready:
            peer.session.post(message)


def forward(message: Records, source: Peer, peers: Peers) -> None:
    """Pass on to a few others what came from one that they are not connected with, as far as they tell."""
    others = [peer for peer in _uncrowded(peers) if peer is not source and source.node_id not in peer.knows]
    if len(others) <= FORWARD_PEERS:
        for peer in others:
            peer.session.post(message)


def _uncrowded(peers: Peers) -> list[Peer]:
    """The peers that may be told at once; others hear of it by the root, and ask when they can take it."""
    return [peer for peer in peers.all() if not peer.session.crowded]


def push_messages(report: Report) -> list[Records]:
    """Messages with all pushes of a report, as many to each as it holds."""
    messages: list[Records] = []
    batch: list[Push] = []
    size = 0
    inline = len(report.pushes) <= INLINE_RECORDS

    def cut(name: bytes, keep: set[bytes]) -> Proof:
        return prune(report.proofs[name], keep)

    for push in [*report.pushes, None]:
        weight = 0
        if push is not None:
            weight = len(push.record.raw) + (len(push.blob or b"") if inline else 0)
        if batch and (push is None or len(batch) >= limits.MAX_BATCH or size + weight > limits.MAX_INLINE):
            blobs = tuple(item.blob for item in batch if inline and item.blob is not None)
            records = [item.record for item in batch]
            messages.append(pack_records(PUSH, records, cut, blobs, None, True))
            batch, size = [], 0
        if push is not None:
            batch.append(push)
            size += weight
    return messages


def tell_who_missed(peers: Iterable[Peer], placed: set[bytes]) -> None:
    """Say HAVE to those who asked for one of these contents, which are here durably now."""
    for peer in peers:
        here = peer.missed & placed
        if here:
            peer.missed -= here
            ids = sorted(here)
            for first in range(0, len(ids), limits.MAX_HAVE):
                peer.session.post(Have(tuple(ids[first : first + limits.MAX_HAVE])))
