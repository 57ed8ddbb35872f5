"""`syncd bench`: a peer is measured over an authenticated session, and nothing changes by it."""

import json
import os
import subprocess
from typing import Any

import pytest

from protocol.keys import generate_secret
from tests.lab.cluster import Cluster, Daemon, free_port, snapshot


def bench(daemon: Daemon, *options: str) -> subprocess.CompletedProcess[str]:
    """What the command says. Its configuration is written as a start does."""
    daemon.write_config()
    return daemon.verb("bench", "--seconds", "0.2", *options)


def measured(daemon: Daemon, *options: str) -> dict[str, Any]:
    done = bench(daemon, "--json", *options)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("sizes", [(10, 3_000, 60_000), (3_000_000,), (0, 65_536, 65_537, 1)])
def test_what_is_measured(cluster: Cluster, sizes: tuple[int, ...]) -> None:
    one = cluster.add("one")
    two = cluster.add("two", knows=[one])
    for number, size in enumerate(sizes):
        (one.tree / f"{number}").write_bytes(os.urandom(size))
    one.start()
    one.wait_settled()
    root, before = one.status()["root"], snapshot(one.tree)
    found = measured(two, one.endpoint)
    assert (found["peer"], found["address"], found["different_bytes"]) == ("one", one.endpoint, sum(sizes))
    trip = found["round_trip_seconds"]
    assert 0 < trip["least"] <= trip["median"] <= trip["most"]
    assert found["bytes"] >= min(size for size in sizes if size)
    assert found["bytes_per_second"] == found["bytes"] / found["seconds"]
    text = bench(two).stdout.splitlines()
    assert text[0] == f"one ({one.endpoint}), folder {two.tree}"
    assert text[1].startswith("  round trip: ")
    assert text[2].startswith("  contents: ")
    assert (one.status()["root"], snapshot(one.tree)) == (root, before)
    assert not two.storage.exists()


def test_a_node_does_not_measure_itself(cluster: Cluster) -> None:
    one = cluster.add("one")
    two = cluster.add("two", knows=[one])
    (one.tree / "f").write_bytes(b"x")
    two.known_hosts.insert(0, two.endpoint)
    for daemon in (one, two):
        daemon.start()
    cluster.converge()
    assert measured(two)["peer"] == "one"
    done = bench(two, two.endpoint)
    assert done.returncode == os.EX_UNAVAILABLE
    assert "this node itself" in done.stderr


def test_what_it_cannot_do_is_told_in_a_line(cluster: Cluster) -> None:
    one = cluster.add("one").start()
    two = cluster.add("two")
    for options, status, words in (
        ((), os.EX_USAGE, "knows no peer: name one, as HOST:PORT"),
        (("x:y",), os.EX_USAGE, "x:y: "),
        (("--folder", "/elsewhere"), os.EX_USAGE, "no folder /elsewhere"),
        ((f"127.0.0.1:{free_port()}",), os.EX_UNAVAILABLE, "refused (nothing listens there)"),
        ((one.endpoint,), os.EX_UNAVAILABLE, "the peer has no files to measure with"),
    ):
        done = bench(two, *options)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (status, "", 1), done.stderr
        assert words in done.stderr
    two.secret = generate_secret(os.urandom(32))
    assert "other secret, or not syncd" in bench(two, one.endpoint).stderr
