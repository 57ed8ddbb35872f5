"""When changed paths are due, in a table of cases and against a model without a queue."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from syncd.core.settle import Settle

MOMENTS = [number / 64 for number in range(64)]  # exact in binary, so that sums are


@pytest.mark.parametrize(
    ("notes", "due"),
    [
        ([], None),
        ([(b"a", True, 1.0)], 1.0),
        ([(b"a", False, 1.0)], 1.25),
        ([(b"a", False, 1.0), (b"a", False, 1.125)], 1.375),
        ([(b"a", False, 1.0), (b"a", False, 1.25), (b"a", False, 1.5), (b"a", False, 1.75)], 2.0),
        ([(b"a", False, 1.0), (b"a", True, 1.125)], 1.125),
        ([(b"a", True, 1.0), (b"a", False, 1.125)], 1.0),
        ([(b"a", True, 1.0), (b"b", True, 1.125)], 1.0),
        ([(b"a", False, 1.0), (b"b", False, 1.125)], 1.25),
        ([(b"a", False, 1.0), (b"b", True, 1.125)], 1.125),
        ([(b"a", False, 1.0), (b"b", True, 1.5)], 1.25),
    ],
)
def test_next_due(notes: list[tuple[bytes, bool, float]], due: float | None) -> None:
    settle = Settle(quiet=0.25, longest=1.0)
    for note in notes:
        settle.note(*note)
    assert settle.next_due() == due


def test_due_is_sorted_and_empties_the_table() -> None:
    settle = Settle(quiet=0.25, longest=1.0)
    for path, urgent in ((b"c", False), (b"b", True), (b"a", False), (b"d", True)):
        settle.note(path, urgent, 1.0)
    assert len(settle) == 4
    assert settle.due(1.0) == [b"b", b"d"]
    assert settle.due(1.2) == []
    assert settle.due(1.25) == [b"a", b"c"]
    assert settle.next_due() is None
    assert len(settle) == 0


def test_a_path_that_is_noted_again_starts_anew() -> None:
    settle = Settle(quiet=0.25, longest=1.0)
    settle.note(b"a", False, 1.0)
    settle.note(b"a", True, 1.0)
    assert settle.due(1.0) == [b"a"]
    settle.note(b"a", False, 1.125)
    assert settle.due(1.25) == []
    assert settle.due(1.375) == [b"a"]


def test_a_longest_time_below_the_quiet_one() -> None:
    settle = Settle(quiet=1.0, longest=0.5)
    settle.note(b"a", False, 1.0)
    assert settle.due(1.5) == [b"a"]


def test_a_full_table() -> None:
    settle = Settle(most=2)
    settle.note(b"a", False, 1.0)
    settle.note(b"b", True, 1.0)
    assert not settle.overflowed
    settle.note(b"c", True, 1.0)
    settle.note(b"a", True, 1.0)
    assert len(settle) == 2
    assert settle.overflowed
    assert not settle.overflowed
    assert settle.due(1.0) == [b"a", b"b"]
    settle.note(b"c", False, 1.0)
    assert settle.due(2.0) == [b"c"]


class SettleMachine(RuleBasedStateMachine):
    """Against a table of (first, last) that is searched from end to end. Time only goes forward."""

    def __init__(self) -> None:
        super().__init__()
        self.settle = Settle(quiet=0.25, longest=1.0, most=4)
        self.now = 0.0
        self.due: dict[bytes, tuple[float, float]] = {}  # (first note, due)
        self.overflowed = False

    @rule(step=st.sampled_from(MOMENTS))
    def passes(self, step: float) -> None:
        self.now += step

    @rule(path=st.sampled_from([b"a", b"b", b"c", b"d", b"e"]), urgent=st.booleans())
    def note(self, path: bytes, urgent: bool) -> None:
        self.settle.note(path, urgent, self.now)
        if path not in self.due and len(self.due) == 4:
            self.overflowed = True
            return
        first, due = self.due.get(path, (self.now, self.now + 0.25))
        if due > self.now or path not in self.due or not self.is_urgent(path):
            due = self.now if urgent else min(self.now + 0.25, first + 1.0)
        self.due[path] = (-1.0 if urgent or first < 0 else first, due)

    def is_urgent(self, path: bytes) -> bool:
        return self.due[path][0] < 0

    @rule()
    def take(self) -> None:
        expected = sorted(path for path, (first, due) in self.due.items() if due <= self.now or first < 0)
        assert self.settle.due(self.now) == expected
        for path in expected:
            del self.due[path]

    @precondition(lambda self: self.overflowed)
    @rule()
    def ask(self) -> None:
        assert self.settle.overflowed
        self.overflowed = False

    @invariant()
    def agrees(self) -> None:
        assert len(self.settle) == len(self.due)
        assert self.settle.next_due() == min((due for _, due in self.due.values()), default=None)
        assert len(self.settle._queue) <= 4 * (1 + 5)  # void places do not pile up


SettleMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestSettle = SettleMachine.TestCase
