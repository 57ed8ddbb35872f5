"""The token bucket: what may pass in which time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.net.limiter import BURST_SECONDS, Limiter


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_without_a_rate_nothing_waits() -> None:
    clock = Clock()
    limiter = Limiter(0, clock)
    for _ in range(1_000):
        assert limiter.delay() == 0
        limiter.take(1 << 40)


def test_a_message_larger_than_the_burst_passes_and_is_waited_for_afterwards() -> None:
    clock = Clock()
    limiter = Limiter(1_000.0, clock)
    assert limiter.delay() == 0
    limiter.take(2_050)
    assert limiter.delay() == pytest.approx(2.0)
    clock.now += 1.5
    assert limiter.delay() == pytest.approx(0.5)
    clock.now += 0.5
    assert limiter.delay() == pytest.approx(0.0, abs=1e-9)


def test_idle_time_is_saved_up_to_the_burst_only() -> None:
    clock = Clock()
    limiter = Limiter(1_000.0, clock)
    clock.now += 3_600
    limiter.take(int(1_000 * BURST_SECONDS))
    assert limiter.delay() == pytest.approx(0.0, abs=1e-9)
    limiter.take(100)
    assert limiter.delay() == pytest.approx(0.1)


def test_waiting_as_told_is_enough() -> None:
    clock = Clock()
    limiter = Limiter(3.0e6, clock)
    for _ in range(1_000):
        limiter.take(65_536)
        for _ in range(3):  # the sum of floats may fall short by a hair
            clock.now += limiter.delay()
        assert limiter.delay() < 1e-9


@given(
    st.floats(1e3, 1e9),
    st.lists(st.tuples(st.integers(0, 1 << 20), st.floats(0, 0.5)), min_size=1, max_size=60),
)
def test_no_more_passes_than_the_rate_allows(rate: float, steps: list[tuple[int, float]]) -> None:
    clock = Clock()
    limiter = Limiter(rate, clock)
    started, taken, last = clock.now, 0, 0
    for size, idle in steps:
        clock.now += idle
        clock.now += limiter.delay()
        limiter.take(size)
        taken, last = taken + size, size
        passed = clock.now - started
        assert taken - last <= rate * (passed + BURST_SECONDS) * (1 + 1e-6) + 1


def test_another_rate_holds_from_now_on_and_debts_are_forgiven() -> None:
    now = 0.0
    limiter = Limiter(100, lambda: now)
    limiter.take(1_000)
    assert limiter.delay() > 5
    limiter.become(50)
    assert limiter.delay() == 0
    limiter.take(50)
    assert limiter.delay() == pytest.approx(0.95)
    limiter.become(0)
    limiter.take(1 << 30)
    assert limiter.delay() == 0
