"""Two holders that may each send so much bring a new node twice as much."""

import random
import select
import time

import pytest

from tests.lab.cluster import STEP, Cluster, Daemon, differences, snapshot

LIMIT = 10_000  # kB/s of one holder
SIZE = 64_000_000  # bytes of everything
SMALL_FILES = 160
SMALL_SIZE = 100_000
GAIN = 1.7
DEADLINE = 60.0


def fill(daemon: Daemon) -> None:
    """Random bytes: one large file, and many that are not."""
    chance = random.Random(7)
    (daemon.tree / "uploads").mkdir()
    for number in range(SMALL_FILES):
        (daemon.tree / f"uploads/{number:03d}.jpg").write_bytes(chance.randbytes(SMALL_SIZE))
    (daemon.tree / "uploads/large.mp4").write_bytes(chance.randbytes(SIZE - SMALL_FILES * SMALL_SIZE))


def throughput(daemon: Daemon) -> float:
    """Bytes per second that come to a new node, between the first and the last twentieth of all."""
    daemon.start()
    moments: list[tuple[float, int]] = []
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        fetched = daemon.status()["fetched_bytes"]
        if fetched >= SIZE // 20:
            moments.append((time.monotonic(), fetched))
        if fetched >= SIZE - SIZE // 20:
            (first, before), (last, after) = moments[0], moments[-1]
            return (after - before) / (last - first)
        select.select([], [], [], STEP)
    raise AssertionError(f"not in time: {daemon.status()}\n{daemon.log_text()}")


@pytest.mark.heavy
def test_two_holders_bring_more_than_one(cluster: Cluster) -> None:
    one = cluster.add("one", options={"upload_limit": LIMIT})
    two = cluster.add("two", options={"upload_limit": LIMIT})
    for holder in (one, two):
        fill(holder)
    two.known_hosts = [one.endpoint]
    one.start()
    two.start()
    cluster.converge()
    expected = snapshot(one.tree)

    alone = cluster.add("alone", knows=[one])
    of_one = throughput(alone)
    alone.wait(state="in-sync")
    assert differences(expected, snapshot(alone.tree)) == []
    alone.stop()

    both = cluster.add("both", knows=[one, two])
    of_two = throughput(both)
    both.wait(state="in-sync")
    assert differences(expected, snapshot(both.tree)) == []

    assert of_one <= LIMIT * 1_000 * 1.1, "the limit does not hold"
    assert of_two >= GAIN * of_one, f"{of_one:.0f} B/s from one, {of_two:.0f} B/s from two"
    shares = [both.peer(name)["bytes_in"] for name in ("one", "two")]
    assert min(shares) >= 0.3 * sum(shares), shares
