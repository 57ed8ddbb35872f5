"""What requests name, and how much of it is under way: windows that follow the rate, objects that go together."""

import pytest

from syncd.core.scheduler import (
    REQUEST_BYTES,
    REQUESTS_IN_FLIGHT,
    WINDOW_FIRST,
    WINDOW_LEAST,
    WINDOW_MOST,
    Wanted,
    request_bytes,
)
from tests.core.scheduling import answer, name, started, want


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


def test_a_peer_that_answers_everything_at_once_gets_a_larger_window() -> None:
    """Each window is empty before the next one is asked for; the rate is measured nevertheless."""
    scheduler = started("fast")
    want(scheduler, range(20_000), length=REQUEST_BYTES)
    now = 0.0
    for _ in range(100):
        requests = scheduler.requests(now)
        now += 0.02
        for request in requests:
            answer(scheduler, request, now, REQUEST_BYTES)
    assert sum(len(request.ids) for request in scheduler.requests(now)) * REQUEST_BYTES > 4 * WINDOW_FIRST


def test_a_pause_does_not_count_as_slowness() -> None:
    scheduler = started("fast")
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
    scheduler = started("a")
    for number in range(5):
        scheduler.want(Wanted(name(number), True, name(number), 500, 0, 0))
    scheduler.want(Wanted(name(10), True, name(1), 500, 0, 0))
    scheduler.want(Wanted(name(11), False, name(1), 500, 0, 0))
    scheduler.want(Wanted(name(12), False, name(2), 500, 0, 0))
    asked = [request.ids for request in scheduler.requests(0.0)]
    assert asked[0] == tuple(name(number) for number in range(5))
    assert asked[1:] == [(name(10),), (name(11),), (name(12),)]
