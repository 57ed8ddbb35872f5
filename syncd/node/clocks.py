"""Says once of each peer that its clock and ours differ: beacons need clocks that agree, sessions do not."""

from collections import OrderedDict
from typing import Final

import structlog

from protocol.limits import BEACON_WINDOW

NODES_KEPT: Final = 1_024  # nodes of which it was said

_log = structlog.get_logger()


class Clocks:
    """Compares the clocks of nodes with ours."""

    def __init__(self) -> None:
        self._said: OrderedDict[bytes, None] = OrderedDict()

    def compare(self, node_id: bytes, name: str, theirs: int, ours: int) -> None:
        """A peer told its clock in a session. theirs, ours: ns; 0: it does not tell."""
        seconds = (theirs - ours) / 1e9
        if not theirs or abs(seconds) * 1000 <= BEACON_WINDOW:
            self._said.pop(node_id, None)
        elif self._is_new(node_id):
            _log.warning(f"the clock of {name} differs by {seconds:+.0f} s; files are in sync all the same")

    def compare_beacon(self, node_id: bytes, address: str, theirs_ms: int, ours_ms: int) -> None:
        """A beacon was outside the window. Anybody may have recorded it, so it proves less."""
        if self._is_new(node_id):
            _log.warning(
                f"the clock of {address} differs by {(theirs_ms - ours_ms) / 1000:+.0f} s, or somebody repeats an old "
                "beacon of it; known hosts are found all the same"
            )

    def _is_new(self, node_id: bytes) -> bool:
        if node_id in self._said:
            return False
        self._said[node_id] = None
        if len(self._said) > NODES_KEPT:
            self._said.popitem(last=False)
        return True
