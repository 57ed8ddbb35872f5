"""Random kills of three nodes under load; `python -m tests.crash.kills` does more of them."""

from pathlib import Path

from tests.crash.kills import campaign

COUNT = 150


def test_random_kills_under_load(tmp_path: Path) -> None:
    assert campaign(tmp_path, COUNT, 11) > COUNT
