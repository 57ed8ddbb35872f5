"""The second ring: whole nodes on virtual time. In processes of their own, because `os` is replaced in the store."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.whole.bugs import BUGS
from tests.sim.whole.case import CONFIGURATIONS

CASES = 8  # of each configuration
CI_CASES = 108  # the same in CI: others, each run twice
REGRESSIONS = sorted(Path(__file__).with_name("regressions").glob("*.json"))


def simulate(*arguments: object) -> tuple[int, str]:
    """Exit status and output of the simulator."""
    command = [sys.executable, "-m", "tests.sim.whole", *map(str, arguments)]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    return done.returncode, done.stdout + done.stderr


def test_random_cases_hold():
    status, output = simulate("--cases", CASES)
    assert status == 0, output


@pytest.mark.heavy
def test_many_more_random_cases_hold():
    assert CI_CASES * len(CONFIGURATIONS) >= 1_500
    status, output = simulate("--cases", CI_CASES, "--seed", CASES, "--twice")
    assert status == 0, output


def test_stored_cases_hold_and_every_run_of_a_case_is_the_same():
    assert REGRESSIONS
    status, output = simulate("--replay", *REGRESSIONS)
    assert status == 0, output
    assert output.count("ok: ") == len(REGRESSIONS)


@pytest.mark.heavy
@pytest.mark.parametrize("name", list(BUGS))
def test_seeded_bugs_are_caught(name):
    status, output = simulate("--bug", name, "--cases", BUGS[name].cases)
    assert status == 1, output
    assert output.startswith("VIOLATIONS"), output
    assert "TypeError" not in output, "the bug does not fit the code any more"
