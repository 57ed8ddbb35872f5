"""Containers that are killed, lost and rebuilt: who serves, and what comes back."""

import threading
import time
from collections.abc import Iterator

import pytest

from tests.stack import wordpress
from tests.stack.browser import Browser
from tests.stack.site import HOST_A, HOST_B, HOST_C, Site
from tests.stack.waiting import until

pytestmark = pytest.mark.stack


class Strangers:
    """A secondary on host C, and an agent that has as little as it: looked at from their meeting on."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.met = 0.0  # monotonic seconds
        self.statuses: set[int] = set()  # of the page
        self.words: set[str] = set()  # of the agent-check

    def start(self) -> None:
        """Return when the two have met."""
        _start_two_empty_ones(self._site)
        until(lambda: "connected" in self._site.logs("site-c"), "the two have met", 30)
        self.met = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        if self.met:
            self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(0.2):
            try:
                self.statuses.add(self._site.direct(HOST_C).get("/").status)
                self.words.add(self._site.agent_check(HOST_C))
            except OSError:
                self.statuses.add(0)


def _start_two_empty_ones(site: Site) -> None:
    empty = site.place / "empty"
    for name in ("state", "data"):
        (empty / name).mkdir(parents=True)
    site.own(empty)
    mounts = [f"{site.site}/agent:/config:ro", f"{empty}/state:/state", f"{empty}/data:/data"]
    volumes = [word for mount in mounts for word in ("--volume", mount)]
    where = ["--name", "agent-c", "--network", "host-c", "--user", "33:33"]
    site.docker("run", "--detach", *where, *volumes, "syncd")
    site.script("start-secondary.sh", "site-c", HOST_C, "host-c", agent="agent-c:55555")


@pytest.fixture(scope="module", autouse=True)
def strangers(site: Site) -> Iterator[Strangers]:
    strangers = Strangers(site)
    try:
        strangers.start()
        yield strangers
    finally:
        strangers.stop()
        site.remove("site-c", "agent-c")


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


def test_where_all_are_fresh_nobody_is_routed(site: Site, strangers: Strangers) -> None:
    until(lambda: time.monotonic() - strangers.met > 15, "past publish_alone_after", 20)
    strangers.stop()
    assert strangers.statuses == {503}
    assert not any("up" in word for word in strangers.words)
    assert not site.status("site-c")["folders"][0]["classes"][0]["ready"]
    assert site.browser().get("/").good
    assert site.shows(HOST_B)
