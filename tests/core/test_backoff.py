"""Delays between dials, and which of two sessions with one peer stays."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core.backoff import FIRST_DELAY, GROWTH, LONGEST_DELAY, Backoff, survivor

chances = st.floats(0, 1, exclude_max=True)


@given(st.lists(chances, min_size=1, max_size=40))
def test_delays_grow_and_stay_in_bounds(drawn: list[float]) -> None:
    backoff = Backoff()
    for failures, chance in enumerate(drawn):
        ceiling = min(LONGEST_DELAY, FIRST_DELAY * GROWTH**failures)
        delay = backoff.failed(chance)
        assert ceiling / 2 <= delay <= ceiling


def test_it_takes_many_failures_without_harm() -> None:
    backoff = Backoff()
    for _ in range(10_000):
        assert backoff.failed(0.5) <= LONGEST_DELAY
    assert backoff.failed(0.0) == LONGEST_DELAY / 2


def test_success_starts_again() -> None:
    backoff = Backoff()
    for _ in range(10):
        backoff.failed(0.0)
    backoff.succeeded()
    assert backoff.failed(0.0) == FIRST_DELAY / 2


def test_the_chance_spreads_the_delays() -> None:
    assert len({Backoff().failed(chance / 100) for chance in range(100)}) == 100


@pytest.mark.parametrize(
    ("mine", "theirs", "first_is_mine", "same_start", "stays"),
    [
        (b"a", b"b", True, True, True),
        (b"a", b"b", False, True, False),
        (b"b", b"a", True, True, False),
        (b"b", b"a", False, True, True),
        (b"a", b"b", True, False, False),
        (b"a", b"b", False, False, False),
    ],
)
def test_survivor(mine: bytes, theirs: bytes, first_is_mine: bool, same_start: bool, stays: bool) -> None:
    assert survivor(mine, theirs, first_is_mine, same_start) is stays


def test_both_ends_keep_the_same_session_of_a_crossed_dial() -> None:
    small, large = b"\0" * 16, b"\1" * 16
    for order_at_small, order_at_large in product([True, False], repeat=2):  # which one each saw first: small's own?
        kept_at_small = order_at_small is survivor(small, large, order_at_small, True)
        first_at_large_is_its_own = not order_at_large
        stays = survivor(large, small, first_at_large_is_its_own, True)
        kept_at_large = order_at_large is stays
        assert kept_at_small is kept_at_large is True  # the one that the smaller began
