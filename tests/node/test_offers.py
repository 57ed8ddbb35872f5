"""What came before anybody asked for it: bounded, and the oldest go first."""

from syncd.node.offers import OFFERED_OVERHEAD, Offers

SIZE = 1_000


def name(number: int) -> bytes:
    return b"%032d" % number


def test_the_oldest_make_room() -> None:
    offers = Offers(3 * (SIZE + OFFERED_OVERHEAD))
    for number in range(5):
        offers.add(name(number), bytes(SIZE))
    assert [offers.pop(name(number)) is not None for number in range(5)] == [False, False, True, True, True]


def test_what_was_taken_makes_room() -> None:
    offers = Offers(SIZE + OFFERED_OVERHEAD)
    for number in range(3):
        offers.add(name(number), bytes(SIZE))
        assert offers.pop(name(number)) == bytes(SIZE)
        assert offers.pop(name(number)) is None
    offers.add(name(3), bytes(SIZE))
    assert offers.take() == {name(3): bytes(SIZE)}
    offers.add(name(4), bytes(SIZE))
    assert offers.take() == {name(4): bytes(SIZE)}


def test_the_same_one_counts_once() -> None:
    offers = Offers(2 * (SIZE + OFFERED_OVERHEAD))
    for number in (0, 1, 1, 1):
        offers.add(name(number), bytes(SIZE))
    assert offers.pop(name(0)) is not None


def test_one_that_is_too_large_is_not_kept() -> None:
    offers = Offers(SIZE)
    offers.add(name(0), bytes(SIZE))
    assert offers.take() == {}
