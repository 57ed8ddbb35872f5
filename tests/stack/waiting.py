"""Waiting for what happens elsewhere: looked at until it is so, or until the deadline."""

import os
import time
from collections.abc import Callable
from typing import TypeVar

# a machine that does other things at the same time is that many times slower
PATIENCE = float(os.environ.get("STACK_PATIENCE", "1"))
_T = TypeVar("_T")


def patient(deadline: float) -> float:
    """Seconds to wait on this machine, at least `deadline`."""
    return deadline * max(1.0, PATIENCE)


def until(look: Callable[[], _T], what: str, deadline: float, step: float = 0.05) -> _T:
    """The first true result of look(). Raises TimeoutError that says what did not happen within `deadline` seconds."""
    end = time.monotonic() + patient(deadline)
    while not (found := look()):
        if time.monotonic() > end:
            raise TimeoutError(f"not within {deadline:g} s: {what}")
        time.sleep(step)
    return found


class Times:
    """How long things took, printed at the end."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, float, float | None]] = []

    def measure(self, what: str, look: Callable[[], object], limit: float, deadline: float | None = None) -> float:
        """Seconds from now until look() is true; at most `limit`. Waits longer to be able to tell how much longer."""
        begun = time.monotonic()
        until(look, what, deadline or limit * 4 + 10, 0.02)
        took = time.monotonic() - begun
        self.judge(what, took, limit)
        return took

    def judge(self, what: str, took: float, limit: float) -> None:
        """Keep a row, and fail if it took longer than `limit`, or what a busy machine makes of it."""
        self.note(what, took, limit)
        assert took <= limit * PATIENCE, f"{what}: {took:.2f} s, limit {limit:g} s"

    def note(self, what: str, took: float, limit: float | None = None) -> None:
        """Keep a row for the end."""
        self.rows.append((what, took, limit))

    def text(self) -> str:
        """All rows."""
        lines = [
            f"  {took:8.2f} s  {what}{f' (limit {limit:g} s)' if limit is not None else ''}"
            for what, took, limit in self.rows
        ]
        return "\n".join(["times of the stack:", *lines])
