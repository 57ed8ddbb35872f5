"""The first ring: thousands of random cases without a violation, and every seeded bug caught by such cases."""

import pytest

from tests.fakes.memory_index import MemoryIndex
from tests.sim.bugs import BUGS, seeded
from tests.sim.campaign import first_failure, run_campaign
from tests.sim.real_index import RealIndexes
from tests.sim.world import CONFIGURATIONS, World

CASES = 1_700  # of each configuration
CI_CASES = 4_200  # the same in CI: others, each run twice
REAL_CASES = 10  # of each configuration, over SQLite
SEARCHED = 1_500  # cases in which a seeded bug has to show


def test_random_cases_hold():
    assert CASES * len(CONFIGURATIONS) >= 20_000
    failures = [failure for part in run_campaign(dict.fromkeys(CONFIGURATIONS, CASES)) for failure in part]
    assert not failures, "\n".join(map(str, failures))


@pytest.mark.heavy
def test_many_more_random_cases_hold():
    assert CI_CASES * len(CONFIGURATIONS) >= 50_000
    failures = [f for part in run_campaign(dict.fromkeys(CONFIGURATIONS, CI_CASES), CASES, True) for f in part]
    assert not failures, "\n".join(map(str, failures))


@pytest.mark.parametrize("name", list(BUGS))
def test_seeded_bugs_are_caught(name):
    bug = BUGS[name]
    with seeded(bug):
        failure = first_failure(bug.config, 0, SEARCHED)
    assert failure is not None
    assert first_failure(bug.config, failure.seed, failure.seed + 1) is None


@pytest.mark.parametrize("config", list(CONFIGURATIONS))
def test_the_real_index_goes_the_same_way(config, tmp_path):
    for seed in range(REAL_CASES):
        indexes = RealIndexes(tmp_path / str(seed))
        real, plain = (World(seed, CONFIGURATIONS[config], make) for make in (indexes, MemoryIndex))
        assert real.run() is None, f"--config '{config}' --seed {seed}"
        plain.run()
        assert real.fingerprint() == plain.fingerprint()
        indexes.close()
