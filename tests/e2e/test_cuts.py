"""Connections that break at any byte, again and again, between two daemons that both write."""

import os
import random

import pytest

from tests.lab.cluster import Cluster, await_condition, differences, snapshot
from tests.lab.proxy import UNREACHABLE, Proxy

SEEDS = (1, 2)


def cuts(chance: random.Random) -> list[int]:
    """After how many bytes each connection breaks: in the handshake, between messages, and within large ones."""
    small = [chance.randrange(1, 400), chance.randrange(400, 3_000)]
    return small + [int(10 ** chance.uniform(3, 5.5)) for _ in range(5)]


@pytest.mark.heavy
@pytest.mark.parametrize("seed", SEEDS)
def test_connections_cut_anywhere(cluster: Cluster, seed: int) -> None:
    chance = random.Random(seed)
    one = cluster.add("one", options=UNREACHABLE)
    for number in range(300):
        path = one.tree / f"d{number % 7}/{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(chance.randbytes(chance.choice((10, 2_000, 20_000))))
    (one.tree / "large").write_bytes(chance.randbytes(4 << 20))
    one.start()
    with Proxy(one.endpoint, cuts=cuts(chance)) as proxy:
        two = cluster.add("two", options=UNREACHABLE, folder_options={"known_hosts": [proxy.endpoint]})
        for number in range(50):
            (two.tree / f"mine{number}").write_bytes(chance.randbytes(3_000))
        two.start()
        step = 0
        while proxy.cuts_left:
            before = proxy.cuts_left
            (one.tree / f"d{step % 7}/{step}").write_bytes(chance.randbytes(5_000))
            (one.tree / f"d{step % 7}/{step + 7}").unlink(missing_ok=True)
            (two.tree / f"mine{step}").write_bytes(os.urandom(70_000))
            (two.tree / f"big{step}").write_bytes(os.urandom(400_000))
            step += 1
            await_condition(lambda before=before: proxy.cuts_left < before, "nothing flows")
        cluster.converge()
        assert differences(snapshot(one.tree), snapshot(two.tree)) == []
        for daemon in cluster.daemons:
            status = daemon.status()
            assert (status["problems"], status["alarms"], status["conflicts"]) == ([], [], 0)
            assert daemon.staging == []
            assert daemon.stop() == 0
