"""Which slot of the balancer holds whom."""

from hypothesis import given
from hypothesis import strategies as st

from syncd.core.slots import Offer, Plan, Server, Slot, decide

A, B, C, NONE = Server("10.0.0.1", 80), Server("10.0.0.2", 80), Server("10.0.0.3", 80), Server("0.0.0.0", 9)
HERE, LAGS, GOES = Offer(True, False), Offer(False, False), Offer(True, True)
EMPTY = [Slot(f"node{number}", NONE, False) for number in (1, 2, 3)]


def filled(*servers: Server) -> list[Slot]:
    """The three slots, the first ones filled."""
    return [Slot(slot.name, server, True) for slot, server in zip(EMPTY, servers, strict=False)] + EMPTY[len(servers) :]


def test_who_is_ready_gets_a_slot() -> None:
    assert decide(EMPTY, {A: HERE, B: LAGS, C: GOES}, {}, 60) == Plan([("node1", A)], [], [])
    assert decide(EMPTY, {B: HERE, A: HERE}, {}, 60).fill == [("node1", A), ("node2", B)]


def test_who_has_one_keeps_it_though_it_lags() -> None:
    assert decide(filled(A), {A: LAGS}, {}, 60) == Plan([], [], [])


def test_who_drains_leaves_at_once() -> None:
    assert decide(filled(A, B), {A: GOES, B: HERE}, {}, 60) == Plan([], ["node1"], [])


def test_who_is_away_leaves_after_a_while() -> None:
    assert decide(filled(A, B), {B: HERE}, {A: 59.9}, 60) == Plan([], [], [])
    assert decide(filled(A, B), {B: HERE}, {A: 60.0}, 60) == Plan([], ["node1"], [])
    assert decide(filled(A, B), {B: HERE}, {}, 60) == Plan([], [], []), "it was seen to be away only now"


def test_the_last_one_stays() -> None:
    assert decide(filled(A), {A: GOES}, {}, 60).empty == []
    assert decide(filled(A, B), {}, {A: 1e6, B: 1e6}, 60).empty == ["node2"]
    assert decide(filled(A, B), {A: GOES}, {B: 1e6}, 60).empty == ["node1"], "a page may be where nobody says it goes"
    assert decide(filled(A), {A: GOES, B: HERE}, {}, 60) == Plan([("node2", B)], ["node1"], [])


def test_the_last_one_goes_where_the_backend_has_others() -> None:
    assert decide(filled(A), {A: GOES}, {}, 60, alone=False).empty == ["node1"]
    assert decide(filled(A, B), {}, {A: 1e6, B: 1e6}, 60, alone=False).empty == ["node1", "node2"]


def test_after_a_reload_all_are_filled_again() -> None:
    assert decide(EMPTY, {A: HERE, B: HERE}, {}, 60).fill == [("node1", A), ("node2", B)]


def test_a_slot_that_knows_the_server_is_preferred() -> None:
    slots = [EMPTY[0], Slot("node2", A, False), EMPTY[2]]
    assert decide(slots, {A: HERE, B: HERE}, {}, 60).fill == [("node2", A), ("node1", B)]


def test_too_few_slots() -> None:
    assert decide(EMPTY[:1], {A: HERE, B: HERE}, {}, 60) == Plan([("node1", A)], [], [B])


def test_a_slot_that_becomes_free_is_taken_at_once() -> None:
    assert decide(filled(A)[:1], {A: GOES, B: HERE}, {}, 60) == Plan([("node1", B)], [], [])


def test_one_server_has_one_slot() -> None:
    assert decide(filled(A, A), {A: HERE}, {}, 60) == Plan([], ["node2"], [])


servers = st.sampled_from([A, B, C, NONE])
slots_of = st.lists(st.tuples(servers, st.booleans()), max_size=4).map(
    lambda found: [Slot(f"node{number}", *item) for number, item in enumerate(found)]
)
offers_of = st.dictionaries(st.sampled_from([A, B, C]), st.builds(Offer, st.booleans(), st.booleans()))


@given(slots_of, offers_of, st.dictionaries(servers, st.sampled_from([0.0, 59.0, 61.0])))
def test_done_once_it_is_done(slots: list[Slot], offers: dict[Server, Offer], absent: dict[Server, float]) -> None:
    """A second look finds nothing to do; nobody that drains is admitted; a backend that served goes on serving."""
    plan = decide(slots, offers, absent, 60)
    filling = dict(plan.fill)
    after = [
        Slot(slot.name, filling.get(slot.name, slot.server), slot.name in filling or slot.filled)
        for slot in slots
    ]  # fmt: skip
    after = [slot._replace(filled=False) if slot.name in plan.empty else slot for slot in after]
    assert not set(filling) & set(plan.empty)
    assert all(offers[server].ready and not offers[server].leaving for server in filling.values())
    assert any(slot.filled for slot in after) or not any(slot.filled for slot in slots)
    again = decide(after, offers, absent, 60)
    assert not again.empty
    assert not again.fill or plan.empty, "only what became free"
