"""Do `upload_limit` and `download_limit` hold within a tenth?

A large file is fetched under a limit. What passes the wire is counted from a moment on at which it flows already.
"""

import sys
import time
from collections.abc import Iterator
from typing import Final

from benchmarks.corpus import big
from benchmarks.report import Budget, Options, Report, run
from benchmarks.stage import Stage, until

RATES: Final = (1_000, 8_000)  # kB/s
SECONDS: Final = 8.0
RAMP: Final = 1.0  # seconds from the first bytes until it is counted
TOLERANCE: Final = 0.1
COLUMNS: Final = ("limit kB/s", "seen kB/s", "ratio")


def measure(options: Options) -> Iterator[Report]:
    """One table: each limit at each rate."""
    rows: dict[str, list[float | None]] = {}
    seconds = 0.7 if options.tiny else SECONDS
    for rate in RATES[1:] if options.tiny else RATES:
        for key in ("upload_limit", "download_limit"):
            seen = _seen(key, rate, seconds, options.tiny)
            rows[f"{key} {rate}"] = [float(rate), seen, seen / rate]
    budgets = [
        Budget(f"{name}, off by", abs((row[2] or 0.0) - 1), TOLERANCE, "of the limit") for name, row in rows.items()
    ]
    title = f"limits of the bandwidth over {seconds:.0f} s"
    yield Report("rate_limits", title, "the limit, as it should", COLUMNS, rows, budgets)


def _seen(key: str, rate: int, seconds: float, tiny: bool) -> float:
    """kB/s on the wire."""
    ramp = 0.3 if tiny else RAMP
    size = int(rate * 1_000 * (seconds + ramp + 2.0))
    with Stage() as stage:
        if key == "upload_limit":
            full = stage.holder(lambda tree: big(tree, size), **{key: rate})
            fresh = stage.joiner(full)
        else:
            full = stage.holder(lambda tree: big(tree, size))
            fresh = stage.joiner(full)
            fresh.options[key] = rate
        idle = stage.joiner_host.counters().received
        fresh.start()
        flows = idle + 2 * rate * 100
        until(lambda: stage.joiner_host.counters().received >= flows, "bytes that flow")
        time.sleep(ramp)
        before, began = stage.joiner_host.counters().received, time.monotonic()
        time.sleep(seconds)
        after = stage.joiner_host.counters().received
        return (after - before) / (time.monotonic() - began) / 1e3


if __name__ == "__main__":
    sys.exit(run(measure, __doc__))
