"""Who is listened to: how long the failures of one source count, and who has to go when too many knock at a time."""

import pytest

from syncd.net.doorman import (
    COST_BURST,
    COST_RATE,
    HALF_OPEN_LIMIT,
    HALF_OPEN_PER_SOURCE,
    REPLAY_COST,
    SESSIONS_LIMIT,
    SESSIONS_PER_SOURCE,
    SOURCES_KEPT,
    STRANGER_COST,
    Doorman,
    source_of,
)


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def doorman(clock: Clock, known: frozenset[str] = frozenset()) -> Doorman[str]:
    return Doorman(clock, known.__contains__)


@pytest.mark.parametrize("cost", [STRANGER_COST, REPLAY_COST])
def test_a_flood_of_failures_may_cost_a_tenth_of_a_core(clock: Clock, cost: float) -> None:
    """Of ten seconds with a failure every tenth of a millisecond."""
    door = doorman(clock)
    spent = 0.0
    for _ in range(100_000):
        clock.now += 0.0001
        if door.admits("flood"):
            door.failed("flood", cost)
            spent += cost
    assert spent <= COST_BURST + 10.0 * COST_RATE + cost
    assert door.admits("other")
    clock.now += COST_BURST / COST_RATE
    assert door.admits("flood")


def test_only_so_many_sources_are_remembered(clock: Clock) -> None:
    door = doorman(clock)
    for number in range(SOURCES_KEPT + 100):
        door.failed(str(number), COST_BURST)
    assert len(door._debts) == SOURCES_KEPT
    assert not door.admits(str(SOURCES_KEPT + 99))


def test_the_oldest_of_a_source_goes_first(clock: Clock) -> None:
    door = doorman(clock)
    for number in range(HALF_OPEN_PER_SOURCE):
        assert door.enter(f"a{number}", "a") is None
    assert door.enter("b", "b") is None
    assert door.enter("last", "a") == "a0"


def test_who_has_proven_something_goes_last(clock: Clock) -> None:
    door = doorman(clock, frozenset({"0", "1"}))
    for number in range(HALF_OPEN_LIMIT):
        assert door.enter(str(number), str(number)) is None
    assert door.enter("last", "last") == "2"


def test_sessions_are_counted(clock: Clock) -> None:
    door = doorman(clock)
    admitted = []
    for number in range(SESSIONS_PER_SOURCE + 1):
        door.enter(f"a{number}", "a")
        admitted.append(door.establish(f"a{number}"))
    assert admitted.count(False) == 1
    for number in range(SESSIONS_PER_SOURCE, SESSIONS_LIMIT):
        door.enter(str(number), str(number))
        assert door.establish(str(number))
    door.enter("late", "late")
    assert not door.establish("late")
    door.leave("a0")
    door.enter("later", "later")
    assert door.establish("later")


@pytest.mark.parametrize(
    ("host", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::1:2:3:4", "2001:db8::"),
        ("fe80::1%eth0", "fe80::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("somewhere", "somewhere"),
    ],
)
def test_a_source_is_an_address_or_its_network(host: str, source: str) -> None:
    assert source_of(host) == source
