"""How fast needs shrink, seen over the statuses of a live view."""

from collections import deque
from collections.abc import Mapping
from typing import Any

WINDOW = 10.0  # seconds over which the speed is the mean


class Progress:
    """Remembers enough of earlier statuses to say how far and how fast. `now` is in seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._most: dict[tuple[str, str], int] = {}
        self._seen: dict[str, deque[tuple[float, int]]] = {}

    def see(self, report: Mapping[str, Any], now: float) -> None:
        """Take in a status."""
        for folder in report["folders"]:
            seen = self._seen.setdefault(folder["dir"], deque())
            seen.append((now, folder["need_bytes"]))
            while now - seen[0][0] > WINDOW:
                seen.popleft()
            for each in folder["classes"]:
                key = (folder["dir"], each["class"])
                self._most[key] = max(self._most.get(key, 0), each["need_bytes"], each.get("bytes", 0))

    def share(self, folder: Mapping[str, Any], each: Mapping[str, Any]) -> float:
        """How much of a class is there, 0 to 1: of its bytes where they are told, else of the most it ever needed."""
        most = self._most.get((folder["dir"], each["class"]), 0)
        if each["complete"]:
            return 1.0
        return max(0.0, 1 - each["need_bytes"] / most) if most else 0.0

    def speed(self, folder: Mapping[str, Any]) -> float | None:
        """Bytes per second that the folder's need shrinks by; None where it does not."""
        seen = self._seen.get(folder["dir"])
        if not seen or seen[-1][0] <= seen[0][0]:
            return None
        shrunk = seen[0][1] - seen[-1][1]
        return shrunk / (seen[-1][0] - seen[0][0]) if shrunk > 0 else None

    def left(self, folder: Mapping[str, Any]) -> float | None:
        """Seconds until nothing is needed, at this speed; None where there is none."""
        speed = self.speed(folder)
        return folder["need_bytes"] / speed if speed else None
