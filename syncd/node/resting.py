"""Needed paths that had a problem: each waits, longer after every failure, while others go on."""

import asyncio
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from typing import Final

from syncd.core.events import Action, Problem
from syncd.store.applier import Outcome, Result

FIRST_RETRY: Final = 1.0  # seconds until a path with a problem is tried again
LAST_RETRY: Final = 60.0
KEPT: Final = 65_536  # paths that are remembered; the oldest of more are tried again sooner
UNPUBLISHED: Final = "what is on the disk is not what was last seen there"


@dataclass(slots=True)
class _Trouble:
    problem: Problem
    failures: int
    due: float  # loop time of the next try


class Resting:
    """retry(): called when something is due."""

    def __init__(self, retry: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._retry = retry
        self._timer: asyncio.TimerHandle | None = None
        self._troubles: dict[bytes, _Trouble] = {}
        self._parked: dict[bytes, list[bytes]] = {}  # contents that nobody had, and the keys that want them
        self._differed: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._troubles)

    def problems(self) -> list[Problem]:
        """Of all paths, with the reasons."""
        return [trouble.problem for trouble in self._troubles.values()]

    def keys(self) -> list[bytes]:
        """Of all paths."""
        return list(self._troubles)

    # ---- in

    def put(self, key: bytes, problem: Problem) -> None:
        """The path could not be brought up to date."""
        before = self._troubles.get(key)
        failures = before.failures + 1 if before is not None else 0
        delay = min(LAST_RETRY, FIRST_RETRY * 2**failures)
        if before is None and len(self._troubles) >= KEPT:
            del self._troubles[next(iter(self._troubles))]
        self._troubles[key] = _Trouble(problem, failures, self._loop.time() + delay)
        self._arm(self._troubles[key].due)

    def settle(self, action: Action, result: Result) -> bool:
        """What became of an action. Whether its path must be looked at, since the disk is not what the index saw."""
        if result.outcome == Outcome.DONE:
            self.done(action.key)
            return False
        if result.problem is not None:
            self.put(action.key, result.problem)
        elif result.outcome == Outcome.DIFFERS:
            self.differed(action.key, action.path)
        return result.outcome == Outcome.DIFFERS

    def park(self, content: bytes, key: bytes, problem: Problem) -> None:
        """Nobody has the content that the path needs."""
        if len(self._parked) > KEPT:
            self._parked.clear()
        self._parked.setdefault(content, []).append(key)
        self.put(key, problem)

    def differed(self, key: bytes, path: bytes) -> None:
        """The disk was not as the index saw it. It is looked at now, which settles it as a rule; but if it cannot be
        settled, as with an edit that no peer would accept, the second time in a row is a problem.
        """
        if key not in self._differed:
            if len(self._differed) >= KEPT:
                self._differed.clear()
            self._differed.add(key)
            return
        self._differed.discard(key)
        self.put(key, Problem(path, "write", UNPUBLISHED))

    # ---- out

    def done(self, key: bytes) -> None:
        """The path is up to date."""
        self._troubles.pop(key, None)
        self._differed.discard(key)

    def forget(self, keys: Iterable[bytes], needed: Container[bytes]) -> None:
        """Drop those of `keys` that are not in `needed`."""
        for key in keys:
            if key not in needed:
                self.done(key)

    def wake(self, contents: Iterable[bytes] | None = None) -> bool:
        """Somebody may have these contents now, or any. Whether a path waits for one of them."""
        found = False
        for content in list(self._parked) if contents is None else contents:
            for key in self._parked.pop(content, ()):
                trouble = self._troubles.get(key)
                if trouble is not None and trouble.problem.operation == "fetch":
                    trouble.due = 0.0
                    found = True
        return found

    def hurry(self) -> None:
        """Nothing rests any longer: all is tried again at once."""
        for trouble in self._troubles.values():
            trouble.due = 0.0
        self._retry()

    @property
    def due(self) -> bool:
        """Whether a path may be tried again."""
        now = self._loop.time()
        return any(trouble.due <= now for trouble in self._troubles.values())

    def resting(self) -> list[bytes]:
        """Keys that are not to be tried yet."""
        now = self._loop.time()
        waiting = {key: trouble.due for key, trouble in self._troubles.items() if trouble.due > now}
        if waiting:
            self._arm(min(waiting.values()))
        return list(waiting)

    def _arm(self, due: float) -> None:
        """Call `retry` at `due`, or sooner if that was planned already."""
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._retry()
