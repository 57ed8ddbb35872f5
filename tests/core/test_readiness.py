"""The table of what makes a class ready, row by row, and that each fact can only do what its row says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core.readiness import ClassFacts, FolderFacts, judge

COMPLETE = ClassFacts(reconciled=True, needs=0, holds_records=True, was_ready=False, lag=None)
PLAIN = FolderFacts(
    fresh=False,
    tree_matches=True,
    held=False,
    allow_empty=False,
    alone_for=None,
    alone_after=None,
    files=100,
    max_need=5.0,
    max_lag=60.0,
)
UNKNOWN = COMPLETE._replace(reconciled=False)
READY = COMPLETE._replace(was_ready=True)
ALONE = PLAIN._replace(alone_for=60.0, alone_after=60.0)

class_facts = st.builds(
    ClassFacts,
    st.booleans(),
    st.integers(0, 3),
    st.booleans(),
    st.booleans(),
    st.none() | st.sampled_from([0.0, 59.0, 60.0, 61.0]),
)
seconds = st.none() | st.sampled_from([0.0, 59.0, 60.0, 61.0])
folder_facts = st.builds(
    FolderFacts,
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    seconds,
    seconds,
    st.sampled_from([0, 10, 100]),
    st.sampled_from([0.0, 5.0, 100.0]),
    st.just(60.0),
)


@pytest.mark.parametrize(
    ("of_class", "folder", "ready", "reason"),
    [
        (COMPLETE, PLAIN, True, "complete"),
        (COMPLETE._replace(needs=7), PLAIN, False, "7 paths of config are still to come"),
        (
            COMPLETE._replace(holds_records=False),
            PLAIN,
            False,
            "nothing is known of config yet; if it may be empty: ready.allow_empty",
        ),
        (COMPLETE._replace(holds_records=False), PLAIN._replace(allow_empty=True), True, "complete"),
        (COMPLETE, PLAIN._replace(held=True), False, "the folder is held"),
        (COMPLETE._replace(was_ready=True), PLAIN._replace(held=True), False, "the folder is held"),
        # ready before: at once, whatever is still to come
        (UNKNOWN._replace(was_ready=True, needs=9), PLAIN, True, "was ready before, and the tree is still there"),
        (UNKNOWN._replace(was_ready=True), PLAIN._replace(tree_matches=False), False, "not yet compared"),
        (UNKNOWN._replace(was_ready=True), PLAIN._replace(fresh=True), False, "waiting for a settled peer"),
        # and for as long as it lags little, or not for long
        (READY._replace(needs=4, lag=1e6), PLAIN, True, "was ready before"),
        (READY._replace(needs=5, lag=60.0), PLAIN, False, "5 paths of config are still to come, for longer than"),
        (READY._replace(needs=100, lag=59.9), PLAIN, True, "was ready before"),
        (READY._replace(needs=100, lag=60.0), PLAIN, False, "100 paths of config are still to come"),
        (READY._replace(needs=100, lag=60.0), PLAIN._replace(max_lag=61.0), True, "was ready before"),
        (READY._replace(needs=99, lag=60.0), PLAIN._replace(max_need=100.0), True, "was ready before"),
        (READY._replace(needs=1, lag=60.0), PLAIN._replace(max_need=0.0), False, "1 paths of config"),
        (READY._replace(needs=0, lag=60.0), PLAIN._replace(max_need=0.0, files=0), True, "was ready before"),
        # nobody is there to lag behind: the site stays up
        (READY._replace(needs=100, lag=None), PLAIN, True, "was ready before"),
        # not compared with anybody
        (UNKNOWN, PLAIN, False, "not yet compared with a settled peer"),
        (UNKNOWN, PLAIN._replace(fresh=True), False, "waiting for a settled peer"),
        # alone for long enough
        (UNKNOWN, ALONE, True, "complete"),
        (UNKNOWN._replace(needs=2), ALONE, False, "2 paths of config are still to come"),
        (UNKNOWN, ALONE._replace(alone_for=59.9), False, "not yet compared with a settled peer"),
        (UNKNOWN, ALONE._replace(alone_for=None), False, "not yet compared with a settled peer"),
        (UNKNOWN, ALONE._replace(alone_after=None), False, "not yet compared with a settled peer"),
        (UNKNOWN, ALONE._replace(files=0), False, "not yet compared with a settled peer"),
        (UNKNOWN, ALONE._replace(fresh=True), False, "waiting for a settled peer"),
    ],
)
def test_the_table(of_class: ClassFacts, folder: FolderFacts, ready: bool, reason: str) -> None:
    verdict = judge("config", of_class, folder)
    assert verdict.ready is ready
    assert verdict.reason.startswith(reason)


@given(class_facts, folder_facts)
def test_a_fresh_index_is_ready_only_after_a_settled_peer_was_merged(of_class: ClassFacts, folder: FolderFacts) -> None:
    if judge("all", of_class, folder._replace(fresh=True)).ready:
        assert of_class.reconciled
        assert not of_class.needs


@given(class_facts, folder_facts)
def test_a_held_folder_is_never_ready(of_class: ClassFacts, folder: FolderFacts) -> None:
    assert not judge("all", of_class, folder._replace(held=True)).ready


@given(class_facts, folder_facts)
def test_fewer_needs_never_take_readiness_away(of_class: ClassFacts, folder: FolderFacts) -> None:
    if judge("all", of_class, folder).ready:
        assert judge("all", of_class._replace(needs=0), folder).ready


@given(class_facts, folder_facts)
def test_a_reason_is_always_given(of_class: ClassFacts, folder: FolderFacts) -> None:
    assert judge("all", of_class, folder).reason


@given(class_facts, folder_facts)
def test_without_a_peer_nothing_takes_readiness_back(of_class: ClassFacts, folder: FolderFacts) -> None:
    was_ready = of_class._replace(was_ready=True, lag=None)
    assert judge("all", was_ready, folder._replace(fresh=False, tree_matches=True, held=False)).ready


@given(class_facts, folder_facts, st.floats(0, 1e6))
def test_a_longer_lag_never_makes_ready(of_class: ClassFacts, folder: FolderFacts, lag: float) -> None:
    if judge("all", of_class._replace(lag=lag), folder).ready:
        assert judge("all", of_class._replace(lag=lag / 2), folder).ready
