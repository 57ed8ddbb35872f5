"""A node that is stopped in the middle of a large file goes on from there."""

import random

from tests.lab.cluster import Cluster, await_condition, differences, snapshot
from tests.lab.proxy import UNREACHABLE, Proxy

SIZE = 60_000_000  # bytes
LIMIT = 20_000  # kB/s that the holder sends
TWICE = 2 * 256 * 1024  # bytes that may come twice: two blocks
TALK = 120_000  # bytes besides the content: two handshakes, the block list twice, headers of every block
EXIT_SECONDS = 5.0  # until it has to be gone


def test_stopped_in_a_large_file(cluster: Cluster) -> None:
    holder = cluster.add("holder", options={"upload_limit": LIMIT, **UNREACHABLE})
    (holder.tree / "large").write_bytes(random.Random(1).randbytes(SIZE))
    holder.start()
    holder.wait_settled()
    with Proxy(holder.endpoint) as wire:
        new = cluster.add("new", options=UNREACHABLE)
        new.known_hosts = [wire.endpoint]
        new.start()
        assert wire.await_sent(SIZE // 2)
        assert new.process is not None
        new.process.terminate()
        assert new.process.wait(EXIT_SECONDS) == 0
        assert not (new.tree / "large").exists()
        assert new.staging
        new.start()
        cluster.converge()
        sent = wire.to_dialler
    assert differences(snapshot(holder.tree), snapshot(new.tree)) == []
    assert sent <= SIZE + TWICE + TALK, f"{sent - SIZE} bytes more than the content"
    await_condition(lambda: not new.staging, "something is left in the staging")
