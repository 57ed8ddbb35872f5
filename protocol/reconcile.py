"""Reconciliation: find what a peer's manifest has and ours lacks, at a cost that follows the difference.

A pull compares pages from the peer's root downwards, drops what is equal, and asks for the records of what is not. It
goes one way only: what we have and the peer lacks is the peer's own pull. Answers are always of the peer's present
tree, so a change in between is either seen or left to the next pull.

The method is that of Merkle search trees (Auvolat and Taiani, 2019) with pages that are cut by their keys' hashes.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby, pairwise
from typing import Final, Protocol, TypeVar

from protocol import limits
from protocol.errors import RemoteError
from protocol.manifest_messages import AskLeaves, AskPages, AskRecords, Leaves, Pages
from protocol.pages import Leaf, Page, PageStorage, listing

__all__ = [
    "Ask", "AskLeaves", "AskPages", "AskRecords", "Pull", "Range", "Tree", "answer_leaves", "answer_pages",
]  # fmt: skip

Range = tuple[bytes, bytes | None]  # half-open, None: to the end
Ask = AskPages | AskLeaves | AskRecords
_ITEM: Final = 56  # bytes of a page or leaf in an answer besides its key, at most
_REQUEST: Final = 256  # bytes of a request in memory besides its keys
_KEY: Final = 48  # bytes of a key in memory besides its own

_A = TypeVar("_A", AskPages, AskLeaves, AskRecords)
_Item = TypeVar("_Item", Page, Leaf)
_Span = tuple[bytes, bytes | None, int]  # lo, hi, leaves the peer has there


class Tree(Protocol):
    """Our own manifest, sorted by key. `hi` None means to the end."""

    def pages(self, level: int, lo: bytes, hi: bytes | None) -> Sequence[Page]:
        """The pages of a level with lo <= first < hi, in order; none above the top level."""

    def leaves(self, lo: bytes, hi: bytes | None) -> Iterable[Leaf]:
        """The leaves with lo <= key < hi, in order."""

    def is_empty(self, lo: bytes, hi: bytes | None) -> bool:
        """Whether there are no leaves with lo <= key < hi."""


class _Task:
    """What is left to do for one range."""

    def __init__(self, pieces: list[Range], after: list[int]) -> None:
        self.pieces = pieces  # the range without what earlier ones cover
        self.after = after  # numbers of those earlier ones
        self.queue: deque[Ask] = deque()
        self.open = 0  # requests sent and not answered
        self.listings = 0  # AskLeaves queued or sent
        self.keys: list[bytes] = []  # that differ and are not asked for yet
        self.started = False
        self.finished = False

    @property
    def idle(self) -> bool:
        return self.started and not self.queue and not self.open


class Pull:
    """One pull from one peer: requests out, answers in. Nothing is retried; a session that ends takes its pull along.

    Ranges are worked on in order, and as many requests are under way as MAX_PULL_REQUESTS allows. They may overlap:
    what an earlier range covers is not asked for again by a later one.
    """

    def __init__(
        self, tree: Tree, ranges: Sequence[Range], peer_level: int, small: Callable[[int], bool] | None = None
    ) -> None:
        """tree: ours, read at every answer. peer_level: of the peer's root; RemoteError if that is impossible.

        small(number): whether contents of small files are welcome now with records of that range. With it, ranges are
        worked on one after the other, since contents are wanted in order.
        """
        if not 0 <= peer_level < limits.MAX_LEVELS:
            raise RemoteError(f"a manifest of level {peer_level}")
        self._tree = tree
        self._level = peer_level
        self._small = small
        self._tasks = [_task(ranges, number) for number in range(len(ranges))]
        self._open: dict[int, tuple[int, Ask]] = {}
        self._last_id = 0
        self._waiting = 0  # bytes of the requests in all queues
        self._news: list[int] = []

    @property
    def done(self) -> bool:
        """Whether all ranges are finished."""
        return all(task.finished for task in self._tasks)

    def finished_ranges(self) -> list[int]:
        """Numbers of the ranges that were finished since the last call: all their records have arrived."""
        news, self._news = self._news, []
        return news

    def requests(self) -> list[Ask]:
        """The requests to send now. Call it at the beginning and after every answer."""
        found: list[Ask] = []
        for number, task in enumerate(self._tasks):
            if len(self._open) >= limits.MAX_PULL_REQUESTS:
                break
            if not task.started:
                self._start(task)
            while task.queue and len(self._open) < limits.MAX_PULL_REQUESTS:
                ask = task.queue.popleft()
                self._waiting -= _size(ask)
                if self._small is not None and isinstance(ask, AskRecords) and not ask.keys and self._small(number):
                    ask = replace(ask, small=True)
                self._open[ask.id] = number, ask
                task.open += 1
                found.append(ask)
            if self._small is not None and not task.idle:
                break
        self._settle()
        return found

    def on_pages(self, request: int, pages: Sequence[tuple[bytes, bytes, int]], following: bytes | None) -> None:
        """An answer to AskPages. following: where the rest is to be asked for. RemoteError if it cannot be one."""
        task, ask = self._answered(request, AskPages)
        firsts = [page[0] for page in pages]
        _check_run(firsts, following, ask.hi, limits.MAX_PAGES_PER_ANSWER)
        if firsts and (firsts[0] > ask.lo or (len(firsts) > 1 and firsts[1] <= ask.lo)):
            raise RemoteError("pages do not begin where they were asked for")
        if following is not None:
            if following <= ask.lo:
                raise RemoteError("an answer that does not advance")
            self._queue(task, AskPages(self._id(), ask.level, following, ask.hi), first=True)
        if pages:
            self._compare(task, ask, pages, ask.hi if following is None else following)
        self._settle()

    def on_leaves(self, request: int, leaves: Sequence[tuple[bytes, bytes, int]], following: bytes | None) -> None:
        """An answer to AskLeaves. Raises RemoteError if it cannot be one."""
        task, ask = self._answered(request, AskLeaves)
        keys = [leaf[0] for leaf in leaves]
        _check_run(keys, following, ask.hi, limits.MAX_LEAVES_PER_ANSWER)
        if keys and keys[0] < ask.lo:
            raise RemoteError("leaves that were not asked for")
        task.listings -= 1
        if following is not None:
            self._list(task, following, ask.hi, first=True)
        mine = {key: digest for key, digest, _ in self._tree.leaves(ask.lo, ask.hi if following is None else following)}
        task.keys += [key for key, digest, _ in leaves if mine.get(key) != digest]
        self._settle()

    def expects_records(self, request: int) -> None:
        """Raises RemoteError unless this is a request for records that is under way."""
        if not isinstance(self._open.get(request, (0, None))[1], AskRecords):
            raise RemoteError("an answer to no request")

    def on_records_end(self, request: int, following: bytes | None) -> None:
        """An answer to AskRecords is complete and merged. Raises RemoteError if it cannot be one.

        With `following`, where the rest is to be asked for, it need not be merged yet: the range is not finished by it.
        """
        task, ask = self._answered(request, AskRecords)
        if following is not None:
            keys = tuple([key for key in ask.keys if key >= following])
            within = following > ask.lo and (ask.hi is None or following < ask.hi)
            if not within or (ask.keys and len(keys) == len(ask.keys)):
                raise RemoteError("an answer that does not advance")
            self._queue(task, AskRecords(self._id(), following, ask.hi, keys), first=True)
        self._settle()

    def _queue(self, task: _Task, *asks: Ask, first: bool = False) -> None:
        self._waiting += sum(map(_size, asks))
        if self._waiting > limits.MAX_WAITING:
            raise RemoteError("answers that lead to too many questions")
        if first:
            task.queue.extendleft(reversed(asks))
        else:
            task.queue.extend(asks)

    def _id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _answered(self, request: int, kind: type[_A]) -> tuple[_Task, _A]:
        number, ask = self._open.pop(request, (0, None))
        if not isinstance(ask, kind):
            raise RemoteError("an answer to no request")
        task = self._tasks[number]
        task.open -= 1
        return task, ask

    def _start(self, task: _Task) -> None:
        task.started = True
        for lo, hi in task.pieces:
            if self._tree.is_empty(lo, hi):
                self._queue(task, AskRecords(self._id(), lo, hi, ()))
            else:
                self._queue(task, AskPages(self._id(), self._level, lo, hi))

    def _compare(
        self, task: _Task, ask: AskPages, pages: Sequence[tuple[bytes, bytes, int]], end: bytes | None
    ) -> None:
        """Go on with those of the peer's pages that are not ours, neighbours together."""
        mine = {first: digest for first, digest, _ in self._tree.pages(ask.level, pages[0][0], end)}
        ends = [*[page[0] for page in pages[1:]], end]
        run: list[_Span] = []
        for (first, digest, count), hi in zip(pages, ends, strict=True):
            if mine.get(first) == digest:
                self._descend(task, ask.level, run)
                run = []
            else:
                run.append((max(first, ask.lo), hi, count))
        self._descend(task, ask.level, run)

    def _descend(self, task: _Task, level: int, run: list[_Span]) -> None:
        """Ask what differs in neighbouring pages: all records where we have nothing, else the level below."""
        for empty, spans in groupby(run, lambda span: self._tree.is_empty(span[0], span[1])):
            if empty:
                lo, hi, _ = _joined(list(spans))
                self._queue(task, AskRecords(self._id(), lo, hi, ()))
                continue
            for lo, hi, _ in _portions(spans, level):
                if level:
                    self._queue(task, AskPages(self._id(), level - 1, lo, hi))
                else:
                    self._list(task, lo, hi)

    def _list(self, task: _Task, lo: bytes, hi: bytes | None, *, first: bool = False) -> None:
        task.listings += 1
        self._queue(task, AskLeaves(self._id(), lo, hi), first=first)

    def _settle(self) -> None:
        """Queue what has been collected, and note which ranges are finished."""
        for number, task in enumerate(self._tasks):
            # Few requests while keys still come in; but once there are plenty, records before further listings.
            if task.keys and (not task.listings or len(task.keys) >= limits.MAX_KEYS_PER_ASK):
                keys, task.keys = sorted(task.keys), []
                asks = [AskRecords(self._id(), part[0], part[-1] + b"\0", tuple(part)) for part in _parts(keys)]
                self._queue(task, *asks, first=True)
            if task.idle and not task.finished and all(self._tasks[earlier].finished for earlier in task.after):
                task.finished = True
                self._news.append(number)


def _size(ask: Ask) -> int:
    """Bytes that a request takes in memory."""
    keys = ask.keys if isinstance(ask, AskRecords) else ()
    return _REQUEST + len(ask.lo) + len(ask.hi or b"") + sum(map(len, keys)) + _KEY * len(keys)


def answer_pages(storage: PageStorage, ask: AskPages) -> Pages:
    """The answer to a peer: the pages whose span meets the range, as many as fit."""
    found, following = _fitting(listing(storage, ask.level, ask.lo, ask.hi), limits.MAX_PAGES_PER_ANSWER)
    return Pages(ask.id, ask.level, tuple(found), following)


def answer_leaves(storage: PageStorage, ask: AskLeaves) -> Leaves:
    """The answer to a peer: the leaves in the range, as many as fit."""
    found, following = _fitting(storage.leaves(ask.lo, ask.hi), limits.MAX_LEAVES_PER_ANSWER)
    return Leaves(ask.id, tuple(found), following)


def _fitting(items: Iterable[_Item], most: int) -> tuple[list[_Item], bytes | None]:
    """(the first items, the key of the one behind them)."""
    found: list[_Item] = []
    room = limits.BYTES_PER_ANSWER
    for item in items:
        if found and (len(found) >= most or room <= 0):
            return found, item[0]
        found.append(item)
        room -= len(item[0]) + _ITEM
    return found, None


def _task(ranges: Sequence[Range], number: int) -> _Task:
    pieces, after = [ranges[number]], []
    for earlier in range(number):
        left = [rest for piece in pieces for rest in _without(piece, ranges[earlier])]
        if left != pieces:
            after.append(earlier)
            pieces = left
    return _Task(pieces, after)


def _without(piece: Range, cut: Range) -> list[Range]:
    """What is left of a range: up to two ranges, and the same one if `cut` does not meet it."""
    (lo, hi), (cut_lo, cut_hi) = piece, cut
    before = (lo, cut_lo if hi is None else min(hi, cut_lo))
    behind = None if cut_hi is None else (max(lo, cut_hi), hi)
    if before == piece or behind == piece:
        return [piece]
    return [rest for rest in (before, behind) if rest is not None and (rest[1] is None or rest[0] < rest[1])]


def _joined(spans: list[_Span]) -> _Span:
    return spans[0][0], spans[-1][1], sum(count for _, _, count in spans)


def _portions(spans: Iterable[_Span], level: int) -> Iterator[_Span]:
    """Neighbouring spans joined, as long as an answer is expected to hold all that is below them."""
    portion: list[_Span] = []
    room = limits.ITEMS_PER_ASK
    for span in spans:
        items = span[2] // limits.PAGE_TARGET**level + 1
        if portion and items > room:
            yield _joined(portion)
            portion, room = [], limits.ITEMS_PER_ASK
        portion.append(span)
        room -= items
    yield _joined(portion)


def _parts(keys: list[bytes]) -> Iterator[list[bytes]]:
    """Cut keys into what fits in one request each."""
    part: list[bytes] = []
    size = 0
    for key in keys:
        if part and (len(part) >= limits.MAX_KEYS_PER_ASK or size + len(key) > limits.KEY_BYTES_PER_ASK):
            yield part
            part, size = [], 0
        part.append(key)
        size += len(key)
    yield part


def _check_run(keys: list[bytes], following: bytes | None, hi: bytes | None, most: int) -> None:
    """Raise RemoteError unless an answer's keys ascend to below `hi`, are not too many, and go on behind them."""
    if len(keys) > most:
        raise RemoteError(f"an answer of {len(keys)} items")
    if any(first >= second for first, second in pairwise(keys)):
        raise RemoteError("an answer that is not sorted")
    bounds = keys if following is None else [*keys, following]
    if hi is not None and bounds and bounds[-1] >= hi:
        raise RemoteError("an answer beyond what was asked for")
    if following is not None and (not keys or following <= keys[-1]):
        raise RemoteError("an answer that does not advance")
