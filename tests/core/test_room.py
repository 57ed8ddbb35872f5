"""What may still come to a disk of which a part has to stay free."""

import pytest

from syncd.core.room import MARGIN_LEAST, Least, Room, Space, margin

GIB = 1 << 30
LEAST = Least(5 * GIB, 50)


def looked(free: int, promised: int = 0, least: Least = LEAST, nodes: int = 1_000) -> Room:
    room = Room()
    room.look(Space(free, 100 * GIB, nodes, 1_000), least, promised)
    return room


@pytest.mark.parametrize(
    ("free", "promised", "nodes", "scarce"),
    [
        (100 * GIB, 0, 1_000, False),
        (5 * GIB, 0, 1_000, False),
        (5 * GIB - 1, 0, 1_000, True),
        (5 * GIB, 1, 1_000, True),
        (0, 0, 1_000, True),
        (100 * GIB, 0, 50, False),
        (100 * GIB, 0, 49, True),
    ],
)
def test_scarce_is_less_than_has_to_stay(free: int, promised: int, nodes: int, scarce: bool) -> None:
    assert looked(free, promised, nodes=nodes).scarce is scarce


def test_file_systems_that_count_no_inodes() -> None:
    room = Room()
    room.look(Space(100 * GIB, 100 * GIB, 0, 0), Least(5 * GIB, 0), 0)
    assert not room.scarce


def test_nothing_has_to_stay() -> None:
    room = looked(0, least=Least())
    assert not room.scarce
    assert room.take(1 << 60)
    assert room.fits(1 << 60)


def test_what_is_let_in_is_counted_until_the_next_look() -> None:
    room = looked(5 * GIB + 100)
    assert room.take(60)
    assert room.fits(40)
    assert not room.fits(1)
    assert not room.scarce, "only something large does not fit"
    assert not room.take(1)
    assert room.scarce
    assert not room.fits(0)


def test_room_is_back_when_there_is_a_little_more() -> None:
    room = looked(5 * GIB - 1)
    room.look(Space(5 * GIB, 100 * GIB), LEAST, 0)
    assert room.scarce, "one file that goes does not open the door for a blink"
    room.look(Space(5 * GIB + margin(LEAST), 100 * GIB), LEAST, 0)
    assert not room.scarce
    assert room.take(margin(LEAST))


def test_inodes_come_back_too() -> None:
    room = looked(100 * GIB, nodes=49)
    room.look(Space(100 * GIB, 100 * GIB, 50, 1_000), LEAST, 0)
    assert room.scarce
    room.look(Space(100 * GIB, 100 * GIB, 53, 1_000), LEAST, 0)
    assert not room.scarce


def test_the_margin_lets_small_files_in_even_on_small_disks() -> None:
    assert margin(Least(1)) == MARGIN_LEAST
