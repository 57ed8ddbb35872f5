"""Who is there: the handshake that opens every connection, as bytes in and bytes out.

The initiator sends a preface of 8 bytes; then Noise_XXpsk0_25519_AESGCM_SHA256, each message after its length (2 bytes,
big endian), with the folder's pre-shared key. A responder has sent nothing, and has touched no curve, before a first
message proved that its sender knows the secret of one of its folders.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from protocol import limits
from protocol.errors import HandshakeError, LocalError
from protocol.keys import FolderKeys
from protocol.noise import XX_PSK0, CipherState, HandshakeState, KeyPair

MAGIC: Final = b"SYNC"
PREFACE: Final = MAGIC + bytes([1, 1, 0, 0])  # major version 1, cipher suite 1, two zeros
_LENGTH_SIZE: Final = 2


class NotSyncd(HandshakeError):
    """What dialled us, or what we dialled, does not speak this protocol."""


class UnknownVersion(HandshakeError):
    """The peer speaks a version or cipher suite that this node does not."""


class UnknownSecret(HandshakeError):
    """The peer's secret is not a secret of this node."""


class SelfConnection(HandshakeError):
    """The peer has our own static key: it is this node, or a copy of it.

    ephemeral: the peer's ephemeral public key. If that is one of our own, we are talking to ourselves.
    """

    def __init__(self, message: str, ephemeral: bytes) -> None:
        super().__init__(message)
        self.ephemeral = ephemeral


@dataclass(frozen=True, slots=True)
class HandshakeResult:
    """A finished handshake.

    keys: of the folder it was for. remote_static: the peer's Noise static public key, 32 bytes. handshake_hash: 32
    bytes to bind proofs to. send, recv: ciphers of the two directions. surplus: bytes that came after the handshake.
    """

    keys: FolderKeys
    remote_static: bytes
    handshake_hash: bytes
    send: CipherState
    recv: CipherState
    initiator: bool
    surplus: bytes


class _Handshake(ABC):
    """What both sides share: the buffer, the framing, and that an error is final."""

    def __init__(self, static_private: bytes, ephemeral_private: bytes) -> None:
        self.result: HandshakeResult | None = None
        self._static = KeyPair(static_private)
        self._ephemeral = KeyPair(ephemeral_private)
        self._buffer = bytearray()
        self._failed = False

    def receive(self, data: bytes) -> bytes:
        """Take bytes of the peer, any number at a time; gives the bytes to send now, maybe none.

        Raises HandshakeError, then and at every later call, if the peer is not one of ours; LocalError when there is
        a result already.
        """
        if self.result is not None:
            raise LocalError("the handshake is over")
        if self._failed:
            raise HandshakeError("the handshake has failed already")
        self._buffer += data
        try:
            return self._advance()
        except HandshakeError:
            self._failed = True
            self._buffer.clear()
            raise

    @property
    def ephemeral(self) -> bytes:
        """Our ephemeral public key, which only this connection has."""
        return self._ephemeral.public

    @abstractmethod
    def _advance(self) -> bytes: ...

    def _state(self, keys: FolderKeys, *, initiator: bool) -> HandshakeState:
        return HandshakeState(
            XX_PSK0,
            initiator=initiator,
            prologue=PREFACE + keys.folder_id,
            s=self._static,
            e=self._ephemeral,
            psk=keys.psk,
        )

    def _message(self, smallest: int, largest: int) -> bytes | None:
        """Take the next message from the buffer, or None if it is not there yet."""
        buffer = self._buffer
        if len(buffer) < _LENGTH_SIZE:
            return None
        length = int.from_bytes(buffer[:_LENGTH_SIZE], "big")
        if not smallest <= length <= largest:
            raise NotSyncd(f"a handshake message of {length} bytes instead of {smallest} to {largest}")
        end = _LENGTH_SIZE + length
        if len(buffer) < end:
            return None
        message = bytes(buffer[_LENGTH_SIZE:end])
        del buffer[:end]
        return message

    def _check_not_self(self, state: HandshakeState) -> None:
        if state.remote_static == self._static.public:
            raise SelfConnection("connected to ourselves: the peer has our own key", state.remote_ephemeral)

    def _finish(self, state: HandshakeState, keys: FolderKeys, *, initiator: bool) -> None:
        to_responder, to_initiator = state.split()
        send, recv = (to_responder, to_initiator) if initiator else (to_initiator, to_responder)
        surplus = bytes(self._buffer)
        self._buffer.clear()
        self.result = HandshakeResult(
            keys, state.remote_static, state.get_handshake_hash(), send, recv, initiator, surplus
        )


class Initiator(_Handshake):
    """The side that dialled, for one folder."""

    def __init__(self, keys: FolderKeys, static_private: bytes, ephemeral_private: bytes) -> None:
        """static_private: 32 bytes, the node's. ephemeral_private: 32 random bytes, never used again."""
        super().__init__(static_private, ephemeral_private)
        self._keys = keys
        self._noise = self._state(keys, initiator=True)
        self._started = False

    def start(self) -> bytes:
        """The first bytes to send. Raises LocalError at a second call."""
        if self._started:
            raise LocalError("the handshake has started already")
        self._started = True
        return PREFACE + _framed(self._noise.write_message(b""))

    def receive(self, data: bytes) -> bytes:
        """As _Handshake.receive; SelfConnection, too, is raised before our key was shown."""
        if not self._started:
            raise LocalError("the handshake has not started")
        return super().receive(data)

    def _advance(self) -> bytes:
        message = self._message(limits.MIN_HANDSHAKE_2, limits.MAX_HANDSHAKE_2)
        if message is None:
            return b""
        self._noise.read_message(message)
        self._check_not_self(self._noise)
        reply = _framed(self._noise.write_message(b""))
        self._finish(self._noise, self._keys, initiator=True)
        return reply


class Responder(_Handshake):
    """The side that was dialled, for any of its folders."""

    def __init__(self, folders: Sequence[FolderKeys], static_private: bytes, ephemeral_private: bytes) -> None:
        """folders: at most MAX_FOLDERS_PER_PORT, else LocalError. static_private, ephemeral_private: see Initiator."""
        super().__init__(static_private, ephemeral_private)
        if len(folders) > limits.MAX_FOLDERS_PER_PORT:
            raise LocalError(f"{len(folders)} folders on one port; {limits.MAX_FOLDERS_PER_PORT} are possible")
        self._folders = tuple(folders)
        self._greeted = False
        self._chosen: tuple[FolderKeys, HandshakeState] | None = None

    def _advance(self) -> bytes:
        reply = b""
        if self._chosen is None:
            first = self._first_message()
            if first is None:
                return b""
            self._chosen = self._choose(first)
            reply = _framed(self._chosen[1].write_message(b""))
        message = self._message(limits.MIN_HANDSHAKE_3, limits.MAX_HANDSHAKE_3)
        if message is not None:
            keys, state = self._chosen
            state.read_message(message)
            self._check_not_self(state)
            self._finish(state, keys, initiator=False)
        return reply

    def _first_message(self) -> bytes | None:
        if not self._greeted:
            preface = bytes(self._buffer[: len(PREFACE)])
            _check_preface(preface)
            if len(preface) < len(PREFACE):
                return None
            del self._buffer[: len(PREFACE)]
            self._greeted = True
        return self._message(limits.HANDSHAKE_1, limits.HANDSHAKE_1)

    def _choose(self, first: bytes) -> tuple[FolderKeys, HandshakeState]:
        for keys in self._folders:
            state = self._state(keys, initiator=False)
            try:
                state.read_message(first)
            except HandshakeError:
                continue
            return keys, state
        raise UnknownSecret("the peer's secret is not a secret of this node")


def _check_preface(beginning: bytes) -> None:
    """Raises as soon as the bytes so far cannot become PREFACE."""
    if not MAGIC.startswith(beginning[: len(MAGIC)]):
        raise NotSyncd("the peer does not speak syncd's protocol")
    if not PREFACE.startswith(beginning):
        raise UnknownVersion(f"the peer speaks an unknown version of the protocol ({beginning[len(MAGIC) :].hex()})")


def _framed(message: bytes) -> bytes:
    return len(message).to_bytes(_LENGTH_SIZE, "big") + message
