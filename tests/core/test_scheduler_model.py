"""Everything that is asked of a scheduler, against a model in plain tables."""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from syncd.core.scheduler import (
    ANSWER_DEADLINE,
    ANSWER_LONGEST,
    REQUEST_BYTES,
    REQUESTS_IN_FLIGHT,
    SHARE_EVERY,
    UNPROVEN_REQUESTS,
    Peer,
    Request,
    Scheduler,
    Wanted,
    request_bytes,
)
from tests.core.scheduling import name

PEERS = ["a", "b", "c"]
IDS = [name(number) for number in range(24)]
GROUPS = [b"", b"one", b"two"]


@dataclass
class Flight:
    request: Request
    left: list[bytes]
    since: float
    offered: set[bytes] = field(default_factory=set)


@dataclass
class Model:
    """What a scheduler has to know, in plain tables."""

    wanted: dict[bytes, Wanted] = field(default_factory=dict)
    lacks: set[tuple[Peer, bytes]] = field(default_factory=set)
    flights: dict[int, Flight] = field(default_factory=dict)

    def flying(self) -> set[bytes]:
        return {id_ for flight in self.flights.values() for id_ in flight.left}

    def offered(self, peer: Peer, ids: set[bytes]) -> None:
        """Answers that are under way and say that the peer lacks one of these may be out of date."""
        for flight in self.flights.values():
            if flight.request.peer == peer:
                flight.offered |= ids.intersection(flight.left)
        self.lacks -= {(peer, id_) for id_ in ids}

    def waiting(self, peer: Peer) -> list[Wanted]:
        flying = self.flying()
        return [wanted for id_, wanted in self.wanted.items() if id_ not in flying and (peer, id_) not in self.lacks]

    def forget(self, id_: bytes) -> None:
        self.wanted.pop(id_, None)
        self.lacks = {pair for pair in self.lacks if pair[1] != id_}

    def give_up(self, number: int, lacking: bool) -> None:
        flight = self.flights.pop(number)
        if lacking:
            self.lacks |= {(flight.request.peer, id_) for id_ in flight.left if id_ in self.wanted}


class SchedulerMachine(RuleBasedStateMachine):
    """Peers hold what they hold, say so when it grows, and answer in any order, in part, or not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler()
        self.model = Model()
        self.now = 0.0
        self.present: set[Peer] = set()
        self.holdings: dict[Peer, set[bytes]] = {peer: set() for peer in PEERS}
        self.groups: dict[bytes, bytes] = {}
        self.made = self.later = 0

    @initialize(holdings=st.lists(st.sets(st.sampled_from(IDS)), min_size=3, max_size=3))
    def begin(self, holdings: list[set[bytes]]) -> None:
        self.holdings = dict(zip(PEERS, holdings, strict=True))
        self.join("a")

    @rule(
        ids=st.lists(st.sampled_from(IDS), min_size=1, max_size=6),
        rank=st.integers(0, 2),
        order=st.integers(0, 5),
        group=st.sampled_from(GROUPS),
        segment=st.booleans(),
        length=st.sampled_from([1, 1_000, REQUEST_BYTES // 2, REQUEST_BYTES]),
    )
    def want(self, ids: list[bytes], rank: int, order: int, group: bytes, segment: bool, length: int) -> None:
        for id_ in ids:
            wanted = Wanted(id_, segment, group, length, rank, order)
            self.scheduler.want(wanted)
            before = self.model.wanted.get(id_)
            if before is None or (rank, order) < (before.rank, before.order):
                self.model.wanted[id_] = wanted

    @rule(ids=st.lists(st.sampled_from(IDS), max_size=3))
    def drop(self, ids: list[bytes]) -> None:
        self.scheduler.drop(ids)
        for id_ in ids:
            self.model.forget(id_)

    @rule(peer=st.sampled_from(PEERS))
    def join(self, peer: Peer) -> None:
        if peer not in self.present:
            self.scheduler.join(peer)
            self.present.add(peer)

    @rule(peer=st.sampled_from(PEERS))
    def leave(self, peer: Peer) -> None:
        self.scheduler.leave(peer)
        self.present.discard(peer)
        self.model.lacks = {pair for pair in self.model.lacks if pair[0] != peer}
        for number in [n for n, flight in self.model.flights.items() if flight.request.peer == peer]:
            self.model.give_up(number, lacking=False)

    @rule(peer=st.sampled_from(PEERS), ids=st.sets(st.sampled_from(IDS), max_size=8))
    def grow(self, peer: Peer, ids: set[bytes]) -> None:
        self.holdings[peer] |= ids
        self.scheduler.refresh(peer)
        self.model.offered(peer, set(IDS))

    @rule(peer=st.sampled_from(PEERS), ids=st.sets(st.sampled_from(IDS), max_size=4))
    def offer(self, peer: Peer, ids: set[bytes]) -> None:
        self.holdings[peer] |= ids
        self.scheduler.offers(peer, ids)
        self.model.offered(peer, ids)

    @rule(peer=st.sampled_from(PEERS), group=st.sampled_from(GROUPS[1:]))
    def offer_group(self, peer: Peer, group: bytes) -> None:
        ids = {id_ for id_, wanted in self.model.wanted.items() if wanted.group == group}
        self.holdings[peer] |= ids
        self.scheduler.offers(peer, [group])
        self.model.offered(peer, ids)

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.2, 1.0, ANSWER_DEADLINE, ANSWER_LONGEST]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def ask(self) -> None:
        requests = self.scheduler.requests(self.now)
        for number in self.model.flights.keys() - self.scheduler._flights.keys():
            assert self.model.flights[number].since + ANSWER_DEADLINE <= self.now
            self.model.give_up(number, lacking=True)
        for request in requests:
            self.check(request)
        for peer in self.present:
            state = self.scheduler._peers[peer]
            full = state.in_flight >= state.window or state.requests >= UNPROVEN_REQUESTS
            others_work = any(flight.request.peer != peer for flight in self.model.flights.values())
            resting = state.rest_until > self.now and others_work
            if not full and not resting:
                assert not self.model.waiting(peer)

    def check(self, request: Request) -> None:
        waiting = self.model.waiting(request.peer)
        asked = [self.model.wanted[id_] for id_ in request.ids]
        assert request.peer in self.present
        assert asked
        assert len(set(request.ids)) == len(request.ids)
        assert set(asked) <= set(waiting)
        assert {(wanted.segment, wanted.group) for wanted in asked} == {(request.segment, request.group)}
        (rank,) = {wanted.rank for wanted in asked}
        assert [wanted.order for wanted in asked] == sorted(wanted.order for wanted in asked)
        assert asked[0].order == min(wanted.order for wanted in waiting if wanted.rank == rank)
        assert sum(wanted.length for wanted in asked[:-1]) < request_bytes(self.scheduler._peers[request.peer].window)
        self.made += 1
        self.later += rank > min(wanted.rank for wanted in waiting)
        assert self.later <= self.made // SHARE_EVERY + 1
        self.model.flights[request.number] = Flight(request, list(request.ids), self.now)

    @precondition(lambda self: self.model.flights)
    @rule(data=st.data(), honest=st.booleans(), ends=st.booleans())
    def reply(self, data: st.DataObject, honest: bool, ends: bool) -> None:
        number = data.draw(st.sampled_from(sorted(self.model.flights)))
        count = data.draw(st.integers(0, len(self.model.flights[number].left)))
        self.answer(number, len(self.model.flights[number].left) if honest else count)
        if ends and number in self.model.flights:
            self.scheduler.finished(number)
            self.model.give_up(number, lacking=True)

    def answer(self, number: int, count: int) -> None:
        flight = self.model.flights[number]
        peer = flight.request.peer
        ids = self.scheduler.match(peer, number, count)
        assert list(ids) == flight.left[:count]
        for id_ in ids:
            has = id_ in self.holdings[peer]
            flight.left.remove(id_)
            arrived = self.scheduler.arrived(number, id_, 1_000 if has else -1, self.now)
            assert arrived == (has and id_ in self.model.wanted)
            if has:
                self.model.forget(id_)
            elif id_ in self.model.wanted and id_ not in flight.offered:
                self.model.lacks.add((peer, id_))
            flight.since = self.now
        if not flight.left:
            del self.model.flights[number]

    @invariant()
    def agrees(self) -> None:
        scheduler, model = self.scheduler, self.model
        assert scheduler._items.keys() == model.wanted.keys()
        assert scheduler._flights.keys() == model.flights.keys()
        assert scheduler.in_flight == len(model.flights)
        assert scheduler._dropped.keys() == model.flying() - model.wanted.keys()
        flown = [id_ for flight in model.flights.values() for id_ in flight.left]
        assert len(flown) == len(set(flown))
        told = {(peer, id_) for peer, state in scheduler._peers.items() for ids in state.lacks.values() for id_ in ids}
        assert told == model.lacks
        assert told == {(peer, id_) for id_, item in scheduler._items.items() for peer in item.lacking or ()}
        for id_ in scheduler._stuck:
            assert {peer for peer, lacked in model.lacks if lacked == id_} == self.present
        for peer, state in scheduler._peers.items():
            theirs = [flight for flight in model.flights.values() if flight.request.peer == peer]
            assert state.requests == len(theirs) <= REQUESTS_IN_FLIGHT
            assert state.in_flight < state.window + 2 * request_bytes(state.window)
            assert state.in_flight == sum(sum(f.left.values()) for f in scheduler._flights.values() if f.peer == peer)

    def teardown(self) -> None:
        """From here on all answer: then everything arrives that anybody has."""
        for _ in range(4 * len(IDS)):
            self.ask()
            for number in list(self.model.flights):
                self.answer(number, len(self.model.flights[number].left))
            self.agrees()
            moment = self.scheduler.next_time(self.now)
            self.now = moment if moment is not None else self.now
        assert not self.model.flights
        held = {id_ for peer in self.present for id_ in self.holdings[peer] if (peer, id_) not in self.model.lacks}
        assert not held & self.model.wanted.keys()
        if self.present:
            assert self.scheduler.stuck == len(self.model.wanted)


SchedulerMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestScheduler = SchedulerMachine.TestCase
