"""What happens on a node, in order and numbered: the latest events are kept, and a reader that is late is told so."""

import asyncio
from collections import deque
from collections.abc import Callable, Container, Iterator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

KEPT: Final = 4_096  # events that are kept for readers that are behind
KEPT_FOR_AUDIT: Final = 100_000  # while an audit log is written: a first sync brings thousands within a second

Fields = dict[str, Any]


class _Batch(NamedTuple):
    """Events of one moment. Their fields are only made when somebody reads them: most are never read."""

    first: int  # number of the first of them
    number: int  # of them
    event: str
    when: int  # wall clock, ns
    unfold: Callable[[], Iterator[Fields]]


class Events:
    """A ring. clock: wall time, ns. kept: events at least, beside those of the latest batch. Used in the event loop."""

    def __init__(self, clock: Callable[[], int], kept: int = KEPT) -> None:
        self._clock = clock
        self._batches: deque[_Batch] = deque()
        self._held = 0
        self._waiting: set[asyncio.Future[None]] = set()
        self._closed = False
        self.kept = kept
        self.last = 0  # number of the latest event; the first one is 1
        self.readers = 0
        self.audited = False

    @property
    def wants_authors(self) -> bool:
        """Whether it is worth finding out who wrote what is applied."""
        return self.audited or self.readers > 0

    def put(self, event: str, folder: str = "", **fields: Any) -> None:
        """One event."""
        self.put_all(event, folder, (fields,), lambda item: item)

    def put_all(self, event: str, folder: str, items: Sequence[Any], fields: Callable[[Any], Fields]) -> None:
        """An event per item. fields(item): called when somebody reads it."""
        if not items:
            return
        head = {"event": event, "folder": folder} if folder else {"event": event}
        unfold = lambda: ({**head, **fields(item)} for item in items)  # noqa: E731 -- of this batch
        batch = _Batch(self.last + 1, len(items), event, self._clock(), unfold)
        self._batches.append(batch)
        self.last += batch.number
        self._held += batch.number
        while self._held - self._batches[0].number >= self.kept:
            self._held -= self._batches.popleft().number
        self._wake()

    def read(self, after: int, limit: int) -> tuple[int, list[Fields]]:
        """How many after number `after` are not kept any more, and up to `limit` of those that are.

        Each has its number as `seq` and its time as `time_ns`.
        """
        oldest = self._batches[0].first if self._batches else self.last + 1
        missed = max(0, oldest - 1 - after)
        after += missed
        found: list[Fields] = []
        for batch in self._batches:
            if len(found) >= limit:
                break
            skip = max(0, after + 1 - batch.first)
            for place, fields in enumerate(islice(batch.unfold(), skip, skip + limit - len(found)), skip):
                found.append({"seq": batch.first + place, "time_ns": batch.when, **fields})
        return missed, found

    def select(self, after: int, types: Container[str]) -> tuple[int, list[Fields]]:
        """The number of the latest event, and those of some types after number `after` that are kept.

        Of those that are not kept any more an event "missed" with their `count` tells.
        """
        oldest = self._batches[0].first if self._batches else self.last + 1
        missed = max(0, oldest - 1 - after)
        found: list[Fields] = []
        for batch in reversed(self._batches):
            if batch.first + batch.number - 1 <= after:
                break
            if batch.event in types:
                skip = max(0, after + 1 - batch.first)
                numbered = enumerate(islice(batch.unfold(), skip, None), batch.first + skip)
                found[:0] = [{"seq": seq, "time_ns": batch.when, **fields} for seq, fields in numbered]
        return self.last, ([{"event": "missed", "count": missed}] if missed else []) + found

    async def wait(self, after: int) -> bool:
        """Returns when there is an event after number `after`: whether there is; False at the end of the node."""
        while self.last <= after and not self._closed:
            news = asyncio.get_running_loop().create_future()
            self._waiting.add(news)
            try:
                await news
            finally:
                self._waiting.discard(news)
        return self.last > after

    def close(self) -> None:
        """There will be no more."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        for news in self._waiting:
            if not news.done():
                news.set_result(None)
