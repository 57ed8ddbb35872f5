"""Which peer is asked for which objects, in which order. Pure: peers are opaque names, time is an argument (seconds).

Objects wait in one heap per priority class. Requests are small and each peer has few of them in flight, so a more
urgent object that turns up late is asked for next: that is all the pre-emption there is, and it is enough.

Nobody says beforehand what a peer holds, so a peer is asked and may answer that it lacks an object. One that has given
nothing lately is asked seldom, as long as others are at work.
"""

import heapq
import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from protocol.errors import RemoteError

REQUEST_BYTES: Final = 256 * 1024  # of contents named by one request of a slow peer
REQUEST_SHARE: Final = 32  # of a window that one request takes if that is more: fast peers answer fewer of them
# The last object may be as long as a block, and an answer shall fit in one message: each costs as much as a block.
REQUEST_MOST: Final = 704 * 1024
REQUEST_IDS: Final = 512
WINDOW_LEAST: Final = 1 << 20  # bytes in flight per peer
WINDOW_MOST: Final = 16 << 20
WINDOW_FIRST: Final = 2 << 20
WINDOW_SECONDS: Final = 0.25  # of the peer's measured rate that is kept in flight: what urgent objects queue behind
REQUESTS_IN_FLIGHT: Final = 64  # per peer
ANSWER_DEADLINE: Final = 60.0  # seconds without any progress of its peer after which a request goes to somebody else
ANSWER_LONGEST: Final = 600.0  # seconds without any progress of its own after which it does so in any case
UNPROVEN_REQUESTS: Final = 4  # in flight with a peer whose latest answer gave nothing, or that has not answered yet
REST_FIRST: Final = 0.05  # seconds that such a peer is left alone, doubled with each answer of the kind
REST_MOST: Final = 5.0
SHARE_EVERY: Final = 20  # each so-manieth request goes to a later class, so that none starves
SKIPS: Final = 256  # objects looked at for one request that the peer does not have
RATE_WEIGHT: Final = 0.3  # of a new measurement in the mean
VOID_ENTRIES: Final = 1_024  # of a heap that are put up with, beside as many as objects are wanted

Peer = Hashable


class Wanted(NamedTuple):
    """An object to fetch. group: the content it is part of, as a hint to the holder. length: bytes."""

    id: bytes
    segment: bool
    group: bytes
    length: int
    rank: int
    order: int


class Request(NamedTuple):
    """Ask `peer` for objects of one kind and group."""

    number: int
    peer: Peer
    segment: bool
    group: bytes
    ids: tuple[bytes, ...]


@dataclass(slots=True)
class _Item:
    wanted: Wanted
    request: int = 0  # in flight with this number
    place: int = 0  # of its valid entry in a heap, while it waits
    lacking: set[Peer] | None = None  # peers that said they do not have it; None: nobody


@dataclass(slots=True)
class _Peer:
    window: int = WINDOW_FIRST
    in_flight: int = 0
    requests: int = 0
    rate: float = 0.0
    received: int = 0  # bytes since `since`
    since: float = 0.0
    progress: float = 0.0  # when something came last
    proven: bool = False  # by its latest answer
    barren: int = 0  # answers in a row that gave nothing
    rest_until: float = 0.0
    lacks: dict[bytes, set[bytes]] = field(default_factory=dict)  # group -> wanted objects


@dataclass(slots=True)
class _Flight:
    peer: Peer
    ids: tuple[bytes, ...]
    left: dict[bytes, int]
    progress: float
    answered: int = 0  # of ids, in order
    gave: bool = False
    offered: set[bytes] = field(default_factory=set)  # offered since: an answer that the peer lacks them may be older


class Scheduler:
    """Objects wanted, peers that may have them, and requests under way."""

    def __init__(self) -> None:
        self._items: dict[bytes, _Item] = {}
        self._waiting: dict[int, list[tuple[int, int, bytes]]] = {}  # rank -> heap of (order, place, id)
        self._stuck: set[bytes] = set()
        self._peers: dict[Peer, _Peer] = {}
        self._flights: dict[int, _Flight] = {}
        self._dropped: dict[bytes, int] = {}  # no longer wanted, but in flight with this number
        self._number = 0
        self._places = 0
        self._since_share = 0
        self._shares = 0
        self._next_expiry = math.inf  # no flight expires before

    # ---- what is wanted

    def want(self, wanted: Wanted) -> None:
        """Ask for an object; one that is wanted already may only become more urgent."""
        item = self._items.get(wanted.id)
        if item is None:
            item = _Item(wanted, self._dropped.pop(wanted.id, 0) if self._dropped else 0)
            self._items[wanted.id] = item
            if not item.request:
                self._enqueue(item)
        elif (wanted.rank, wanted.order) < (item.wanted.rank, item.wanted.order):
            self._regroup(item, wanted.group)
            item.wanted = wanted
            if item.place:
                self._enqueue(item)

    def hasten(self, ids: Iterable[bytes], rank: int, order: int) -> None:
        """Those of these objects that are wanted are more urgent from now on."""
        for id_ in ids:
            if (item := self._items.get(id_)) is not None:
                self.want(item.wanted._replace(rank=rank, order=order))

    def drop(self, ids: Iterable[bytes]) -> None:
        """No longer wanted; answers under way are ignored."""
        for id_ in ids:
            item = self._items.get(id_)
            if item is not None:
                self._forget(item)
                if item.request:
                    self._dropped[id_] = item.request

    def wants(self, id_: bytes) -> bool:
        """Whether the object is wanted."""
        return id_ in self._items

    def is_stuck(self, id_: bytes) -> bool:
        """Whether no peer at hand has the object."""
        return id_ in self._stuck

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return len(self._flights)

    @property
    def stuck(self) -> int:
        """Objects that no peer at hand has."""
        return len(self._stuck)

    # ---- peers

    def join(self, peer: Peer) -> None:
        """A peer that may have anything."""
        self.leave(peer)
        self._peers[peer] = _Peer()
        self._unstick(list(self._stuck))

    def leave(self, peer: Peer) -> None:
        """The peer is gone; what it was asked for waits for others."""
        state = self._peers.pop(peer, None)
        if state is not None:
            self._clear(peer, state)
            for number in [n for n, flight in self._flights.items() if flight.peer == peer]:
                self._abandon(number)

    def refresh(self, peer: Peer) -> None:
        """The peer's holdings changed: it may now have what it lacked."""
        for flight in self._flights.values():
            if flight.peer == peer:
                flight.offered.update(flight.left)
        state = self._peers.get(peer)
        if state is not None and state.lacks:
            self._clear(peer, state)
            self._unstick(list(self._stuck))

    def offers(self, peer: Peer, ids: Iterable[bytes]) -> None:
        """The peer says that it has these objects, or contents that objects are grouped by."""
        state = self._peers.get(peer)
        if state is None:
            return
        state.rest_until = 0.0
        names = set(ids)
        for flight in self._flights.values():
            if flight.peer == peer:
                flight.offered.update(id_ for id_ in flight.left if id_ in names or self._group(id_) in names)
        if not state.lacks:
            return
        for name in names:
            named = list(state.lacks.get(name, ())) if name else []
            for id_ in (name, *named):
                item = self._items.get(id_)
                if item is not None and item.lacking is not None and peer in item.lacking:
                    self._regain(item, peer, state)
                    if id_ in self._stuck:
                        self._unstick([id_])

    # ---- requests and answers

    def requests(self, now: float) -> list[Request]:
        """The requests to send now."""
        self._expire(now)
        if not any(self._waiting.values()):
            return []
        peers = sorted(self._peers, key=lambda peer: self._peers[peer].in_flight)
        rested = [peer for peer in peers if self._peers[peer].rest_until <= now]
        made = self._fill(rested, now)
        if len(rested) < len(peers):
            workers = [peer for peer in peers if self._peers[peer].requests]
            if len(workers) < 2:  # nobody rests while nobody else works
                made += self._fill(workers or peers, now)
        return made

    def next_time(self, now: float) -> float | None:
        """When `requests`, just called, has to be called again though nothing happens: answers are late, rests over."""
        moments = [self._next_expiry] if self._flights else []
        if any(self._waiting.values()):
            moments += [state.rest_until for state in self._peers.values() if state.rest_until > now]
        return min(moments, default=None)

    def match(self, peer: Peer, number: int, count: int) -> tuple[bytes, ...]:
        """Ids of the next `count` objects of an answer; none if the request is not under way any more.

        Raises RemoteError if there are more than were asked for.
        """
        flight = self._flights.get(number)
        if flight is None or flight.peer != peer:
            return ()
        if flight.answered + count > len(flight.ids):
            raise RemoteError("more objects than were asked for")
        first = flight.answered
        flight.answered += count
        return flight.ids[first : flight.answered]

    def arrived(self, number: int, id_: bytes, size: int, now: float) -> bool:
        """An object came (size in bytes), or size -1: the peer does not have it. Whether it was still wanted."""
        flight = self._flights.get(number)
        if flight is None or id_ not in flight.left:
            return False
        state = self._peers[flight.peer]
        state.in_flight -= flight.left.pop(id_)
        state.progress = flight.progress = now
        if size >= 0:
            flight.gave = True
            self._measure(state, size, now)
        if not flight.left:
            self._close(number)
        item = self._items.get(id_)
        if item is None:
            del self._dropped[id_]
            return False
        if size >= 0:
            self._forget(item)
            return True
        if id_ not in flight.offered:
            self._lack(item, flight.peer, state)
        self._enqueue(item)
        return False

    def finished(self, number: int) -> None:
        """The answer is complete; what it left out the peer does not have."""
        if number in self._flights:
            self._abandon(number)

    # ---- objects

    def _group(self, id_: bytes) -> bytes | None:
        item = self._items.get(id_)
        return item.wanted.group or None if item is not None else None

    def _enqueue(self, item: _Item) -> None:
        item.request = 0
        self._places += 1
        item.place = self._places
        wanted = item.wanted
        heap = self._waiting.setdefault(wanted.rank, [])
        heapq.heappush(heap, (wanted.order, item.place, wanted.id))
        if len(heap) > 2 * len(self._items) + VOID_ENTRIES:
            heap[:] = [entry for entry in heap if self._waits(entry)]
            heapq.heapify(heap)

    def _waits(self, entry: tuple[int, int, bytes]) -> bool:
        item = self._items.get(entry[2])
        return item is not None and item.place == entry[1]

    def _forget(self, item: _Item) -> None:
        id_ = item.wanted.id
        del self._items[id_]
        self._stuck.discard(id_)  # it may be stuck though nobody lacks it: those who did are gone
        if item.lacking:
            for peer in list(item.lacking):
                self._regain(item, peer, self._peers[peer])

    def _unstick(self, ids: Iterable[bytes]) -> None:
        for id_ in ids:
            self._stuck.discard(id_)
            self._enqueue(self._items[id_])

    def _lack(self, item: _Item, peer: Peer, state: _Peer) -> None:
        if item.lacking is None:
            item.lacking = set()
        item.lacking.add(peer)
        state.lacks.setdefault(item.wanted.group, set()).add(item.wanted.id)

    def _regain(self, item: _Item, peer: Peer, state: _Peer) -> None:
        assert item.lacking is not None
        item.lacking.discard(peer)
        lacks = state.lacks[item.wanted.group]
        lacks.discard(item.wanted.id)
        if not lacks:
            del state.lacks[item.wanted.group]

    def _regroup(self, item: _Item, group: bytes) -> None:
        if item.lacking and group != item.wanted.group:
            lacking = list(item.lacking)
            for peer in lacking:
                self._regain(item, peer, self._peers[peer])
            item.wanted = item.wanted._replace(group=group)
            for peer in lacking:
                self._lack(item, peer, self._peers[peer])

    def _clear(self, peer: Peer, state: _Peer) -> None:
        for ids in state.lacks.values():
            for id_ in ids:
                lacking = self._items[id_].lacking
                assert lacking is not None
                lacking.discard(peer)
        state.lacks.clear()

    # ---- requests

    def _fill(self, peers: list[Peer], now: float) -> list[Request]:
        """One request for each peer in turn, until the windows are full or nothing is left."""
        made: list[Request] = []
        while peers:
            still_open = []
            for peer in peers:
                state = self._peers[peer]
                if state.in_flight >= state.window:
                    continue
                if state.requests >= (REQUESTS_IN_FLIGHT if state.proven else UNPROVEN_REQUESTS):
                    continue
                request = self._compose(peer, state, now)
                if request is not None:
                    made.append(request)
                    still_open.append(peer)
            peers = still_open
        return made

    def _compose(self, peer: Peer, state: _Peer, now: float) -> Request | None:
        ranks = sorted(rank for rank, heap in self._waiting.items() if heap)
        for rank in self._in_turn(ranks):
            items = self._take(rank, peer, request_bytes(state.window))
            if items:
                break
        else:
            return None
        self._since_share = 0 if rank != ranks[0] else self._since_share + 1
        self._number += 1
        left = {}
        for item in items:
            item.request = self._number
            item.place = 0
            left[item.wanted.id] = item.wanted.length
        ids = tuple(left)
        if not state.in_flight and now - state.progress >= WINDOW_SECONDS / 2:  # it had nothing to do for a while
            state.since, state.received = now, 0
        state.in_flight += sum(left.values())
        state.requests += 1
        self._flights[self._number] = _Flight(peer, ids, left, now)
        self._next_expiry = min(self._next_expiry, now + ANSWER_DEADLINE)
        first = items[0].wanted
        return Request(self._number, peer, first.segment, first.group, ids)

    def _in_turn(self, ranks: list[int]) -> list[int]:
        if self._since_share < SHARE_EVERY - 1 or len(ranks) < 2:
            return ranks
        self._shares += 1
        favoured = ranks[1 + self._shares % (len(ranks) - 1)]
        return [favoured, *(rank for rank in ranks if rank != favoured)]

    def _take(self, rank: int, peer: Peer, most: int) -> list[_Item]:
        """The next objects of one class that can be asked for in one request, which ends with `most` bytes."""
        heap = self._waiting[rank]
        taken: list[_Item] = []
        skipped: list[tuple[int, int, bytes]] = []
        size = 0
        while heap and len(taken) < REQUEST_IDS and size < most and len(skipped) < SKIPS:
            entry = heap[0]
            item = self._items.get(entry[2])
            if item is None or item.place != entry[1]:
                heapq.heappop(heap)
                continue
            if item.lacking and peer in item.lacking:
                heapq.heappop(heap)
                if item.lacking >= self._peers.keys():
                    item.place = 0
                    self._stuck.add(entry[2])
                else:
                    skipped.append(entry)
                continue
            wanted = item.wanted
            if taken and not _together(taken[0].wanted, wanted):
                break
            heapq.heappop(heap)
            taken.append(item)
            size += wanted.length
        for entry in skipped:
            heapq.heappush(heap, entry)
        return taken

    def _measure(self, state: _Peer, size: int, now: float) -> None:
        state.received += size
        passed = now - state.since
        if passed >= WINDOW_SECONDS / 2:
            rate = state.received / passed
            state.rate = rate if not state.rate else state.rate + RATE_WEIGHT * (rate - state.rate)
            state.window = min(WINDOW_MOST, max(WINDOW_LEAST, int(state.rate * WINDOW_SECONDS)))
            state.since, state.received = now, 0

    def _expire(self, now: float) -> None:
        if now < self._next_expiry:
            return
        for number in [n for n, flight in self._flights.items() if self._expiry(flight) <= now]:
            self._flights[number].progress = now
            self._abandon(number)
        self._next_expiry = min(map(self._expiry, self._flights.values()), default=math.inf)

    def _expiry(self, flight: _Flight) -> float:
        """A peer answers one request after the other, so progress with one keeps the others alive, but not for ever."""
        latest = max(flight.progress, self._peers[flight.peer].progress)
        return min(latest + ANSWER_DEADLINE, flight.progress + ANSWER_LONGEST)

    def _abandon(self, number: int) -> None:
        """Give what is left of a request to others. If its peer is still here, it does not have it."""
        flight = self._flights[number]
        state = self._peers.get(flight.peer)
        for id_, length in flight.left.items():
            item = self._items.get(id_)
            if state is not None:
                state.in_flight -= length
                if item is not None:
                    self._lack(item, flight.peer, state)
            if item is not None:
                self._enqueue(item)
            else:
                del self._dropped[id_]
        self._close(number)

    def _close(self, number: int) -> None:
        flight = self._flights.pop(number)
        state = self._peers.get(flight.peer)
        if state is None:
            return
        state.requests -= 1
        state.proven = flight.gave
        if flight.gave:
            state.barren, state.rest_until = 0, 0.0
        else:
            rest = min(REST_MOST, REST_FIRST * 2.0 ** min(state.barren, 16))
            state.barren += 1
            state.rest_until = max(state.progress, flight.progress) + rest


def _together(one: Wanted, other: Wanted) -> bool:
    """Whether one request may name both: objects of one content, or the beginnings of several block lists."""
    if one.segment != other.segment:
        return False
    return one.group == other.group or (one.segment and one.id == one.group and other.id == other.group)


def request_bytes(window: int) -> int:
    """Bytes of contents that one request names, with so many in flight (bytes)."""
    return min(REQUEST_MOST, max(REQUEST_BYTES, window // REQUEST_SHARE))
