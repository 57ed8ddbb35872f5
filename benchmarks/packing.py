"""What does a small file cost on its way into a message and out of it again, with record, signature and contents?

Served by the library of a real folder, encoded, decoded, verified: all but the wire and the disk of the receiver.
"""

import sys
from collections.abc import Iterator
from typing import Final

from benchmarks.corpus import small
from benchmarks.parts import COLUMNS, KEYS, everything, place, timed, workshop
from benchmarks.report import Options, Report, run
from protocol.messages import Records, decode, encode
from syncd.node.verification import verify

FILES: Final = 10_000


def measure(options: Options) -> Iterator[Report]:
    """One table: a row per step."""
    count = 200 if options.tiny else FILES
    with place() as base, workshop(base, lambda tree: small(tree, count)) as shop:
        messages = everything(shop)
        encoded = [b"".join(encode(message)) for message in messages]
        records = sum(len(message.records) for message in messages)
        assert records >= count
        steps = {
            "serve": lambda: everything(shop),
            "encode": lambda: [encode(message) for message in messages],
            "decode": lambda: [decode(Records.TYPE, raw) for raw in encoded],
            "verify": lambda: verify(messages, KEYS),
        }
        rows = {name: timed(work, count, options.runs) for name, work in steps.items()}
    binds = "serving: open, read and hash each file; decoding: one canonical check of all that a message holds"
    yield Report("packing", f"{count:,} files of 4 KiB through messages, per file", binds, COLUMNS, rows, [])


if __name__ == "__main__":
    sys.exit(run(measure, __doc__))
