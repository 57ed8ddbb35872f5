"""The status page: live, escaped, without configuration, and asking nobody else."""

import asyncio
import contextlib
import html
import json
import os
import re
import shutil
import signal
from collections.abc import AsyncIterator
from copy import deepcopy
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web

from syncd.node import http_page
from syncd.node.http_page import StatusPage, policy, view

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
PAGE = files("syncd.node").joinpath("status_page.html").read_text("utf-8")
EVIL = "<img src=x onerror=\"document.title='owned'\">.jpg"
DIR = "/srv/secret-place"
FOLDER = {
    "dir": DIR, "id": "aa" * 16, "fingerprint": "ab12cd", "tier": "read-write", "state": "syncing", "reason": "",
    "held": {"deletions": 2, "directories": 1, "reverts": 0, "sample": [f"{DIR}/x"]}, "settled": True,
    "root": "00" * 32, "files": 512, "bytes": 34_500_000, "uncounted": 0, "need_files": 3, "need_bytes": 5_000,
    "conflicts": 1,
    "classes": [
        {"class": "themes", "ready": True, "complete": True, "need_files": 0, "need_bytes": 0, "reason": "ready"},
        {"class": "rest", "ready": False, "complete": False, "need_files": 0, "need_bytes": 0, "reason": f"{DIR}: no"},
    ],
    "peers": [
        {"name": "web2", "id": "bb", "address": "10.9.8.7:55555", "connected": True, "tier": "read-only",
         "in_sync": False, "reason": "needs 3 files, 5 bytes"},
        {"name": "", "id": "", "address": "peer.example.org:4", "connected": False, "tier": "", "in_sync": False,
         "reason": "no answer (firewall?)"},
    ],
    "problems": [
        {"path": EVIL, "operation": "read", "reason": f"Permission denied in {DIR}"},
        {"path": DIR, "operation": "space", "reason": f"less than 5 % free on {DIR}"},
        {"path": "/usr/local/bin/hook", "operation": "hook", "reason": "exit 1: token=hunter2"},
    ],
    "problem_count": 3, "alarms": ["two nodes at 10.9.8.7"],
}  # fmt: skip
STATUS: dict[str, Any] = {
    "node": {"name": "web1", "id": "cc", "version": "0.1.0", "uptime_seconds": 5.0, "ready": False,
             "reason": f"{DIR}: class rest waits", "draining": False},
    "folders": [FOLDER], "audit": {"file": "/var/log/audit.jsonl"}, "webhook": {"host": "hooks.example.org"},
}  # fmt: skip


@contextlib.asynccontextmanager
async def serving(status: dict[str, Any]) -> AsyncIterator[str]:
    """The page's address."""
    app = web.Application()
    app.add_routes(StatusPage(lambda: status).routes())
    runner = web.AppRunner(app, shutdown_timeout=0.05)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/status"
    finally:
        await runner.cleanup()


async def message(answer: aiohttp.ClientResponse) -> Any:
    """The next one of the stream."""
    while not (line := await answer.content.readline()).startswith(b"data: "):
        assert line, "the stream is over"
    return json.loads(line[6:])


def test_nothing_is_shown_that_is_configuration() -> None:
    shown = json.dumps(view(STATUS))
    for hidden in ("secret-place", "10.9.8.7", "example.org", "55555", "/usr/local", "hunter2", "audit", "aa" * 16):
        assert hidden not in shown, hidden
    folder = view(STATUS)["folders"][0]
    assert folder["problems"][0] == {"path": EVIL, "operation": "read", "reason": "Permission denied in the folder"}
    assert [problem["reason"] for problem in folder["problems"][1:]] == ["see `syncd status` on the machine"] * 2
    assert folder["notes"] == [
        "3 changes wait for `syncd approve` or `syncd reject`",
        "1 versions lost a conflict: `syncd conflicts list`",
        "1 alarms: `syncd status`",
        "1 peers are not there: `syncd peers`",
    ]


def test_many_problems_are_counted() -> None:
    folder = {**FOLDER, "problems": [FOLDER["problems"][0]] * 60, "problem_count": 75}
    shown = view({**STATUS, "folders": [folder]})["folders"][0]
    assert len(shown["problems"]) == http_page.PROBLEMS_SHOWN
    assert "25 more problems: `syncd status`" in shown["notes"]


def test_the_page_loads_nothing_and_makes_no_markup_of_texts() -> None:
    assert not re.search(
        r"https?:|//[a-z]|url\(|@import|\ssrc=|innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", PAGE
    )
    assert not re.search(r"\s(style|on\w+)=", PAGE), "the policy would forbid it"
    said = policy(PAGE)
    assert "unsafe" not in said
    assert "*" not in said
    assert said.startswith("default-src 'none'; script-src 'sha256-")
    assert policy(PAGE.replace("textContent", "innerHTML")) != said


async def test_what_a_browser_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(STATUS) as address, aiohttp.ClientSession() as client, client.get(address) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/html"
        assert await answer.text() == PAGE
        assert answer.headers["Content-Security-Policy"] == policy(PAGE)
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(("host", "status"), [
    ("127.0.0.1:8385", 200), ("[::1]:8385", 200), ("localhost", 200), ("rebound.example.org", 421), ("", 421),
])  # fmt: skip
async def test_a_name_of_somebody_else_is_not_answered(host: str, status: int) -> None:
    async with serving(STATUS) as address, aiohttp.ClientSession() as client:
        for path in (address, f"{address}/events"):
            async with client.get(path, headers={"Host": host}) as answer:
                assert answer.status == status
        async with client.post(address) as answer:
            assert answer.status == 405


async def test_it_is_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_page, "INTERVAL", 0.01)
    monkeypatch.setattr(http_page, "HEARTBEAT", 0.02)
    status = deepcopy(STATUS)
    async with (
        serving(status) as address, aiohttp.ClientSession() as client, client.get(f"{address}/events") as answer,
    ):  # fmt: skip
        assert answer.content_type == "text/event-stream"
        assert (await message(answer))["folders"][0]["state"] == "syncing"
        status["folders"][0]["state"] = "in-sync"
        assert (await message(answer))["folders"][0]["state"] == "in-sync"
        async with asyncio.timeout(30):
            while await answer.content.readline() != b":\n":
                pass


async def test_not_everybody_may_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_page, "VIEWERS", 2)
    async with serving(STATUS) as address, aiohttp.ClientSession() as client, contextlib.AsyncExitStack() as stack:
        for expected in (200, 200, 503):
            answer = await stack.enter_async_context(client.get(f"{address}/events"))
            assert answer.status == expected


LOOK = """new Promise((done) => {
  const look = () => document.getElementById("link")?.textContent === "live"
    ? done(document.documentElement.outerHTML) : setTimeout(look, 20);
  look();
})"""


@contextlib.asynccontextmanager
async def browser(profile: Path, address: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A page in a real browser, and the socket by which it takes commands."""
    assert BROWSER is not None
    process = await asyncio.create_subprocess_exec(
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
        f"--user-data-dir={profile}", address, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        while not (line := await process.stderr.readline()).startswith(b"DevTools listening on "):
            assert line, "the browser does not start"
        where = urlsplit(line.split()[-1].decode())
        async with aiohttp.ClientSession() as client:
            async with client.get(f"http://{where.netloc}/json/list") as answer:
                pages = [each for each in await answer.json(content_type=None) if each["type"] == "page"]
            async with client.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                yield socket
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


@pytest.mark.skipif(BROWSER is None, reason="there is no browser here (Debian: chromium)")
async def test_in_a_real_browser(tmp_path: Path) -> None:
    """What it shows, and that a file's name is text in it."""
    complaints = []
    async with asyncio.timeout(120), serving(STATUS) as address, browser(tmp_path, address) as page:
        await page.send_json({"id": 1, "method": "Log.enable"})
        look = {"expression": LOOK, "awaitPromise": True, "returnByValue": True}
        text, number = "", 1
        while not text:  # until the page is there in the place of an empty one
            number += 1
            await page.send_json({"id": number, "method": "Runtime.evaluate", "params": look})
            while (said := await page.receive_json()).get("id") != number:
                if said.get("method") == "Log.entryAdded":
                    complaints.append(said["params"]["entry"]["text"])
            text = said.get("result", {}).get("result", {}).get("value", "")
    assert "not ready: the folder: class rest waits" in text
    assert html.escape(EVIL, quote=False) in text
    assert "<img" not in text
    assert "<title>web1 - syncd</title>" in text
    assert "512 files, 34.5 MB, read-write" in text
    assert [line for line in complaints if "Content Security Policy" in line] == []
