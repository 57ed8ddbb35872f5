"""How full the disk of a folder is: what `min_free` keeps from coming, and how that is told.

Everything here runs in the folder's worker thread. The file system is asked once for a batch, never for a file.
"""

from collections.abc import Callable
from typing import Final

from syncd.config.values import Amount
from syncd.core.room import Least, Room, Space

ALL_OF_IT: Final = Amount(None, 0)  # nothing has to stay free
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")


class NoRoom(Exception):
    """What was to be staged does not fit."""


class Gauge:
    """measure(): of the folder's file system; raises OSError. owed(): bytes still to be written to what is staged."""

    def __init__(self, measure: Callable[[], Space], owed: Callable[[], int], min_free: Amount = ALL_OF_IT) -> None:
        self._measure = measure
        self._owed = owed
        self._min_free = min_free
        self._room = Room()
        self.promised = 0  # bytes that are on their way here in memory; set by whoever has them, in any thread
        self.space = Space(0, 0)  # as it was last seen

    def become(self, min_free: Amount) -> None:
        """Another amount has to stay free, from the next look on."""
        self._min_free = min_free

    @property
    def scarce(self) -> bool:
        """Whether nothing may come that takes room."""
        return self._room.scarce

    @property
    def least(self) -> Least:
        """What has to stay free."""
        share = self._min_free.percent or 0
        return Least(self._min_free.of(self.space.total), int(self.space.nodes * share / 100))

    def look(self) -> None:
        """Ask the file system."""
        try:
            self.space = self._measure()
        except OSError:  # of a disk that does not answer other calls tell more
            return
        self._room.look(self.space, self.least, self.promised + self._owed())

    def take(self, size: int) -> bool:
        """Let in something small of `size` bytes; if it does not fit, room is scarce until the next look finds more."""
        return self._room.take(size)

    def claim(self, size: int) -> None:
        """Let in something large. Raises NoRoom."""
        if not self._room.fits(size):
            raise NoRoom(f"there is no room: it has {amount(size)}, and {self._limit} have to stay free (min_free)")

    def shortage(self, where: str, needed: int) -> str | None:
        """Why nothing is fetched, and what to do; None if there is room. needed: bytes of what waits."""
        if not self.scarce:
            return None
        free, total = amount(self.space.free), amount(self.space.total)
        begin = f"less than {self._limit} free on {where} ({free} of {total}): nothing is fetched until there is room"
        if self.space.nodes and self.space.free_nodes < self.least.nodes:
            return f"{begin}; inodes are short: remove files there, or lower min_free"
        lacking = max(self.least.bytes + needed - self.space.free, 1)
        return f"{begin}; free {amount(lacking)}, or lower min_free"

    @property
    def _limit(self) -> str:
        percent = self._min_free.percent
        return amount(self._min_free.bytes or 0) if percent is None else f"{percent:g} %"


def amount(number: float) -> str:
    """Bytes as people read them, to three digits."""
    unit = 0
    while number >= 999.5 and unit < len(_UNITS) - 1:
        number /= 1000
        unit += 1
    return f"{number:.3g} {_UNITS[unit]}"
