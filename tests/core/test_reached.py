"""What of our own has reached no peer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core.reached import PATHS_KEPT, ROOTS_KEPT, Reached

SIZE = 7
A, B, C = b"a" * 32, b"b" * 32, b"c" * 32


def publish(reached: Reached, paths: list[bytes]) -> None:
    reached.published([(path, SIZE) for path in paths])


def test_a_peer_with_our_root_and_no_needs_has_everything() -> None:
    reached = Reached(earlier=False)
    reached.had(A, 0)
    publish(reached, [b"one", b"two"])
    assert (reached.outstanding, reached.unreached) == (2, [b"one", b"two"])
    assert not reached.heard(A, 0), "it has what was there before"
    reached.had(B, 2)
    assert not reached.heard(B, 1), "it has the records, and not all of the bytes"
    assert not reached.heard(C, 0), "it has something else"
    assert reached.heard(B, 0)
    assert (reached.outstanding, reached.unreached) == (0, [])
    assert not reached.heard(B, 0)


def test_a_peer_that_ignores_a_path_does_not_have_it() -> None:
    reached = Reached(earlier=False)
    publish(reached, [b"uploads/one", b"themes/one"])
    reached.had(A, 2)
    publish(reached, [b"uploads/two"])
    reached.had(B, 3)

    def uploads(path: bytes, size: int) -> bool:
        return size == SIZE and path.startswith(b"uploads/")

    assert not reached.heard(A, 0, uploads)
    assert not reached.heard(B, 0, uploads)
    assert reached.heard(A, 0), "another one has them"
    assert not reached.heard(B, 0, uploads)
    assert reached.heard(B, 0, lambda path, _: path.startswith(b"themes/")), "what it ignores was there before"
    assert reached.outstanding == 0


def test_what_is_not_known_by_name_may_be_ignored() -> None:
    reached = Reached(earlier=True)
    reached.had(A, 0)
    assert not reached.heard(A, 0, lambda path, size: False)
    assert reached.heard(A, 0)
    publish(reached, [b"x"] * (PATHS_KEPT + 1))
    reached.had(B, PATHS_KEPT + 1)
    assert not reached.heard(B, 0, lambda path, size: False)
    assert reached.heard(B, 0)


def test_a_peer_may_tell_late() -> None:
    reached = Reached(earlier=False)
    for number, path in enumerate((b"one", b"two", b"one", b"three")):
        publish(reached, [path])
        reached.had(bytes([number]) * 32, number + 1)
    assert reached.heard(b"\1" * 32, 0)
    assert (reached.outstanding, reached.unreached) == (2, [b"one", b"three"])
    assert not reached.heard(b"\0" * 32, 0), "what was reached stays so"
    assert reached.outstanding == 2


def test_a_root_that_comes_again_names_what_is_there_now() -> None:
    reached = Reached(earlier=False)
    publish(reached, [b"one"])
    reached.had(A, 1)
    publish(reached, [b"two"])
    reached.had(B, 2)
    publish(reached, [b"three"])
    reached.had(A, 3)
    assert reached.heard(A, 0)
    assert reached.outstanding == 0


def test_earlier_runs_count_until_a_peer_has_what_we_have() -> None:
    reached = Reached(earlier=True)
    reached.had(A, 0)
    assert not reached.heard(B, 0)
    assert reached.earlier
    assert reached.heard(A, 0)
    assert not reached.earlier


def test_memory_is_bounded() -> None:
    reached = Reached(earlier=False)
    for number in range(PATHS_KEPT + 5):
        publish(reached, [b"%d" % number])
    assert reached.outstanding == PATHS_KEPT + 5
    assert len(reached.unreached) == PATHS_KEPT
    for number in range(ROOTS_KEPT + 1):
        reached.had(number.to_bytes(32, "big"), number)
    assert not reached.heard(bytes(32), 0), "the oldest root is forgotten: nothing is taken for reached that is not"


@pytest.mark.filterwarnings("error")
@given(st.lists(st.tuples(st.sampled_from("prh"), st.integers(0, 4), st.integers(0, 1))))
def test_nothing_is_taken_for_reached_that_is_not(steps: list[tuple[str, int, int]]) -> None:
    """Against a model: a peer that tells a root has exactly what we had when we last had it."""
    reached, made, known = Reached(earlier=False), 0, 0
    roots: dict[bytes, int] = {}
    for what, number, needs in steps:
        root = bytes([number]) * 32
        if what == "p":
            publish(reached, [b"%d" % (made + n) for n in range(number)])
            made += number
        elif what == "r":
            reached.had(root, made)
            roots[root] = made
        else:
            reached.heard(root, needs)
            if not needs and root in roots:
                known = max(known, roots[root])
        assert reached.outstanding == made - known
        assert reached.unreached == [b"%d" % n for n in range(known, made)]
