"""What peers are told: only what a power cut would leave."""

import pytest

from tests.crash.faults import lasting, need_strace
from tests.lab.cluster import Cluster, await_condition, await_file


@pytest.mark.root  # to trace a process that runs already
def test_peers_are_told_when_it_is_durable(cluster: Cluster) -> None:
    """Removals need no sync of contents, only of the directory: if that fails they are done, but nobody is told."""
    need_strace()
    one = cluster.add("one")
    for number in range(5):
        (one.tree / f"f{number}").write_bytes(b"%d" % number)
    one.start()
    two = cluster.add("two", knows=[one]).start()
    cluster.converge()
    assert two.process is not None
    with lasting("sync", "EIO", two.process.pid):
        (one.tree / "f0").unlink()
        await_file(two.tree / "f0", None, 30.0)
        await_condition(
            lambda: any(item["operation"] == "sync" for item in two.status()["problems"]), "no problem is told", 30.0
        )
        two.wait(state="error")
        await_condition(lambda: two.status()["root"] == one.status()["root"], "the removal is not merged", 30.0)
        assert not one.peer("two")["in_sync"], "it said that it has what a power cut may take back"
    cluster.converge()
    assert one.peer("two")["in_sync"]
    assert two.status()["problems"] == []
