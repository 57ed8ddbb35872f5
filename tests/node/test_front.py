"""What the operator wants first: found among the needs, a few at a time, until none is left."""

import pytest

from protocol.edit import Entry
from protocol.paths import to_key
from protocol.record import Kind
from syncd.core.index import Disk, Index, Need, Row
from syncd.core.patterns import PatternError
from syncd.node.front import AGAIN_SECONDS, RANK, Front, Matching
from tests.fakes.memory_index import MemoryIndex

CLASSES = 3
DISK = Disk(Entry(Kind.FILE, b"c" * 32, 1, 0o644, 0, b""), 1, 1)


def needing(*paths: str) -> Index:
    """An index that needs these paths, those that begin with t in the first class, others in the last one."""
    index = MemoryIndex()
    rows = [
        Row(to_key(path.encode()), (), DISK, Need(0 if path.startswith("t") else CLASSES - 1, number, 10))
        for number, path in enumerate(paths)
    ]
    index.store(rows)
    return index


def taken(front: Front, index: Index, now: float = 0.0, held: frozenset[bytes] = frozenset(), limit: int = 10) -> set:
    return set(front.take(index, held, limit, now))


def keys(*paths: str) -> set[bytes]:
    return {to_key(path.encode()) for path in paths}


def test_it_goes_before_the_first_class() -> None:
    assert RANK < 0


def test_what_matches_is_found_in_all_classes() -> None:
    index = needing("t/a", "u/a", "u/b", "t/b")
    assert taken(Front(["a"], CLASSES), index) == keys("t/a", "u/a")
    assert Front(["/u/"], CLASSES).matching(index) == Matching(2, 20, False)


def test_it_comes_a_few_at_a_time_and_each_once() -> None:
    index = needing(*(f"t/{number:04}" for number in range(2_500)))
    front = Front(["*"], CLASSES)
    seen: set[bytes] = set()
    while part := taken(front, index, limit=700):
        assert len(part) <= 700
        assert not part & seen
        seen |= part
    assert len(seen) == 2_500
    assert not front.over, "it is needed still"


def test_what_is_held_is_left_alone_and_still_counts() -> None:
    index = needing("u/a")
    front = Front(["a"], CLASSES)
    assert taken(front, index, held=frozenset(keys("u/a"))) == set()
    assert not front.over


def test_what_comes_later_is_found_after_a_while() -> None:
    front = Front(["a"], CLASSES)
    assert taken(front, needing("u/a"), now=0.0) == keys("u/a")
    taken(front, needing("u/a"), now=0.0)  # the walk ends
    later = needing("t/a")
    assert taken(front, later, now=AGAIN_SECONDS - 1) == set()
    assert taken(front, later, now=AGAIN_SECONDS) == keys("t/a")


def test_it_is_over_when_nothing_of_it_is_needed() -> None:
    front = Front(["a"], CLASSES)
    assert taken(front, needing("u/b")) == set()
    assert front.over


def test_patterns_that_can_never_apply() -> None:
    with pytest.raises(PatternError):
        Front(["a//b"], CLASSES)
