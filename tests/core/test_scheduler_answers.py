"""What comes of a request: all, a part, nothing, or that late; and offers after it."""

import pytest

from protocol.errors import RemoteError
from syncd.core.scheduler import ANSWER_DEADLINE, ANSWER_LONGEST
from tests.core.scheduling import answer, name, numbers, proven, started, want


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
