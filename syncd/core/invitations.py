"""How often we dial where nobody but a datagram or a peer's word sent us: whoever lies must not make us a nuisance."""

from collections import OrderedDict
from typing import Final

ADDRESS_INTERVAL: Final = 10.0  # seconds between two such dials to one address
INTERVAL: Final = 1.0  # seconds between two such dials at all
ADDRESSES_KEPT: Final = 1_024  # addresses that are remembered: at one a second more than the interval needs


class Invitations:
    """The dials of the last seconds, of all folders of a node together. Times are seconds, monotonic."""

    def __init__(self) -> None:
        self._last: OrderedDict[str, float] = OrderedDict()
        self._any = -INTERVAL

    def wait(self, address: str, now: float) -> float:
        """Seconds until the address may be dialled; 0.0: now."""
        own = self._last.get(address, -ADDRESS_INTERVAL)
        return max(0.0, own + ADDRESS_INTERVAL - now, self._any + INTERVAL - now)

    def take(self, address: str, now: float) -> bool:
        """Whether the address may be dialled now; if so, it counts as dialled."""
        if self.wait(address, now) > 0:
            return False
        self._any = self._last[address] = now
        self._last.move_to_end(address)
        if len(self._last) > ADDRESSES_KEPT:
            self._last.popitem(last=False)
        return True
