"""The top of a block list comes along with a push: nobody asks for what came."""

import os
from collections import Counter
from pathlib import Path

import pytest

from protocol import limits
from protocol.content import Leaf, decode_segment
from protocol.keys import generate_secret
from protocol.messages import Get
from syncd.node.exchange import Exchange
from syncd.node.findings import TOP_BYTES
from tests.lab.inside import Inside
from tests.lab.meeting import agree, joined

LONG = 3 * limits.MAX_BLOCK
VERY_LONG = 2 * (TOP_BYTES // 32) * limits.MAX_BLOCK  # bytes of a hole-free file whose list does not go along


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How many objects of each kind anybody asked for."""
    kinds: Counter[int] = Counter()
    enqueue = Exchange._enqueue

    def counted(exchange: Exchange, message: object) -> None:
        if isinstance(message, Get):
            kinds[message.kind] += len(message.ids)
        enqueue(exchange, message)  # type: ignore[arg-type]

    monkeypatch.setattr(Exchange, "_enqueue", counted)
    return kinds


def pair(base: Path) -> tuple[Inside, Inside]:
    secret = generate_secret(os.urandom(32))
    return Inside(base / "one", secret), Inside(base / "two", secret)


def blocks_of(inside: Inside, path: str) -> list[int]:
    """The lengths of a file's blocks, as the index has them."""
    row = inside.shop.ledger.rows([path.encode()]).popitem()[1]
    assert row.disk is not None
    content = row.disk.entry.content
    raw = inside.shop.ledger.read(lambda: inside.shop.ledger.contents.segment(content))
    assert raw is not None
    leaf = decode_segment(raw)
    assert isinstance(leaf, Leaf)
    return [length for _, length in leaf.entries]


async def test_of_a_file_that_is_saved(tmp_path: Path, asked: Counter[int]) -> None:
    one, two = pair(tmp_path)
    (one.tree / "first").write_bytes(b"first")
    async with joined(one, two):
        asked.clear()
        (one.tree / "long").write_bytes(os.urandom(LONG))
        await agree(one, two)
        assert asked == {0: len(blocks_of(one, "long"))}
        assert blocks_of(two, "long") == blocks_of(one, "long")


async def test_of_a_file_all_of_whose_blocks_are_here(tmp_path: Path, asked: Counter[int]) -> None:
    one, two = pair(tmp_path)
    data = os.urandom(LONG)
    (one.tree / "long").write_bytes(data)
    async with joined(one, two):
        while not two.shop.ledger.contents.searchable:
            await two.folder.refresh_now()
        asked.clear()
        (one.tree / "shorter").write_bytes(data[: sum(blocks_of(one, "long")[:-1])])
        await agree(one, two)
        assert not asked
        assert blocks_of(two, "shorter") == blocks_of(one, "long")[:-1]


async def test_a_long_list_is_asked_for(tmp_path: Path, asked: Counter[int]) -> None:
    one, two = pair(tmp_path)
    (one.tree / "first").write_bytes(b"first")
    async with joined(one, two):
        asked.clear()
        (one.tree / "long").write_bytes(os.urandom(VERY_LONG))
        await agree(one, two)
        assert asked[1] >= 1
