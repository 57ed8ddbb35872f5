"""Small contents that came along with records, before anybody asked for them."""

from typing import Final

OFFERED_BYTES: Final = 16 << 20  # bytes of contents that nobody needed yet
OFFERED_OVERHEAD: Final = 256  # bytes that each of them takes besides its own


class Offers:
    """Contents by id. What does not fit is asked for if it is needed."""

    def __init__(self) -> None:
        self._contents: dict[bytes, bytes] = {}
        self._bytes = 0

    def add(self, id_: bytes, data: bytes) -> None:
        """Keep a content if there is room."""
        if id_ not in self._contents and self._bytes + len(data) <= OFFERED_BYTES:
            self._contents[id_] = data
            self._bytes += len(data) + OFFERED_OVERHEAD

    def pop(self, id_: bytes) -> bytes | None:
        """A content, which is not kept any more; None if it is not here."""
        data = self._contents.pop(id_, None)
        if data is not None:
            self._bytes -= len(data) + OFFERED_OVERHEAD
        return data

    def take(self) -> dict[bytes, bytes]:
        """All of them, which are not kept any more."""
        contents, self._contents, self._bytes = self._contents, {}, 0
        return contents
