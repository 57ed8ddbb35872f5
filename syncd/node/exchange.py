"""What a session does once it stands: a loop that listens, one that merges, one that serves. All end with the session.

They are apart so that a peer is served, and heard, while merging waits for an index that cannot be written. As long as
it can be, everything is done in the order in which it came.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from itertools import chain
from typing import Final

import structlog

from protocol.errors import RemoteError
from protocol.messages import (
    PUSH,
    AskLeaves,
    AskPages,
    AskRecords,
    Cancel,
    Get,
    Have,
    Leaves,
    Message,
    Objects,
    Pages,
    Priority,
    Records,
    Status,
)
from protocol.messages import Peers as PeersMessage
from syncd.net.session import SessionEnded
from syncd.net.weights import weight
from syncd.node.fetcher import Fetcher
from syncd.node.findings import Report
from syncd.node.hands import Hands
from syncd.node.ledger import Ledger
from syncd.node.library import Library
from syncd.node.memory import give_back
from syncd.node.peers import Peer
from syncd.node.puller import Puller
from syncd.node.telling import announce_again
from syncd.store.index import IndexFailed

STUCK_LOOK: Final = 0.25  # seconds between two looks whether merging, which takes long, waits for the index
MERGE_QUEUE: Final = 64  # messages that change the manifest and wait for the index
SERVE_QUEUE: Final = 256  # requests of one peer that wait to be served; an honest one has fewer under way
SERVE_BYTES: Final = 8 << 20  # bytes of these in memory; an honest peer asks for fewer at a time
BACKLOG_BYTES: Final = 8 << 20  # of these of all peers together
BACKLOG_SHARE: Final = 1 << 18  # of these that any peer may have, whatever the others have
GETS_AT_ONCE: Final = 64  # requests for objects that are answered in one go
SERVED_AT_ONCE: Final = 1 << 20  # bytes of answers that are made in one go, while those before them are sent
MUCH: Final = 8 << 20  # bytes of records after which, when a range is through, memory is given back
MISSED_IDS: Final = 16_384  # objects we lacked that are remembered per peer, to say when we have them

Asked = AskPages | AskLeaves | AskRecords | Get
Merged = Pages | Leaves | Records | None  # None: the peer's latest STATUS
_log = structlog.get_logger()


class Backlog:
    """What the requests of all peers of a folder take in memory that wait to be served."""

    def __init__(self) -> None:
        self.bytes = 0


class Exchange:
    """One per session. backlog: shared with the others.

    own_root(): of our manifest now. on_report(report): what a message brought. forward(message, peer): passes a push on
    that was news. on_status(peer): the peer told how it stands. on_told(peer, message): it told of others.
    before(peer): awaited before anything is merged.
    """

    def __init__(
        self,
        peer: Peer,
        ledger: Ledger,
        library: Library,
        hands: Hands,
        reader: Hands,
        fetcher: Fetcher,
        puller: Puller,
        backlog: Backlog,
        own_root: Callable[[], bytes],
        on_report: Callable[[Report], None],
        forward: Callable[[Records, Peer], None],
        on_status: Callable[[Peer], None],
        on_told: Callable[[Peer, PeersMessage], None],
        before: Callable[[Peer], Awaitable[None]],
    ) -> None:
        self.peer = peer
        self.puller = puller
        self._ledger, self._library = ledger, library
        self._hands, self._reader = hands, reader
        self._fetcher = fetcher
        self._backlog = backlog
        self._own_root = own_root
        self._on_report = on_report
        self._forward = forward
        self._on_status = on_status
        self._on_told = on_told
        self._before = before
        self._asked: asyncio.Queue[Asked] = asyncio.Queue(SERVE_QUEUE)
        self._asked_bytes = 0
        self._put_back: Asked | None = None  # taken out of the queue, and next
        self._streamed = 0  # bytes of records since memory was given back
        self._lead_free = asyncio.Event()
        self._to_merge: asyncio.Queue[Merged] = asyncio.Queue(MERGE_QUEUE)
        self._status_waits = False
        self._merged = asyncio.Event()  # nothing waits to be merged
        self._waiting: set[int] = set()  # Gets in the queue
        self._cancelled: set[int] = set()  # of these

    async def run(self) -> None:
        """Work until the session ends. A peer that breaks the rules is dropped; nothing of its message is kept."""
        session = self.peer.session
        try:
            async with asyncio.TaskGroup() as tasks:
                self.puller.begin(tasks, self.lead_is_free)
                tasks.create_task(self._listen())
                tasks.create_task(self._merge())
                tasks.create_task(self._serve())
                tasks.create_task(self._follow())
        except* SessionEnded:
            pass
        except* IndexFailed as group:
            _log.warning("session ended", peer=self.peer.name, reason=str(group.exceptions[0]))
            session.close("the index cannot be read")
        except* RemoteError as group:
            session.drop(str(group.exceptions[0]))
        except* Exception as group:
            _log.exception("session failed", peer=self.peer.name, exc_info=group)
            session.close("internal error")
        finally:
            self.puller.close()
            while not self._asked.empty():  # megabytes, which would stay until the session itself is collected
                self._asked.get_nowait()
            self._wait(-self._asked_bytes)
            self.peer.missed.clear()

    def lead_is_free(self) -> None:
        """A pull that was put off may begin: nobody else has the lead, or it was quiet for a moment."""
        self._lead_free.set()

    async def _follow(self) -> None:
        while True:
            await self._lead_free.wait()
            self._lead_free.clear()
            await self.puller.consider_again(self._own_root())

    # ---- listening

    async def _listen(self) -> None:
        await self._merged_or_stuck()
        while True:
            await self._take(await self.peer.session.next_message())

    async def _take(self, message: Message) -> None:
        if isinstance(message, Objects):
            self._fetcher.answered(self.peer.session, message)
        elif isinstance(message, Get | AskPages | AskLeaves | AskRecords):
            self._enqueue(message)
        elif isinstance(message, Pages | Leaves | Records):
            # Where a push is dropped, the root in the peer's next STATUS tells that something is missing.
            push = isinstance(message, Records) and message.id == PUSH
            if not (push and self._to_merge.full() and self._ledger.patience.trouble is not None):
                await self._enqueue_merge(message)
        elif isinstance(message, Status):
            await self._take_status(message)
        elif isinstance(message, Have):
            self._fetcher.offers(self.peer.session, message.contents)
        elif isinstance(message, Cancel):
            self._cancelled |= self._waiting.intersection(message.ids)
        elif isinstance(message, PeersMessage):
            self._on_told(self.peer, message)
        else:
            raise RemoteError(f"an unexpected {type(message).__name__}")

    def _enqueue(self, message: Asked) -> None:
        self._wait(weight(message))
        crowded = self._backlog.bytes > BACKLOG_BYTES and self._asked_bytes > BACKLOG_SHARE
        if self._asked.full() or self._asked_bytes > SERVE_BYTES or crowded:
            raise RemoteError("too many requests wait to be served")
        self._asked.put_nowait(message)
        if isinstance(message, Get):
            self._waiting.add(message.id)

    def _wait(self, size: int) -> None:
        self._asked_bytes += size
        self._backlog.bytes += size

    async def _take_push(self, message: Records) -> None:
        news, blobs = False, message.blobs
        reports, done = self._ledger.receive(message), False
        while not done:
            found, done = await self._hands.steps(reports)
            for report in found:
                self._fetcher.offer(blobs)
                self._on_report(report)
                news, blobs = news or bool(report.news), ()
        if news:
            self._forward(message, self.peer)

    async def _take_status(self, message: Status) -> None:
        before, self.peer.status = self.peer.status, message
        if message == before:  # it asks for ours
            announce_again(self.peer, asyncio.get_running_loop().time())
        if before is None or message.need_files < before.need_files or message.root != before.root:
            self._fetcher.refresh(self.peer.session)
        self._on_status(self.peer)
        if not self._status_waits:
            self._status_waits = True
            await self._enqueue_merge(None)

    # ---- merging

    async def _enqueue_merge(self, message: Merged) -> None:
        self._merged.clear()
        await self._to_merge.put(message)
        await self._merged_or_stuck()

    async def _merged_or_stuck(self) -> None:
        while not self._merged.is_set() and self._ledger.patience.trouble is None:
            try:
                async with asyncio.timeout(STUCK_LOOK):
                    await self._merged.wait()
            except TimeoutError:
                pass

    async def _merge(self) -> None:
        await self._before(self.peer)
        while True:
            if self._to_merge.empty():
                self._merged.set()
            message = await self._to_merge.get()
            if message is None:
                self._status_waits = False
                assert self.peer.status is not None
                await self.puller.consider(self.peer.status, self._own_root())
            elif isinstance(message, Records) and message.id == PUSH:
                await self._take_push(message)
            else:
                await self.puller.answer(message, self._own_root)

    # ---- serving

    async def _serve(self) -> None:
        session = self.peer.session
        while True:
            ask = await self._next_asked()
            if isinstance(ask, AskPages):
                await session.send(await self._reader.run(self._library.pages, ask))
            elif isinstance(ask, AskLeaves):
                await session.send(await self._reader.run(self._library.leaves, ask))
            elif isinstance(ask, AskRecords):
                await self._stream(self._library.records(ask), Priority.BULK if ask.small else Priority.MANIFEST)
            else:
                gets = [ask]
                while len(gets) < GETS_AT_ONCE and isinstance(get := self._take_asked(), Get):
                    gets.append(get)
                await self._serve_objects([get for get in gets if not self._is_cancelled(get)])

    async def _next_asked(self) -> Asked:
        if (ask := self._take_asked()) is None:
            ask = await self._asked.get()
            self._wait(-weight(ask))
        self._put_back = None
        return ask

    def _take_asked(self) -> Asked | None:
        """The next one that waits, if one does. What is no Get is given once more by the next call."""
        if self._put_back is None and not self._asked.empty():
            ask = self._asked.get_nowait()
            self._wait(-weight(ask))
            if isinstance(ask, Get):
                return ask
            self._put_back = ask
        return self._put_back

    def _is_cancelled(self, get: Get) -> bool:
        cancelled = get.id in self._cancelled
        self._cancelled.discard(get.id)
        self._waiting.discard(get.id)
        return cancelled

    async def _serve_objects(self, gets: list[Get]) -> None:
        """Answer several in one go: a hop between threads costs more than a small object."""
        answers = chain.from_iterable(map(self._library.objects, gets))
        left = {get.id: (get, iter(get.ids)) for get in gets}
        with closing(self._reader.ahead(answers, weight, SERVED_AT_ONCE)) as portions:
            while portion := await portions.next():
                for answer in portion:
                    self._note_missed(answer, *left[answer.id])
                await self.peer.session.send(*portion)

    def _note_missed(self, answer: Objects, get: Get, ids: Iterator[bytes]) -> None:
        for data, id_ in zip(answer.objects, ids, strict=False):
            if data is None and len(self.peer.missed) < MISSED_IDS:
                self.peer.missed.add(id_)
                if get.group:
                    self.peer.missed.add(get.group)

    async def _stream(self, answers: Iterator[Records], priority: Priority) -> None:
        goes_on = False
        with closing(self._reader.ahead(answers, weight, SERVED_AT_ONCE)) as portions:
            while portion := await portions.next():
                self._streamed += sum(map(weight, portion))
                goes_on = portion[-1].next is not None
                await self.peer.session.send(*portion, rank=priority)
        if self._streamed > MUCH and not goes_on:
            self._streamed = 0
            await self._reader.run(give_back)
