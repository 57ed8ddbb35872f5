"""Many nodes that all know each other: a change reaches each of them, and its bytes cross no link twice."""

import os
from collections import Counter
from pathlib import Path

import pytest

from protocol.keys import generate_secret
from protocol.messages import Message, Objects, Priority, Records
from syncd.net.session import Session
from tests.lab.inside import Inside
from tests.lab.meeting import agree, running

NODES = 8  # with fewer, news is passed on as well, for those who are not connected to its author
CHANGES = 24


async def test_the_bytes_of_a_change_cross_a_link_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = generate_secret(os.urandom(32))
    nodes = [Inside(tmp_path / f"{number}", secret) for number in range(NODES)]
    (nodes[0].tree / "first").write_bytes(b"first")
    carried: Counter[tuple[frozenset[bytes], bytes]] = Counter()  # {(link, bytes): times}
    links: dict[Session, frozenset[bytes]] = {}
    post = Session.post

    def count(session: Session, *messages: Message, rank: Priority | None = None) -> None:
        for message in messages if session in links else ():
            bodies = message.blobs if isinstance(message, Records) else ()
            bodies = message.objects if isinstance(message, Objects) else bodies
            carried.update((links[session], bytes(data)) for data in bodies if data is not None)
        post(session, *messages, rank=rank)

    monkeypatch.setattr(Session, "post", count)
    async with running(*nodes):
        for number, node in enumerate(nodes):
            for other in nodes[:number]:
                await node.join(other)
        await agree(*nodes)
        links.update(
            (peer.session, frozenset({node.identity.node_id, peer.node_id}))
            for node in nodes for peer in node.folder.peers.all()
        )  # fmt: skip
        assert len(links) == NODES * (NODES - 1)
        for number in range(CHANGES):
            author, last = nodes[number % NODES], nodes[number % NODES - 1]
            (author.tree / f"{number}").write_bytes(b"content %d" % number)
            await last.reach(lambda arrived=last.tree / f"{number}": arrived.exists())  # type: ignore[misc]
        await agree(*nodes)
    once = CHANGES * (NODES - 1)
    assert once <= sum(carried.values()) <= 1.05 * once
