"""Nodes that share the visitors, and one more by the same script: nothing is edited anywhere."""

import json
from collections.abc import Iterator

import pytest

from tests.stack import wordpress
from tests.stack.engine import CommandFailed
from tests.stack.site import HOST_C, Site
from tests.stack.traffic import Traffic
from tests.stack.waiting import until
from tests.stack.walk import REPOSITORY

pytestmark = pytest.mark.stack

SLOT = f"{HOST_C}:8080"


@pytest.fixture(scope="module", autouse=True)
def _shared(site: Site) -> Iterator[None]:
    site.balancer.stop()
    site.balancer.start("active-active.cfg")
    yield
    site.balancer.stop()
    site.balancer.start()
    until(lambda: site.balancer.up("primary") and site.balancer.up("secondary"), "both are in", 30)


def nodes(site: Site) -> set[str]:
    """Who answers visitors."""
    return {site.browser().get("/").node for _ in range(6)}


def filled(site: Site) -> list[str] | None:
    """What has a slot, as the syncd beside the balancer tells; None if it does not run."""
    try:
        told = site.status("balancer")["node"]["balancer"]
    except CommandFailed:
        return None
    return [slot["address"] for slot in told["slots"] if slot["address"]]


def configuration(site: Site) -> dict[str, bytes]:
    """All files that an operator has made or could edit."""
    places = (site.site / "config", site.site / "balancer/config", REPOSITORY / "deploy")
    return {str(file): file.read_bytes() for place in places for file in place.rglob("*") if file.is_file()}


def test_the_two_share_the_visitors(site: Site) -> None:
    until(lambda: nodes(site) == {"site-a", "site-b"}, "both get visitors", 30)


def test_a_syncd_beside_the_balancer(site: Site) -> None:
    site.walk("beside-the-balancer")
    until(lambda: site.in_sync("balancer"), "it has a copy", 60)
    assert filled(site) == []
    assert site.status("balancer")["folders"][0]["tier"] == "read-only"


def test_a_third_node_gets_visitors(site: Site) -> None:
    before = configuration(site)
    site.walk("more", NETWORK="host-c")
    everybody = {"site-a", "site-b", "site-c"}
    site.times.measure("a third node is ready -> visitors", lambda: nodes(site) == everybody, 10)
    assert configuration(site) == before
    assert filled(site) == [SLOT]  # the two that are known have no second share


def test_a_reload_of_the_balancer_forgets_nobody_for_long(site: Site) -> None:
    site.balancer.reload()
    site.times.measure("HAProxy reloaded -> the third node has visitors", lambda: "site-c" in nodes(site), 10)


def test_a_balancer_that_cannot_be_told_stops_no_sync(site: Site) -> None:
    away = site.balancer.socket.with_suffix(".away")
    site.balancer.socket.rename(away)
    until(lambda: "the balancer cannot be told" in site.logs("balancer"), "it is said", 30)
    path = wordpress.upload(site.editor(), "untold.png", wordpress.picture(40)).removeprefix("/wp-content/")
    copy = site.site / "balancer/data" / path
    site.times.measure("an upload is beside the balancer", copy.exists, 1)
    until(lambda: site.has("site-c", path), "and on the third node", 10)
    (said,) = [line for line in site.logs("balancer").splitlines() if "the balancer cannot be told" in line]
    assert f"{site.balancer.socket}: No such file or directory" in said
    assert "No such file" in json.dumps(site.status("balancer")["node"]["balancer"])
    until(lambda: "site-c" in nodes(site), "the third node has visitors all the same", 10)
    away.rename(site.balancer.socket)
    until(lambda: "can be told again" in site.logs("balancer"), "it is told again", 30)


def test_nodes_and_the_syncd_beside_the_balancer_leave_without_a_failed_request(site: Site) -> None:
    with Traffic(site.browser(), site.editor()) as traffic:
        site.docker("stop", "balancer")
        until(lambda: "site-c" in nodes(site), "the third node has visitors all the same", 10)
        site.docker("start", "balancer")
        until(lambda: filled(site) == [SLOT], "it knows again", 30)
        site.docker("stop", "--time", "90", "site-c")
        until(lambda: filled(site) == [], "its slot is free", 30)
    site.times.note(f"a shared site: {traffic.text()}", traffic.lasted)
    assert traffic.failures == []
    assert traffic.nodes == {"site-a", "site-b", "site-c"}
    assert site.docker("inspect", "-f", "{{.State.ExitCode}}", "site-c").strip() == "0"
    site.docker("rm", "site-c")
    site.docker("rm", "--force", "balancer")
