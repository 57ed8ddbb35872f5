"""Brings the disk to what the manifest shows: needs become jobs, jobs become requests, answers become applied files.

One task. Needs are taken from the index a window at a time in the order of the classes; contents that are somewhere in
the folder already are copied; the rest is asked of peers; what is complete is applied in batches.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from protocol.content import block_id, segment_id
from protocol.errors import RemoteError
from protocol.keys import FolderKeys
from protocol.messages import Objects
from syncd.core.events import Action, Problem
from syncd.core.scheduler import Scheduler
from syncd.core.units import Arrivals
from syncd.net.session import Session
from syncd.node.alarm import Alarm
from syncd.node.findings import Report, StoredContent
from syncd.node.gathering import Gathering
from syncd.node.hands import Hands
from syncd.node.keeping import LARGE, RANK, Keeping
from syncd.node.ledger import Ledger
from syncd.node.losers import Deposit, Losers, LoserSupply
from syncd.node.missing import NOBODY, Missing
from syncd.node.offers import Offers
from syncd.node.pool import Pool
from syncd.node.resting import Resting
from syncd.node.rests import Rests
from syncd.node.sources import Sources, Supplied
from syncd.node.underway import Content, Underway
from syncd.node.wishes import Wishes, as_messages
from syncd.node.yard import Yard
from syncd.store.applier import Job, Outcome, Source

HELD_JOBS: Final = 4_096  # paths under way at most
LOAD_ROWS: Final = 1_000  # needs taken from the index at once
APPLY_JOBS: Final = 512  # jobs in one batch of renames
BEGIN_AT_ONCE: Final = 64  # large files that are begun in one go: each takes some system calls
WRITE_BYTES: Final = 4 << 20  # bytes of blocks handed to the staging at once
UNWRITTEN_MOST: Final = 8 << 20  # bytes of blocks above which nothing more is asked for: the disk is behind
PARK_INTERVAL: Final = 0.5  # seconds between two looks for contents that leave no room and that nobody has


class Fetcher:
    """See the module. on_report(report): takes what a batch of the ledger brought. losers: None if none are kept here.

    arrivals: which units have arrived whole.

    tidy(): called in the worker thread when no content is under way.
    """

    def __init__(
        self,
        keys: FolderKeys,
        ledger: Ledger,
        sources: Sources,
        losers: Losers | None,
        yard: Yard,
        arrivals: Arrivals,
        hands: Hands,
        on_report: Callable[[Report], None],
        tidy: Callable[[], None],
    ) -> None:
        assert keys.block_key is not None
        self._block_key = keys.block_key
        self._ledger, self._sources, self._losers = ledger, sources, losers
        self._hands, self._on_report = hands, on_report
        self._tidy, self._untidy = tidy, True
        self._loop, self._wake = asyncio.get_running_loop(), asyncio.Event()
        self.scheduler = Scheduler()
        self._contents = Underway()
        self._wishes = Wishes(self.scheduler)
        self._held: dict[bytes, bytes] = {}  # keys under way, and the content each waits for or b""
        self._ready, self._finished = list[Job](), list[StoredContent]()
        self._arrived: deque[tuple[bytes, bytes, bytes | memoryview]] = deque()  # content, block, bytes
        self._unwritten = 0  # bytes of these, and of those that are being written
        self._segments: list[bytes] = []  # contents for which a segment came
        self._offers, self._missing, self._pool = Offers(), Missing(), Pool(self._wake)
        self._park_due, self._last_request = 0.0, 0
        self._alarm = Alarm(self._wake)  # for when the scheduler has to be asked though nothing happens
        self._load_due, self._ending = True, False
        self._landed = asyncio.Event()  # nothing is on its way any more, or something less
        self._peers: dict[Session, None] = {}  # that may be asked
        self._keeping, self._rests = Keeping(self._wake.set), Rests(self._wake.set)
        self._deposits: list[Deposit] = []
        self._spare: dict[bytes, bytes] = {}  # small contents that came along and that nothing in the tree needs
        self.trouble = Resting(self.kick)
        self._gathering = Gathering(yard, hands, arrivals, self.trouble, on_report, self.kick)
        self.fetched_bytes = 0

    # ---- what others tell

    def kick(self) -> None:
        """There may be new needs."""
        self._load_due = True
        self._wake.set()

    def join(self, session: Session) -> None:
        """A peer that may be asked."""
        self.scheduler.join(session)
        self._peers[session] = None
        self._keeping.rouse()
        self._keeping.due = True
        self._load_due |= self.trouble.wake()
        self._wake.set()

    def leave(self, session: Session) -> None:
        """The session is over."""
        self.scheduler.leave(session)
        self._landed.set()
        self._peers.pop(session, None)
        self._wake.set()

    def refresh(self, session: Session) -> None:
        """The peer's state changed; it may have what it lacked."""
        self.scheduler.refresh(session)
        self._wake.set()

    def offers(self, session: Session, ids: tuple[bytes, ...]) -> None:
        """The peer says that it has these contents now."""
        self.scheduler.offers(session, ids)
        self._load_due |= self.trouble.wake(ids)
        self._keeping.rouse(ids)
        self._wake.set()

    def offer(self, blobs: tuple[bytes, ...]) -> None:
        """Small contents that came along with records."""
        for blob in blobs:
            id_ = block_id(self._block_key, blob)
            if id_ in self._wishes:
                self._take(id_, blob)
            else:
                self._offers.add(id_, bytes(blob))

    def answered(self, session: Session, message: Objects) -> None:
        """An answer came. Raises RemoteError for bytes that are not what they are named by."""
        now = self._loop.time()
        if message.id > self._last_request:
            raise RemoteError("objects that nobody asked for")
        ids = self.scheduler.match(session, message.id, len(message.objects))
        name = segment_id if message.kind else block_id
        for id_, data in zip(ids, message.objects, strict=False):
            if data is not None and name(self._block_key, data) != id_:
                raise RemoteError("an object that is not what was asked for")
            size = -1 if data is None else len(data)
            if self.scheduler.arrived(message.id, id_, size, now) and data is not None:
                self.fetched_bytes += size
                (self._take_segment if message.kind else self._take)(id_, data)
        if message.last:
            self.scheduler.finished(message.id)
            self._landed.set()
            self._request()  # at once: the task may be waiting for the disk
        self._wake.set()

    def revise(self, keys: list[bytes]) -> None:
        """The manifest changed at these keys: what is under way for them may be out of date, so it is planned again."""
        self._gathering.drop(keys)
        overtaken = self._held.keys() & set(keys)
        for key in overtaken:
            content = self._contents.get(self._held.pop(key))
            if content is not None:
                content.actions = [action for action in content.actions if action.key != key]
                if not content.actions and content.loser is None:
                    self._cancel(content)
        if overtaken:
            self._ready = [job for job in self._ready if job.action.key not in overtaken]
        self.kick()

    def promise(self) -> None:
        """Tell the gauge how much is on its way in memory."""
        self._sources.gauge.promised = self._contents.small_bytes

    def room_is_back(self) -> None:
        """What waited for room on the disk need not wait any more."""
        self._rests.end()
        self._keeping.rouse()
        self._keeping.due = True
        self.trouble.hurry()

    def start_anew(self) -> None:
        """The index goes on as somebody else: nothing that was planned before may be done."""
        self.revise([*self._held, *self._gathering.here()])

    # ---- the task

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._pool.wait(lambda: bool(self.scheduler.in_flight), self._request)
            await self._write_blocks()
            await self._apply()
            if self._load_due and not self._room():
                self._park()
            while self._load_due and self._room():
                await self._load()
                self._request()
                await self._apply()
            await self._gathering.show(self._held)
            self._request()  # finds out what nobody has
            await self._seek_losers()
            self._request()
            if self._untidy and not self.busy:
                self._untidy = False
                await self._hands.run(self._tidy)

    async def wind_down(self, seconds: float) -> None:
        """Ask for nothing more and stage what is on its way, so that the next start goes on from there."""
        self._ending = True
        try:
            async with asyncio.timeout(seconds):
                while self.scheduler.in_flight:
                    self._landed.clear()
                    await self._landed.wait()
                await self._write_blocks()
                await self._hands.run(lambda: None)  # behind what `run` hands over
        except TimeoutError:
            pass

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""
        return bool(self._held or self._ready or self._keeping.under_way or self._gathering.busy)

    def problems(self) -> list[Problem]:
        """The paths that could not be applied, with the reasons; also those whose bytes nobody has had for a while."""
        stuck = [content for content in self._contents.values() if content.actions and self._wishes.is_stuck(content)]
        for session in self._peers if self._missing.asks_again(stuck, self._loop.time()) else ():
            self.refresh(session)
        return self.trouble.problems() + self._missing.problems(stuck, self._loop.time(), asked=bool(self._peers))

    async def forget_settled(self) -> None:
        """Drop the trouble of paths that nothing is needed for any more."""
        keys = self.trouble.keys()
        self.trouble.forget(keys, await self._hands.run(self._sources.still_needed, keys))

    # ---- needs become jobs

    async def _load(self) -> None:
        self._load_due = False
        if self._ending:
            return
        if self.trouble.due:
            await self.forget_settled()
        offered = self._offers.take()
        busy = frozenset([*self._held, *self.trouble.resting(), *self._gathering.here()])
        began = self._loop.time()
        self.promise()
        load = await self._hands.run(self._sources.load, busy, LOAD_ROWS, offered)
        for key, problem in load.refused.items():
            self.trouble.put(key, problem)
        self._rests.looked(scarce=load.scarce, more=load.more, began=began)
        for item in load.items:
            self._start(item)
        self._gathering.loaded(load)
        self._load_due |= load.more
        self._spare = offered
        self._keeping.due = True

    def _room(self) -> bool:
        return self._rests.over and len(self._held) < HELD_JOBS and self._contents.has_room

    def _park(self) -> None:
        """There is no room: put to rest what no peer at hand has, so that it does not keep others waiting."""
        if (now := self._loop.time()) < self._park_due:
            return
        self._park_due = now + PARK_INTERVAL
        self._loop.call_at(self._park_due, self._wake.set)
        for content in list(self._contents.values()):
            if content.actions and self._wishes.is_stuck(content):
                self._cancel(content)
                for action in content.actions:
                    self._held.pop(action.key, None)
                    self.trouble.park(content.content, action.key, Problem(action.path, "fetch", NOBODY))

    def _start(self, item: Supplied) -> None:
        self._untidy = True
        if item.unit is not None and self._gathering.meet(item):
            return
        self._held[item.action.key] = b""
        if item.source is not None or not item.fetch:
            self._ready.append(self._job(item.action, item.source))
            return
        want = item.action.want
        assert want is not None
        if (offered := self._offers.pop(want.content)) is not None:  # it came while the needs were being loaded
            self._ready.append(self._job(item.action, offered))
            return
        self._held[item.action.key] = want.content
        content = self._contents.get(want.content)
        if content is not None:
            content.actions.append(item.action)
            self._wishes.hasten(content, item.rank, item.order)
            return
        self._begin(Content(want.content, want.size, item.rank, item.order, [item.action], item.assembly))

    def _begin(self, content: Content) -> None:
        self._contents.begin(content)
        self._wishes.want(content)
        if content.assembly is not None:  # all of its blocks may be here already
            self._check_complete(content)

    def _job(self, action: Action, source: Source) -> Job:
        return Job(action, source, self._gathering.is_part(action.key))

    # ---- answers become files

    def _take(self, id_: bytes, data: bytes | memoryview) -> None:
        self.scheduler.drop((id_,))
        self._pool.add(len(data))
        for name in self._wishes.came(id_):
            content = self._contents.get(name)
            if content is None:
                continue
            content.asked.pop(id_, None)
            self._wishes.more(content)
            if content.assembly is None:
                self._complete(content, bytes(data))
            else:
                self._arrived.append((name, id_, data))
                self._unwritten += len(data)

    def _take_segment(self, id_: bytes, data: bytes | memoryview) -> None:
        for name in self._wishes.came(id_):
            content = self._contents.get(name)
            if content is None or content.assembly is None:
                continue
            content.asked.pop(id_, None)
            try:
                if not self._contents.lengthen(content, len(data)):
                    raise RemoteError("its block list and those of others under way are too long")
                content.assembly.add_segment(id_, bytes(data))
            except RemoteError as error:  # of the content's author: who passes it on cannot know
                self._fail(content, str(error))
            else:
                self._segments.append(name)

    async def _write_blocks(self) -> None:
        while self._segments or self._arrived:
            await self._begin_files()
            await self._write_arrived()

    async def _begin_files(self) -> None:
        """Segments came: begin some of the files that have all of theirs now, so that their blocks are under way."""
        named = dict.fromkeys(self._segments[:BEGIN_AT_ONCE])
        self._segments = self._segments[BEGIN_AT_ONCE:]
        here = [content for name in named if (content := self._contents.get(name)) is not None]
        if not here:
            return
        assemblies = [content.assembly for content in here if content.assembly is not None]
        failed = dict(await self._hands.run(self._sources.advance, assemblies))
        for waiting in here:
            if self._contents.get(waiting.content) is not waiting or waiting.assembly is None:
                continue
            if waiting.assembly in failed:
                self._fail(waiting, failed[waiting.assembly])
            else:
                self._wishes.want(waiting)
                self._check_complete(waiting)
        self._request()

    async def _write_arrived(self) -> None:
        batch, size = [], 0
        while self._arrived and size < WRITE_BYTES:
            name, id_, data = self._arrived.popleft()
            size += len(data)
            content = self._contents.get(name)
            if content is not None and content.assembly is not None:
                batch.append((content.assembly, id_, data))
        failed = await self._hands.run(self._sources.write, batch) if batch else []
        self._unwritten -= size
        self._request()
        for assembly, reason in failed:
            if assembly.content in self._contents:
                self._fail(self._contents[assembly.content], reason)
        for name in {assembly.content for assembly, _, _ in batch}:
            if name in self._contents:
                self._check_complete(self._contents[name])

    def _check_complete(self, content: Content) -> None:
        assert content.assembly is not None
        if content.assembly.complete:
            stored = content.assembly.stored()
            if stored is not None:
                self._finished.append(stored)
            self._complete(content, None)

    def _complete(self, content: Content, data: bytes | None) -> None:
        self._contents.end(content)
        staged = content.assembly.staged if content.assembly is not None else None
        if content.loser is not None:
            source = data if data is not None else staged
            if not content.actions and source is not None:
                self._deposits.append(Deposit(content.loser, source))
            else:  # the tree comes first; the archive gets a copy of what is there then
                self._keeping.under_way.discard(content.content)
        for action in content.actions[:1]:
            self._ready.append(self._job(action, data if data is not None else staged))
        for action in content.actions[1:]:
            if data is not None:
                self._ready.append(self._job(action, data))
            else:
                self._held.pop(action.key, None)
                self._load_due = True

    def _cancel(self, content: Content) -> None:
        """Stop asking for a content. What is staged stays, open too: the worker thread may be writing to it."""
        self._contents.end(content)
        self._keeping.under_way.discard(content.content)
        self._wishes.drop(content)

    def _fail(self, content: Content, reason: str) -> None:
        self._cancel(content)
        if content.loser is not None:
            self._keeping.rest(content.content)
        for action in content.actions:
            self._held.pop(action.key, None)
            self.trouble.put(action.key, Problem(action.path, "write", reason))

    # ---- what loses goes to the archive, when the tree has all that it can get

    async def _seek_losers(self) -> None:
        await self._deposit()
        if self._losers is None or not self._peers:
            return
        for name in list(self._keeping.under_way):
            content = self._contents.get(name)
            if content is not None and not content.actions and self._wishes.is_stuck(content):
                self._cancel(content)
                self._keeping.rest(name)
        if not self._keeping.due or self._load_due or self._ready:
            return
        if any(content.actions and not self._wishes.is_stuck(content) for content in self._contents.values()):
            return
        while (room := self._keeping.room) > 0:
            offered, self._spare = self._spare, {}
            held = self._keeping.left_alone.union(self._contents)
            large = LARGE - sum(1 for content in self._contents.values() if content.loser and content.assembly)
            load = await self._hands.run(self._losers.load, held, room, large, offered)
            for item in load.items:
                self._start_loser(item)
            self._request()
            await self._deposit()
            self._keeping.due = load.more
            if not load.more:
                return

    def _start_loser(self, item: LoserSupply) -> None:
        loser = item.loser
        self._keeping.under_way.add(loser.content)
        self._untidy = True
        if item.source is not None:
            self._deposits.append(Deposit(loser, item.source))
            return
        self._begin(Content(loser.content, loser.size, RANK, 0, assembly=item.assembly, loser=loser))

    async def _deposit(self) -> None:
        while self._deposits and self._losers is not None:
            batch, self._deposits = self._deposits, []
            contents, self._finished = self._finished, []
            report, failed = await self._hands.run(self._losers.deposit, batch, contents)
            for deposit in batch:
                self._keeping.under_way.discard(deposit.loser.content)
            for deposit in failed:
                self._keeping.rest(deposit.loser.content)
            self._on_report(report)
            self._keeping.due = True

    # ---- jobs become files

    async def _apply(self) -> None:
        while self._ready:
            jobs, self._ready = self._ready[:APPLY_JOBS], self._ready[APPLY_JOBS:]
            contents, self._finished = self._finished, []
            report = await self._hands.run(self._ledger.apply, jobs, contents)
            strange = []
            for job, result in zip(jobs, report.results, strict=True):
                self._held.pop(job.action.key, None)
                if result.outcome is Outcome.STOCKED:
                    self._gathering.stocked(job.action.key)
                elif self.trouble.settle(job.action, result) or (result.touched and not self._ledger.replica.fresh):
                    strange.append(result.path)
            self._on_report(report)
            if strange:
                self._on_report(await self._hands.run(self._ledger.observe, strange))
            self._load_due = True

    def _request(self) -> None:
        if self._ending or self._unwritten > UNWRITTEN_MOST:
            return
        now = self._loop.time()
        for peer, gets in as_messages(self.scheduler.requests(now)).items():
            assert isinstance(peer, Session)
            self._last_request = max(self._last_request, gets[-1].id)
            peer.post(*gets)
        self._alarm.at(self.scheduler.next_time(now))
