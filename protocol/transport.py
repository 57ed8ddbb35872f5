"""The sealed stream after a handshake: Noise transport messages, each after its length (2 bytes, big endian).

What goes in comes out as one stream of bytes; how it was cut into messages means nothing. Both sides change the key
after the same number of messages, unsignalled. One buffer is allocated per call, not per message: with many messages in
a call that measured four times as fast, because allocators return such runs to the system and fetch them again.
"""

from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag

from protocol import limits
from protocol.errors import LocalError, TransportError
from protocol.noise import TAG_SIZE, CipherState
from protocol.workspace import Workspace

LENGTH_SIZE: Final = 2
_OVERHEAD: Final = LENGTH_SIZE + TAG_SIZE


class _Direction:
    """One cipher and the messages left until its next key."""

    __slots__ = ("_cipher", "_interval", "_left")

    def __init__(self, cipher: CipherState, interval: int = limits.REKEY_INTERVAL) -> None:
        """interval: messages under one key. Raises LocalError if the cipher has no key or the interval no message."""
        if not cipher.has_key() or interval < 1:
            raise LocalError("a transport needs a key and an interval of at least one message")
        self._cipher = cipher
        self._interval = interval
        self._left = interval

    def _count(self) -> None:
        self._left -= 1
        if not self._left:
            self._cipher.rekey()
            self._left = self._interval


class Sealer(_Direction):
    """The sending end."""

    __slots__ = ()

    def seal(self, chunks: Sequence[bytes | memoryview]) -> list[bytes | memoryview]:
        """The bytes to send for the next portion of the stream, none for an empty one.

        chunks: views must be of bytes. They share messages; each call begins a new one.
        """
        total = sum(map(len, chunks))
        if not total:
            return []
        plaintext = memoryview(chunks[0] if len(chunks) == 1 else b"".join(chunks))
        out = memoryview(bytearray(total + _OVERHEAD * -(-total // limits.MAX_TRANSPORT_PLAINTEXT)))
        place = 0
        for start in range(0, total, limits.MAX_TRANSPORT_PLAINTEXT):
            piece = plaintext[start : start + limits.MAX_TRANSPORT_PLAINTEXT]
            size = len(piece) + TAG_SIZE
            body = place + LENGTH_SIZE
            out[place:body] = size.to_bytes(LENGTH_SIZE, "big")
            place = body + size
            self._cipher.encrypt_into(piece, out[body:place])
            self._count()
        return [out]


class Opener(_Direction):
    """The receiving end. Holds at most one incomplete message."""

    __slots__ = ("_broken", "_partial", "_workspace")

    def __init__(
        self, cipher: CipherState, interval: int = limits.REKEY_INTERVAL, workspace: Workspace | None = None
    ) -> None:
        """interval: messages under one key, the same as the sender's. Raises LocalError as Sealer."""
        super().__init__(cipher, interval)
        self._partial = bytearray()
        self._workspace = workspace or Workspace()
        self._broken = False

    def feed(self, data: bytes | memoryview) -> memoryview:
        """The next portion of the peer's stream, from the next bytes of the connection; empty if no message completes.

        To be used, or copied, before the next call of any opener with the same workspace, which overwrites it.
        Raises TransportError, then and at every later call, for a message that does not open or cannot be one. Nothing
        of the call's bytes is given then.
        """
        if self._broken:
            raise TransportError("the stream is broken already")
        try:
            return self._open(self._complete(memoryview(data)))
        except InvalidTag:
            self._broken = True
            raise TransportError("a transport message does not open") from None
        except TransportError:
            self._broken = True
            raise

    def _complete(self, data: memoryview) -> list[memoryview]:
        """Ciphertexts of the messages that `data` completes; what is left over is kept."""
        bodies = []
        partial = self._partial
        if partial:
            data = _fill(partial, LENGTH_SIZE, data)
            if len(partial) < LENGTH_SIZE:
                return []
            end = LENGTH_SIZE + _body_size(partial, 0)
            data = _fill(partial, end, data)
            if len(partial) < end:
                return []
            bodies.append(memoryview(partial)[LENGTH_SIZE:])
        place, available = 0, len(data)
        while available - place >= LENGTH_SIZE:
            body = place + LENGTH_SIZE
            end = body + _body_size(data, place)
            if end > available:
                break
            bodies.append(data[body:end])
            place = end
        self._partial = bytearray(data[place:])
        return bodies

    def _open(self, bodies: list[memoryview]) -> memoryview:
        total = sum(map(len, bodies)) - TAG_SIZE * len(bodies)
        out = self._workspace.room(total)
        place = 0
        for body in bodies:
            end = place + len(body) - TAG_SIZE
            self._cipher.decrypt_into(body, out[place:end])
            self._count()
            place = end
        return out


def _body_size(data: bytearray | memoryview, place: int) -> int:
    size = data[place] << 8 | data[place + 1]
    if size <= TAG_SIZE:
        raise TransportError(f"a transport message of {size} bytes, which carries nothing")
    return size


def _fill(partial: bytearray, size: int, data: memoryview) -> memoryview:
    """Move bytes from the front of `data` until `partial` has `size`; gives the rest of `data`."""
    missing = max(0, size - len(partial))
    partial += data[:missing]
    return data[missing:]
