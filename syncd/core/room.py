"""Room: what may still come to a disk of which a part has to stay free. Nothing is measured here."""

from typing import Final, NamedTuple

MARGIN_SHARE: Final = 16  # of what has to stay free: so much more is free before things come again
MARGIN_LEAST: Final = 128 << 10  # bytes: two small files, so that every return of room lets something in


class Space(NamedTuple):
    """Of a file system: bytes that we may still use, and all of them; the same of inodes (of 0: they do not count)."""

    free: int
    total: int
    free_nodes: int = 0
    nodes: int = 0


class Least(NamedTuple):
    """What has to stay free: bytes and inodes. 0 bytes: all may be used, the disk itself is the bound."""

    bytes: int = 0
    nodes: int = 0


class Room:
    """scarce: nothing may come that takes room, until there is a little more of it than has to stay."""

    def __init__(self) -> None:
        self.scarce = False
        self._left: int | None = None  # None: no bound

    def look(self, space: Space, least: Least, promised: int) -> None:
        """Judge anew. promised: bytes that are still to be written of what was let in."""
        if not least.bytes:
            self.scarce, self._left = False, None
            return
        self._left = space.free - least.bytes - promised
        more, more_nodes = (margin(least), least.nodes // MARGIN_SHARE) if self.scarce else (0, 0)
        full = space.nodes > 0 and space.free_nodes < least.nodes + more_nodes
        self.scarce = full or self._left < more

    def take(self, size: int) -> bool:
        """Let in something small. If it does not fit, room is scarce: other small things would not fit either."""
        self.scarce = self.scarce or not self.fits(size)
        return not self.scarce

    def fits(self, size: int) -> bool:
        """Let in `size` bytes, if so many may come. What is large may wait while others go on."""
        if self._left is None:
            return True
        if self.scarce or size > self._left:
            return False
        self._left -= size
        return True


def margin(least: Least) -> int:
    """Bytes that have to be free beyond the least before things come again."""
    return max(least.bytes // MARGIN_SHARE, MARGIN_LEAST)
