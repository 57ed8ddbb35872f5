"""What does a file cost that is received: placed with its record while the node has nothing, and one by one later?

Everything from verified messages to files in the tree and rows in the index, durable, in one thread.
"""

import sys
from collections.abc import Iterator
from itertools import count as numbers
from typing import Final

from benchmarks.corpus import small
from benchmarks.parts import COLUMNS, KEYS, everything, place, timed, workshop
from benchmarks.report import Options, Report, run
from protocol.content import block_id
from protocol.messages import Records
from syncd.node.workshop import Workshop
from syncd.store.applier import Job

FILES: Final = 10_000
BATCH: Final = 500  # jobs in a batch
GATHER: Final = 4  # messages merged at once, as node/puller.py does


def measure(options: Options) -> Iterator[Report]:
    """One table."""
    count = 200 if options.tiny else FILES
    with place() as base:
        with workshop(base / "holder", lambda tree: small(tree, count)) as shop:
            messages = everything(shop)
        serial = numbers()

        def take_in() -> None:
            joiner = base / f"joiner-{next(serial)}"
            with workshop(joiner) as fresh:
                _receive(fresh, messages)
            assert len(list(joiner.glob("tree/*/f*"))) == count

        def one_by_one() -> None:
            with workshop(base / f"joiner-{next(serial)}") as fresh:
                bare = [message.__class__(**{**_fields(message), "blobs": ()}) for message in messages]
                _receive(fresh, bare)
                _meet_needs(fresh, {block_id(KEYS.block_key, blob): blob for m in messages for blob in m.blobs})

        rows = {
            "taken in with its record": timed(take_in, count, options.runs),
            "merged, planned, applied": timed(one_by_one, count, options.runs),
        }
    binds = "system calls per file (16 us), then a row in the index; the long way writes each row three times"
    yield Report("applying", f"{count:,} files of 4 KiB received, per file", binds, COLUMNS, rows, [])


def _fields(message: Records) -> dict[str, object]:
    return {name: getattr(message, name) for name in ("id", "proofs", "records", "blobs", "next", "last")}


def _receive(shop: Workshop, messages: list[Records]) -> None:
    for start in range(0, len(messages), GATHER):
        for _ in shop.ledger.receive(*messages[start : start + GATHER]):
            pass


def _meet_needs(shop: Workshop, contents: dict[bytes, bytes]) -> None:
    while rows := shop.ledger.read(lambda: shop.index.needs(0, (-1, b""), BATCH)):
        actions = shop.ledger.plan([row.key for row in rows])
        jobs = [Job(action, contents.get(action.want.content) if action.want else None) for action in actions]
        shop.ledger.apply(jobs, [])


if __name__ == "__main__":
    sys.exit(run(measure, __doc__))
