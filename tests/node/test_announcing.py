"""Who hears at once how a folder stands, and who hears of it later, in a mesh of more than a few."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from protocol.keys import Tier
from protocol.messages import Status
from syncd.node import announcing
from syncd.node.announcing import FEW, Announcer
from syncd.node.findings import Push, Report
from syncd.node.peers import Peers
from syncd.node.telling import PUSH_RECORDS

NEVER = 1e6  # seconds
READ_WRITE = Tier.READ_WRITE


class Wire:
    """What a session is asked for here."""

    crowded = False

    def __init__(self, post: Callable[[Status], None]) -> None:
        self.post = post


class Mesh:
    """Peers that are all connected with each other, and what each was told."""

    def __init__(self, number: int) -> None:
        ids = [bytes([n + 1]) * 16 for n in range(number)]
        self.connected = Peers(bytes(16))
        self.told: dict[int, list[Status]] = {n: [] for n in range(number)}
        self.peers = []
        for n, node_id in enumerate(ids):
            session = Wire(self.told[n].append)
            hello = SimpleNamespace(node_id=node_id, nonce=b"")
            peer, _ = self.connected.admit(cast(Any, session), cast(Any, SimpleNamespace(hello=hello, tier=READ_WRITE)))
            assert peer is not None
            peer.knows = frozenset(ids) - {node_id}
            self.peers.append(peer)
        self.stands: Status | None = status(0)
        self.announcer = Announcer(self.connected, lambda: self.stands)
        self.announcer.announce(self.announcer.begin())
        assert self.heard() == list(range(number)), "whoever was told nothing yet is told at once"

    def heard(self) -> list[int]:
        """Who was told something since the last call."""
        found = [n for n, told in self.told.items() if told]
        for told in self.told.values():
            told.clear()
        return found

    def announce(self, number: int, **fields: Any) -> list[int]:
        """The folder stands anew; who hears it at once."""
        self.stands = status(number, **fields)
        self.announcer.announce(self.announcer.begin())
        return self.heard()

    def publish(self) -> None:
        """Something is published, too much to be pushed."""
        self.announcer.push(Report(pushes=[cast(Push, None)] * (PUSH_RECORDS + 1)))


def status(number: int, **fields: Any) -> Status:
    values: dict[str, Any] = {
        "level": 0, "root": bytes([number]) * 32, "in_sync": True, "need_files": 0, "need_bytes": 0, "complete": (),
        "settled": True, "state": "in-sync", "drain": False,
    }  # fmt: skip
    return Status(**{**values, **fields})


@pytest.fixture
async def mesh(monkeypatch: pytest.MonkeyPatch) -> Mesh:
    monkeypatch.setattr(announcing, "SPACING", NEVER)
    monkeypatch.setattr(announcing, "NEAR", NEVER)
    return Mesh(FEW + 2)


ALL = list(range(FEW + 2))


async def test_a_few_are_all_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcing, "SPACING", NEVER)
    few = Mesh(FEW)
    assert few.announce(1) == list(range(FEW))
    assert few.announce(1) == [], "it is no news"


async def test_all_hear_of_what_was_published_here(mesh: Mesh) -> None:
    mesh.publish()
    assert mesh.announce(1) == ALL
    assert mesh.announce(2) == []


async def test_whom_news_came_from_hears_that_it_arrived_with_its_contents(mesh: Mesh) -> None:
    mesh.announcer.heard(mesh.peers[3])
    assert mesh.announce(1, need_files=1, in_sync=False) == []
    assert mesh.announce(1) == [3]
    assert mesh.announce(2) == []


async def test_who_may_hear_of_it_here_only_hears_it_at_once(mesh: Mesh) -> None:
    mesh.peers[1].knows -= {mesh.peers[3].node_id}
    mesh.announcer.heard(mesh.peers[3])
    assert mesh.announce(1) == [1, 3]


async def test_what_cannot_be_told_yet_is_owed_until_it_can(mesh: Mesh) -> None:
    for owe, who in ((lambda: mesh.announcer.heard(mesh.peers[3]), [3]), (mesh.publish, ALL)):
        owe()
        mesh.stands = None
        mesh.announcer.announce(mesh.announcer.begin())
        assert mesh.heard() == []
        assert mesh.announce(len(who)) == who, "with what came later"


@pytest.mark.parametrize("urgent", [{"drain": True}, {"complete": ("themes",)}, {"settled": False}])
async def test_what_a_balancer_may_look_at_is_told_at_once(mesh: Mesh, urgent: dict[str, Any]) -> None:
    assert mesh.announce(0, **urgent) == ALL


async def test_a_class_that_lacks_a_file_for_a_moment_is_no_news(mesh: Mesh) -> None:
    mesh.announce(0, complete=("themes", "plugins"))
    assert mesh.announce(1, complete=("themes",), need_files=1) == []
    assert mesh.announce(1, complete=("themes", "plugins")) == []


async def test_what_comes_and_goes_waits_though_there_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcing, "NEEDS_GAP", NEVER)
    monkeypatch.setattr(announcing, "WORDS_GAP", NEVER)
    few = Mesh(FEW)
    assert few.announce(1, need_files=1, in_sync=False, state="syncing") == []
    assert few.announce(1, state="syncing") == list(range(FEW))
    assert few.announce(1) == []
    assert few.announce(1, state="held") == list(range(FEW))


async def test_pushes_are_a_reason_to_ask_a_little_later(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    assert mesh.announcer.flux(mesh.peers[1]) <= 0
    monkeypatch.setattr(announcing, "FLUX", NEVER)
    monkeypatch.setattr(announcing, "LONGEST_FLUX", NEVER)
    mesh.publish()
    assert 0 < mesh.announcer.flux(mesh.peers[1]) <= NEVER
    mesh.peers[1].knows |= {b"somebody else   "}
    assert mesh.announcer.flux(mesh.peers[1]) <= 0, "what comes from there comes through this peer only"


async def test_neighbours_hear_sooner(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcing, "NEAR", 0.0)
    assert mesh.announce(1) == ALL[:FEW]


async def test_others_hear_the_latest_when_it_is_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcing, "SPACING", 0.01)
    monkeypatch.setattr(announcing, "NEAR", 0.01)
    mesh = Mesh(FEW + 2)
    for number in range(1, 5):
        mesh.announce(number)
    news = asyncio.Event()
    mesh.peers[5].session.post = lambda message: (mesh.told[5].append(message), news.set())  # type: ignore[method-assign,assign,func-returns-value]
    mesh.announce(9)
    async with asyncio.timeout(30):
        await news.wait()
    assert [told.root for told in mesh.told[5]] == [bytes([9]) * 32]
    mesh.heard()
    assert mesh.announce(9) == []


async def test_what_is_as_it_was_told_is_no_news_any_more(mesh: Mesh) -> None:
    assert mesh.announce(1) == []
    assert mesh.announce(0) == []
    assert all(peer.pending is None for peer in mesh.peers)


async def test_one_peer_is_answered_at_once(mesh: Mesh) -> None:
    mesh.stands = status(1)
    mesh.announcer.answer(mesh.peers[2])
    assert mesh.heard() == [2]
    mesh.announcer.announce()
    assert mesh.heard() == [n for n in ALL if n != 2]
