"""Many whole-node cases over processes. Each process replaces `os` in the store for good, so it does nothing else."""

import gc
import multiprocessing
import os
import sys
from collections.abc import Iterable
from typing import NamedTuple

from tests.sim.whole import machine
from tests.sim.whole.bugs import BUGS
from tests.sim.whole.case import Case, draw_case, run_case

CHUNK = 10
COLLECT_EVERY = 20  # cases between two collections of garbage, of which a case leaves much
# The files below the store are real ones, and for kernels before Linux 6.13 two changes of an inode within one step of
# their clock look like one: some runs on a busy machine go another way for that. What depends on chance in our own code
# does so each time.
TRIES = 4
TWICE_EVERY = 25  # cases of which one is run twice, unless all are


class Failure(NamedTuple):
    """A case that went wrong."""

    config: str
    seed: int
    violation: str
    details: str

    def __str__(self) -> str:
        return f"{self.violation}: python -m tests.sim.whole --config '{self.config}' --seed {self.seed} --cases 1"


class Job(NamedTuple):
    """Seeds first..last-1 of a configuration. twice: every case is run twice. bug: a seeded one, or empty."""

    config: str
    first: int
    last: int
    twice: bool
    bug: str = ""


def ensure_hash_seed() -> None:
    """Start this program again if sets of bytes have another order in each run."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.sim.whole", *sys.argv[1:]])


def prepare(bug: str = "") -> None:
    """Make this process one that runs cases."""
    gc.disable()
    gc.freeze()
    machine.install()
    if bug:
        BUGS[bug].plant()


def check(case: Case, twice: bool) -> tuple[str | None, str]:
    """(violation or None, details). twice: run again, which has to go the same way."""
    outcome = run_case(case)
    if outcome.violation is None and twice and not _repeats(case, outcome.trace):
        return "not deterministic", ""
    return outcome.violation, outcome.details


def _repeats(case: Case, first: str) -> bool:
    """Whether any two of a few runs go the same way."""
    seen = {first}
    for _ in range(TRIES):
        trace = run_case(case).trace
        if trace in seen:
            return True
        seen.add(trace)
    return False


def run_job(job: Job) -> list[Failure]:
    """All failures of a job; with a seeded bug, only the first."""
    failures = []
    for seed in range(job.first, job.last):
        violation, details = check(draw_case(job.config, seed), job.twice or seed % TWICE_EVERY == 0)
        if seed % COLLECT_EVERY == 0:
            gc.collect()
        if violation is not None:
            failures.append(Failure(job.config, seed, violation, details))
            if job.bug:
                break
    return failures


def run_campaign(jobs: list[Job], processes: int) -> Iterable[list[Failure]]:
    """The failures of each job, as they come in."""
    if processes == 1:
        prepare(jobs[0].bug if jobs else "")
        yield from map(run_job, jobs)
        return
    with multiprocessing.get_context("fork").Pool(processes, prepare, (jobs[0].bug if jobs else "",)) as pool:
        yield from pool.imap_unordered(run_job, jobs)


def jobs_for(configs: Iterable[str], cases: int, first: int, twice: bool, bug: str = "") -> list[Job]:
    """The jobs of `cases` cases of each configuration."""
    return [
        Job(config, low, min(low + CHUNK, first + cases), twice, bug)
        for config in configs
        for low in range(first, first + cases, CHUNK)
    ]
