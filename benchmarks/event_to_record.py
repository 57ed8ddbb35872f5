"""How long from a saved file of 100 kB until its record is signed and could be pushed?

The look at the file, its hash, the transaction, the signature: one half of `benchmarks.latency`, in one thread.
"""

import random
import sys
from collections.abc import Iterator
from typing import Final

from benchmarks.corpus import small
from benchmarks.parts import COLUMNS, place, timed, workshop
from benchmarks.report import Options, Report, run

SIZES: Final = (4_096, 100_000, 1_000_000)  # bytes
FILES: Final = 10_000  # that are there already
SAVES: Final = 100


def measure(options: Options) -> Iterator[Report]:
    """One table."""
    chance = random.Random(1)
    rows = {}
    saves = 5 if options.tiny else SAVES
    with place() as base, workshop(base, lambda tree: small(tree, 100 if options.tiny else FILES)) as shop:
        for size in SIZES:
            names = iter(range(1_000_000))

            def save(size: int = size, names: Iterator[int] = names) -> None:
                for _ in range(saves):
                    name = f"saved-{size}-{next(names)}"
                    (base / "tree" / name).write_bytes(chance.randbytes(size))
                    report = shop.ledger.observe([name.encode()])
                    assert len(report.pushes) == 1

            rows[f"{size:,} bytes, written and observed"] = timed(save, saves, options.runs)
    binds = "hashing for large files, the transaction and the signature (100 us) for small ones"
    yield Report("event_to_record", "a saved file becomes a record", binds, COLUMNS, rows, [])


if __name__ == "__main__":
    sys.exit(run(measure, __doc__))
