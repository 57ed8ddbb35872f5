"""The top of a block list comes along with a push: nobody asks for what came."""

import os
from collections import Counter
from collections.abc import AsyncIterator
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


@pytest.fixture
async def pair(tmp_path: Path, asked: Counter[int]) -> AsyncIterator[tuple[Inside, Inside]]:
    """Two that are joined. What they asked for until then does not count."""
    secret = generate_secret(os.urandom(32))
    one, two = Inside(tmp_path / "one", secret), Inside(tmp_path / "two", secret)
    (one.tree / "first").write_bytes(b"first")
    async with joined(one, two):
        asked.clear()
        yield one, two


async def save(pair: tuple[Inside, Inside], name: str, data: bytes) -> None:
    """On the first node; the second one has it, too, then."""
    (pair[0].tree / name).write_bytes(data)
    await agree(*pair)


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


async def test_of_a_file_that_is_saved(pair: tuple[Inside, Inside], asked: Counter[int]) -> None:
    one, two = pair
    await save(pair, "long", os.urandom(LONG))
    assert asked == {0: len(blocks_of(one, "long"))}
    assert blocks_of(two, "long") == blocks_of(one, "long")


async def test_of_a_file_all_of_whose_blocks_are_here(pair: tuple[Inside, Inside], asked: Counter[int]) -> None:
    one, two = pair
    data = os.urandom(LONG)
    await save(pair, "long", data)
    while not two.shop.ledger.contents.searchable:
        await two.folder.refresh_now()
    asked.clear()
    await save(pair, "shorter", data[: sum(blocks_of(one, "long")[:-1])])
    assert not asked
    assert blocks_of(two, "shorter") == blocks_of(one, "long")[:-1]


async def test_a_long_list_is_asked_for(pair: tuple[Inside, Inside], asked: Counter[int]) -> None:
    await save(pair, "long", os.urandom(VERY_LONG))
    assert asked[1] >= 1
