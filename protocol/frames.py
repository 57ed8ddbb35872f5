"""Message frames inside the transport stream.

    type u8 | flags u8 | length u24 big-endian | body of `length` bytes

Type 0x00 is padding; types from 0x80 are optional extensions: both are skipped unless known. Any other unknown type is
an error. Flag bit 0: the body is a u32 big-endian size, one zstd frame that says and gives exactly that many bytes,
and padding that is ignored. Every length is checked before anything is buffered or decompressed; a body is padded until
it expands by MAX_EXPANSION at most.
"""

from collections.abc import Collection, Generator, Iterator, Sequence
from typing import Final

import zstandard

from protocol import limits
from protocol.errors import FrameError, LocalError
from protocol.workspace import Workspace

Data = bytes | memoryview
Frame = tuple[int, Data]  # type and body

_HEADER: Final = 5
_COMPRESSED: Final = 0x01
_OPTIONAL: Final = 0x80
_PADDING: Final = 0x00


class FrameWriter:
    """Makes frames. Not for use by two threads at once."""

    def __init__(self, workspace: Workspace | None = None) -> None:
        self._workspace = workspace or Workspace()

    def frame(self, kind: int, parts: Sequence[Data], *, compress: bool = False) -> list[Data]:
        """The parts of a frame whose body is `parts` in order; they are not copied unless compressed.

        compress: try to, which pays for text and not for what is compressed already. Raises LocalError for a body above
        MAX_MESSAGE bytes.
        """
        size = sum(map(len, parts))
        if not _PADDING <= kind <= 0xFF or size > limits.MAX_MESSAGE:
            raise LocalError(f"frame of type {kind} with {size} bytes")
        if compress and size > limits.MIN_COMPRESSED:
            packed = self._compress(b"".join(parts))
            if len(packed) < size - size // 16:
                return [_header(kind, _COMPRESSED, len(packed)), packed]
        return [_header(kind, 0, size), *parts]

    def _compress(self, body: bytes) -> bytes:
        packed = len(body).to_bytes(4, "big") + self._workspace.compressor.compress(body)
        return packed.ljust(-(-len(body) // limits.MAX_EXPANSION), b"\0")


class FrameReader:
    """Cuts a stream of plaintext into frames, holding back at most one incomplete body.

    known: the types that are delivered; others are skipped or refused as the framing rules say.
    """

    def __init__(self, known: Collection[int], workspace: Workspace | None = None) -> None:
        self._known = frozenset(known)
        self._workspace = workspace or Workspace()
        self._input = memoryview(b"")
        self._frames = self._parse()

    def feed(self, plaintext: Data) -> Iterator[Frame]:
        """The frames that are complete with `plaintext`, parsed as the iterator is advanced.

        The iterator must be exhausted before the next call, LocalError otherwise. Bodies are copied once: nothing that
        is given, or kept, refers to the plaintext. Raises FrameError, which ends the reader.
        """
        if self._input:
            raise LocalError("the frames of the last input were not read")
        self._input = memoryview(plaintext)
        for frame in self._frames:
            if frame is None:
                return
            yield frame

    def _parse(self) -> Generator[Frame | None, None, None]:
        while True:
            header = yield from self._take(_HEADER)
            kind, flags, length = header[0], header[1], int.from_bytes(header[2:], "big")
            if kind not in self._known:
                if kind != _PADDING and kind < _OPTIONAL:
                    raise FrameError(f"unknown message type {kind:#04x}")
                yield from self._skip(length)
                continue
            if length > limits.MAX_MESSAGE or flags & ~_COMPRESSED:
                raise FrameError(f"message type {kind:#04x} with flags {flags:#04x} and {length} bytes")
            body = yield from self._take(length)
            yield kind, self._decompress(body) if flags else body

    def _take(self, size: int) -> Generator[None, None, Data]:
        """Wait until there are `size` bytes, and return them."""
        if size <= len(self._input):
            taken, self._input = bytes(self._input[:size]), self._input[size:]
            return taken
        body = bytearray()  # which grows with what comes: a promise takes no memory
        while size - len(body) > len(self._input):
            body += self._input
            self._input = memoryview(b"")
            yield
        missing = size - len(body)
        body += self._input[:missing]
        self._input = self._input[missing:]
        return memoryview(body)

    def _skip(self, size: int) -> Generator[None, None, None]:
        while size > len(self._input):
            size -= len(self._input)
            self._input = memoryview(b"")
            yield
        self._input = self._input[size:]

    def _decompress(self, body: Data) -> bytes:
        size, packed = int.from_bytes(body[:4], "big"), body[4:]
        if not 0 < size <= min(limits.MAX_MESSAGE, limits.MAX_EXPANSION * len(body)):
            raise FrameError(f"{len(body)} bytes claim to decompress to {size}")
        try:
            # The library reserves as many bytes as the zstd frame claims, and fails unless it gives exactly as many.
            if zstandard.frame_content_size(packed) != size:
                raise FrameError("the two sizes of a compressed body differ")
            return self._workspace.decompressor.decompress(packed, allow_extra_data=True)
        except zstandard.ZstdError as error:
            raise FrameError(f"cannot be decompressed: {error}") from None


def _header(kind: int, flags: int, length: int) -> bytes:
    return bytes((kind, flags)) + length.to_bytes(3, "big")
