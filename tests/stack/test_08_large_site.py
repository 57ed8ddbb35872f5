"""How long things take on a site of 600 MB."""

import shutil
import time
from concurrent.futures import Future

import pytest

from tests.stack import wordpress
from tests.stack.engine import run
from tests.stack.large import FILES, LAST, SIZE
from tests.stack.site import HOST_A, HOST_B, Site
from tests.stack.waiting import until

pytestmark = pytest.mark.stack

DEADLINE = 240.0  # seconds for what is only waited for


@pytest.fixture(scope="module", autouse=True)
def _everywhere(site: Site, large: Future[None]) -> None:
    large.result()
    for node in ("site-a", "site-b"):
        until(lambda node=node: site.has(node, LAST) and site.in_sync(node), f"{node} has all", DEADLINE, 1)  # type: ignore[misc]


def test_the_primary_seeds_itself(site: Site) -> None:
    copy = site.place / "copy"
    begun = time.monotonic()
    run(["cp", "-a", f"{site.site}/wp-content", str(copy)])
    plain = time.monotonic() - begun
    shutil.rmtree(copy)
    site.times.note("cp -a of the site", plain)
    begun = time.monotonic()
    site.docker("rm", "--force", "site-a")
    site.script("start-primary.sh", "site-a", HOST_A, "host-a", content=True)
    until(lambda: site.shows(HOST_A), "the primary shows its page", DEADLINE, 0.1)
    took = time.monotonic() - begun
    assert site.received("site-a") < FILES * SIZE / 50
    site.times.judge("primary ready, 600 MB", took, plain * 1.5 + 5)


def test_a_fresh_secondary_is_up_early_and_fills(site: Site) -> None:
    site.docker("rm", "--force", "site-b")
    begun = time.monotonic()
    site.script("start-secondary.sh", "site-b", HOST_B, "host-b")
    until(lambda: site.shows(HOST_B), "the secondary shows its page", DEADLINE, 0.1)
    page = time.monotonic() - begun
    here = int(site.status("site-b")["folders"][0]["need_bytes"])
    until(lambda: site.in_sync("site-b"), "the secondary has all", DEADLINE, 0.2)
    everything = time.monotonic() - begun
    site.times.judge(f"fresh secondary, 600 MB: its page is right, {here / 1e6:.0f} MB to come", page, 15)
    site.times.judge("fresh secondary, 600 MB: everything", everything, 60)


def test_failover_and_uploads(site: Site) -> None:
    until(lambda: site.balancer.up("primary") and site.balancer.up("secondary"), "both are in", 30)
    editor = site.editor()
    nonce = wordpress.nonce_of_uploads(editor)
    content = wordpress.picture(4)
    path = wordpress.upload(editor, "large.png", content, nonce)
    kept = site.on_host(path.removeprefix("/wp-content/"))
    site.times.measure("600 MB: an upload is readable on the host", kept.exists, 1)
    there = site.direct(HOST_B)
    site.times.measure("600 MB: and on the secondary", lambda: there.get(path).body == content, 1)
    site.docker("kill", "site-a")
    site.times.measure("600 MB: primary killed -> first good page", lambda: site.browser().get("/").good, 5)
    site.docker("kill", "site-b")
    site.docker("start", "site-b")
    site.times.measure(
        "600 MB: secondary rebooted, primary dead -> good page", lambda: site.browser().get("/").good, 15
    )
    site.docker("start", "site-a")
    site.times.measure(
        "600 MB: primary started again -> visitors", lambda: site.browser().get("/").node == "site-a", 30
    )
