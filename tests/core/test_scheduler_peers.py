"""Peers that come and go, that give alike, and that give nothing."""

from collections import Counter

from syncd.core.scheduler import REQUEST_BYTES, REST_FIRST, REST_MOST, SKIPS, UNPROVEN_REQUESTS, Peer, Request
from tests.core.scheduling import answer, name, numbers, proven, started, want


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
