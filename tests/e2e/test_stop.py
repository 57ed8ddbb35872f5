"""SIGTERM: what is here only reaches a peer first, in bounded time, and what does not is named."""

import os
import signal

import pytest

from tests.e2e.test_traffic import agent, with_agent
from tests.lab.cluster import Cluster, Daemon, await_condition, free_port

PATIENT = {"flush_timeout": 600}


def ended(daemon: Daemon, *, deadline: float = 60.0) -> int:
    """The exit code of a node that was told to end."""
    assert daemon.process is not None
    return daemon.process.wait(deadline)


def log(daemon: Daemon) -> str:
    return daemon.log.read_text()


@pytest.mark.heavy
def test_what_changed_last_reaches_a_peer(cluster: Cluster) -> None:
    one = cluster.add("one", options=PATIENT)
    (one.tree / "index.php").write_text("there from the start")
    one.start()
    one.wait_settled()
    two = cluster.add("two", knows=[one], options=PATIENT).start()
    for number in range(3):
        two.wait(state="in-sync")
        uploads = two.tree / f"uploads{number}"
        uploads.mkdir()
        for file in range(20):
            (uploads / f"{file}.jpg").write_bytes(os.urandom(1_000 if file else 3_000_000))
        if number:
            (two.tree / f"uploads{number - 1}/1.jpg").unlink()
        two.process.terminate()  # type: ignore[union-attr]
        assert ended(two) == 0, log(two)
        for file in range(20):
            assert (one.tree / f"uploads{number}/{file}.jpg").read_bytes() == (uploads / f"{file}.jpg").read_bytes()
        if number:
            assert not (one.tree / f"uploads{number - 1}/1.jpg").exists()
        if number < 2:
            two.start()


def test_what_reached_nobody_is_named(cluster: Cluster) -> None:
    node = cluster.add("node", knows=[])
    node.known_hosts = [f"127.0.0.1:{free_port()}"]
    node.options |= {"flush_timeout": 4}
    (node.tree / "cat\n1.jpg").write_text("only here")
    node.start()
    node.wait_settled()
    (node.tree / "dog.jpg").write_text("only here, and just now")
    node.process.terminate()  # type: ignore[union-attr]
    assert ended(node) == os.EX_TEMPFAIL
    (line,) = [line for line in log(node).splitlines() if "have reached no peer" in line]
    assert "dog.jpg" in line
    assert "cat" in line
    assert "count=2" in line

    node.start()  # nothing new, but what was there before has still reached nobody
    assert node.stop() == os.EX_TEMPFAIL
    assert "changes of an earlier run may have reached no peer" in log(node).splitlines()[-2]

    peer = cluster.add("peer", knows=[node])
    node.options |= {"flush_timeout": 600}
    node.start()
    peer.start()
    await_condition(lambda: bool(node.status()["state"] == "in-sync"), "they do not meet")
    assert node.stop() == 0
    peer.stop()
    node.options |= {"flush_timeout": 4}
    node.start()
    assert node.stop() == 0, "all of it is with a peer, though none is there now"


def test_a_second_signal_ends_the_wait(cluster: Cluster) -> None:
    node, port = with_agent(cluster, "node")
    node.known_hosts = [f"127.0.0.1:{free_port()}"]
    node.options |= PATIENT
    (node.tree / "cat.jpg").write_text("only here")
    node.start()
    node.wait_settled()
    before = agent(port)
    assert before.startswith("down #")
    assert node.process is not None
    node.process.terminate()
    stopping = (503, "draining: the node is stopping")
    await_condition(lambda: node.health("/readyz") == stopping, "it does not say that it stops")
    assert agent(port) == before, "who only stops syncd takes no page down"
    assert node.get("/v1/undrain", method="POST")[0] == 409
    assert node.process.poll() is None
    node.process.send_signal(signal.SIGTERM)
    assert ended(node) == os.EX_TEMPFAIL
    assert "cat.jpg" in log(node)


@pytest.mark.parametrize("known", [False, True])
def test_nobody_to_flush_to(cluster: Cluster, known: bool) -> None:
    """Without any other node in the configuration there is nothing to wait for; one's own address is no other node."""
    node = cluster.add("node", options=PATIENT)
    if known:
        node.known_hosts = [node.endpoint]
    (node.tree / "cat.jpg").write_text("only here")
    node.start()
    node.wait_settled()
    await_condition(lambda: not known or not node.status()["peers"], "it does not know itself")
    assert node.stop() == 0
    assert "nobody is there to flush to" in log(node)


def test_a_node_that_has_compared_with_nobody(cluster: Cluster) -> None:
    node = cluster.add("node", options={"flush_timeout": 4}, folder_options={"publish_alone_after": 3600})
    node.known_hosts = [f"127.0.0.1:{free_port()}"]
    node.start()
    (node.tree / "sub").mkdir()
    (node.tree / "sub/cat.jpg").write_text("only here")
    node.rescan()
    assert node.stop() == os.EX_TEMPFAIL
    (line,) = [line for line in log(node).splitlines() if "have reached no peer" in line]
    assert "sub/cat.jpg" in line
    assert "count=1" in line


def test_a_peer_that_lacks_the_bytes_is_no_peer_that_has_them(cluster: Cluster) -> None:
    one = cluster.add("one", options={"upload_limit": 100, "flush_timeout": 1.0})
    (one.tree / "index.php").write_text("there from the start")
    one.start()
    one.wait_settled()
    two = cluster.add("two", knows=[one]).start()
    two.wait(state="in-sync")
    (one.tree / "film.mp4").write_bytes(os.urandom(3_000_000))
    await_condition(lambda: two.status()["need_files"] == 1, "the record does not come")
    one.process.terminate()  # type: ignore[union-attr]
    assert ended(one) == os.EX_TEMPFAIL
    assert "film.mp4" in log(one)


def test_peers_hear_that_a_node_stops_before_it_is_gone(cluster: Cluster) -> None:
    one = cluster.add("one", options={"upload_limit": 100, **PATIENT})
    (one.tree / "index.php").write_text("there from the start")
    one.start()
    one.wait_settled()
    two = cluster.add("two", knows=[one]).start()
    two.wait(state="in-sync")
    assert not two.peer("one")["draining"]
    (one.tree / "film.mp4").write_bytes(os.urandom(3_000_000))
    await_condition(lambda: two.status()["need_files"] == 1, "the record does not come")
    assert one.process is not None
    one.process.terminate()
    await_condition(lambda: two.peer("one")["draining"], "the peer hears nothing of it")
    assert two.peer("one")["connected"]
    one.process.terminate()
    assert ended(one) == os.EX_TEMPFAIL


def test_a_peer_that_ignores_a_file_does_not_have_it(cluster: Cluster) -> None:
    other = cluster.add("other", folder_options={"ignore": ["/uploads/"]}).start()
    node = cluster.add("node", knows=[other], options={"flush_timeout": 3}).start()
    (node.tree / "uploads").mkdir()
    (node.tree / "uploads/cat.jpg").write_text("cat")
    (node.tree / "dog.txt").write_text("dog")
    await_condition((other.tree / "dog.txt").exists, "the other one does not get what it shall have")
    node.process.terminate()  # type: ignore[union-attr]
    assert ended(node) == os.EX_TEMPFAIL
    assert "uploads/cat.jpg" in next(line for line in log(node).splitlines() if "have reached no peer" in line)
    assert not (other.tree / "uploads").exists()
