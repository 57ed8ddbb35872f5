"""Many cases: in ranges, over processes, with a line for each that fails."""

import multiprocessing
from collections.abc import Iterable
from typing import NamedTuple

from tests.sim.world import CONFIGURATIONS, World

PROCESSES = 2
CHUNK = 250
TWICE_EVERY = 50  # cases of which one is run twice, unless all are


class Failure(NamedTuple):
    """A case that went wrong."""

    config: str
    seed: int
    violation: str

    def __str__(self) -> str:
        return f"{self.violation}: python -m tests.sim --config '{self.config}' --seed {self.seed} --cases 1"


def run_case(config: str, seed: int, twice: bool = False) -> str | None:
    """The first violation of a case, or None. twice: run it again, which has to go the same way."""
    world = World(seed, CONFIGURATIONS[config])
    violation = world.run()
    if violation is None and (twice or seed % TWICE_EVERY == 0):
        again = World(seed, CONFIGURATIONS[config])
        again.run()
        if again.fingerprint() != world.fingerprint():
            return "not deterministic"
    return violation


def run_range(job: tuple[str, int, int, bool]) -> list[Failure]:
    """All failures of the seeds first..last-1."""
    config, first, last, twice = job
    return [Failure(config, seed, found) for seed in range(first, last) if (found := run_case(config, seed, twice))]


def run_campaign(
    cases: dict[str, int], first: int = 0, twice: bool = False, processes: int = PROCESSES
) -> Iterable[list[Failure]]:
    """{configuration: cases}: the failures of each chunk, as they come in."""
    jobs = [
        (config, low, min(low + CHUNK, first + count), twice)
        for config, count in cases.items()
        for low in range(first, first + count, CHUNK)
    ]
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        yield from pool.imap_unordered(run_range, jobs)


def first_failure(config: str, first: int, last: int) -> Failure | None:
    """The first seed of the range that goes wrong."""
    return next(
        (Failure(config, seed, found) for seed in range(first, last) if (found := run_case(config, seed))), None
    )
