"""The syncd beside HAProxy fills its slots: with the real one."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from syncd.node.haproxy import Runtime
from tests.e2e.test_traffic import CLASSES, fill
from tests.lab.cluster import Cluster, Daemon, await_condition
from tests.lab.haproxy import Balancer, Site, more_answers, needs_haproxy, visitors

pytestmark = needs_haproxy

TEMPLATE = ["server-template node 1-3 127.0.0.1:9 check disabled"]


def node(cluster: Cluster, name: str, knows: list[Daemon], site: Site | None = None, **options: Any) -> Daemon:
    """A node that is not started yet; `site`: its page."""
    if site is not None:
        options["service"] = f"127.0.0.1:{site.port}"
    return cluster.add(name, knows=knows, options=options, folder_options=CLASSES)


def beside(balancer: Balancer, grace: float = 600) -> dict[str, Any]:
    return {"socket": str(balancer.socket), "backend": "site", "slots": "node", "grace": grace}


@pytest.mark.heavy
def test_slots_are_filled_and_emptied(cluster: Cluster, tmp_path: Path) -> None:
    with Site("one") as page, Site("two") as other, Balancer(tmp_path / "haproxy", TEMPLATE) as balancer:
        front = node(cluster, "front", [], haproxy=beside(balancer)).start()
        one = node(cluster, "one", [front], page, listening_address="127.0.0.1").start()
        await_condition(lambda: bool(front.peer("one")), "they do not connect")
        assert balancer.status("node1") == "MAINT", "nobody is ready"
        fill(one)
        balancer.wait("node1", "UP")
        with visitors(balancer) as answers:
            two = node(cluster, "two", [front], other).start()
            two.wait(ready="plugins")
            balancer.wait("node2", "UP")
            more_answers(answers)
            both = {page.port, other.port}
            balancer.reload()  # from here on either may be in either slot
            await_condition(lambda: balancer.addresses() == both, "they are not filled again")
            balancer.wait("node1", "UP")
            balancer.wait("node2", "UP")
            more_answers(answers, 20)

            two.verb("drain")
            await_condition(lambda: balancer.addresses() == {page.port}, "who drains keeps its slot")
            before = len(answers) + 2
            more_answers(answers)
            assert set(answers[before:]) == {(200, "<title>one</title>")}
            two.verb("undrain")
            await_condition(lambda: balancer.addresses() == both, "it gets no slot again")
            front.stop()
            one.stop()
            two.stop()
            more_answers(answers)
            assert balancer.addresses(), "the last one stays"
            for daemon in (one, two, front):
                daemon.start()
            two.wait(state="in-sync")
            await_condition(lambda: bool(front.peer("two") and front.peer("one")), "they do not connect")
            more_answers(answers)
        statuses = [status for status, _ in answers]
        assert statuses.count(200) >= 170
        assert statuses.count(503) <= statuses.count(200) // 10, "only between a reload and the next look"
        assert "balancer: site: node" in front.verb("status").stdout


def test_a_node_that_is_away_for_long_loses_its_slot(cluster: Cluster, tmp_path: Path) -> None:
    with Site("one") as page, Site("two") as other, Balancer(tmp_path / "haproxy", TEMPLATE) as balancer:
        front = node(cluster, "front", [], haproxy=beside(balancer, grace=0.5)).start()
        one = node(cluster, "one", [front], page)
        fill(one)
        one.start()
        two = node(cluster, "two", [front], other).start()
        balancer.wait("node1", "UP")
        balancer.wait("node2", "UP")
        two.kill()
        await_condition(lambda: balancer.addresses() == {page.port}, "it keeps its slot")
        one.kill()
        await_condition(lambda: not front.peer("one"), "it is not missed")
        assert front.log.exists()
        front.rescan()
        assert balancer.addresses() == {page.port}, "the last one stays"


def test_who_has_a_line_of_its_own_gets_no_slot_besides(cluster: Cluster, tmp_path: Path) -> None:
    with Site("one") as page, Site("two") as other:
        servers = [f"server fixed 127.0.0.1:{page.port} check", *TEMPLATE]
        with Balancer(tmp_path / "haproxy", servers) as balancer:
            front = node(cluster, "front", [], haproxy=beside(balancer)).start()
            one = node(cluster, "one", [front], page)
            fill(one)
            one.start()
            two = node(cluster, "two", [front], other).start()
            await_condition(lambda: bool(front.peer("one") and front.peer("two")), "they do not connect")
            balancer.wait("node1", "UP")
            assert balancer.addresses() == {page.port, other.port}
            assert (balancer.status("node2"), balancer.status("node3")) == ("MAINT", "MAINT")
            two.verb("drain")
            balancer.wait("node1", "MAINT")


async def test_the_agent_brings_back_no_slot_that_was_emptied(tmp_path: Path) -> None:
    asked = asyncio.Semaphore(0)

    async def drain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"drain\n")
        writer.close()
        asked.release()

    async with await asyncio.start_server(drain, "127.0.0.1", 0) as agent:
        port = agent.sockets[0].getsockname()[1]
        check = f"agent-check agent-addr 127.0.0.1 agent-port {port} agent-inter 50ms"
        with Balancer(
            tmp_path / "haproxy", [f"server-template node 1-2 127.0.0.1:9 check {check} disabled"]
        ) as balancer:
            runtime = Runtime(str(balancer.socket), "site", "node")
            for slot in ("node1", "node2"):
                await asyncio.to_thread(balancer.wait, slot, "DRAIN", "DRAIN (agent)")  # the agent ends a maintenance
            await runtime.empty("node1")
            await asked_anew(asked, 2)
            await runtime.empty("node1")  # as the next look does, where a check under way ended the maintenance
            await asked_anew(asked, 10)
            assert balancer.status("node1") == "MAINT"


async def asked_anew(asked: asyncio.Semaphore, times: int) -> None:
    """Return when the agent was asked so often from now on."""
    while not asked.locked():
        await asked.acquire()
    for _ in range(times):
        await asked.acquire()


def test_a_balancer_that_is_gone_stops_nothing(cluster: Cluster, tmp_path: Path) -> None:
    gone = {"socket": str(tmp_path / "none.sock"), "backend": "site", "slots": "node"}
    front = node(cluster, "front", [], haproxy=gone).start()
    one = node(cluster, "one", [front])
    fill(one)
    one.start()
    front.wait(state="in-sync")
    told = front.get("/v1/status")[1]["node"]["balancer"]
    assert told["reason"] == f"{tmp_path / 'none.sock'}: No such file or directory"
    assert "balancer: cannot be told" in front.verb("status").stdout
    lines = [line for line in front.log_text().splitlines() if "the balancer cannot be told" in line]
    assert len(lines) == 1
    assert front.stop() == 0


def test_a_backend_that_is_not_there(cluster: Cluster, tmp_path: Path) -> None:
    with Balancer(tmp_path / "haproxy", TEMPLATE) as balancer:
        for key, words in (("backend", "no backend wrong"), ("slots", "has no server-template wrong")):
            wrong = node(cluster, key, [], haproxy={**beside(balancer), key: "wrong"}).start()

            def reason(wrong: Daemon = wrong) -> str:
                return str(wrong.get("/v1/status")[1]["node"]["balancer"]["reason"])

            await_condition(lambda words=words, reason=reason: words in reason(), "nothing is said")  # type: ignore[misc]
            wrong.stop()


def test_an_admin_socket_on_tcp_is_refused(cluster: Cluster) -> None:
    front = node(cluster, "front", [], haproxy={"socket": "127.0.0.1:9999", "backend": "site", "slots": "node"})
    code, lines = front.refused()
    assert code == os.EX_CONFIG
    assert "haproxy.socket: must be the path of a local socket" in lines[0]
