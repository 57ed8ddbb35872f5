"""Two ends of one connection in memory."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.certificate import issue, tier_proof_ro, tier_proof_rw
from protocol.connection import Connection, Event
from protocol.handshake import HandshakeResult, Initiator, Responder
from protocol.keys import FolderKeys, Tier, derive_read_only, generate_secret, parse_secret
from protocol.messages import Hello, Message
from protocol.noise import KeyPair

SECRET = generate_secret(bytes(range(32)))
READ_WRITE = parse_secret(SECRET)
READ_ONLY = parse_secret(derive_read_only(SECRET))
RELAY = replace(READ_ONLY, tier=Tier.RELAY, ro_proof=None, block_key=None, page_seed=None)
STRANGER = parse_secret(generate_secret(bytes(range(1, 33))))

Cut = Callable[[bytes], Iterator[bytes]]
Change = Callable[[Hello], Hello]


def whole(data: bytes) -> Iterator[bytes]:
    yield data


def bytewise(data: bytes) -> Iterator[bytes]:
    for place in range(len(data)):
        yield data[place : place + 1]


def seed(label: str, number: int) -> bytes:
    return label.encode().ljust(31, b".") + bytes([number])


def make_hello(keys: FolderKeys, number: int, result: HandshakeResult) -> Hello:
    """The HELLO of node `number` that proves the tier of its keys."""
    proof = certificate = b""
    if keys.tier == Tier.READ_ONLY:
        proof = tier_proof_ro(keys, result.initiator, result.handshake_hash)
    elif keys.tier == Tier.READ_WRITE:
        assert keys.folder_signing is not None
        writer = seed("writer", number)
        node_key = KeyPair(seed("static", number)).public
        public = Ed25519PrivateKey.from_private_bytes(writer).public_key().public_bytes_raw()
        certificate = issue(keys.folder_signing, keys.folder_id, node_key, public, bytes(7) + bytes([number])).encode()
        proof = tier_proof_rw(writer, result.initiator, result.handshake_hash)
    return Hello(
        minor=0, node_id=bytes(15) + bytes([number]), name=f"node {number}", nonce=bytes(16), settled=True,
        read_only=keys.tier != Tier.READ_WRITE, counters={b"actor..1": 7}, features=(), limits=(), clock=1, epoch=0,
        tier=keys.tier, proof=proof, certificate=certificate, advertise="", service="", agent="test",
    )  # fmt: skip


class End:
    """A connection with what it wants to write and what it was told."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.outbox = bytearray(connection.start())
        self.events: list[Event] = []

    def send(self, *outgoing: Message, compress: bool = False) -> None:
        for part in self.connection.send(*outgoing, compress=compress):
            self.outbox += part

    def receive(self, data: bytes) -> None:
        self.events += self.connection.receive(data)
        self.outbox += self.connection.pending()

    def take(self) -> bytes:
        data = bytes(self.outbox)
        self.outbox.clear()
        return data


class Pair:
    """An initiator, `left`, and a responder, `right`. `change` alters the HELLO of the left one."""

    def __init__(
        self,
        left: FolderKeys = READ_WRITE,
        right: FolderKeys = READ_WRITE,
        *,
        change: Change = lambda hello: hello,
        right_change: Change = lambda hello: hello,
    ) -> None:
        initiator = Initiator(left, seed("static", 1), seed("ephemeral", 1))
        responder = Responder([STRANGER, right], seed("static", 2), seed("ephemeral", 2))
        self.left = End(Connection(initiator, lambda result: change(make_hello(left, 1, result))))
        self.right = End(Connection(responder, lambda result: right_change(make_hello(right, 2, result))))

    def exchange(self, cut: Cut = whole) -> None:
        """Carry bytes both ways, in the pieces that `cut` makes of them, until neither end has any."""
        while self.left.outbox or self.right.outbox:
            for sender, receiver in ((self.left, self.right), (self.right, self.left)):
                for piece in cut(sender.take()):
                    receiver.receive(piece)


def established(left: FolderKeys = READ_WRITE, right: FolderKeys = READ_WRITE) -> Pair:
    """A pair after both HELLOs; the events of these are dropped."""
    pair = Pair(left, right)
    pair.exchange()
    pair.left.events.clear()
    pair.right.events.clear()
    return pair
