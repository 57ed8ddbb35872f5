"""The status page: what `syncd status` shows, live in a browser. It changes nothing and shows no configuration.

Everything is in one page that loads nothing else. What is shown is built from text alone (see status_page.html), and
the page's policy names its one script and its one style by their hashes.
"""

import asyncio
import base64
import hashlib
import json
import re
import socket
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any, Final

from aiohttp import web

from syncd.core.networks import is_address

VIEWERS: Final = 16  # at a time
INTERVAL: Final = 1.0  # seconds between two looks for something new, while somebody looks at the page
HEARTBEAT: Final = 15.0  # seconds after which a line without meaning finds out whether somebody still reads
PROBLEMS_SHOWN: Final = 50  # of a folder
# Operations whose problems are about a path of the folder. The others may name other places of the machine.
_OF_PATHS: Final = frozenset(
    {"read", "list", "write", "remove", "fetch", "skip", "conflict", "keep", "name", "damaged"}
)
_ELSEWHERE: Final = "see `syncd status` on the machine"

Report = Mapping[str, Any]


class StatusPage:
    """status(): the status document."""

    def __init__(self, status: Callable[[], dict[str, Any]]) -> None:
        self._status = status
        self._page = files("syncd.node").joinpath("status_page.html").read_text("utf-8")
        self._headers = {**_HEADERS, "Content-Security-Policy": policy(self._page)}
        self._names = {"localhost", socket.gethostname()}
        self._viewers = 0

    def routes(self) -> list[web.RouteDef]:
        """For the health port."""
        return [web.get("/status", self._get), web.get("/status/events", self._follow)]

    async def _get(self, request: web.Request) -> web.Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        return web.Response(text=self._page, content_type="text/html", charset="utf-8", headers=self._headers)

    async def _follow(self, request: web.Request) -> web.StreamResponse:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        if self._viewers >= VIEWERS:
            return web.Response(status=503, text=f"{VIEWERS} others look at it already\n", headers=_HEADERS)
        self._viewers += 1
        try:
            return await self._send(request)
        finally:
            self._viewers -= 1

    async def _send(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={**_HEADERS, "Content-Type": "text/event-stream"})
        loop = asyncio.get_running_loop()
        shown, due = "", 0.0
        try:
            await response.prepare(request)
            while True:
                now = json.dumps(view(self._status()))
                if now != shown:
                    await response.write(f"data: {now}\n\n".encode())
                elif loop.time() >= due:
                    await response.write(b":\n\n")
                if now != shown or loop.time() >= due:
                    shown, due = now, loop.time() + HEARTBEAT
                await asyncio.sleep(INTERVAL)
        except ConnectionError:  # who looked is gone
            pass
        return response

    def _refusal(self, request: web.Request) -> web.Response | None:
        """A page of somebody else's may have its own name lead here, and then read what it is answered: so only
        addresses, and this machine by its name, are listened to.
        """
        try:
            host = request.url.host or ""
        except ValueError:
            host = ""
        if host in self._names or is_address(host):
            return None
        text = "ask by an address of this machine: another name may be that of somebody who wants to read along\n"
        return web.Response(status=421, text=text, headers=_HEADERS)


_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def policy(page: str) -> str:
    """What a browser lets the page do: run its own script, use its own style, and listen to where it comes from."""
    script, style = (_hash(page, tag) for tag in ("script", "style"))
    return (
        f"default-src 'none'; script-src '{script}'; style-src '{style}'; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )


def _hash(page: str, tag: str) -> str:
    (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


# ---- what is shown


def view(status: Report) -> dict[str, Any]:
    """What the page is told. Folders go by their fingerprints; directories and addresses are configuration."""
    node = status["node"]
    reason = node["reason"]
    for folder in status["folders"]:
        reason = _without(folder, reason)
    return {
        "node": {"name": node["name"], "version": node["version"], "ready": node["ready"], "reason": reason},
        "folders": [_folder(folder) for folder in status["folders"]],
    }


def _folder(folder: Report) -> dict[str, Any]:
    plain = ("fingerprint", "tier", "state", "files", "bytes", "need_files", "need_bytes")
    connected = [peer for peer in folder["peers"] if peer["connected"]]
    return {
        **{key: folder[key] for key in plain},
        "uncounted": 0 if folder["settled"] else folder["uncounted"],
        "notes": list(_notes(folder, len(folder["peers"]) - len(connected))),
        "classes": [_class(folder, each) for each in folder["classes"]],
        "peers": [{key: peer[key] for key in ("name", "tier", "in_sync", "reason")} for peer in connected],
        "problems": [_problem(folder, each) for each in folder["problems"][:PROBLEMS_SHOWN]],
    }


def _notes(folder: Report, absent: int) -> list[str]:
    held = folder["held"]
    waiting = sum(held[key] for key in ("deletions", "directories", "reverts"))
    counted = (
        (waiting, "changes wait for `syncd approve` or `syncd reject`"),
        (folder["conflicts"], "versions lost a conflict: `syncd conflicts list`"),
        (len(folder["alarms"]), "alarms: `syncd status`"),
        (absent, "peers are not there: `syncd peers`"),
        (max(0, folder["problem_count"] - PROBLEMS_SHOWN), "more problems: `syncd status`"),
    )
    return [f"{number} {text}" for number, text in counted if number]


def _class(folder: Report, each: Report) -> dict[str, Any]:
    numbers = {key: each[key] for key in ("ready", "need_files", "need_bytes")}
    return {"name": each["class"], **numbers, "reason": _without(folder, each["reason"])}


def _problem(folder: Report, problem: Report) -> dict[str, str]:
    operation = problem["operation"]
    if operation not in _OF_PATHS or problem["path"].startswith("/"):
        return {"path": "", "operation": operation, "reason": _ELSEWHERE}
    return {"path": problem["path"], "operation": operation, "reason": _without(folder, problem["reason"])}


def _without(folder: Report, text: str) -> str:
    """A text that does not say where the folder is."""
    return text.replace(folder["dir"], "the folder")
