"""What requests name, and how much of it is under way: windows that follow the rate, objects that go together."""

from syncd.core.scheduler import REQUEST_BYTES, WINDOW_FIRST, Scheduler, Wanted
from tests.core.test_scheduler import answer, name, want


def test_a_peer_that_answers_everything_at_once_gets_a_larger_window() -> None:
    """Each window is empty before the next one is asked for; the rate is measured nevertheless."""
    scheduler = Scheduler()
    scheduler.join("fast")
    want(scheduler, range(20_000), length=REQUEST_BYTES)
    now = 0.0
    for _ in range(100):
        requests = scheduler.requests(now)
        now += 0.02
        for request in requests:
            answer(scheduler, request, now, REQUEST_BYTES)
    assert sum(len(request.ids) for request in scheduler.requests(now)) * REQUEST_BYTES > 4 * WINDOW_FIRST


def test_a_pause_does_not_count_as_slowness() -> None:
    scheduler = Scheduler()
    scheduler.join("fast")
    now = 0.0
    for first in range(0, 8_000, 400):
        now += 100.0
        want(scheduler, range(first, first + 400), length=REQUEST_BYTES)
        while requests := scheduler.requests(now):
            now += 0.02
            for request in requests:
                answer(scheduler, request, now, REQUEST_BYTES)
    want(scheduler, range(10_000, 14_000), length=REQUEST_BYTES)
    assert sum(len(request.ids) for request in scheduler.requests(now)) * REQUEST_BYTES > 4 * WINDOW_FIRST


def test_the_beginnings_of_block_lists_are_asked_for_together() -> None:
    """All else is asked for by the content."""
    scheduler = Scheduler()
    scheduler.join("a")
    for number in range(5):
        scheduler.want(Wanted(name(number), True, name(number), 500, 0, 0))
    scheduler.want(Wanted(name(10), True, name(1), 500, 0, 0))
    scheduler.want(Wanted(name(11), False, name(1), 500, 0, 0))
    scheduler.want(Wanted(name(12), False, name(2), 500, 0, 0))
    asked = [request.ids for request in scheduler.requests(0.0)]
    assert asked[0] == tuple(name(number) for number in range(5))
    assert asked[1:] == [(name(10),), (name(11),), (name(12),)]


def test_what_is_hastened_goes_first_and_in_its_order() -> None:
    scheduler = Scheduler()
    want(scheduler, range(10), rank=1)
    scheduler.hasten([name(7), name(5), name(99)], 0, 3)
    scheduler.join("a")
    ids = [id_ for request in scheduler.requests(0.0) for id_ in request.ids]
    assert ids[:2] == [name(7), name(5)]
    assert sorted(ids) == sorted(name(number) for number in range(10))
