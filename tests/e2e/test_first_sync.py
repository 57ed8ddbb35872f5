"""A node that has nothing: small files come along with their records, from one peer at a time, and just once."""

import random

import pytest

from tests.lab.cluster import Cluster, Daemon, await_condition, differences, snapshot

FILES = 600
SIZE = 16_000  # bytes of each
RECORD = 800  # bytes of a record with its share of the proofs, and what else is said per file, at most


def fill(daemon: Daemon) -> None:
    chance = random.Random(3)
    for number in range(FILES):
        directory = daemon.tree / f"themes/{number // 50}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{number}.php").write_bytes(chance.randbytes(SIZE))


def test_small_files_come_once_though_two_peers_have_them(cluster: Cluster) -> None:
    one = cluster.add("one")
    fill(one)
    one.start()
    one.wait_settled()
    two = cluster.add("two", knows=[one])
    two.start()
    cluster.converge()
    fresh = cluster.add("fresh", knows=[one, two])
    fresh.start()
    cluster.converge()
    assert differences(snapshot(one.tree), snapshot(fresh.tree)) == []
    status = fresh.status()
    assert status["fetched_bytes"] == FILES * SIZE
    assert status["bytes_in"] < FILES * (SIZE + 2 * RECORD)
    assert fresh.staging == []


@pytest.mark.heavy
def test_a_holder_that_dies_in_the_middle_is_replaced(cluster: Cluster) -> None:
    limit = {"upload_limit": 4_000}  # kB/s
    one, two = cluster.add("one", options=limit), cluster.add("two", options=limit)
    fill(one)
    fill(two)
    two.known_hosts = [one.endpoint]
    one.start()
    two.start()
    cluster.converge()
    expected = snapshot(one.tree)
    fresh = cluster.add("fresh", knows=[one, two])
    fresh.start()
    await_condition(lambda: fresh.status()["fetched_bytes"] > 0, "nothing comes")
    one.kill()
    fresh.wait(state="in-sync")
    assert differences(expected, snapshot(fresh.tree)) == []
