"""Maintenance under load: nothing fails, nothing is lost, nobody is logged out."""

import os
import threading
import time
from http.client import HTTPException

import pytest

from tests.stack import wordpress
from tests.stack.site import HOST_A, HOST_B, Site
from tests.stack.traffic import Traffic
from tests.stack.waiting import until

pytestmark = pytest.mark.stack

STOPS = 50 if os.environ.get("STACK_LONG") else 3
NEW_IMAGE = "FROM site\nRUN echo 2 >/etc/site-version\n"


def test_rolling_maintenance_fails_no_request(site: Site) -> None:
    (site.place / "Dockerfile").write_text(NEW_IMAGE)
    site.engine.build("site", site.place / "Dockerfile", site.place / "site/agent")
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
        pause = threading.Event()
        pause.wait(60 if os.environ.get("STACK_LONG") else 10)
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
    editor = site.direct(HOST_A)
    wordpress.log_in(editor, "admin", site.admin_password)
    number = 500_000
    lost: list[str] = []
    answered = 0
    for _ in range(STOPS):
        nonce = wordpress.nonce_of_uploads(editor)
        stopping = threading.Thread(target=site.docker, args=("stop", "site-a"))
        done: dict[str, bytes] = {}
        for _ in range(3):
            number += 1
            content = wordpress.picture(number)
            done[wordpress.upload(editor, f"stop-{number}.png", content, nonce)] = content
        stopping.start()
        until_refused = time.monotonic() + 60
        while time.monotonic() < until_refused:
            number += 1
            content = wordpress.picture(number)
            try:
                done[wordpress.upload(editor, f"stop-{number}.png", content, nonce)] = content
            except (OSError, HTTPException, wordpress.WordPressRefused):
                break
        stopping.join()
        assert site.docker("inspect", "-f", "{{.State.ExitCode}}", "site-a").strip() == "0"
        answered += len(done)
        for path, content in done.items():
            kept = site.on_host(path.removeprefix("/wp-content/"))
            if not kept.exists() or kept.read_bytes() != content:
                lost.append(path)
        site.docker("start", "site-a")
        until(lambda: site.shows(HOST_A), "the primary is back", 60)
    site.times.note(f"docker stop, {STOPS} times; {answered} uploads were answered, {len(lost)} lost", 0)
    assert lost == []
