"""Messages of the session itself: who is there, how it stands, and the end."""

from dataclasses import dataclass
from typing import ClassVar, Final, Self

from protocol import codec, limits
from protocol.fields import (
    HASH_SIZE,
    NODE_ID_SIZE,
    Priority,
    array,
    ascending,
    data,
    exact,
    flag,
    integer,
    rows,
    take,
    text,
    texts,
)
from protocol.keys import Tier
from protocol.record import ACTOR_SIZE

_NONCE_SIZE: Final = 16


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message each way. It speaks for a node and, by its proof, for the tier of its secret.

    minor: protocol version below the preface's. node_id: 16 bytes. name: of the device, for people. nonce: 16 bytes,
    drawn at every start. settled: whether the index was reconciled before, else it is fresh. read_only: whether the
    node publishes nothing. counters: highest counter known of each actor. features: names. limits: by position, none
    is defined yet. clock: hybrid clock, ns. epoch: of the folder. tier, proof, certificate: see certificate.py.
    advertise, service: addresses or empty. agent: name and version of the program.
    """

    TYPE: ClassVar[int] = 0x01
    PRIORITY: ClassVar[Priority] = Priority.CONTROL

    minor: int
    node_id: bytes
    name: str
    nonce: bytes
    settled: bool
    read_only: bool
    counters: dict[bytes, int]
    features: tuple[str, ...]
    limits: tuple[int, ...]
    clock: int
    epoch: int
    tier: Tier
    proof: bytes
    certificate: bytes
    advertise: str
    service: str
    agent: str

    def encode(self) -> list[bytes]:
        """The parts of the body."""
        return [codec.pack([
            self.minor, self.node_id, self.name, self.nonce, self.settled, self.read_only,
            sorted(self.counters.items()), self.features, self.limits, self.clock, self.epoch, int(self.tier),
            self.proof, self.certificate, self.advertise, self.service, self.agent,
        ])]  # fmt: skip

    @classmethod
    def decode(cls, body: bytes | memoryview) -> Self:
        """The message of a body. Raises MessageError or CodecError."""
        (minor, node_id, name, nonce, settled, read_only, counters, features, numbers, clock, epoch, tier, proof,
         certificate, advertise, service, agent) = take(body, 17)  # fmt: skip
        return cls(
            minor=integer(minor, 0, limits.MAX_MINOR, "minor version"),
            node_id=exact(node_id, NODE_ID_SIZE, "node id"),
            name=text(name, limits.MAX_NAME_FIELD, "name"),
            nonce=exact(nonce, _NONCE_SIZE, "nonce"),
            settled=flag(settled, "settled"),
            read_only=flag(read_only, "read only"),
            counters=_counters(counters),
            features=texts(features, limits.MAX_FEATURES, "features"),
            limits=_numbers(numbers),
            clock=integer(clock, 0, limits.MAX_STAMP, "clock"),
            epoch=integer(epoch, 0, limits.MAX_INTEGER, "epoch"),
            tier=Tier(integer(tier, min(Tier), max(Tier), "tier")),
            proof=data(proof, limits.MAX_PROOF, "proof"),
            certificate=data(certificate, limits.MAX_CERTIFICATE, "certificate"),
            advertise=text(advertise, limits.MAX_ADDRESS, "advertised address"),
            service=text(service, limits.MAX_ADDRESS, "service address"),
            agent=text(agent, limits.MAX_NAME_FIELD, "agent"),
        )


def _numbers(value: object) -> tuple[int, ...]:
    items = array(value, limits.MAX_ANNOUNCED, "limits")
    return tuple([integer(item, 0, limits.MAX_INTEGER, "limit") for item in items])


def _counters(value: object) -> dict[bytes, int]:
    pairs = [
        (exact(actor, ACTOR_SIZE, "actor"), integer(counter, 0, limits.MAX_COUNTER, "counter"))
        for actor, counter in rows(value, limits.MAX_COUNTERS, 2, "counters")
    ]
    ascending([actor for actor, _ in pairs], "counters")
    return dict(pairs)


@dataclass(frozen=True, slots=True)
class Status:
    """How far the sender is. level, root: of its manifest. in_sync: it lacks nothing of what it knows. need_files,
    need_bytes: what it lacks. complete: names of its complete classes. settled: as in Hello. state: one word for
    people. drain: it wants no new traffic.
    """

    TYPE: ClassVar[int] = 0x02
    PRIORITY: ClassVar[Priority] = Priority.CONTROL

    level: int
    root: bytes
    in_sync: bool
    need_files: int
    need_bytes: int
    complete: tuple[str, ...]
    settled: bool
    state: str
    drain: bool

    def encode(self) -> list[bytes]:
        """The parts of the body."""
        return [codec.pack([
            self.level, self.root, self.in_sync, self.need_files, self.need_bytes, self.complete, self.settled,
            self.state, self.drain,
        ])]  # fmt: skip

    @classmethod
    def decode(cls, body: bytes | memoryview) -> Self:
        """The message of a body. Raises MessageError or CodecError."""
        level, root, in_sync, need_files, need_bytes, complete, settled, state, drain = take(body, 9)
        return cls(
            level=integer(level, 0, limits.MAX_LEVELS, "level"),
            root=exact(root, HASH_SIZE, "root"),
            in_sync=flag(in_sync, "in sync"),
            need_files=integer(need_files, 0, limits.MAX_INTEGER, "needed files"),
            need_bytes=integer(need_bytes, 0, limits.MAX_INTEGER, "needed bytes"),
            complete=texts(complete, limits.MAX_CLASSES, "complete classes"),
            settled=flag(settled, "settled"),
            state=text(state, limits.MAX_NAME_FIELD, "state"),
            drain=flag(drain, "drain"),
        )


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks for a Pong with the same token."""

    TYPE: ClassVar[int] = 0x30
    PRIORITY: ClassVar[Priority] = Priority.CONTROL

    token: int

    def encode(self) -> list[bytes]:
        """The parts of the body."""
        return [codec.pack([self.token])]

    @classmethod
    def decode(cls, body: bytes | memoryview) -> Self:
        """The message of a body. Raises MessageError or CodecError."""
        return cls(integer(take(body, 1)[0], 0, limits.MAX_INTEGER, "token"))


@dataclass(frozen=True, slots=True)
class Pong:
    """Answers a Ping."""

    TYPE: ClassVar[int] = 0x31
    PRIORITY: ClassVar[Priority] = Priority.CONTROL

    token: int

    def encode(self) -> list[bytes]:
        """The parts of the body."""
        return [codec.pack([self.token])]

    @classmethod
    def decode(cls, body: bytes | memoryview) -> Self:
        """The message of a body. Raises MessageError or CodecError."""
        return cls(integer(take(body, 1)[0], 0, limits.MAX_INTEGER, "token"))


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The last message each way; a stream that ends without it was cut off. reason: for people."""

    TYPE: ClassVar[int] = 0x3F
    PRIORITY: ClassVar[Priority] = Priority.CONTROL

    reason: str

    def encode(self) -> list[bytes]:
        """The parts of the body. A reason that is too long is cut, and characters UTF-8 lacks are replaced: a farewell
        must not fail for the text of the error that it is about.
        """
        return [codec.pack([self.reason.encode(errors="replace").decode()[: limits.MAX_REASON]])]

    @classmethod
    def decode(cls, body: bytes | memoryview) -> Self:
        """The message of a body. Raises MessageError or CodecError."""
        reason = text(take(body, 1)[0], 4 * limits.MAX_REASON, "reason")
        integer(len(reason), 0, limits.MAX_REASON, "length of the reason")
        return cls(reason)


@dataclass(frozen=True, slots=True)
class Peers:
    """Addresses at which the sender reached other nodes. peers: (node id of 16 bytes, address) each."""

    TYPE: ClassVar[int] = 0x40
    PRIORITY: ClassVar[Priority] = Priority.CONTROL

    peers: tuple[tuple[bytes, str], ...]

    def encode(self) -> list[bytes]:
        """The parts of the body."""
        return [codec.pack([self.peers])]

    @classmethod
    def decode(cls, body: bytes | memoryview) -> Self:
        """The message of a body. Raises MessageError or CodecError."""
        peers = rows(take(body, 1)[0], limits.MAX_PEERS_PER_MESSAGE, 2, "peers")
        return cls(tuple(
            (exact(node_id, NODE_ID_SIZE, "node id"), text(address, limits.MAX_ADDRESS, "address"))
            for node_id, address in peers
        ))  # fmt: skip
