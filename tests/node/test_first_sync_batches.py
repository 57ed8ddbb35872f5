"""A first sync of many tiny files: what waits to be placed is bounded by its number, too."""

import os
from pathlib import Path

import pytest

from protocol.keys import generate_secret
from protocol.limits import MAX_RECORDS_PER_MESSAGE
from protocol.messages import Records
from syncd.node import puller
from syncd.node.ledger import Ledger
from tests.lab.inside import Inside
from tests.lab.meeting import joined

FILES = 3_000
MOST = 300  # records that gather


@pytest.mark.parametrize("size", [0, 5])
async def test_tiny_files_are_placed_in_bounded_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(puller, "GATHER_RECORDS", MOST)
    secret = generate_secret(os.urandom(32))
    one, two = Inside(tmp_path / "one", secret), Inside(tmp_path / "two", secret)
    for number in range(FILES):
        (one.tree / f"{number}").write_bytes((b"%05d" % number)[:size])
    batches = []
    receive = Ledger.receive

    def received(ledger: Ledger, *messages: Records) -> object:
        batches.append(sum(len(message.records) for message in messages))
        return receive(ledger, *messages)

    monkeypatch.setattr(Ledger, "receive", received)
    async with joined(one, two):
        assert len(os.listdir(two.tree)) == FILES + 1  # and .syncd
    assert sum(batches) >= FILES
    assert max(batches) < MOST + MAX_RECORDS_PER_MESSAGE
