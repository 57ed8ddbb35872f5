"""Nodes of a later minor version among ours: one after the other is replaced while all go on."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.handshake import HandshakeResult
from protocol.keys import generate_secret
from protocol.messages import Hello
from tests.lab.cluster import snapshot
from tests.lab.inside import Inside
from tests.lab.meeting import agree, leave, problems

MINOR = 7


class Later(Inside):
    """A node that says that it is of a later minor version, with features and limits that we do not know."""

    def hello(self, result: HandshakeResult) -> Hello:
        hello = super().hello(result)
        return replace(hello, minor=MINOR, features=(*hello.features, "later"), agent="syncd of the future")


@pytest.mark.parametrize("first", [Inside, Later])
async def test_one_node_at_a_time_is_upgraded(tmp_path: Path, first: type[Inside]) -> None:
    """Whoever of the two dials: three nodes become later ones, or go back, and each edits before and after."""
    secret = generate_secret(os.urandom(32))
    second = Inside if first is Later else Later
    names = ("one", "two", "three")
    (tmp_path / "one/tree").mkdir(parents=True)
    (tmp_path / "one/tree/begin").write_bytes(b"begin")
    nodes = {name: first(tmp_path / name, secret) for name in names}
    contexts = {name: node.running(settled=name == "one") for name, node in nodes.items()}
    for context in contexts.values():
        await context.__aenter__()
    try:
        await nodes["two"].join(nodes["one"])
        await nodes["three"].join(nodes["one"])
        await agree(*nodes.values())
        for name in names:
            (nodes[name].tree / f"before-{name}").write_bytes(os.urandom(100_000))
            await agree(*nodes.values())
            hub = nodes["two" if name == "one" else "one"]
            await leave(nodes[name], hub)
            await contexts.pop(name).__aexit__(None, None, None)
            (nodes[name].tree / f"while-{name}").write_bytes(b"written while it is replaced")
            nodes[name] = second(tmp_path / name, secret)
            contexts[name] = nodes[name].running(settled=False)
            await contexts[name].__aenter__()
            for other, node in nodes.items():
                if other != name:
                    await nodes[name].join(node) if other != "three" else await node.join(nodes[name])
            await agree(*nodes.values())
        found = {path for path in snapshot(nodes["three"].tree) if not path.startswith(b".")}
        assert found == {b"begin", *(f"{when}-{name}".encode() for when in ("before", "while") for name in names)}
        assert [problems(node) for node in nodes.values()] == [[], [], []]
        assert [node.folder.troubles.alarms for node in nodes.values()] == [[], [], []]
    finally:
        for context in contexts.values():
            await context.__aexit__(None, None, None)
