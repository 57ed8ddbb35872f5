"""Worker threads with one job each: calls are taken in order, so that what they own needs no locks."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import suppress
from queue import SimpleQueue
from time import monotonic
from typing import Any, Final, Generic, NamedTuple, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

STEPS_SECONDS: Final = 0.02  # that steps of one iterator may take before other calls have their turn


class Hands:
    """One thread. name: for the process list and tracebacks. clock: seconds, monotonic."""

    def __init__(self, name: str, clock: Callable[[], float] = monotonic) -> None:
        self._thread = _Thread(name)
        self._clock = clock

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of the call, made in the thread after all calls before it. Pass batches: a hop costs 0.1 ms."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: function(*args, **kwargs))

    async def steps(
        self, iterator: Iterator[T], size: Callable[[T], int] = lambda _: 0, most: int = 1
    ) -> tuple[list[T], bool]:
        """(the next items of an iterator, whether it has no more): one hop for all that come in STEPS_SECONDS.

        size(item), most: so much is enough.
        """
        return await self.run(_take, iterator, size, most, self._clock)

    def ahead(self, iterator: Iterator[T], size: Callable[[T], int], most: int) -> "Ahead[T]":
        """The items of an iterator in portions as by `steps`, each made while the one before it is in use."""
        return Ahead(self._thread, lambda: _take(iterator, size, most, self._clock))

    def close(self) -> None:
        """Let the call under way end; take no more."""
        self._thread.shutdown()


class Ahead(Generic[T]):
    """Portions of an iterator. To be closed when no more are wanted, though it may be at work until the thread's next
    call.
    """

    def __init__(self, thread: "_Thread", take: Callable[[], tuple[list[T], bool]]) -> None:
        self._thread, self._take = thread, take
        self._following: asyncio.Future[tuple[list[T], bool]] | None = self._begin()

    async def next(self) -> list[T]:
        """The next portion, empty behind the last one. Raises what the iterator raises."""
        while self._following is not None:
            items, done = await self._following
            self._following = None if done else self._begin()
            if items:
                return items
        return []

    def close(self) -> None:
        """Whatever comes now is not wanted any more."""
        if self._following is not None:
            self._following.cancel()

    def _begin(self) -> "asyncio.Future[tuple[list[T], bool]]":
        return asyncio.get_running_loop().run_in_executor(self._thread, self._take)


class _Call(NamedTuple):
    """function: to be called. future: of `loop`, hears what came of it."""

    function: Callable[[], Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


class _Thread(Executor):
    """An executor of one thread that answers to the loop itself.

    The futures of concurrent.futures, each with a lock of its own and a copy in the loop, cost several times as much.
    It begins with the first call. It is a daemon since one that nobody closes must not keep the process from ending.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._queue: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._shutdown = False

    def submit(self, function: Callable[[], Any], /) -> asyncio.Future[Any]:  # type: ignore[override]
        """Queue a call, from the loop whose future it gives. Raises RuntimeError after the end."""
        if self._shutdown:
            raise RuntimeError("a call for hands that were closed")
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._queue.put(_Call(function, future, loop))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = True) -> None:
        """Wait for the call under way; those behind it are cancelled."""
        self._shutdown = True
        self._queue.put(None)
        if self._thread is not None and wait:
            self._thread.join()

    def _work(self) -> None:
        while (call := self._queue.get()) is not None:
            if self._shutdown:
                _tell(call, call.future.cancel)
            elif not call.future.cancelled():
                _answer(call)
            del call  # and all that it holds, before the next one comes


def _answer(call: _Call) -> None:
    try:
        result = call.function()
    except BaseException as error:
        failure = error  # the name `error` ends with this clause
        _tell(call, lambda: None if call.future.done() else call.future.set_exception(failure))
    else:
        _tell(call, lambda: None if call.future.done() else call.future.set_result(result))


def _tell(call: _Call, news: Callable[[], object]) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        call.loop.call_soon_threadsafe(news)


def _take(
    iterator: Iterator[T], size: Callable[[T], int], most: int, clock: Callable[[], float]
) -> tuple[list[T], bool]:
    until = clock() + STEPS_SECONDS
    items: list[T] = []
    taken = 0
    for item in iterator:
        items.append(item)
        taken += size(item)
        if taken >= most or clock() >= until:
            return items, False
    return items, True
