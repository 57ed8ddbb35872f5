"""How long somebody has been behind."""

from dataclasses import dataclass
from typing import Any, cast

from syncd.node.lag import Lag, in_sync
from syncd.node.peers import Peer

OURS, OTHER = b"ours", b"other"


@dataclass
class _Status:
    root: bytes
    in_sync: bool


@dataclass
class _Peer:
    node_id: bytes
    status: _Status | None


@dataclass
class _Root:
    hash: bytes = OURS


@dataclass
class _Facts:
    root: _Root


@dataclass
class _Standing:
    word: str
    facts: _Facts

    def state(self, peers: list[Peer]) -> str:
        return self.word


def see(lag: Lag, now: float, word: str, peers: list[Peer]) -> None:
    lag.see(now, cast(Any, _Standing(word, _Facts(_Root()))), peers)


def peer(name: bytes, root: bytes | None, synced: bool = True) -> Peer:
    return cast(Any, _Peer(name, None if root is None else _Status(root, synced)))


def test_who_has_all_of_it_is_in_sync() -> None:
    assert in_sync(peer(b"a", OURS), OURS)
    assert not in_sync(peer(b"a", OTHER), OURS)
    assert not in_sync(peer(b"a", OURS, synced=False), OURS)
    assert not in_sync(peer(b"a", None), OURS)


def test_lag_counts_from_the_moment_in_which_it_began() -> None:
    lag = Lag()
    see(lag, 10.0, "syncing", [peer(b"a", OURS), peer(b"b", OTHER)])
    assert (lag.own, lag.of(peer(b"a", OURS)), lag.of(peer(b"b", OTHER))) == (0.0, 0.0, 0.0)
    see(lag, 14.0, "waiting", [peer(b"a", OURS, synced=False), peer(b"b", OTHER)])
    see(lag, 15.5, "syncing", [peer(b"a", OURS, synced=False), peer(b"b", OTHER)])
    assert (lag.own, lag.of(peer(b"a", OURS)), lag.of(peer(b"b", OTHER))) == (5.5, 1.5, 5.5)


def test_lag_ends_and_begins_anew() -> None:
    lag = Lag()
    see(lag, 1.0, "syncing", [peer(b"b", OTHER)])
    see(lag, 2.0, "in-sync", [peer(b"b", OURS)])
    assert (lag.own, lag.of(peer(b"b", OURS))) == (0.0, 0.0)
    see(lag, 5.0, "syncing", [peer(b"b", OTHER)])
    see(lag, 6.0, "syncing", [])
    see(lag, 8.0, "syncing", [peer(b"b", OTHER)])
    assert lag.own == 3.0
    assert lag.of(peer(b"b", OTHER)) == 0.0, "a session that ended does not count"


def test_nobody_is_behind() -> None:
    lag = Lag()
    see(lag, 1.0, "in-sync", [peer(b"b", OURS)])
    assert lag.none
    see(lag, 2.0, "in-sync", [peer(b"a", OURS), peer(b"b", OTHER)])
    assert not lag.none
    see(lag, 3.0, "waiting", [])
    assert not lag.none
