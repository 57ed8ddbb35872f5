"""python -m tests.sim.whole --cases 200 [--config NAME] [--seed FIRST] [--jobs 2]: exit status 1 on any violation."""

import argparse
import sys
import time
from pathlib import Path

from tests.sim.whole.bugs import BUGS
from tests.sim.whole.campaign import Failure, ensure_hash_seed, jobs_for, prepare, run_campaign
from tests.sim.whole.case import CONFIGURATIONS, draw_case, load, run_case
from tests.sim.whole.shrink import shrink


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.sim.whole", description="Random cases of whole nodes.")
    parser.add_argument("--cases", type=int, default=100, help="cases per configuration")
    parser.add_argument("--config", choices=list(CONFIGURATIONS), help="one configuration; default: all")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--twice", action="store_true", help="run each case twice; default: one of 25")
    parser.add_argument("--bug", choices=list(BUGS), help="with this bug, until a case shows it")
    parser.add_argument("--keep", type=Path, help="directory for shrunk cases that fail, as JSON")
    parser.add_argument("--replay", type=Path, nargs="+", help="run stored cases instead")
    return parser.parse_args()


def replay(places: list[Path]) -> int:
    """Run stored cases, each twice."""
    prepare()
    failed = 0
    for place in places:
        case = load(place.read_text())
        first, second = run_case(case), run_case(case)
        violation = first.violation or ("not deterministic" if first != second else None)
        print(f"{violation or 'ok'}: {place.name}", first.details, flush=True)
        failed += violation is not None
    return 1 if failed else 0


def keep(failure: Failure, place: Path) -> None:
    """Store the failing case, shrunk."""
    case = shrink(draw_case(failure.config, failure.seed), failure.violation)
    place.mkdir(parents=True, exist_ok=True)
    name = place / f"{failure.config.replace(' ', '-')}-{failure.seed}.json"
    name.write_text(case.dump() + "\n")
    print(f"    {len(case.before) + len(case.ops)} operations in {name}", flush=True)


def main() -> int:
    args = options()
    if args.replay:
        return replay(args.replay)
    if args.bug:
        args.seed += BUGS[args.bug].first
    configs = [BUGS[args.bug].config] if args.bug else [args.config] if args.config else list(CONFIGURATIONS)
    kept = []
    for config in configs:
        start = time.monotonic()
        failures = []
        for part in run_campaign(jobs_for([config], args.cases, args.seed, args.twice, args.bug or ""), args.jobs):
            failures += part
            if args.bug and failures:
                break
        seconds = time.monotonic() - start
        print(f"{'VIOLATIONS' if failures else 'ok':10} {config}: {args.cases} cases, {seconds:.0f} s", flush=True)
        for failure in sorted(failures)[:10]:
            print(f"    {failure}\n{failure.details}", flush=True)
        kept += sorted(failures)
    if args.keep and kept:
        prepare()
        for failure in kept[:20]:
            keep(failure, args.keep)
    return 1 if kept else 0


if __name__ == "__main__":
    ensure_hash_seed()
    sys.exit(main())
