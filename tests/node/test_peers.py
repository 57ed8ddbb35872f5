"""Which of two sessions with one peer stays."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest

from protocol.keys import Tier
from syncd.node.peers import PEERS_KEPT, Peers

SMALL, LARGE = b"\0" * 16, b"\1" * 16


@dataclass(eq=False)
class Wire:
    """What Peers asks of a session."""

    initiator: bool
    bytes_in: int = 10
    bytes_out: int = 1


def established(node_id: bytes, nonce: bytes) -> Any:
    return SimpleNamespace(hello=SimpleNamespace(node_id=node_id, nonce=nonce), tier=Tier.READ_WRITE)


def admit(peers: Peers, session: Wire, node_id: bytes, nonce: bytes = b"run 1") -> tuple[Any, Any]:
    return peers.admit(cast(Any, session), established(node_id, nonce))


@pytest.mark.parametrize("own_first", [True, False])
@pytest.mark.parametrize(("mine", "theirs"), [(SMALL, LARGE), (LARGE, SMALL)])
def test_of_crossed_sessions_the_one_of_the_smaller_id_stays(mine: bytes, theirs: bytes, own_first: bool) -> None:
    peers = Peers(mine)
    first, second = Wire(initiator=own_first), Wire(initiator=not own_first)
    admit(peers, first, theirs)
    peer, old = admit(peers, second, theirs)
    stays = second if peer is not None else first
    assert stays.initiator is (mine < theirs)
    assert peers.all()[0].session is stays
    assert (old is None) is (peer is None)


@pytest.mark.parametrize("initiator", [True, False])
@pytest.mark.parametrize(("mine", "theirs"), [(SMALL, LARGE), (LARGE, SMALL)])
def test_whoever_dials_again_means_the_new_session(mine: bytes, theirs: bytes, initiator: bool) -> None:
    peers = Peers(mine)
    first, second = Wire(initiator), Wire(initiator)
    admit(peers, first, theirs)
    peer, old = admit(peers, second, theirs)
    assert (peer.session, old.session) == (second, first)
    assert peers.remove(cast(Any, first)) is None
    assert peers.connected(theirs) is peer
    assert (peers.bytes_in, peers.bytes_out) == (20, 2)
    assert peers.remove(cast(Any, second)) is peer
    assert peers.all() == []


def test_a_start_that_comes_back_is_that_of_a_copy() -> None:
    peers = Peers(SMALL)

    def come(nonce: bytes) -> bool:
        cloned = peers.is_clone(established(LARGE, nonce))
        if not cloned:
            admit(peers, Wire(initiator=False), LARGE, nonce)
        return cloned

    assert [come(nonce) for nonce in (b"1", b"1", b"2", b"3", b"3")] == [False] * 5  # restarts, and dialled anew
    assert come(b"2")
    assert not come(b"3")
    for number in range(PEERS_KEPT):
        assert not peers.is_clone(established(number.to_bytes(16, "big"), b"1"))
    assert not peers.is_clone(established(LARGE, b"2"))  # too long ago


@pytest.mark.parametrize("first_is_mine", [True, False])
@pytest.mark.parametrize("second_is_mine", [True, False])
def test_a_restarted_peer_replaces_its_ghost(first_is_mine: bool, second_is_mine: bool) -> None:
    for mine, theirs in ((SMALL, LARGE), (LARGE, SMALL)):
        peers = Peers(mine)
        ghost = Wire(first_is_mine)
        admit(peers, ghost, theirs)
        peer, old = admit(peers, Wire(second_is_mine), theirs, b"run 2")
        assert peer is not None
        assert old.session is ghost
