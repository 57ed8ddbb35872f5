"""The peers of a folder: who is connected, what each says of itself, and which of two sessions stays."""

import asyncio
import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from protocol.connection import Established
from protocol.keys import Tier
from protocol.messages import Hello, Status
from syncd.core.backoff import survivor
from syncd.core.founding import PeerFacts
from syncd.net.session import Session

CLONED: Final = "another node has this identity"  # reason of the GOODBYE to the one of two copies that came back
STARTS_KEPT: Final = 4  # start nonces that are remembered of a peer
PEERS_KEPT: Final = 1_024  # peers of which they are


@dataclass(slots=True)
class Peer:
    """A connected peer."""

    session: Session
    hello: Hello
    tier: Tier
    status: Status | None = None
    reconciled_root: bytes | None = None  # of the peer's manifest that was merged here in full
    missed: set[bytes] = field(default_factory=set)  # object ids it asked for and we lacked
    last_sent: Status | None = None
    pending: Status | None = None  # to be sent in its place
    pending_since: float = 0.0  # seconds of the loop's clock
    told_at: float = -math.inf  # when it was sent, seconds of the loop's clock
    knows: frozenset[bytes] = frozenset()  # node ids of its own peers, as far as it told
    repeated: float = -math.inf  # when it was told the same once more, seconds of the loop's clock
    told_of: tuple[tuple[bytes, str], ...] = ()  # other peers: node ids and addresses

    @property
    def name(self) -> str:
        """What the peer calls itself."""
        return self.hello.name

    @property
    def node_id(self) -> bytes:
        """Proven by the handshake: it is derived from the static key."""
        return self.hello.node_id

    @property
    def settled(self) -> bool:
        """Whether the peer's index is settled, by its latest word."""
        return self.status.settled if self.status is not None else self.hello.settled

    @property
    def facts(self) -> PeerFacts:
        """What counts for the question who founds the folder."""
        reconciled = self.reconciled_root is not None and self.status is not None
        return PeerFacts(self.node_id, self.hello.read_only, self.settled, reconciled)


class Peers:
    """Connected peers by node id. node_id, name: our own."""

    def __init__(self, node_id: bytes, name: str = "") -> None:
        self._node_id, self._name = node_id, name
        self._by_id: dict[bytes, Peer] = {}
        self._by_session: dict[Session, Peer] = {}
        self._gone: dict[bytes, asyncio.Event] = {}  # that somebody waits for
        self._ended_in = self._ended_out = 0
        self._starts: dict[bytes, deque[bytes]] = {}  # nonces by node id

    def admit(self, session: Session, event: Established) -> tuple[Peer | None, Peer | None]:
        """(the new peer or None if its session must go, the old one of the same node that must go or None)."""
        hello = event.hello
        old = self._by_id.get(hello.node_id)
        if old is not None:
            same_start = old.hello.nonce == hello.nonce
            # Two that the same side began did not cross: it dialled once more because the first one is gone.
            crossing = old.session.initiator != session.initiator
            if crossing and survivor(self._node_id, hello.node_id, old.session.initiator, same_start):
                return None, None
        peer = Peer(session, hello, event.tier)
        if old is not None:
            self._by_session.pop(old.session, None)
        self._by_id[hello.node_id] = peer
        self._by_session[session] = peer
        return peer, old

    def is_clone(self, event: Established) -> bool:
        """Whether another node with the same identity is connected: a run that was over by its words has come back."""
        hello = event.hello
        starts = self._starts.setdefault(hello.node_id, deque(maxlen=STARTS_KEPT))
        if len(self._starts) > PEERS_KEPT:
            del self._starts[next(iter(self._starts))]
        current = self._by_id.get(hello.node_id)
        if current is not None and current.hello.nonce != hello.nonce and hello.nonce in starts:
            return True
        if hello.nonce not in starts:
            starts.append(hello.nonce)
        return False

    @property
    def met(self) -> bool:
        """Whether any peer was connected since the start."""
        return bool(self._starts)

    def remove(self, session: Session) -> Peer | None:
        """The session ended; its peer, if the session was the one that counted."""
        self._ended_in += session.bytes_in
        self._ended_out += session.bytes_out
        peer = self._by_session.pop(session, None)
        if peer is not None and self._by_id.get(peer.node_id) is peer:
            del self._by_id[peer.node_id]
            gone = self._gone.pop(peer.node_id, None)
            if gone is not None:
                gone.set()
        return peer

    async def gone(self, node_id: bytes) -> None:
        """Returns when there is no session with that node, whoever began it."""
        while node_id in self._by_id:
            await self._gone.setdefault(node_id, asyncio.Event()).wait()

    def of(self, session: Session) -> Peer | None:
        """The peer of a session."""
        return self._by_session.get(session)

    def connected(self, node_id: bytes) -> Peer | None:
        """The peer with this node id."""
        return self._by_id.get(node_id)

    def following(self, number: int) -> list[Peer]:
        """The peers whose node ids come next after our own, in a circle."""
        ordered = sorted(self._by_id, key=lambda node_id: (node_id <= self._node_id, node_id))
        return [self._by_id[node_id] for node_id in ordered[:number]]

    def include(self, node_ids: frozenset[bytes]) -> bool:
        """Whether all of these are connected, or this node."""
        return all(node_id in self._by_id or node_id == self._node_id for node_id in node_ids)

    def name_of(self, node_id: bytes) -> str:
        """What a connected node, or this one, calls itself; empty for others."""
        peer = self._by_id.get(node_id)
        return self._name if node_id == self._node_id else peer.name if peer is not None else ""

    def all(self) -> list[Peer]:
        """All connected peers."""
        return list(self._by_id.values())

    @property
    def bytes_in(self) -> int:
        """Bytes received in all sessions since the start, of those that ended too."""
        return self._ended_in + sum(peer.session.bytes_in for peer in self.all())

    @property
    def bytes_out(self) -> int:
        """The same for bytes handed to the sockets."""
        return self._ended_out + sum(peer.session.bytes_out for peer in self.all())
