"""What does a look at a file cost: a new one, which is hashed and published, and one that is as it was?"""

import sys
from collections.abc import Iterator
from typing import Final

from benchmarks.corpus import small
from benchmarks.parts import COLUMNS, place, scan, timed, workshop
from benchmarks.report import Options, Report, run

FILES: Final = 20_000


def measure(options: Options) -> Iterator[Report]:
    """One table."""
    count = 200 if options.tiny else FILES
    with place() as base:
        shops = iter(range(options.runs))
        with workshop(base / "old", lambda tree: small(tree, count)) as shop:
            rows = {"as it was": timed(lambda: scan(shop), count, options.runs)}

        def first_look() -> None:
            with workshop(base / f"new-{next(shops)}", lambda tree: small(tree, count)):
                pass

        filling = timed(lambda: small(base / f"filled-{next(shops) + 100}", count), count, 1)
        shops = iter(range(options.runs))
        rows["new, written, hashed, published"] = timed(first_look, count, options.runs)
        rows["of that, written by the benchmark"] = filling
    binds = "for what is as it was: one system call and one row of the index; else reading, hashing, rows, signatures"
    yield Report("scanning", f"a scan of {count:,} files, per file", binds, COLUMNS, rows, [])


if __name__ == "__main__":
    sys.exit(run(measure, __doc__))
