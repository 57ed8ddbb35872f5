"""syncd and the real HAProxy: the agent check is obeyed, and its absence takes nothing down."""

from pathlib import Path

import pytest

from tests.e2e.test_traffic import agent, fill, with_agent
from tests.lab.cluster import Cluster
from tests.lab.haproxy import Balancer, Site, more_answers, needs_haproxy, visitors

pytestmark = needs_haproxy

AGENT = "agent-check agent-addr 127.0.0.1 agent-port {} agent-inter 100ms"


def server(name: str, site: Site, port: int) -> str:
    return f"server {name} 127.0.0.1:{site.port} check {AGENT.format(port)}"


def test_who_is_ready_gets_visitors_and_who_drains_does_not(cluster: Cluster, tmp_path: Path) -> None:
    one, one_port = with_agent(cluster, "one")
    two, two_port = with_agent(cluster, "two", knows=[one])
    two.start()
    with Site("one") as page, Site("two") as other:
        servers = [server("one", page, one_port), server("two", other, two_port)]
        with Balancer(tmp_path / "haproxy", servers) as balancer:
            balancer.wait("two", "DOWN (agent)")  # its page answers, but its files are not there
            fill(one)
            one.start()
            balancer.wait("one", "UP")
            balancer.wait("two", "UP")
            assert agent(two_port) == "up ready 100%\n"
            with visitors(balancer) as answers:
                two.verb("drain")
                balancer.wait("two", "DRAIN", "DRAIN (agent)")
                before = len(answers)
                more_answers(answers)
                assert set(answers[before + 2 :]) == {(200, "<title>one</title>")}
                two.verb("undrain")
                balancer.wait("two", "UP")
            assert {status for status, _ in answers} == {200}
            assert len({balancer.get() for _ in range(10)}) == 2


@pytest.mark.heavy
def test_without_any_syncd_nobody_is_sent_away(cluster: Cluster, tmp_path: Path) -> None:
    """Readiness admits a node; only its page takes it out."""
    one, one_port = with_agent(cluster, "one")
    two, two_port = with_agent(cluster, "two", knows=[one])
    fill(one)
    one.start()
    two.start()
    two.wait(state="in-sync")
    with Site("one") as page, Site("two") as other:
        servers = [server("one", page, one_port), server("two", other, two_port)]
        with Balancer(tmp_path / "haproxy", servers) as balancer:
            balancer.wait("one", "UP")
            balancer.wait("two", "UP")
            with visitors(balancer) as answers:
                for daemon in (two, one):
                    daemon.kill()
                more_answers(answers, 150)  # some 30 intervals of the agent check
                assert (balancer.status("one"), balancer.status("two")) == ("UP", "UP")
                for daemon in (one, two):
                    daemon.start()
                two.wait(state="in-sync")
                more_answers(answers)
                page.whole = False
                balancer.wait("one", "DOWN")
                page.whole = True
                balancer.wait("one", "UP")
            assert {status for status, _ in answers} == {200}
