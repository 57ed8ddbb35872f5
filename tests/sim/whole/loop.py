"""An event loop on virtual time: when nothing is ready the clock jumps to the next timer. No thread, no socket."""

import asyncio
import heapq
import os
import random
from collections.abc import Callable, Container
from contextvars import ContextVar
from typing import Any

CALL_DELAY = (0.00002, 0.003)  # seconds until a worker thread begins a call, and until its result is heard of
ORDER = 1e-7  # seconds between two results of one thread
SLOW_CALLS = 0.03  # share of calls that wait SLOW_FACTOR times as long
SLOW_FACTOR = 100


class Killed(BaseException):
    """The node ends here and now, as by SIGKILL: nothing of it runs any more."""


class Refusal:
    """A disk that fails: calls of some names, after the first few, some number of times. code: as in `errno`."""

    def __init__(self, code: int, names: Container[str], after: int, times: int) -> None:
        self.code, self.names, self.after, self.times = code, names, after, times
        self.struck = 0

    def strike(self, name: str) -> None:
        """Raises OSError if this call is one that fails."""
        if name not in self.names or self.struck >= self.times:
            return
        if self.after:
            self.after -= 1
            return
        self.struck += 1
        raise OSError(self.code, os.strerror(self.code))


class Life:
    """One run of a node. What was scheduled by it is dropped once it is dead.

    wall(): the clock of its machine, ns. boot: number of times that its machine came up. effects: calls so far that a
    kill or a user may come before. refusal: how its disk fails.
    """

    def __init__(self, number: int, wall: Callable[[], int], boot: int) -> None:
        self.number, self.wall, self.boot = number, wall, boot
        self.refusal: Refusal | None = None
        self.on_durable: Callable[[], None] = lambda: None  # after a commit that a power cut leaves
        self.dead = False
        self.effects = 0
        self.kill_at: int | None = None
        self.between: list[tuple[int, Callable[[], None]]] = []  # (effect, what a user does just before it)
        self.descriptors: set[int] = set()
        self.connections: list[Any] = []  # to databases
        self.on_kill: Callable[[], None] = lambda: None
        self.on_renamed: Callable[[], None] = lambda: None  # the node renamed or removed something


LIFE: ContextVar[Life | None] = ContextVar("life", default=None)


class SimLoop(asyncio.BaseEventLoop):
    """rng: for the delays of worker threads. network: answers for servers and connections; set by the world."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._now = 0.0
        self._random = rng
        self._free: dict[Any, float] = {}  # {executor: when its last call began}
        self._heard: dict[Any, float] = {}  # {executor: when its last result was told}: in order, as of a real thread
        self.network: Any = None
        self.readers: dict[int, Callable[[], None]] = {}
        self.kept: list[asyncio.Task[Any]] = []  # a collected coroutine would run its clean-up as somebody else
        self.calls = 0
        self.set_task_factory(self._make_task)

    def _make_task(self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, **options)
        self.kept.append(task)
        return task

    def time(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Let virtual time pass."""
        until = self._now + seconds
        asyncio.events._set_running_loop(self)
        try:
            while True:
                self._run_ready()
                while self._scheduled and self._scheduled[0]._cancelled:
                    heapq.heappop(self._scheduled)._scheduled = False
                if not self._scheduled or self._scheduled[0]._when > until:
                    break
                timer = heapq.heappop(self._scheduled)
                timer._scheduled = False
                self._now = max(self._now, timer._when)
                self._ready.append(timer)
            self._now = until
        finally:
            asyncio.events._set_running_loop(None)

    def _run_ready(self) -> None:
        while self._ready:
            handle = self._ready.popleft()
            life = handle._context.get(LIFE)
            if not handle._cancelled and (life is None or not life.dead):
                self.calls += 1
                handle._run()

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass

    def end(self) -> None:
        """Drop everything that is left."""
        self._ready.clear()
        self._scheduled.clear()
        for task in self.kept:
            task._log_destroy_pending = False
            if not task.done():
                try:
                    task.get_coro().close()
                except BaseException:
                    pass
        self.kept.clear()
        self._ready.clear()
        self._scheduled.clear()
        self.close()

    # ---- worker threads

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """The call is made in the loop, after all earlier calls of that executor and a delay."""
        if executor._shutdown:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future = self.create_future()
        begin = max(self._now, self._free.get(executor, 0.0)) + self.delay(CALL_DELAY)
        self._free[executor] = begin + ORDER
        self.call_at(begin, self._call, future, func, args, executor)
        return future

    def _call(self, future: asyncio.Future[Any], func: Callable[..., Any], args: Any, executor: Any) -> None:
        try:
            result, error = func(*args), None
        except Killed:
            return
        except Exception as failure:
            result, error = None, failure
        heard = max(self._now + self.delay(CALL_DELAY), self._heard.get(executor, 0.0))
        self._heard[executor] = heard + ORDER
        self.call_at(heard, _tell, future, result, error)

    def delay(self, bounds: tuple[float, float]) -> float:
        """Seconds, mostly near the lower bound; now and then far above the upper one."""
        low, high = bounds
        drawn = low + (high - low) * self._random.random() ** 3
        return drawn * SLOW_FACTOR if self._random.random() < SLOW_CALLS else drawn

    # ---- what the network answers

    async def create_server(self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:  # type: ignore[override]
        return self.network.listen(protocol_factory, host, port)

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:  # type: ignore[override]
        return await self.network.connect(protocol_factory, host, port)

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> Any:  # type: ignore[override]
        return [(2, 1, 6, "", (host, port))]

    def add_reader(self, fd: Any, callback: Callable[..., Any], *args: Any) -> None:
        self.readers[fd] = callback

    def remove_reader(self, fd: Any) -> bool:
        return self.readers.pop(fd, None) is not None


def _tell(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
