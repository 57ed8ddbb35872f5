"""Maintenance under load: nothing fails, nothing is lost, nobody is logged out."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException

import pytest

from tests.stack import wordpress
from tests.stack.browser import Browser
from tests.stack.site import HOST_A, HOST_B, HOST_C, Site
from tests.stack.traffic import Traffic
from tests.stack.waiting import until

pytestmark = pytest.mark.stack

STOPS, STOPPED = 50, 5  # times, nodes
PAUSE = 60.0  # seconds without any syncd
NEW_IMAGE = "FROM site\nRUN echo 2 >/etc/site-version\n"


def test_rolling_maintenance_fails_no_request(site: Site) -> None:
    site.engine.build("site", NEW_IMAGE)
    editor = site.editor()
    with Traffic(site.browser(), editor) as traffic:
        site.walk("upgrade")
        for node in ("site-a", "site-b"):
            assert site.inside(node, "cat", "/etc/site-version").strip() == "2"
            until(lambda node=node: site.balancer.up({"site-a": "primary", "site-b": "secondary"}[node]), node, 30)  # type: ignore[misc]
        for node in ("site-a", "site-b"):
            site.inside(node, "supervisorctl", "restart", "syncd")
        site.walk("agent-restart")
    site.times.note(f"rolling maintenance: {traffic.text()}", traffic.lasted)
    assert traffic.failures == []
    assert {"site-a", "site-b"} <= traffic.nodes
    assert wordpress.logged_in(editor)
    assert len(traffic.uploads) > traffic.lasted / 4
    for path, content in traffic.uploads.items():
        kept = site.on_host(path.removeprefix("/wp-content/"))
        until(
            lambda kept=kept, content=content: kept.exists() and kept.read_bytes() == content, f"{path} on host A", 30
        )  # type: ignore[misc]
    for node in ("site-a", "site-b"):
        until(lambda node=node: site.in_sync(node), f"{node} is in sync", 60)  # type: ignore[misc]
    for path, content in traffic.uploads.items():
        assert site.direct(HOST_A).get(path).body == content
        assert site.direct(HOST_B).get(path).body == content


def test_a_syncd_that_is_stopped_everywhere_takes_no_site_down(site: Site) -> None:
    editor = site.editor()
    nodes = ("site-a", "site-b")
    with Traffic(site.browser(), editor) as traffic:
        for node in nodes:
            site.inside(node, "supervisorctl", "stop", "syncd")
        site.docker("stop", "agent")
        threading.Event().wait(PAUSE)
        site.docker("start", "agent")
        for node in nodes:
            site.inside(node, "supervisorctl", "start", "syncd")
        for node in nodes:
            until(lambda node=node: site.in_sync(node), f"{node} is in sync", 60)  # type: ignore[misc]
    site.times.note(f"syncd stopped everywhere: {traffic.text()}", traffic.lasted)
    assert traffic.failures == []
    for path, content in traffic.uploads.items():
        kept = site.on_host(path.removeprefix("/wp-content/"))
        until(
            lambda kept=kept, content=content: kept.exists() and kept.read_bytes() == content, f"{path} on host A", 30
        )  # type: ignore[misc]


def test_docker_stop_in_the_middle_of_uploads_loses_none(site: Site) -> None:
    """Several nodes at a time, each again and again."""
    editor = site.direct(HOST_A)
    wordpress.log_in(editor, "admin", site.admin_password)  # all nodes have the same keys
    stoppers = [Stopper(site, number, editor) for number in range(STOPPED)]
    try:
        with ThreadPoolExecutor(STOPPED) as pool:
            for stopper in [pool.submit(stopper.run, STOPS // STOPPED) for stopper in stoppers]:
                stopper.result()
    finally:
        site.docker("rm", "--force", *(stopper.node for stopper in stoppers))
    answered = sum(stopper.answered for stopper in stoppers)
    lost = [path for stopper in stoppers for path in stopper.lost]
    site.times.note(f"docker stop, {STOPS} times; {answered} uploads were answered, {len(lost)} lost", 0)
    assert lost == []


class Stopper:
    """A node of its own that is stopped while an editor uploads to it, and started again."""

    def __init__(self, site: Site, number: int, editor: Browser) -> None:
        self.node = f"stopped-{number}"
        self.answered = 0
        self.lost: list[str] = []
        self._site = site
        self._port = 8080 + 1000 * (number + 1)
        self._editor = editor.copy()
        self._editor.address, self._editor.port = HOST_C, self._port
        self._seeds = itertools.count(1_000_000 * (number + 1))
        self._nonce = ""

    def run(self, times: int) -> None:
        """Raises CommandFailed, TimeoutError, AssertionError."""
        site = self._site
        # no balancer is told, so nothing is waited for, and nobody asks for their health
        more = ("--port", str(self._port), "--", "--env", "DRAIN_SECONDS=0", "--no-healthcheck")
        site.script("start-secondary.sh", self.node, HOST_C, "host-c", more=more)
        until(self._serves, f"{self.node} serves", 90, 0.1)
        self._nonce = wordpress.nonce_of_uploads(self._editor)
        for _ in range(times):
            self._stop()
            site.docker("start", self.node)
            until(self._serves, f"{self.node} is back", 60, 0.1)

    def _stop(self) -> None:
        site = self._site
        done = dict(self._upload() for _ in range(2))
        stopping = threading.Thread(target=site.docker, args=("stop", "--time", "90", self.node))
        stopping.start()
        try:
            while stopping.is_alive():
                path, content = self._upload()
                done[path] = content
        except (OSError, HTTPException, wordpress.WordPressRefused):
            pass  # from here on it answers nobody
        stopping.join()
        code = site.docker("inspect", "-f", "{{.State.ExitCode}}", self.node).strip()
        assert code == "0", f"{code}: {site.logs(self.node)[-2_000:]}"
        self.answered += len(done)
        for path, content in done.items():
            kept = site.on_host(path.removeprefix("/wp-content/"))
            if not kept.exists() or kept.read_bytes() != content:
                self.lost.append(path)

    def _upload(self) -> tuple[str, bytes]:
        number = next(self._seeds)
        content = wordpress.picture(number)
        return wordpress.upload(self._editor, f"stop-{number}.png", content, self._nonce), content

    def _serves(self) -> bool:
        try:
            return self._editor.get("/").good
        except (OSError, HTTPException):
            return False
