"""What came along with records before anybody asked for it: small contents, and the tops of block lists."""

from typing import Final

OFFERED_BYTES: Final = 16 << 20  # bytes of contents that nobody needed yet
LIST_BYTES: Final = 1 << 20  # bytes of tops of block lists
OFFERED_OVERHEAD: Final = 256  # bytes that each of them takes besides its own


class Offers:
    """Objects by id, up to `most` bytes. The oldest go first; they are asked for if they are needed."""

    def __init__(self, most: int = OFFERED_BYTES) -> None:
        self._most = most
        self._contents: dict[bytes, bytes] = {}
        self._bytes = 0

    def add(self, id_: bytes, data: bytes) -> None:
        """Keep an object."""
        if id_ not in self._contents:
            self._contents[id_] = data
            self._bytes += len(data) + OFFERED_OVERHEAD
            while self._bytes > self._most:
                self.pop(next(iter(self._contents)))

    def pop(self, id_: bytes) -> bytes | None:
        """An object, which is not kept any more; None if it is not here."""
        data = self._contents.pop(id_, None)
        if data is not None:
            self._bytes -= len(data) + OFFERED_OVERHEAD
        return data

    def take(self) -> dict[bytes, bytes]:
        """All of them, which are not kept any more."""
        contents, self._contents, self._bytes = self._contents, {}, 0
        return contents
