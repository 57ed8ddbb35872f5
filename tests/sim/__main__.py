"""python -m tests.sim --cases 20000 [--config NAME] [--seed FIRST]: exit status 1 on any violation.

python -m tests.sim --hours 8 [--seed FIRST] [--jobs 1]: new cases of both rings, core and whole nodes, until the time
is over.
"""

import argparse
import subprocess
import sys
import time
from collections import Counter

from tests.sim.campaign import PROCESSES, run_campaign
from tests.sim.world import CONFIGURATIONS

ROUND = 500  # cases of the core ring per configuration, between two rounds of whole nodes
WHOLE_ROUND = 15  # cases of whole nodes per configuration and round


def go_on(hours: float, first: int, jobs: int) -> int:
    """Rounds of both rings with ever new seeds. Whole nodes need a process of their own."""
    end, failed = time.monotonic() + hours * 3600, False
    for number in range(sys.maxsize):
        if time.monotonic() > end:
            break
        for module, cases in (("tests.sim", ROUND), ("tests.sim.whole", WHOLE_ROUND)):
            options = ["--cases", str(cases), "--seed", str(first + number * cases), "--jobs", str(jobs)]
            options += ["--twice", *(["--keep", "sim-failures"] if module.endswith("whole") else [])]
            failed |= subprocess.run([sys.executable, "-m", module, *options], check=False).returncode != 0
    return 1 if failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description="Random cases of the core ring.")
    parser.add_argument("--cases", type=int, default=2_000, help="cases per configuration")
    parser.add_argument("--config", choices=list(CONFIGURATIONS), help="one configuration; default: all")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--twice", action="store_true", help="run each case twice; default: one of 50")
    parser.add_argument("--jobs", type=int, default=PROCESSES, help="processes")
    parser.add_argument("--hours", type=float, help="rounds of both rings for this long")
    args = parser.parse_args()
    if args.hours is not None:
        return go_on(args.hours, args.seed, args.jobs)
    failed = False
    for name in [args.config] if args.config else CONFIGURATIONS:
        start = time.monotonic()
        failures = sorted(
            f for part in run_campaign({name: args.cases}, args.seed, args.twice, args.jobs) for f in part
        )
        failed = failed or bool(failures)
        counts = dict(Counter(failure.violation for failure in failures))
        print(
            f"{'VIOLATIONS' if failures else 'ok':10} {name}: {args.cases} cases, {time.monotonic() - start:.0f} s",
            counts or "",
        )
        for failure in failures[:5]:
            print(f"    {failure}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
