"""Which objects are asked for, and in which order."""

from collections import Counter

from syncd.core import scheduler as module
from syncd.core.scheduler import (
    REQUEST_BYTES,
    REQUEST_IDS,
    REQUESTS_IN_FLIGHT,
    SHARE_EVERY,
    WINDOW_FIRST,
    Scheduler,
    Wanted,
)
from tests.core.scheduling import answer, name, numbers, proven, started, want


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


def test_what_is_hastened_goes_first_and_in_its_order() -> None:
    scheduler = Scheduler()
    want(scheduler, range(10), rank=1)
    scheduler.hasten([name(7), name(5), name(99)], 0, 3)
    scheduler.join("a")
    ids = [id_ for request in scheduler.requests(0.0) for id_ in request.ids]
    assert ids[:2] == [name(7), name(5)]
    assert sorted(ids) == sorted(name(number) for number in range(10))
