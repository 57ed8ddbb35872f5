"""When peers are told how the folder stands: at once where somebody waits for it, else seldom in a large mesh.

If every node told every other one of each change that it has it, that would grow with the square of the nodes. In a
mesh of more than a few, these hear at once: all peers of who published something; the peer that news came from, which
waits to hear that it arrived; and those that are not connected with that peer, as far as they tell, and may hear of it
here only. A few neighbours, those whose node ids come next, hear soon, so that everybody hears from some; all others
seldom, which they know of each other is for people to look at.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

from protocol.messages import Records, Status
from syncd.node.findings import Report
from syncd.node.peers import Peer, Peers
from syncd.node.telling import forward, push

FEW: Final = 4  # peers that are all told at once, and neighbours among more
NEAR: Final = 0.25  # seconds between two STATUS that nobody waits for, to a neighbour
SPACING: Final = 0.5  # the same to any other peer, times the number of peers
# Seconds for which a STATUS waits for the next one, which mostly comes soon:
NEEDS_GAP: Final = 0.1  # while contents of what it names are on their way
WORDS_GAP: Final = 1.0  # of which nothing but the word for people is news
FLUX: Final = 0.05  # seconds after a push in which other ones may be on their way, times the number of peers
LONGEST_FLUX: Final = 0.5  # seconds
_PASSING: Final = frozenset({"in-sync", "syncing"})  # words that come and go with each change


class Owed(NamedTuple):
    """Who waits for a STATUS. everybody: something was published here. sources: node ids that news came from."""

    everybody: bool
    sources: frozenset[bytes]

    def to(self, peer: Peer) -> bool:
        """Whether the peer waits for it."""
        return self.everybody or any(source == peer.node_id or source not in peer.knows for source in self.sources)


class Announcer:
    """Of one folder, in the event loop. status(): what may be said now; None if nothing may."""

    def __init__(self, peers: Peers, status: Callable[[], Status | None]) -> None:
        self._peers = peers
        self._status = status
        self._loop = asyncio.get_running_loop()
        self._published = False
        self._sources: set[bytes] = set()
        self._pushed_at = float("-inf")
        self._timer: asyncio.TimerHandle | None = None

    # ---- news

    def push(self, report: Report) -> None:
        """Something was published here: tell all."""
        self._published = True
        self._pushed_at = self._loop.time()
        push(report, self._peers)

    def forward(self, message: Records, source: Peer) -> None:
        """A push brought news: pass it on to those who may not have it."""
        self._pushed_at = self._loop.time()
        forward(message, source, self._peers)

    def heard(self, source: Peer) -> None:
        """News came from a peer."""
        self._sources.add(source.node_id)

    def flux(self, peer: Peer) -> float:
        """For how many seconds a difference to a peer may still be what is on its way; at most 0 for none.

        If the peer has others that are not connected here, what they know may come through it only.
        """
        if not self._peers.include(peer.knows):
            return 0.0
        return self._pushed_at + min(FLUX * len(self._peers.all()), LONGEST_FLUX) - self._loop.time()

    # ---- how the folder stands

    def begin(self) -> Owed:
        """Who waits for the STATUS of what the index holds now; `announce` is to follow."""
        owed = Owed(self._published, frozenset(self._sources))
        self._published = False
        self._sources.clear()
        return owed

    def announce(self, owed: Owed | None = None) -> None:
        """Tell the peers how the folder stands, those to whom that is news. owed: None for all of them at once."""
        status, owed = self._status(), owed or Owed(True, frozenset())
        if status is None:
            self._published |= owed.everybody
        if status is None or status.need_files:  # who sent records waits until their contents are here, too
            self._sources |= owed.sources
        if status is None:
            return
        now = self._loop.time()
        for peer in self._peers.all():
            _note(peer, status, now)
            if owed.everybody or (owed.to(peer) and not _gap(peer)) or _is_urgent(peer.last_sent, status):
                _tell(peer, now)
        self._tell_patient(now)

    def answer(self, peer: Peer) -> None:
        """Tell one peer at once."""
        if (status := self._status()) is not None:
            now = self._loop.time()
            _note(peer, status, now)
            _tell(peer, now)

    def _tell_patient(self, now: float) -> None:
        """Those who were not told for long enough, and the others later."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        peers = self._peers.all()
        near = self._peers.following(FEW)
        later = []
        for peer in peers:
            if peer.pending is None:
                continue
            spacing = 0.0 if len(peers) <= FEW else NEAR if peer in near else SPACING * len(peers)
            due = max(peer.told_at + spacing, peer.pending_since + _gap(peer))
            if due <= now:
                _tell(peer, now)
            else:
                later.append(due)
        if later:
            self._timer = self._loop.call_at(min(later), self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._tell_patient(self._loop.time())


def _note(peer: Peer, status: Status, now: float) -> None:
    """The peer is to hear this, unless it has."""
    if status == peer.last_sent:
        peer.pending = None
        return
    if peer.pending is None:
        peer.pending_since = now
    peer.pending = status


def _tell(peer: Peer, now: float) -> None:
    if peer.pending is not None:
        peer.last_sent, peer.pending, peer.told_at = peer.pending, None, now
        peer.session.post(peer.last_sent)


def _is_urgent(before: Status | None, now: Status) -> bool:
    """Whether it is news for a balancer. That a class lacks a file comes and goes with each change."""
    if before is None or not set(before.complete).issuperset(now.complete):
        return True
    return (before.settled, before.drain) != (now.settled, now.drain)


def _gap(peer: Peer) -> float:
    """For how long what is to be said waits for the next change of it, seconds."""
    before, now = peer.last_sent, peer.pending
    if now is None or before is None:
        return 0.0
    if now.need_files:
        return NEEDS_GAP
    words = _PASSING.issuperset((before.state, now.state)) and replace(before, state=now.state) == now
    return WORDS_GAP if words else 0.0
