"""kill -9 of either node, again and again, in the middle of a transfer."""

import os
import random
from pathlib import Path

import pytest

from tests.lab.cluster import Cluster, Daemon, await_condition, differences, snapshot
from tests.lab.proxy import UNREACHABLE, Proxy

LIMIT = 20_000  # kB/s that the holder sends: long enough on the way to be killed often
KILLS = 8
AGAIN = 2 << 20  # bytes that may come twice for each kill: what was on the way, or in memory
TALK = 1_000  # bytes per path: records, requests, headers, with every restart's comparison
SMALL_FILES = 1_000
SMALL_SIZE = 20_000  # bytes at most
LARGE_SIZES = (25_000_000, 15_000_000, 6_000_000, 300_000, 70_000)


def fill(tree: Path, chance: random.Random) -> int:
    """Many small files and some large ones; their bytes."""
    total = 0
    sizes = [chance.randrange(SMALL_SIZE) for _ in range(SMALL_FILES)] + list(LARGE_SIZES)
    for number, size in enumerate(sizes):
        path = tree / ("themes", "plugins", "uploads")[number % 3] / f"{number % 11}" / f"{number:04d}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chance.randbytes(size))
        total += size
    return total


@pytest.mark.heavy
@pytest.mark.parametrize("seed", [1])
def test_killed_again_and_again(cluster: Cluster, seed: int) -> None:
    chance = random.Random(seed)
    holder = cluster.add("holder", options={"upload_limit": LIMIT, **UNREACHABLE})
    content = fill(holder.tree, chance)
    expected = snapshot(holder.tree)
    holder.start()
    await_condition(lambda: bool(holder.status()["settled"]), "the holder does not settle")
    with Proxy(holder.endpoint) as wire:
        new = cluster.add("new", options=UNREACHABLE)
        new.known_hosts = [wire.endpoint]
        new.start()
        for moment in sorted(chance.randrange(content) for _ in range(KILLS)):
            assert wire.await_sent(moment), f"{wire.to_dialler} of {moment} bytes\n{new.log_text()}"
            victim = chance.choice((holder, new))
            victim.kill()
            victim.start()
        cluster.converge()
        sent = wire.to_dialler
    assert differences(expected, snapshot(new.tree)) == []
    assert differences(expected, snapshot(holder.tree)) == []
    assert sent <= content + KILLS * AGAIN + len(expected) * TALK, f"{sent - content} bytes more than the content"
    for daemon in cluster.daemons:
        assert_tidy(daemon)


def assert_tidy(daemon: Daemon) -> None:
    """Nothing temporary is left anywhere, and nothing was displaced."""
    await_condition(
        lambda: not daemon.staging, f"left in the staging of {daemon.base.name}: {daemon.staging[:5]}", 10.0
    )
    assert daemon.archive == []
    assert sorted(os.listdir(daemon.tree / ".syncd")) == ["lock", "marker"]


@pytest.mark.heavy
def test_killed_while_both_write(cluster: Cluster) -> None:
    """What was written on a node before it was killed is found afterwards, and what others wrote meanwhile comes."""
    chance = random.Random(3)
    one = cluster.add("one")
    fill(one.tree, random.Random(5))
    one.start()
    two = cluster.add("two", knows=[one]).start()
    cluster.converge()
    for round_ in range(4):
        for daemon in (one, two):
            for number in range(20):
                name = f"{daemon.base.name}-{round_}-{number}"
                (daemon.tree / "uploads" / name).write_bytes(chance.randbytes(chance.choice((10, 5_000, 200_000))))
            (daemon.tree / "uploads" / f"{daemon.base.name}-0-{round_}").unlink()
        victim = chance.choice((one, two))
        victim.kill()
        (victim.tree / "uploads" / f"while-down-{round_}").write_bytes(b"written while nobody looked")
        victim.start()
    cluster.converge()
    left = snapshot(one.tree)
    assert differences(left, snapshot(two.tree)) == []
    for daemon in (one, two):
        names = {f"{daemon.base.name}-{round_}-{number}" for round_ in range(4) for number in range(20)}
        names -= {f"{daemon.base.name}-0-{round_}" for round_ in range(4)}
        assert {name.encode() for name in names} <= {path.removeprefix(b"uploads/") for path in left}
    assert not {f"uploads/{name}-0-{number}".encode() for name in ("one", "two") for number in range(4)} & left.keys()
    assert {f"uploads/while-down-{round_}".encode() for round_ in range(4)} <= left.keys()
    assert one.status()["conflicts"] == two.status()["conflicts"] == 0
