"""Bytes that were displaced come back from the archive when they are shown again."""

from pathlib import Path

import pytest

from tests.lab.cluster import Cluster, await_file, snapshot

CONTENT = b"only in one archive" * 10_000  # more than one block


@pytest.mark.heavy
def test_a_file_that_a_directory_hid_comes_back(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        one = cluster.add("one").start()
        two = cluster.add("two", knows=[one]).start()
        (one.tree / "anything").write_bytes(b"x")
        cluster.converge()
        one.stop()
        (two.tree / "name").mkdir()
        (two.tree / "name/inside").write_bytes(b"y")
        two.rescan()
        two.stop()
        (one.tree / "name").write_bytes(CONTENT)  # later than the directory: it wins once nothing is below
        one.start()
        one.rescan()
        two.start()
        cluster.converge()
        assert (one.tree / "name/inside").read_bytes() == b"y"
        (two.tree / "name/inside").unlink()
        await_file(one.tree / "name", CONTENT)
        await_file(two.tree / "name", CONTENT)
        cluster.converge()
        assert snapshot(one.tree) == snapshot(two.tree)
