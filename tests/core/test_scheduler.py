"""Who is asked for what: single rules in examples, and all of them together against a model in plain tables."""

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from protocol.errors import RemoteError
from syncd.core import scheduler as module
from syncd.core.scheduler import (
    ANSWER_DEADLINE,
    ANSWER_LONGEST,
    REQUEST_BYTES,
    REQUEST_IDS,
    REQUESTS_IN_FLIGHT,
    REST_FIRST,
    REST_MOST,
    SHARE_EVERY,
    SKIPS,
    UNPROVEN_REQUESTS,
    WINDOW_FIRST,
    WINDOW_LEAST,
    WINDOW_MOST,
    Peer,
    Request,
    Scheduler,
    Wanted,
    request_bytes,
)


def name(number: int) -> bytes:
    return number.to_bytes(32, "big")


def want(
    scheduler: Scheduler, numbers: range | list[int], rank: int = 0, group: bytes = b"", length: int = 1_000
) -> None:
    """Want small objects in the order of their numbers."""
    for number in numbers:
        scheduler.want(Wanted(name(number), False, group, length, rank, number))


def numbers(requests: list[Request]) -> list[int]:
    return [int.from_bytes(id_, "big") for request in requests for id_ in request.ids]


def answer(scheduler: Scheduler, request: Request, now: float = 0.0, size: int = 1_000) -> int:
    """All of a request arrives, or with size -1 nothing of it. How much was wanted."""
    ids = scheduler.match(request.peer, request.number, len(request.ids))
    assert ids == request.ids
    return sum(scheduler.arrived(request.number, id_, size, now) for id_ in ids)


def started(*peers: str) -> Scheduler:
    scheduler = Scheduler()
    for peer in peers:
        scheduler.join(peer)
    return scheduler


def proven(scheduler: Scheduler, *peers: str) -> None:
    """Each peer has given something already."""
    for number, _ in enumerate(peers):
        want(scheduler, [1_000_000 + number], length=REQUEST_BYTES)
    for request in scheduler.requests(0.0):
        answer(scheduler, request)


# ---- objects and their order


def test_nobody_to_ask() -> None:
    scheduler = started()
    want(scheduler, range(3))
    assert scheduler.requests(0.0) == []
    assert scheduler.wants(name(1))
    assert not scheduler.wants(name(9))


def test_objects_are_asked_for_in_their_order_and_once() -> None:
    scheduler = started("a")
    want(scheduler, [3, 1, 2])
    want(scheduler, [2, 3])
    requests = scheduler.requests(0.0)
    assert numbers(requests) == [1, 2, 3]
    assert scheduler.requests(0.0) == []
    assert scheduler.in_flight == 1
    assert answer(scheduler, requests[0]) == 3
    assert scheduler.in_flight == 0
    assert not scheduler.wants(name(1))
    assert scheduler.requests(0.0) == []


def test_a_request_is_of_one_kind_and_group() -> None:
    scheduler = started("a")
    for number, (segment, group) in enumerate(
        [(False, b"x"), (False, b"x"), (True, b"x"), (True, b"y"), (False, b"x")]
    ):
        scheduler.want(Wanted(name(number), segment, group, 10, 0, number))
    requests = scheduler.requests(0.0)
    assert [(request.segment, request.group) for request in requests] == [
        (False, b"x"),
        (True, b"x"),
        (True, b"y"),
        (False, b"x"),
    ]
    assert numbers(requests) == [0, 1, 2, 3, 4]


def test_requests_are_bounded() -> None:
    scheduler = started("a")
    proven(scheduler, "a")
    want(scheduler, range(100), length=64 * 1024)
    requests = scheduler.requests(0.0)
    assert {len(request.ids) for request in requests} == {REQUEST_BYTES // (64 * 1024)}
    assert len(requests) == WINDOW_FIRST // REQUEST_BYTES
    scheduler = started("a")
    proven(scheduler, "a")
    want(scheduler, range(70 * REQUEST_IDS), length=1)
    requests = scheduler.requests(0.0)
    assert {len(request.ids) for request in requests} == {REQUEST_IDS}
    assert len(requests) == REQUESTS_IN_FLIGHT


def test_a_more_urgent_object_goes_before_those_that_wait() -> None:
    scheduler = started("a")
    want(scheduler, range(10, 40), rank=1, length=REQUEST_BYTES)
    sent = scheduler.requests(0.0)
    want(scheduler, [50], rank=0, length=REQUEST_BYTES)
    want(scheduler, [5], rank=1, length=REQUEST_BYTES)
    answer(scheduler, sent.pop(0))
    sent += scheduler.requests(0.0)
    answer(scheduler, sent.pop(0))
    sent += scheduler.requests(0.0)
    asked = numbers(sent)
    assert asked.index(50) < asked.index(5) < asked.index(14)


def test_a_wanted_object_can_only_become_more_urgent() -> None:
    scheduler = started()
    want(scheduler, [1, 2, 3], rank=1)
    want(scheduler, [3], rank=0)
    want(scheduler, [1], rank=2)
    scheduler.want(Wanted(name(2), False, b"", 1_000, 1, 0))
    scheduler.join("a")
    assert numbers(scheduler.requests(0.0)) == [3, 2, 1]


def test_the_first_class_leaves_a_share_to_each_of_the_others() -> None:
    scheduler = started("a")
    want(scheduler, range(200), rank=0, length=REQUEST_BYTES)
    want(scheduler, range(200, 400), rank=1, length=REQUEST_BYTES)
    want(scheduler, range(400, 600), rank=2, length=REQUEST_BYTES)
    queue = scheduler.requests(0.0)
    classes: list[int] = []
    while len(classes) < 8 * SHARE_EVERY:
        classes += [number // 200 for number in numbers(queue[:1])]
        answer(scheduler, queue.pop(0))
        queue += scheduler.requests(0.0)
    for first in range(0, len(classes), SHARE_EVERY):
        assert sum(rank > 0 for rank in classes[first : first + SHARE_EVERY]) == 1
    assert Counter(classes) == {0: 8 * (SHARE_EVERY - 1), 1: 4, 2: 4}


def test_what_is_dropped_is_not_asked_for() -> None:
    scheduler = started()
    want(scheduler, [1, 2, 3])
    scheduler.drop([name(2), name(9)])
    scheduler.join("a")
    assert numbers(scheduler.requests(0.0)) == [1, 3]
    assert not scheduler.wants(name(2))


def test_what_is_dropped_in_flight_and_wanted_again_is_not_asked_for_twice() -> None:
    scheduler = started("a", "b")
    want(scheduler, [1])
    (request,) = scheduler.requests(0.0)
    scheduler.drop([name(1)])
    want(scheduler, [1])
    assert scheduler.requests(0.0) == []
    assert answer(scheduler, request) == 1


def test_an_answer_to_what_was_dropped_is_not_wanted() -> None:
    scheduler = started("a")
    want(scheduler, [1, 2])
    (request,) = scheduler.requests(0.0)
    scheduler.drop([name(1)])
    assert answer(scheduler, request) == 1
    want(scheduler, [1])
    assert numbers(scheduler.requests(0.0)) == [1]


def test_wanting_and_dropping_does_not_pile_up() -> None:
    scheduler = started()
    for _ in range(module.VOID_ENTRIES + 100):
        want(scheduler, [1, 2])
        scheduler.drop([name(1)])
    assert sum(map(len, scheduler._waiting.values())) <= module.VOID_ENTRIES + 2 * 2
    scheduler.join("a")
    assert numbers(scheduler.requests(0.0)) == [2]


# ---- answers


def test_answers_come_in_parts() -> None:
    scheduler = started("a")
    want(scheduler, [1, 2, 3])
    (request,) = scheduler.requests(0.0)
    assert scheduler.match("a", request.number, 1) == (name(1),)
    assert scheduler.match("a", request.number, 2) == (name(2), name(3))
    with pytest.raises(RemoteError, match="more objects"):
        scheduler.match("a", request.number, 1)


def test_answers_that_nobody_asked_for() -> None:
    scheduler = started("a", "b")
    want(scheduler, [1])
    (request,) = scheduler.requests(0.0)
    other = "b" if request.peer == "a" else "a"
    assert scheduler.match(other, request.number, 1) == ()
    assert scheduler.match(request.peer, request.number + 1, 1) == ()
    assert not scheduler.arrived(request.number + 1, name(1), 5, 0.0)
    assert not scheduler.arrived(request.number, name(2), 5, 0.0)
    scheduler.finished(request.number + 1)
    assert answer(scheduler, request) == 1
    assert not scheduler.arrived(request.number, name(1), 5, 0.0)


def test_a_missing_object_is_asked_of_another_then_stuck_until_somebody_may_have_it() -> None:
    scheduler = started("a", "b")
    want(scheduler, [1])
    (first,) = scheduler.requests(0.0)
    assert answer(scheduler, first, size=-1) == 0
    (second,) = scheduler.requests(0.0)
    assert {first.peer, second.peer} == {"a", "b"}
    assert scheduler.stuck == 0
    answer(scheduler, second, size=-1)
    assert not scheduler.is_stuck(name(1))
    assert scheduler.requests(0.0) == []
    assert scheduler.stuck == 1
    assert scheduler.is_stuck(name(1))
    scheduler.refresh("a")
    assert not scheduler.is_stuck(name(1))
    (third,) = scheduler.requests(0.0)
    assert third.peer == "a"
    assert scheduler.stuck == 0
    answer(scheduler, third, size=-1)
    assert scheduler.requests(0.0) == []
    scheduler.join("c")
    (fourth,) = scheduler.requests(0.0)
    assert fourth.peer == "c"
    assert answer(scheduler, fourth) == 1


def test_a_stuck_object_can_be_dropped_when_all_peers_are_gone() -> None:
    scheduler = started("a")
    want(scheduler, [1])
    (request,) = scheduler.requests(0.0)
    answer(scheduler, request, size=-1)
    assert scheduler.requests(1_000.0) == []
    assert scheduler.is_stuck(name(1))
    scheduler.leave("a")
    scheduler.drop([name(1)])
    assert scheduler.stuck == 0
    scheduler.join("a")
    assert scheduler.requests(2_000.0) == []


def test_a_stuck_object_can_be_dropped_and_become_more_urgent() -> None:
    scheduler = started("a")
    want(scheduler, [1, 2], rank=1)
    answer(scheduler, scheduler.requests(0.0)[0], size=-1)
    assert scheduler.requests(0.0) == []
    assert scheduler.stuck == 2
    want(scheduler, [2], rank=0)
    scheduler.drop([name(1)])
    assert scheduler.stuck == 1
    want(scheduler, [1], rank=1)
    assert numbers(scheduler.requests(0.0)) == [1]
    scheduler.refresh("a")
    assert numbers(scheduler.requests(0.0)) == [2]


def test_what_an_answer_leaves_out_is_asked_of_others_only() -> None:
    scheduler = started("a", "b")
    want(scheduler, [1, 2])
    (request,) = scheduler.requests(0.0)
    assert scheduler.arrived(request.number, name(1), 10, 0.0)
    scheduler.finished(request.number)
    (again,) = scheduler.requests(0.0)
    assert (again.peer, again.ids) == ("b" if request.peer == "a" else "a", (name(2),))
    scheduler.finished(again.number)
    assert scheduler.requests(0.0) == []
    assert scheduler.stuck == 1


@pytest.mark.parametrize("offered", [name(1), b"group"])
def test_an_offer_ends_what_the_peer_lacked(offered: bytes) -> None:
    scheduler = started("a", "b")
    want(scheduler, [1], group=b"group")
    want(scheduler, [2])
    for _ in range(2):
        for request in scheduler.requests(0.0):
            answer(scheduler, request, size=-1)
    assert scheduler.requests(0.0) == []
    assert scheduler.stuck == 2
    scheduler.offers("b", [name(7), b"", offered])
    (request,) = scheduler.requests(0.0)
    assert (request.peer, request.ids) == ("b", (name(1),))
    assert scheduler.stuck == 1


@pytest.mark.parametrize("tell", ["name", "group", "refresh"])
def test_an_answer_that_is_older_than_an_offer_is_not_believed(tell: str) -> None:
    scheduler = started("a")
    want(scheduler, [1], group=b"file")
    (request,) = scheduler.requests(0.0)
    if tell == "refresh":
        scheduler.refresh("a")
    else:
        scheduler.offers("a", [name(1) if tell == "name" else b"file"])
    answer(scheduler, request, size=-1)
    (again,) = scheduler.requests(0.0)
    answer(scheduler, again, size=-1)
    assert scheduler.requests(0.0) == []
    assert scheduler.is_stuck(name(1))


def test_offers_of_strangers_and_of_what_nobody_wants() -> None:
    scheduler = started("a")
    want(scheduler, [1])
    scheduler.offers("x", [name(1)])
    scheduler.offers("a", [name(1), name(2)])
    scheduler.refresh("x")
    scheduler.leave("x")
    assert numbers(scheduler.requests(0.0)) == [1]


def test_an_offer_for_what_waits_anyway() -> None:
    scheduler = started("a", "b")
    want(scheduler, [1])
    (request,) = scheduler.requests(0.0)
    answer(scheduler, request, size=-1)
    scheduler.offers(request.peer, [name(1)])
    assert scheduler.stuck == 0
    (again,) = scheduler.requests(0.0)
    assert numbers([again]) == [1]


def test_an_object_of_another_group_is_offered_with_that() -> None:
    scheduler = started("a")
    want(scheduler, [1], rank=1, group=b"one")
    answer(scheduler, scheduler.requests(0.0)[0], size=-1)
    assert scheduler.requests(0.0) == []
    want(scheduler, [1], rank=0, group=b"two")
    scheduler.offers("a", [b"one"])
    assert scheduler.requests(0.0) == []
    scheduler.offers("a", [b"two"])
    assert numbers(scheduler.requests(0.0)) == [1]


# ---- peers come and go


def test_who_leaves_is_replaced() -> None:
    scheduler = started("a")
    want(scheduler, [1, 2])
    (request,) = scheduler.requests(0.0)
    scheduler.drop([name(2)])
    scheduler.leave("a")
    assert scheduler.in_flight == 0
    assert scheduler.requests(0.0) == []
    assert scheduler.match("a", request.number, 1) == ()
    scheduler.join("a")
    assert numbers(scheduler.requests(0.0)) == [1]


def test_who_joins_again_is_a_stranger() -> None:
    scheduler = started("a")
    want(scheduler, [1, 2], length=REQUEST_BYTES)
    first, _ = scheduler.requests(0.0)
    answer(scheduler, first, size=-1)
    scheduler.join("a")
    assert sorted(numbers(scheduler.requests(0.0))) == [1, 2]
    assert scheduler.in_flight == 2


def test_two_equal_peers_give_about_the_same() -> None:
    scheduler = started("a", "b")
    want(scheduler, range(2_000), length=40_000)
    given: Counter[Peer] = Counter()
    busy = {"a": 0.0, "b": 0.0}
    queue: list[tuple[float, Request]] = []
    now, rate = 0.0, 50e6
    while True:
        for request in scheduler.requests(now):
            assert isinstance(request.peer, str)
            busy[request.peer] = max(busy[request.peer], now) + len(request.ids) * 40_000 / rate
            queue.append((busy[request.peer], request))
        if not queue:
            break
        queue.sort(key=lambda item: item[0])
        now, request = queue.pop(0)
        given[request.peer] += answer(scheduler, request, now, 40_000)
    assert sum(given.values()) == 2_000
    assert abs(given["a"] - given["b"]) <= 100


@pytest.mark.parametrize(
    ("rate", "least", "most"),
    [(1e5, WINDOW_LEAST, WINDOW_LEAST), (40e6, 8e6, 12e6), (1e12, WINDOW_MOST, WINDOW_MOST)],
)
def test_the_window_follows_the_rate(rate: float, least: float, most: float) -> None:
    scheduler = started("a")
    want(scheduler, range(4_000), length=REQUEST_BYTES)
    now = 0.0
    queue = scheduler.requests(now)
    for _ in range(300):
        request = queue.pop(0)
        now += len(request.ids) * REQUEST_BYTES / rate if rate < 1e11 else 0.01
        answer(scheduler, request, now, REQUEST_BYTES if rate < 1e11 else 1 << 40)
        queue += scheduler.requests(now)
    window = scheduler._peers["a"].window
    assert least <= window <= most
    named = -(-request_bytes(window) // REQUEST_BYTES) * REQUEST_BYTES  # by one request, in whole objects
    assert len(queue) in range(window // named, window // named + 2) or len(queue) == REQUESTS_IN_FLIGHT
    assert {len(request.ids) for request in queue[-4:]} == {named // REQUEST_BYTES}


def test_a_pause_does_not_count_for_the_rate() -> None:
    scheduler = started("a")
    now = 0.0
    for first in range(20):
        want(scheduler, range(first * 40, first * 40 + 40), length=REQUEST_BYTES)
        queue = scheduler.requests(now)
        while queue:
            now += 0.01  # 26 MB/s
            answer(scheduler, queue.pop(0), now, REQUEST_BYTES)
            queue += scheduler.requests(now)
        now += 100.0
    assert scheduler._peers["a"].rate == pytest.approx(26e6, rel=0.1)


# ---- those who give nothing


def test_a_stranger_is_asked_for_little_at_first() -> None:
    scheduler = started("a")
    want(scheduler, range(1_000), length=100_000)
    queue = scheduler.requests(0.0)
    assert len(queue) == UNPROVEN_REQUESTS
    answer(scheduler, queue[0])
    assert len(scheduler.requests(0.0)) > UNPROVEN_REQUESTS - 1


def test_who_has_nothing_is_asked_seldom_while_others_work() -> None:
    scheduler = started("full", "empty")
    want(scheduler, range(20_000), length=4_000)
    queue = scheduler.requests(0.0)
    now, asked = 0.0, 0
    while queue:
        request = queue.pop(0)
        if request.peer == "empty":
            asked += 1
            answer(scheduler, request, now, -1)
            scheduler.refresh("empty")
        else:
            now += 0.005 * len(request.ids) * 4_000 / REQUEST_BYTES
            answer(scheduler, request, now, 4_000)
        queue += scheduler.requests(now)
    assert not any(scheduler.wants(name(number)) for number in range(20_000))
    assert now > 1.0
    assert asked <= 2 * UNPROVEN_REQUESTS + 8  # rests of 50, 100, 200, 400, 800 ms


def test_rests_grow_and_end_with_an_offer_or_a_gift() -> None:
    scheduler = started("full", "empty")
    proven(scheduler, "full", "empty")
    want(scheduler, range(1_000), length=REQUEST_BYTES)
    now, rests = 0.0, []
    for _ in range(10):
        for request in scheduler.requests(now):
            if request.peer == "empty":
                answer(scheduler, request, now, -1)
        assert not [request for request in scheduler.requests(now) if request.peer == "empty"]
        moment = scheduler.next_time(now)
        assert moment is not None
        rests.append(moment - now)
        now = moment
        scheduler.refresh("empty")
    assert rests[0] >= REST_FIRST
    assert rests == sorted(rests)
    assert max(rests) <= REST_MOST
    requests = [request for request in scheduler.requests(now) if request.peer == "empty"]
    answer(scheduler, requests[0], now, -1)
    scheduler.offers("empty", [name(999)])
    requests = [request for request in scheduler.requests(now) if request.peer == "empty"]
    assert requests
    assert answer(scheduler, requests[0], now) == 1
    assert [request for request in scheduler.requests(now) if request.peer == "empty"]


def test_nobody_rests_while_nobody_works() -> None:
    scheduler = started("a")
    want(scheduler, [1])
    answer(scheduler, scheduler.requests(0.0)[0], size=-1)
    want(scheduler, [2])
    assert numbers(scheduler.requests(0.0)) == [2]


def test_many_objects_that_one_peer_lacks_do_not_keep_it_from_the_rest() -> None:
    count = SKIPS * 3
    scheduler = started("a", "b")
    want(scheduler, range(count), length=1_000)
    for now in range(count):
        for request in scheduler.requests(float(now)):
            assert scheduler.match(request.peer, request.number, len(request.ids))
            for id_ in request.ids:
                has = (int.from_bytes(id_, "big") >= count // 2) == (request.peer == "a")
                scheduler.arrived(request.number, id_, 1_000 if has else -1, float(now))
    assert scheduler.requests(1e6) == []
    assert not any(scheduler.wants(name(number)) for number in range(count))


# ---- late answers


def test_what_is_not_answered_goes_to_another() -> None:
    scheduler = started("a", "b")
    want(scheduler, [1, 2])
    (request,) = scheduler.requests(0.0)
    assert scheduler.next_time(0.0) == ANSWER_DEADLINE
    scheduler.drop([name(2)])
    assert scheduler.requests(ANSWER_DEADLINE - 1) == []
    (again,) = scheduler.requests(ANSWER_DEADLINE)
    assert again.peer != request.peer
    assert again.ids == (name(1),)
    assert scheduler.match(request.peer, request.number, 1) == ()
    assert not scheduler.arrived(request.number, name(1), 10, ANSWER_DEADLINE)
    assert answer(scheduler, again) == 1
    assert scheduler.next_time(0.0) is None


def test_progress_with_one_request_keeps_the_peers_others_alive_but_not_for_ever() -> None:
    scheduler = started("a")
    proven(scheduler, "a")
    want(scheduler, [0])
    (slow,) = scheduler.requests(0.0)
    now = 0.0
    while now < ANSWER_LONGEST - 30:
        now += 30
        want(scheduler, [100 + int(now)], length=1)
        for request in scheduler.requests(now):
            answer(scheduler, request, now)
        assert slow.number in scheduler._flights
    scheduler.requests(now + 30)
    assert slow.number not in scheduler._flights


def test_what_comes_bit_by_bit_does_not_expire() -> None:
    scheduler = started("a")
    want(scheduler, range(10))
    (request,) = scheduler.requests(0.0)
    now = 0.0
    for id_ in request.ids:
        now += ANSWER_LONGEST - 1 if id_ == name(0) else ANSWER_DEADLINE - 1
        if id_ == name(0):
            continue
        assert scheduler.arrived(request.number, id_, 10, now)
        scheduler.requests(now)
    assert scheduler.arrived(request.number, name(0), 10, now)


# ---- all together

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
