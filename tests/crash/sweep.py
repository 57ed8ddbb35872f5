"""`python -m tests.crash.sweep [--all] [--seed N] [--only kills|errors]`: a fault at every system call, or at some."""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.crash.faults import KINDS, REFUSED, Fault, calls, counting
from tests.crash.stage import Stage

ERRORS = ("EIO", "ENOSPC")


def count(stage: Stage) -> dict[str, int]:
    """How many calls of each kind a round has."""
    output = stage.cluster.base / "calls"
    stage.play()
    stage.victim.prefix = counting(output)
    stage.victim.start()
    stage.victim.prefix = []
    stage.recover("counting")
    stage.victim.stop()
    return calls(output)


def kills(counts: dict[str, int], each: int | None, chance: random.Random) -> list[Fault]:
    """SIGKILL at `each` calls of every kind, spread over all of them; without a number at every call."""
    return [Fault(kind, k) for kind in KINDS for k in spread(counts[kind], each, chance)]


def errors(counts: dict[str, int], each: int | None, chance: random.Random) -> list[Fault]:
    """The same with errors, once and always."""
    return [
        Fault(kind, k, error, always)
        for kind in REFUSED
        for error in ERRORS
        for always in (False, True)
        for k in spread(counts[kind], each, chance)
    ]


def spread(total: int, each: int | None, chance: random.Random) -> list[int]:
    """Numbers from 1 to `total`, one from each of `each` equal parts."""
    if each is None or each >= total:
        return list(range(1, total + 1))
    return [chance.randint(part * total // each + 1, (part + 1) * total // each) for part in range(each)]


def sweep(base: Path, seed: int, each: int | None, which: list[str]) -> int:
    """Run it; the number of failures."""
    chance, failures, met = random.Random(seed), 0, 0
    with Stage(base / "count", seed) as stage:
        counts = count(stage)
    print("calls of a round:", counts, flush=True)
    plan = [fault for name in which for fault in {"kills": kills, "errors": errors}[name](counts, each, chance)]
    stage = None
    for number, fault in enumerate(plan):
        if stage is None:
            stage = Stage(base / str(number), seed + number).open()
        began = time.monotonic()
        try:
            met += stage.suffer(fault)
        except Exception as failure:
            failures += 1
            print(f"{number}: {type(failure).__name__}: {failure}", flush=True)
            stage.close()
            stage = None
        else:
            print(f"{number}/{len(plan)}: {fault}: fine, {time.monotonic() - began:.1f} s", flush=True)
    if stage is not None:
        stage.close()
    print(f"{len(plan)} faults, {met} met, {failures} failures, seed {seed}")
    return failures


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="at every call; takes hours")
    parser.add_argument("--each", type=int, default=3, help="calls of each kind, without --all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=("kills", "errors"))
    options = parser.parse_args()
    which = [options.only] if options.only else ["kills", "errors"]
    with tempfile.TemporaryDirectory(prefix="syncd-crash-") as base:
        return min(1, sweep(Path(base), options.seed, None if options.all else options.each, which))


if __name__ == "__main__":
    sys.exit(main())
