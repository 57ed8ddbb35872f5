"""One authenticated connection: bytes in, events out, no input or output of its own.

    HANDSHAKE --result--> HELLO --peer's HELLO holds--> OPEN --peer's GOODBYE--> ENDED
    HANDSHAKE, HELLO, OPEN --peer's or our own fault, end of the stream--> FAILED

Both sides send HELLO at once after the handshake, and nothing else before the peer's HELLO was checked. A GOODBYE ends
one direction: what is sent after the peer's is lawful, and nobody hears it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from protocol import messages
from protocol.certificate import Certificate, check_tier_proof
from protocol.errors import HandshakeError, LocalError, MessageError, TransportError
from protocol.frames import Data, FrameReader, FrameWriter
from protocol.handshake import HandshakeResult, Initiator, Responder
from protocol.keys import Tier
from protocol.messages import Goodbye, Hello, Message
from protocol.transport import Opener, Sealer
from protocol.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Established:
    """The peer is who it says. tier: what it has proven, which may be less than hello.tier claims where our own secret
    cannot check the claim. certificate: of a read-write peer.
    """

    result: HandshakeResult
    hello: Hello
    tier: Tier
    certificate: Certificate | None


@dataclass(frozen=True, slots=True)
class Received:
    """A message of the peer, neither Hello nor Goodbye."""

    message: Message


@dataclass(frozen=True, slots=True)
class Ended:
    """The peer said goodbye; nothing follows."""

    reason: str


Event = Established | Received | Ended


class _State(Enum):
    HANDSHAKE = auto()
    HELLO = auto()
    OPEN = auto()
    ENDED = auto()
    FAILED = auto()


class _Link(NamedTuple):
    result: HandshakeResult
    sealer: Sealer
    opener: Opener


class Connection:
    """One side of a connection, for one folder.

    A caller writes what `start`, `pending` and `send` give, in that order of calls, and passes what it reads to
    `receive`. After RemoteError the connection is dead.
    """

    def __init__(
        self,
        handshake: Initiator | Responder,
        hello: Callable[[HandshakeResult], Hello],
        workspace: Workspace | None = None,
    ) -> None:
        """hello: makes our HELLO, whose tier proof is bound to the handshake. workspace: of the thread."""
        self._handshake = handshake
        self._make_hello = hello
        self._workspace = workspace or Workspace()
        self._state = _State.HANDSHAKE
        self._link: _Link | None = None
        self._writer = FrameWriter(self._workspace)
        self._reader = FrameReader(messages.BY_TYPE, self._workspace)
        self._pending: list[Data] = []
        self._said_goodbye = False

    @property
    def open(self) -> bool:
        """Whether messages go both ways."""
        return self._state == _State.OPEN and not self._said_goodbye

    @property
    def incoming(self) -> memoryview:
        """Room for bytes to be read and passed to `receive` at once: the connections of a workspace share it."""
        return self._workspace.incoming

    def start(self) -> bytes:
        """The first bytes to write: none for a responder."""
        return self._handshake.start() if isinstance(self._handshake, Initiator) else b""

    def pending(self) -> bytes:
        """Bytes of the handshake and HELLO to write now; each is given once. To be asked for after `receive`."""
        data, self._pending = b"".join(self._pending), []
        return data

    def receive(self, data: Data) -> list[Event]:
        """What the peer's bytes mean; how they are cut does not matter. Bytes after a GOODBYE mean nothing.

        Raises RemoteError when the peer breaks the protocol or proves not what it claims; no event of `data` is given
        then, and every later call raises again.
        """
        if self._state == _State.ENDED:
            return []
        if self._state == _State.FAILED:
            raise TransportError("the connection has failed already")
        try:
            return list(self._advance(data))
        except Exception:
            self._state = _State.FAILED
            raise

    def eof(self) -> None:
        """The peer closed its side. Raises RemoteError if neither side had said goodbye: something may be missing."""
        if self._state in (_State.ENDED, _State.FAILED):
            return
        if self._said_goodbye:
            self._state = _State.ENDED
            return
        state, self._state = self._state, _State.FAILED
        if state == _State.HANDSHAKE:
            raise HandshakeError("the connection was closed during the handshake")
        raise TransportError("the connection was cut off")

    def send(self, *outgoing: Message, compress: bool = False) -> list[Data]:
        """The bytes to write for messages, in order, with all that is pending before them.

        Messages of one call share transport records. compress: try to compress each large one. Raises LocalError before
        the peer's HELLO, after a failure or an own GOODBYE, for HELLO, and for a message that a peer would refuse.
        """
        if self._link is None or self._state not in (_State.OPEN, _State.ENDED):
            raise LocalError("nothing can be sent: the connection is not established")
        parts: list[Data] = []
        said_goodbye = self._said_goodbye
        for message in outgoing:
            if said_goodbye or isinstance(message, Hello):
                raise LocalError(f"no {type(message).__name__} can be sent now")
            parts += self._writer.frame(message.TYPE, messages.encode(message), compress=compress)
            said_goodbye = isinstance(message, Goodbye)
        self._said_goodbye = said_goodbye
        pending, self._pending = self._pending, []
        return pending + self._link.sealer.seal(parts)

    def _advance(self, data: Data) -> Iterator[Event]:
        if self._link is None:
            self._pending.append(self._handshake.receive(bytes(data)))
            result = self._handshake.result
            if result is None:
                return
            self._link = self._begin(result)
            data = result.surplus
        for kind, body in self._reader.feed(self._link.opener.feed(data)):
            yield self._event(self._link.result, messages.decode(kind, body))
            if self._state == _State.ENDED:
                return

    def _begin(self, result: HandshakeResult) -> _Link:
        link = _Link(result, Sealer(result.send), Opener(result.recv, workspace=self._workspace))
        hello = messages.encode(self._make_hello(result))
        self._pending += link.sealer.seal(self._writer.frame(Hello.TYPE, hello))
        self._state = _State.HELLO
        return link

    def _event(self, result: HandshakeResult, message: Message) -> Event:
        if isinstance(message, Hello) != (self._state == _State.HELLO):
            raise MessageError(f"{type(message).__name__} out of place")
        if isinstance(message, Hello):
            return self._establish(result, message)
        if isinstance(message, Goodbye):
            self._state = _State.ENDED
            return Ended(message.reason)
        return Received(message)

    def _establish(self, result: HandshakeResult, hello: Hello) -> Established:
        tier, certificate = check_tier_proof(
            result.keys,
            hello.tier,
            not result.initiator,
            result.handshake_hash,
            hello.proof,
            hello.certificate,
            result.remote_static,
        )
        self._state = _State.OPEN
        return Established(result, hello, tier, certificate)
