"""When a fresh index settles: row by row, and that of several fresh nodes at most one founds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core.founding import PeerFacts, Situation, may_settle

ME, LARGER, SMALLER = b"\x50" * 16, b"\x90" * 16, b"\x10" * 16
ALONE = Situation(
    node_id=ME,
    read_only=False,
    scanned=True,
    has_files=True,
    peers=(),
    all_dialled=True,
    alone_for=100.0,
    publish_alone_after=60.0,
)
SETTLED = PeerFacts(LARGER, read_only=False, settled=True, reconciled=True)
FRESH = SETTLED._replace(settled=False, reconciled=False)
RELAY = FRESH._replace(node_id=SMALLER, read_only=True)


@pytest.mark.parametrize(
    ("now", "settles"),
    [
        # alone
        (ALONE, True),
        (ALONE._replace(alone_for=60.0), True),
        (ALONE._replace(alone_for=59.9), False),
        (ALONE._replace(scanned=False), False),
        (ALONE._replace(has_files=False), False),
        (ALONE._replace(read_only=True), False),
        (ALONE._replace(publish_alone_after=float("inf")), False),
        # with somebody who has settled: when his manifest was merged, never before
        (ALONE._replace(peers=[SETTLED]), True),
        (ALONE._replace(peers=[SETTLED._replace(reconciled=False)]), False),
        (ALONE._replace(peers=[SETTLED], scanned=False), False),
        (ALONE._replace(peers=[SETTLED], read_only=True), True),
        (ALONE._replace(peers=[SETTLED._replace(read_only=True)]), True),
        (ALONE._replace(peers=[SETTLED], all_dialled=False, has_files=False), True),
        (ALONE._replace(peers=[SETTLED._replace(reconciled=False), FRESH]), False),
        (ALONE._replace(peers=[FRESH._replace(reconciled=True), SETTLED._replace(reconciled=False)]), False),
        # among fresh ones: the smallest of those that may write, once everybody was dialled
        (ALONE._replace(peers=[FRESH]), True),
        (ALONE._replace(peers=[FRESH], alone_for=0.0, has_files=False), True),
        (ALONE._replace(peers=[FRESH], all_dialled=False), False),
        (ALONE._replace(peers=[FRESH], read_only=True), False),
        (ALONE._replace(peers=[FRESH._replace(node_id=SMALLER)]), False),
        (ALONE._replace(peers=[FRESH, FRESH._replace(node_id=SMALLER)]), False),
        (ALONE._replace(peers=[RELAY]), True),
        (ALONE._replace(peers=[RELAY, FRESH]), True),
    ],
)
def test_the_table(now: Situation, settles: bool) -> None:
    assert may_settle(now) is settles


@given(
    st.lists(
        st.tuples(st.binary(min_size=16, max_size=16), st.booleans()), min_size=2, max_size=6, unique_by=lambda n: n[0]
    )
)
def test_of_fresh_nodes_that_see_each_other_one_founds(nodes: list[tuple[bytes, bool]]) -> None:
    facts = [PeerFacts(node_id, read_only, settled=False, reconciled=False) for node_id, read_only in nodes]
    founders = [
        node_id
        for node_id, read_only in nodes
        if may_settle(
            ALONE._replace(
                node_id=node_id, read_only=read_only, peers=[peer for peer in facts if peer.node_id != node_id]
            )
        )
    ]
    writers = [node_id for node_id, read_only in nodes if not read_only]
    assert founders == ([min(writers)] if writers else [])
