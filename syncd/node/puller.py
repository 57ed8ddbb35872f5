"""Pulls what a peer's manifest has and ours lacks, over one session: the asynchronous shell of a reconciliation."""

import asyncio
from collections.abc import Callable
from typing import Final

from protocol.errors import RemoteError
from protocol.messages import Leaves, Pages, Records, Status
from protocol.reconcile import Pull
from syncd.net.session import Session
from syncd.node.findings import Report
from syncd.node.hands import Hands
from syncd.node.lead import Lead
from syncd.node.ledger import Ledger

GATHER_BYTES: Final = 2 << 20  # bytes of small contents placed in one batch: each batch is synced and committed
GATHER_RECORDS: Final = 2_000  # the same where files are tiny: a record takes some KiB of memory until it is placed

MOST_POSTPONED: Final = 5  # times that a pull is put off while pushes go to and fro

Range = tuple[bytes, bytes | None]


class Puller:
    """One per session. ranges: key ranges in the order of the classes, the last one being everything.

    lead: shared by all sessions of the folder. has_nothing(): whether neither index nor disk hold anything.
    by_name(number): whether the files of a range are wanted next, and in order of their names. Both are called in the
    worker thread.

    flux(): for how many seconds a difference may still be what other peers push; at most 0 for none.
    on_report(report): what merging brought. on_ranges(numbers): ranges that are now merged in full. on_done(root): all
    of them are, for the peer's manifest that had this root when the pull began.
    """

    def __init__(
        self,
        session: Session,
        ledger: Ledger,
        hands: Hands,
        ranges: list[Range],
        lead: Lead,
        has_nothing: Callable[[], bool],
        by_name: Callable[[int], bool],
        on_report: Callable[[Report], None],
        on_ranges: Callable[[list[int]], None],
        on_done: Callable[[bytes], None],
        flux: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._session = session
        self._ledger = ledger
        self._hands = hands
        self._ranges = ranges
        self._lead = lead
        self._has_nothing = has_nothing
        self._by_name = by_name
        self._on_report = on_report
        self._on_ranges = on_ranges
        self._on_done = on_done
        self._flux = flux
        self._again: Callable[[], None] = lambda: None
        self._postponed: asyncio.TimerHandle | None = None
        self._times_postponed = 0
        self._pull: Pull | None = None
        self._root = b""
        self._latest: Status | None = None
        self._done_root: bytes | None = None
        self._gathered: list[Records] = []
        self._gathered_bytes = 0
        self._tasks: asyncio.TaskGroup | None = None
        self._merging: asyncio.Task[None] | None = None  # of a batch, while the next one gathers

    def begin(self, tasks: asyncio.TaskGroup, again: Callable[[], None]) -> None:
        """The session stands. tasks: of it, which ends with an error of any. again(): asks for `consider_again`."""
        self._tasks, self._again = tasks, again

    @property
    def active(self) -> bool:
        """Whether a reconciliation is under way."""
        return self._pull is not None

    async def consider(self, status: Status, own_root: bytes) -> None:
        """The peer told its root: pull if it is not ours and was not pulled already."""
        self._latest = status
        if self._pull is not None:
            return
        if status.root == own_root:
            self._agreed(status.root)
        elif status.root != self._done_root and not self._lead.taken:
            nothing, latest_root = await self._hands.run(self._look)
            if self._pull is not None:
                return
            if status.root == latest_root:  # of what came right before
                self._agreed(status.root)
                return
            if self._postpones():
                return
            if nothing and not self._lead.taken:
                self._lead.take(self)
            if self._lead.taken and not self._lead.is_held_by(self):
                return
            self._root = status.root
            small = self._welcomes_small if self._lead.is_held_by(self) else None
            self._pull = Pull(self._ledger.index, self._ranges, status.level, small)
            await self._advance()

    def _look(self) -> tuple[bool, bytes]:
        return self._has_nothing(), self._ledger.read(self._ledger.index.root).hash

    def _postpones(self) -> bool:
        """Whether what differs may be on its way here, or there, so that asking would be for nothing; not for ever."""
        wait = self._flux()
        if wait <= 0 or self._times_postponed == MOST_POSTPONED:
            self._times_postponed = 0
            return False
        if self._postponed is None:
            self._times_postponed += 1
            self._postponed = asyncio.get_running_loop().call_later(wait, self._wake)
        return True

    def _wake(self) -> None:
        self._postponed = None
        self._again()

    def _calm_down(self) -> None:
        if self._postponed is not None:
            self._postponed.cancel()
            self._postponed = None

    def _agreed(self, root: bytes) -> None:
        self._times_postponed = 0
        self._done_root = root
        self._on_ranges(list(range(len(self._ranges))))
        self._on_done(root)

    async def consider_again(self, own_root: bytes) -> None:
        """Nobody has the lead any more: pull what was put off."""
        if self._latest is not None:
            await self.consider(self._latest, own_root)

    def close(self) -> None:
        """The session is over."""
        self._calm_down()
        self._lead.free(self)

    def _welcomes_small(self, number: int) -> bool:
        return self._lead.is_held_by(self) and self._by_name(number)

    async def answer(self, message: Pages | Leaves | Records, own_root: Callable[[], bytes]) -> None:
        """An answer to a request of ours. Raises RemoteError."""
        pull = self._pull
        if pull is None:
            raise RemoteError("an answer that nobody asked for")
        with self._lead.work(self):
            await self._take(pull, message)
        if self._pull is None and self._latest is not None and self._latest.root != self._root:
            await self.consider(self._latest, own_root())

    async def _take(self, pull: Pull, message: Pages | Leaves | Records) -> None:
        if isinstance(message, Pages):
            await self._hands.run(pull.on_pages, message.id, list(message.pages), message.next)
        elif isinstance(message, Leaves):
            await self._hands.run(pull.on_leaves, message.id, list(message.leaves), message.next)
        else:
            pull.expects_records(message.id)
            if message.next is not None and not message.records:
                raise RemoteError("an answer that does not advance")
            goes_on = message.last and message.next is not None
            if goes_on:  # the peer looks for the rest of the range while this is merged
                await self._hands.run(pull.on_records_end, message.id, message.next)
                await self._ask(pull)
            if not await self._gather(message):
                return
            if not message.last or goes_on:
                return
            await self._merged()
            await self._hands.run(pull.on_records_end, message.id, None)
        await self._advance()

    async def _gather(self, message: Records) -> bool:
        """Merge records, some messages with contents at once; False while more are waited for.

        A batch with contents is merged while the next one gathers, so that neither the disk nor the peer waits.
        """
        self._gathered.append(message)
        self._gathered_bytes += sum(map(len, message.blobs))
        number = sum(len(gathered.records) for gathered in self._gathered)
        enough = self._gathered_bytes >= GATHER_BYTES or number >= GATHER_RECORDS
        if message.blobs and not message.last and not enough:
            return False
        messages, self._gathered, self._gathered_bytes = self._gathered, [], 0
        await self._merged()
        assert self._tasks is not None
        self._merging = self._tasks.create_task(self._merge(messages))
        if not message.blobs:
            await self._merged()
        return True

    async def _merged(self) -> None:
        """Return when nothing is being merged."""
        if self._merging is not None:
            await self._merging
            self._merging = None

    async def _merge(self, messages: list[Records]) -> None:
        reports, done = self._ledger.receive(*messages), False
        while not done:
            found, done = await self._hands.steps(reports)
            for report in found:
                self._on_report(report)

    async def _ask(self, pull: Pull) -> None:
        self._session.post(*await self._hands.run(pull.requests))

    async def _advance(self) -> None:
        pull = self._pull
        assert pull is not None
        await self._ask(pull)
        finished = pull.finished_ranges()
        if finished:
            self._on_ranges(finished)
        if pull.done:
            self._pull = None
            self._done_root = self._root
            self._on_done(self._root)
            self._lead.free(self)
