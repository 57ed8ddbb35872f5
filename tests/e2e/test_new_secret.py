"""Changing the secret of a folder, as docs/OPERATIONS.md says: stop, replace, start."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.keys import generate_secret
from tests.lab.cluster import Cluster, snapshot


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        yield cluster


def test_contents_are_adopted_and_nothing_is_transferred(cluster: Cluster) -> None:
    one = cluster.add("one")
    for number in range(20):
        (one.tree / f"file-{number}").write_bytes(os.urandom(10_000 * number))
    one.start()
    two = cluster.add("two", knows=[one]).start()
    cluster.converge()
    (one.tree / "file-3").unlink()
    (one.tree / "file-4").write_text("a new version")
    cluster.converge()
    before = snapshot(one.tree)
    archived = len(two.archive)

    secret = generate_secret(os.urandom(32))
    for daemon in (one, two):
        assert daemon.stop() == 0
        daemon.secret = secret
        (daemon.tree / ".syncd/marker").unlink()
    for daemon in (one, two):
        daemon.start()
    cluster.converge()

    assert snapshot(one.tree) == snapshot(two.tree) == before
    for daemon in (one, two):
        status = daemon.status()
        assert (status["fetched_bytes"], status["conflicts"], status["alarms"]) == (0, 0, [])
    assert len(two.archive) >= archived > 0
