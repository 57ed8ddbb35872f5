"""Many nodes that all know each other: a change reaches each of them, its bytes cross a link once, and few words do."""

import contextlib
import os
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from protocol.keys import generate_secret
from protocol.messages import Message, Objects, Priority, Records
from syncd.net.session import Session
from tests.lab.inside import Inside
from tests.lab.meeting import agree, running

CHANGES = 24
ROUNDS = 6
# Of a change each node hears its record, the author's new STATUS, and says its own to the author. What comes before its
# push has come is asked for, in a few messages more.
MESSAGES = 8


class Carried:
    """What is posted in sessions: contents by link, and messages by type."""

    def __init__(self) -> None:
        self.links: dict[Session, frozenset[bytes]] = {}
        self.contents: Counter[tuple[frozenset[bytes], bytes]] = Counter()
        self.messages: Counter[str] = Counter()

    def count(self, session: Session, messages: tuple[Message, ...]) -> None:
        for message in messages if session in self.links else ():
            self.messages[type(message).__name__] += 1
            bodies = message.blobs if isinstance(message, Records) else ()
            bodies = message.objects if isinstance(message, Objects) else bodies
            self.contents.update((self.links[session], bytes(data)) for data in bodies if data is not None)


@pytest.fixture
def carried(monkeypatch: pytest.MonkeyPatch) -> Carried:
    carried = Carried()
    post = Session.post

    def posted(session: Session, *messages: Message, rank: Priority | None = None) -> None:
        carried.count(session, messages)
        post(session, *messages, rank=rank)

    monkeypatch.setattr(Session, "post", posted)
    return carried


@contextlib.asynccontextmanager
async def mesh(base: Path, number: int, carried: Carried) -> AsyncIterator[list[Inside]]:
    """Nodes that are all connected, in sync, and know that of each other; from now on it is counted what they say."""
    secret = generate_secret(os.urandom(32))
    nodes = [Inside(base / f"{item}", secret) for item in range(number)]
    (nodes[0].tree / "first").write_bytes(b"first")
    async with running(*nodes):
        for item, node in enumerate(nodes):
            for other in nodes[:item]:
                await node.join(other)
        await agree(*nodes)
        for node in nodes:
            await node.reach(
                lambda node=node: all(len(peer.knows) == number - 2 for peer in node.folder.peers.all())  # type: ignore[misc]
            )
        carried.links.update(
            (peer.session, frozenset({node.identity.node_id, peer.node_id}))
            for node in nodes for peer in node.folder.peers.all()
        )  # fmt: skip
        assert len(carried.links) == number * (number - 1)
        yield nodes


async def change(nodes: list[Inside], changes: int) -> None:
    """A file each on one node after the other, each when the last one has arrived somewhere."""
    for number in range(changes):
        author, last = nodes[number % len(nodes)], nodes[number % len(nodes) - 1]
        (author.tree / f"{number}").write_bytes(b"content %d" % number)
        await last.reach(lambda arrived=last.tree / f"{number}": arrived.exists())  # type: ignore[misc]
    await agree(*nodes)


@pytest.mark.parametrize("number", [3, 5, 8])
async def test_the_bytes_of_a_change_cross_a_link_once(tmp_path: Path, carried: Carried, number: int) -> None:
    async with mesh(tmp_path, number, carried) as nodes:
        await change(nodes, CHANGES)
    once = CHANGES * (number - 1)
    assert once <= sum(carried.contents.values()) <= 1.05 * once


@pytest.mark.parametrize("number", [8, pytest.param(30, marks=pytest.mark.heavy)])
async def test_messages_grow_with_changes_and_nodes(tmp_path: Path, carried: Carried, number: int) -> None:
    """All nodes write at once, again and again."""
    async with mesh(tmp_path, number, carried) as nodes:
        for turn in range(ROUNDS):
            for item, node in enumerate(nodes):
                (node.tree / f"{turn} {item}").write_bytes(b"content %d %d" % (turn, item))
            there = number * (turn + 1) + len({"first", ".syncd"})
            for node in nodes:
                await node.reach(lambda node=node, there=there: len(os.listdir(node.tree)) == there)  # type: ignore[misc]
        await agree(*nodes)
    said = {name: count for name, count in carried.messages.items() if name not in ("Ping", "Pong")}
    assert sum(said.values()) <= MESSAGES * ROUNDS * number * number, said
