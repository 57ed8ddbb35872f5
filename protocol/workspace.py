"""What the connections of one thread use in turn. Each would keep as much memory as its largest use took.

That is half a MiB for decrypting and a hundred KiB and more for compressing, which many idle peers are not worth.
"""

from functools import cached_property
from typing import Final

import zstandard

from protocol import limits

_LEVEL: Final = 1  # zstd level, the fastest ordinary one: compressing must not be slower than the wire
_READ_BYTES: Final = 1 << 18  # bytes that one read from a socket brings at most: what four transport messages take
_ROOM_KEPT: Final = 1 << 19  # bytes of plaintext that stay reserved: one read from a socket brings less


class Workspace:
    """For one thread."""

    def __init__(self) -> None:
        self._room = memoryview(b"")

    def room(self, size: int) -> memoryview:
        """`size` bytes, to be written and used before the next call: a new buffer would have to be zeroed each time."""
        if not size <= len(self._room) <= max(size, _ROOM_KEPT):
            self._room = memoryview(bytearray(size))
        return self._room[:size]

    @cached_property
    def incoming(self) -> memoryview:
        """Room for what is read from a socket."""
        return memoryview(bytearray(_READ_BYTES))

    @cached_property
    def compressor(self) -> zstandard.ZstdCompressor:
        """Of frames that say how long their contents are."""
        return zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True)

    @cached_property
    def decompressor(self) -> zstandard.ZstdDecompressor:
        """Of frames that need no larger window than a message."""
        return zstandard.ZstdDecompressor(max_window_size=limits.MAX_MESSAGE)
