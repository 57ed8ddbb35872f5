"""What a node says of itself when a session begins."""

from collections.abc import Callable
from dataclasses import dataclass, field

from protocol.certificate import tier_proof_ro, tier_proof_rw
from protocol.handshake import HandshakeResult
from protocol.keys import FolderKeys, Tier
from protocol.limits import MAX_STAMP
from protocol.messages import Hello
from syncd.core.replica import Replica
from syncd.node.clocks import Clocks
from syncd.node.draining import Drain
from syncd.node.events import Events
from syncd.node.identity import NodeIdentity
from syncd.node.signer import WriterSigner


@dataclass(frozen=True)
class NodeFacts:
    """What all folders of a node share. clock: wall time, ns. draw(n): random bytes. chance(): from [0, 1).

    advertise: where peers can dial us, as HELLO has it. on_clone(address): another node has this node's identity.
    restart(): end, and start once more in this process. drain: whether the node wants new traffic. service: where the
    page is that stands on the folders, host:port, or empty.
    """

    identity: NodeIdentity
    name: str
    agent: str
    start_nonce: bytes
    clock: Callable[[], int]
    draw: Callable[[int], bytes]
    chance: Callable[[], float]
    advertise: str = ""
    clocks: Clocks = field(default_factory=Clocks)
    on_clone: Callable[[str], None] = lambda _address: None
    restart: Callable[[], None] = lambda: None
    events: Events = field(default_factory=lambda: Events(lambda: 0))
    drain: Drain = field(default_factory=Drain)
    service: str = ""


def make_hello(
    node: NodeFacts,
    keys: FolderKeys,
    replica: Replica,
    writer: WriterSigner | None,
    settled: bool,
    features: tuple[str, ...],
    result: HandshakeResult,
) -> Hello:
    """Our HELLO for a finished handshake. writer: of a read-write node. features: what is told of our rules."""
    proof = certificate = b""
    if keys.tier == Tier.READ_WRITE:
        assert writer is not None
        certificate = writer.certificate(replica.actor).encode()
        proof = tier_proof_rw(writer.writer_seed, result.initiator, result.handshake_hash)
    elif keys.tier == Tier.READ_ONLY:
        proof = tier_proof_ro(keys, result.initiator, result.handshake_hash)
    return Hello(
        minor=0,
        node_id=node.identity.node_id,
        name=node.name,
        nonce=node.start_nonce,
        settled=settled,
        read_only=keys.tier < Tier.READ_WRITE,
        counters=replica.counters(),
        features=features,
        limits=(),
        clock=min(max(0, node.clock()), MAX_STAMP),
        epoch=0,
        tier=keys.tier,
        proof=proof,
        certificate=certificate,
        advertise=node.advertise,
        service=node.service,
        agent=node.agent,
    )
