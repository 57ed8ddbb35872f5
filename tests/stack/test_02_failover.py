"""Containers that are killed, lost and rebuilt: who serves, and what comes back."""

import time

import pytest

from tests.stack import wordpress
from tests.stack.browser import Browser
from tests.stack.site import HOST_A, HOST_B, HOST_C, Site
from tests.stack.waiting import until

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def editor(site: Site) -> Browser:
    return site.editor()


@pytest.fixture(scope="module")
def outage() -> dict[str, bytes]:
    """What was uploaded while the primary was away."""
    return {}


def test_visitors_and_editors_move_when_the_primary_dies(site: Site, editor: Browser, outage: dict[str, bytes]) -> None:
    assert editor.get("/").node == "site-a"
    site.docker("kill", "site-a")
    visitor = site.browser()
    site.times.measure("primary killed -> first good page", lambda: visitor.get("/").good, 5)
    assert visitor.get("/").node == "site-b"
    assert wordpress.logged_in(editor)
    content = wordpress.picture(2)
    path = wordpress.upload(editor, "outage.png", content)
    outage[path] = content
    kept = site.on_host(path.removeprefix("/wp-content/"))
    site.times.measure("an upload of the outage is on the host", kept.exists, 1)


def test_a_secondary_that_is_rebooted_meanwhile_serves_again(site: Site) -> None:
    site.docker("kill", "site-b")
    site.docker("start", "site-b")
    site.times.measure("secondary rebooted, primary dead -> good page", lambda: site.browser().get("/").good, 15)


def test_the_rebuilt_primary_has_all_and_fetches_little(site: Site, editor: Browser, outage: dict[str, bytes]) -> None:
    assert wordpress.logged_in(editor)  # on the secondary by now, where it stays
    begun = time.monotonic()
    site.walk("rebuild", NETWORK="host-a")
    site.times.note("primary rebuilt and ready", time.monotonic() - begun)
    for path, content in outage.items():
        until(lambda path=path, content=content: site.direct(HOST_A).get(path).body == content, f"{path} is back", 15)  # type: ignore[misc]
    total = int(site.status("site-a")["folders"][0]["bytes"])
    assert site.received("site-a") < total / 50
    assert site.status("site-a")["folders"][0]["conflicts"] == 0
    site.times.measure("visitors are back on the primary", lambda: site.browser().get("/").node == "site-a", 10)
    assert editor.get("/").node == "site-b"  # what this editor has just written is there
    assert wordpress.logged_in(editor)


def test_where_all_are_fresh_nobody_is_routed(site: Site) -> None:
    """A secondary, and an agent that has as little as it: neither makes the other ready."""
    empty = site.place / "empty"
    for name in ("state", "data"):
        (empty / name).mkdir(parents=True)
    site.docker(
        "run", "--rm", "--volume", f"{empty}:/x", "--user", "0", "--entrypoint", "chown", "syncd", "-R", "33:33", "/x"
    )
    mounts = [f"{site.site}/agent:/config:ro", f"{empty}/state:/state", f"{empty}/data:/data"]
    volumes = [word for mount in mounts for word in ("--volume", mount)]
    where = ["--name", "agent-c", "--network", "host-c", "--user", "33:33"]
    site.docker("run", "--detach", *where, *volumes, "syncd")
    site.script("start-secondary.sh", "site-c", HOST_C, "host-c", agent="agent-c:55555")
    until(lambda: "connected" in site.logs("site-c"), "the two have met", 30)
    began = time.monotonic()
    while time.monotonic() - began < 15:  # past publish_alone_after
        assert site.direct(HOST_C).get("/").status == 503
        assert "up" not in site.agent_check(HOST_C)
    assert not site.status("site-c")["folders"][0]["classes"][0]["ready"]
    site.docker("rm", "--force", "site-c", "agent-c")
    assert site.browser().get("/").good
    assert site.shows(HOST_B)
