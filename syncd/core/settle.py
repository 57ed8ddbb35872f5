"""When a path that changes is looked at: at once after what ends a change, else when it has been quiet for a while."""

import heapq
from dataclasses import dataclass
from typing import Final

MAX_PATHS: Final = 100_000  # noted at once: some 20 MB; beyond it a scan of everything is cheaper anyway


@dataclass(slots=True)
class _Noted:
    first: float
    due: float
    queued: float  # time of its live place in the queue; other places of it are void


class Settle:
    """A table of noted paths. quiet, longest: seconds without, and with, further changes until a path is due.

    Times are seconds of one monotonic clock. most: paths in the table.
    """

    def __init__(self, quiet: float = 0.05, longest: float = 0.2, most: int = MAX_PATHS) -> None:
        self._quiet = quiet
        self._longest = longest
        self._most = most
        self._urgent: set[bytes] = set()
        self._urgent_since = 0.0
        self._noted: dict[bytes, _Noted] = {}
        self._queue: list[tuple[float, bytes]] = []
        self._overflowed = False

    def note(self, path: bytes, urgent: bool, now: float) -> None:
        """The path changed. urgent: the change is over, so it is due at once."""
        if path in self._urgent:
            return
        noted = self._noted.get(path)
        if noted is None and len(self) >= self._most:
            self._overflowed = True
        elif urgent:
            self._noted.pop(path, None)
            if not self._urgent:
                self._urgent_since = now
            self._urgent.add(path)
        elif noted is not None:
            noted.due = min(now + self._quiet, noted.first + self._longest)
        else:
            due = now + min(self._quiet, self._longest)
            self._noted[path] = _Noted(now, due, due)
            heapq.heappush(self._queue, (due, path))

    def hasten(self, now: float) -> None:
        """All that is noted is due."""
        if self._noted and not self._urgent:
            self._urgent_since = now
        self._urgent |= self._noted.keys()
        self._noted.clear()

    def due(self, now: float) -> list[bytes]:
        """The paths whose time has come, sorted; they are noted no longer."""
        paths, self._urgent = list(self._urgent), set()
        while (head := self._head()) is not None and head <= now:
            _, path = heapq.heappop(self._queue)
            del self._noted[path]
            paths.append(path)
        paths.sort()
        return paths

    def next_due(self) -> float | None:
        """When `due` has something; in the past if it has already; None if nothing is noted."""
        head = self._head()
        if not self._urgent:
            return head
        return self._urgent_since if head is None else min(head, self._urgent_since)

    @property
    def overflowed(self) -> bool:
        """Whether paths were left out since this was last asked, for lack of room: everything has to be scanned."""
        overflowed, self._overflowed = self._overflowed, False
        return overflowed

    def __len__(self) -> int:
        return len(self._urgent) + len(self._noted)

    def _head(self) -> float | None:
        """When the first path of the queue is due, after what is void or has been put off was moved out of the way."""
        while self._queue:
            queued, path = self._queue[0]
            noted = self._noted.get(path)
            if noted is None or noted.queued != queued:
                heapq.heappop(self._queue)
            elif noted.due > queued:
                noted.queued = noted.due
                heapq.heapreplace(self._queue, (noted.due, path))
            else:
                return queued
        return None
