"""Two trees under random work on both sides at once end up the same, with no trouble left over."""

import os
import random
import shutil
from pathlib import Path

import pytest

from tests.lab.cluster import Cluster, snapshot

STEPS = 400


def step(chance: random.Random, tree: Path) -> None:
    """One thing that a user may do; what the other side made impossible meanwhile is left out."""
    directories = [Path(where) for where, _, _ in os.walk(tree) if ".syncd" not in where]
    where = chance.choice(directories)
    entries = [entry for entry in where.iterdir() if entry.name != ".syncd"]
    draw = chance.random()
    if draw < 0.4 or not entries:
        (where / f"n{chance.randrange(50)}").write_bytes(chance.randbytes(chance.choice((10, 3_000, 70_000, 300_000))))
    elif draw < 0.5:
        (where / f"D{chance.randrange(9)}").mkdir(exist_ok=True)
    elif draw < 0.7:
        victim = chance.choice(entries)
        shutil.rmtree(victim) if victim.is_dir() else victim.unlink()
    elif draw < 0.9:
        chance.choice(entries).rename(chance.choice(directories) / f"m{chance.randrange(99)}")
    else:
        chance.choice(entries).chmod(chance.choice((0o644, 0o755, 0o700, 0o600)))


@pytest.mark.parametrize("seed", [1, 2])
def test_random_work_on_both_sides_converges(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    with Cluster(tmp_path) as cluster:
        one = cluster.add("one").start()
        two = cluster.add("two", knows=[one]).start()
        for _ in range(STEPS):
            try:
                step(chance, chance.choice((one, two)).tree)
            except OSError:
                continue
        cluster.converge()
        assert snapshot(one.tree) == snapshot(two.tree)
        assert one.status()["problems"] == two.status()["problems"] == []
