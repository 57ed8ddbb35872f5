"""A peer that holds a secret and lies: it speaks through a real Connection, or below it in raw frames and raw bytes.

Everything here blocks, with a deadline: a test is the story of one peer.
"""

import secrets
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol import codec
from protocol.batches import Proof, sign_batch, to_wire
from protocol.certificate import issue, tier_proof_ro, tier_proof_rw
from protocol.connection import Connection, Ended, Established, Event, Received
from protocol.content import block_id
from protocol.errors import RemoteError
from protocol.handshake import HandshakeResult, Initiator, Responder
from protocol.keys import FolderKeys, Tier, parse_secret
from protocol.messages import PUSH, AskPages, Hello, Message, Pages, Ping, Pong, Records
from protocol.noise import KeyPair
from protocol.record import DIRECTORY_CONTENT, LINK_MODE, Kind, Record, link_content, make_record
from syncd.node.identity import node_id_of

DEADLINE = 60.0  # seconds for an answer, however busy the machine is
M = TypeVar("M")
Change = Callable[[Hello], Hello]


class Closed(AssertionError):
    """The connection ended while something was expected."""


@dataclass(frozen=True)
class Persona:
    """Who a hostile peer pretends to be. certificate: encoded, or empty for a reader."""

    keys: FolderKeys
    static_private: bytes
    writer_seed: bytes
    actor: bytes
    certificate: bytes

    @classmethod
    def of(cls, secret: str, *, actor: bytes | None = None) -> Self:
        """A new one with this secret."""
        keys = parse_secret(secret)
        static, writer, actor = secrets.token_bytes(32), secrets.token_bytes(32), actor or secrets.token_bytes(8)
        certificate = b""
        if keys.folder_signing is not None:
            certificate = certify(keys.folder_signing, keys, static, writer, actor)
        return cls(keys, static, writer, actor, certificate)

    def with_own_certificate(self) -> "Persona":
        """The same with a certificate that a key of its own signed instead of the folder's."""
        forged = certify(secrets.token_bytes(32), self.keys, self.static_private, self.writer_seed, self.actor)
        return replace(self, certificate=forged)

    @property
    def node_id(self) -> bytes:
        return node_id_of(KeyPair(self.static_private).public)

    def hello(self, result: HandshakeResult) -> Hello:
        """An honest HELLO."""
        proof = b""
        if self.keys.tier == Tier.READ_WRITE:
            proof = tier_proof_rw(self.writer_seed, result.initiator, result.handshake_hash)
        elif self.keys.tier == Tier.READ_ONLY:
            proof = tier_proof_ro(self.keys, result.initiator, result.handshake_hash)
        return Hello(
            minor=0, node_id=self.node_id, name="rogue", nonce=bytes(16), settled=True,
            read_only=self.keys.tier < Tier.READ_WRITE, counters={}, features=(), limits=(), clock=0, epoch=0,
            tier=self.keys.tier, proof=proof, advertise="", service="", agent="rogue",
            certificate=self.certificate if self.keys.tier == Tier.READ_WRITE else b"",
        )  # fmt: skip

    # ---- what it publishes

    def record(self, path: bytes, counter: int, **fields: Any) -> Record:
        """A FILE record with an empty context; `fields` replace any of make_record's arguments."""
        dot = (self.actor, counter)
        values: dict[str, Any] = {
            "folder_id": self.keys.folder_id, "path": path, "kind": Kind.FILE, "dot": dot, "context": {},
            "spares": frozenset(), "stamp": 1_000 + counter, "content_dot": dot, "content_stamp": 1_000 + counter,
            "superseded": (), "mode": 0o644, "mtime": 1_600_000_000_000_000_000, "size": 5,
            "content": self.content_id(b"hello"),
        }  # fmt: skip
        values.update(fields)
        if "stamp" in fields and "content_stamp" not in fields:
            values["content_stamp"] = values["stamp"]
        return make_record(**values)

    def file(self, path: bytes, counter: int, data: bytes, **fields: Any) -> Record:
        """A record of a small file with these bytes."""
        return self.record(path, counter, size=len(data), content=self.content_id(data), **fields)

    def link(self, path: bytes, counter: int, target: bytes, **fields: Any) -> Record:
        """A record of a symbolic link."""
        return self.record(
            path, counter, kind=Kind.LINK, mode=LINK_MODE, size=0, content=link_content(target), target=target, **fields
        )

    def directory(self, path: bytes, counter: int, **fields: Any) -> Record:
        """A record of a directory."""
        values = {"mode": 0o755, "mtime": 0, "size": 0, "content": DIRECTORY_CONTENT, **fields}
        return self.record(path, counter, kind=Kind.DIR, **values)

    def delete(self, path: bytes, counter: int, **fields: Any) -> Record:
        """A DELETE record."""
        return self.record(path, counter, kind=Kind.DELETE, mode=0, mtime=0, size=0, content=b"", **fields)

    def content_id(self, data: bytes) -> bytes:
        assert self.keys.block_key is not None
        return block_id(self.keys.block_key, data)

    def sign(self, records: Sequence[Record]) -> Proof:
        """A proof over up to MAX_BATCH records."""
        return self.sign_hashes([record.hash for record in records])

    def sign_hashes(self, hashes: Sequence[bytes]) -> Proof:
        return sign_batch(hashes, self.writer_seed, self.certificate)

    def message(self, *records: Record, blobs: Iterable[bytes] = (), id_: int = PUSH, last: bool = True) -> Records:
        """RECORDS with up to MAX_BATCH records under one proof."""
        pairs = tuple((record.raw, 0) for record in records)
        return Records(id_, (to_wire(self.sign(records)),) if records else (), pairs, tuple(blobs), None, last)


def certify(seed: bytes, keys: FolderKeys, static: bytes, writer: bytes, actor: bytes) -> bytes:
    """A certificate, encoded, that the Ed25519 seed signed."""
    public = Ed25519PrivateKey.from_private_bytes(writer).public_key().public_bytes_raw()
    return issue(seed, keys.folder_id, KeyPair(static).public, public, actor).encode()


class Rogue:
    """A connection of a persona with a daemon; a context manager.

    source: the address it comes from. change: what it tells otherwise in HELLO. buffer: bytes of the receive buffer.
    """

    def __init__(
        self,
        persona: Persona,
        address: tuple[str, int],
        *,
        source: str = "127.0.0.1",
        change: Change = lambda hello: hello,
        buffer: int = 0,
        establish: bool = True,
    ) -> None:
        self.persona = persona
        self.socket = dial(address, source, buffer)
        initiator = Initiator(persona.keys, persona.static_private, secrets.token_bytes(32))
        self.connection = Connection(initiator, lambda result: change(persona.hello(result)))
        self.inbox: list[Message] = []
        self.peer: Established | None = None
        self.goodbye: str | None = None
        self.closed = False
        self._barriers = 0
        self._sending = threading.Lock()
        if establish:
            self.establish()

    @classmethod
    def answering(cls, persona: Persona, listener: socket.socket, change: Change = lambda hello: hello) -> Self:
        """The other side of a dial: waits for one on `listener`."""
        self = cls.__new__(cls)
        self.persona = persona
        listener.settimeout(DEADLINE)
        self.socket = listener.accept()[0]
        responder = Responder([persona.keys], persona.static_private, secrets.token_bytes(32))
        self.connection = Connection(responder, lambda result: change(persona.hello(result)))
        self.inbox, self.peer, self.goodbye, self.closed, self._barriers = [], None, None, False, 0
        self._sending = threading.Lock()
        self._until(lambda: self.peer is not None)
        return self

    def establish(self) -> None:
        """The handshake and both HELLOs."""
        self.socket.sendall(self.connection.start())
        self._until(lambda: self.peer is not None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.close()

    # ---- out

    def send(self, *outgoing: Message, compress: bool = False) -> None:
        """Honest frames of messages, which may lie."""
        with self._sending:
            self.send_bytes(b"".join(self.connection.send(*outgoing, compress=compress)))

    def send_frame(self, kind: int, body: bytes, flags: int = 0, length: int | None = None) -> None:
        """One frame with any header."""
        size = len(body) if length is None else length
        self.send_plain(bytes((kind, flags)) + size.to_bytes(3, "big") + body)

    def send_fields(self, kind: int, fields: object) -> None:
        """One frame whose body is the packed fields."""
        self.send_frame(kind, codec.pack(fields))

    def send_plain(self, plaintext: bytes) -> None:
        """Any bytes of the stream inside the sealed transport."""
        link = self.connection._link
        assert link is not None
        with self._sending:
            self.send_bytes(b"".join(link.sealer.seal([plaintext])))

    def send_bytes(self, data: bytes) -> None:
        """Any bytes of the TCP connection. That the daemon has closed it is for `ended` to find."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            self.closed = True

    def push(self, *records: Record, blobs: Iterable[bytes] = ()) -> None:
        """Announce records, under one proof."""
        self.send(self.persona.message(*records, blobs=blobs))

    # ---- in

    def read(self, deadline: float = DEADLINE) -> bool:
        """Take in what arrives within the deadline; False if nothing did or the connection is over."""
        if self.closed or not select.select([self.socket], [], [], deadline)[0]:
            return False
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionResetError:
            data = b""
        if not data:
            self.closed = True
            return False
        for event in self._received(data):
            if isinstance(event, Established):
                self.peer = event
            elif isinstance(event, Received):
                self.inbox.append(event.message)
            elif isinstance(event, Ended):
                self.goodbye = event.reason
        return True

    def _received(self, data: bytes) -> list[Event]:
        events = self.connection.receive(data)
        pending = self.connection.pending()
        if pending:
            self.send_bytes(pending)
        return events

    def expect(self, kind: type[M], deadline: float = DEADLINE, where: Callable[[M], bool] = lambda _: True) -> M:
        """The first message of a kind, taken from the inbox with all before it."""
        found: list[M] = []

        def arrived() -> bool:
            while self.inbox and not found:
                message = self.inbox.pop(0)
                if isinstance(message, kind) and where(message):
                    found.append(message)
            return bool(found)

        self._until(arrived, deadline)
        return found[0]

    def ping(self, token: int = 1) -> None:
        """A round trip: all that was sent before has been read by then."""
        self.send(Ping(token))
        self.expect(Pong, where=lambda pong: pong.token == token)

    def barrier(self, deadline: float = DEADLINE) -> None:
        """A round trip behind everything that was said: all of it has been taken in by then."""
        self._barriers += 1
        number = (1 << 40) + self._barriers
        self.send(AskPages(number, 0, b"", None))
        self.expect(Pages, deadline, lambda pages: pages.id == number)

    def ended(self, deadline: float = DEADLINE) -> str:
        """Wait until the daemon has closed the connection; the reason of its goodbye, or nothing."""
        end = time.monotonic() + deadline
        while not self.closed:
            left = end - time.monotonic()
            if left <= 0:
                raise AssertionError("the daemon did not close the connection")
            self.read(left)
        return self.goodbye or ""

    def _until(self, reached: Callable[[], bool], deadline: float = DEADLINE) -> None:
        end = time.monotonic() + deadline
        while not reached():
            if self.closed:
                raise Closed(f"closed: {self.goodbye}")
            left = end - time.monotonic()
            if left <= 0:
                raise AssertionError("no answer in time")
            try:
                self.read(left)
            except RemoteError as error:
                raise Closed(str(error)) from None


def dial(address: tuple[str, int], source: str = "127.0.0.1", buffer: int = 0) -> socket.socket:
    """A TCP connection to `address` from `source`. buffer: bytes of the receive buffer."""
    sock = socket.socket()
    if buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.settimeout(DEADLINE)
    sock.bind((source, 0))
    sock.connect(address)
    return sock
