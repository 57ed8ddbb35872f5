"""Health and control over HTTP: health on a TCP address if configured, control on a unix socket of the storage."""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from syncd.node.admission import Admission, Chosen
from syncd.node.draining import Drain
from syncd.node.events import Events
from syncd.node.folder import Folder
from syncd.node.http_archive import ArchiveFace
from syncd.node.http_events import EventsFace
from syncd.node.http_need import NeedFace
from syncd.node.http_page import StatusPage
from syncd.node.http_request import asker
from syncd.node.http_verify import VerifyFace
from syncd.node.peer_list import peer_list
from syncd.node.verdicts import Refused, decide

LONGEST_WAIT: Final = 86_400.0  # seconds that one request may wait
_JSON: Final = "application/json"


class Face:
    """status(): the status document. folders: of this node. drain: whether it wants new traffic.

    events: what happens on it.
    """

    def __init__(
        self,
        status: Callable[[], dict[str, Any]],
        folders: list[Folder],
        admission: Admission,
        drain: Drain,
        events: Events,
    ) -> None:
        self._events = events
        self._status = status
        self._folders = folders
        self._admission = admission
        self._drain = drain
        self._runners: list[web.AppRunner] = []

    async def open_health(self, host: str, port: int, status_page: bool = False) -> None:
        """Listen for health checks. status_page: for browsers, too. Raises OSError."""
        page = StatusPage(self._status).routes() if status_page else []
        runner = await self._runner([*self._health_routes(), *page])
        await web.TCPSite(runner, host or None, port).start()

    async def open_control(self, path: str) -> None:
        """Listen on the control socket, 0600. Raises OSError."""
        runner = await self._runner([*self._health_routes(), *self._control_routes()])
        temporary = os.path.join(os.path.dirname(path), "new.sock")  # no longer than the name that fits in an address
        for name in (temporary, path):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(temporary)
        os.chmod(temporary, 0o600)
        os.rename(temporary, path)
        await web.SockSite(runner, sock).start()

    async def close(self) -> None:
        """Stop listening."""
        for runner in self._runners:
            await runner.cleanup()

    async def _runner(self, routes: list[web.RouteDef]) -> web.AppRunner:
        app = web.Application()
        app.add_routes(routes)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        self._runners.append(runner)
        return runner

    def _health_routes(self) -> list[web.RouteDef]:
        return [
            web.get("/livez", self._livez),
            web.get("/readyz", self._readyz),
            web.get("/metrics", self._metrics),
        ]

    def _control_routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/status", self._get_status),
            web.get("/v1/peers", self._get_peers),
            web.post("/v1/rescan", self._rescan),
            web.post("/v1/approve", self._approve),
            web.post("/v1/reject", self._reject),
            web.post("/v1/drain", self._begin_drain),
            web.post("/v1/undrain", self._end_drain),
            web.get("/v1/wait", self._wait),
            *ArchiveFace(self._folders).routes(),
            *NeedFace(self._folders).routes(),
            *VerifyFace(self._folders).routes(),
            *EventsFace(self._events).routes(),
        ]

    # ---- handlers

    async def _livez(self, request: web.Request) -> web.Response:
        return _answer(200, {"live": True})

    async def _readyz(self, request: web.Request) -> web.Response:
        chosen = _chosen(request)
        ready, reason = self._admission.welcome(chosen)
        answer: dict[str, Any] = {"ready": ready, "reason": reason, "draining": self._admission.draining}
        if "verbose" in request.query:
            answer["folders"] = self._admission.details(chosen)
        return _answer(200 if ready else 503, answer)

    async def _metrics(self, request: web.Request) -> web.Response:
        from syncd.node.metrics import exposition  # brings a library that only those need who ask

        body, kind = exposition(self._status())
        return web.Response(body=body, headers={"Content-Type": kind})

    async def _get_peers(self, request: web.Request) -> web.Response:
        return _answer(200, peer_list(self._folders))

    async def _get_status(self, request: web.Request) -> web.Response:
        return _answer(200, self._status())

    async def _rescan(self, request: web.Request) -> web.Response:
        folders = self._folders_of(request)
        if not folders:
            return _no_folder(request)
        for folder in folders:
            await folder.watching.rescan()
            await folder.refresh_now()
        return _answer(200, {"rescanned": [folder.settings.dir for folder in folders]})

    async def _approve(self, request: web.Request) -> web.Response:
        return await self._decide(request, True)

    async def _reject(self, request: web.Request) -> web.Response:
        return await self._decide(request, False)

    async def _decide(self, request: web.Request, meant: bool) -> web.Response:
        folders = self._folders_of(request)
        if not folders:
            return _no_folder(request)
        try:
            done = await decide(folders, meant)
        except Refused as error:
            return _answer(error.status, {"error": str(error)})
        self._events.put("approved" if meant else "rejected", done["dir"], paths=done["paths"], by=asker(request))
        return _answer(200, done)

    async def _begin_drain(self, request: web.Request) -> web.Response:
        return await self._set_drain(request, True)

    async def _end_drain(self, request: web.Request) -> web.Response:
        return await self._set_drain(request, False)

    async def _set_drain(self, request: web.Request, asked: bool) -> web.Response:
        """Answered when the connected peers were told."""
        if not asked and self._drain.stopping:
            return _answer(409, {"error": "the node is stopping"})
        changed = self._drain.asked != asked
        self._drain.asked = asked
        if changed:
            self._events.put("drained" if asked else "undrained", by=asker(request))
        for folder in self._folders if changed else ():
            await folder.refresh_now()
        ready, reason = self._admission.ready()
        peers = {peer.node_id for folder in self._folders for peer in folder.peers.all()}
        return _answer(200, {"changed": changed, "peers": len(peers), "ready": ready, "reason": reason})

    async def _wait(self, request: web.Request) -> web.Response:
        """Wait for a class to be ready, or with `state` for every chosen folder to be in that state."""
        try:
            limit = min(LONGEST_WAIT, max(0.0, float(request.query.get("timeout", "60"))))
        except ValueError:
            return _answer(400, {"error": "timeout is a number of seconds"})
        name = request.query.get("class")
        if name is not None and not any(name in folder.class_names for folder in self._folders):
            known = ", ".join(sorted({known for folder in self._folders for known in folder.class_names}))
            return _answer(404, {"error": f"there is no class {name}; there are: {known}"})
        try:
            async with asyncio.timeout(limit):
                while not (verdict := self._reached(request))[0]:
                    await self._next_refresh()
        except TimeoutError:
            return _answer(504, {"ready": False, "reason": self._reached(request)[1]})
        return _answer(200, {"ready": True, "reason": verdict[1]})

    # ---- inside

    def _folders_of(self, request: web.Request) -> list[Folder]:
        return self._admission.folders(_chosen(request).folder)

    def _reached(self, request: web.Request) -> tuple[bool, str]:
        state = request.query.get("state")
        if state is None:
            return self._admission.ready(_chosen(request))
        for folder in self._folders_of(request):
            now = folder.standing.state(folder.peers.all())
            if now != state:
                return False, f"{folder.settings.dir} is {now}"
        return True, state

    async def _next_refresh(self) -> None:
        waits = [asyncio.ensure_future(folder.wait_refresh()) for folder in self._folders]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


def _chosen(request: web.Request) -> Chosen:
    return Chosen(request.query.get("class"), request.query.get("folder"))


def _no_folder(request: web.Request) -> web.Response:
    return _answer(404, {"error": f"no folder {request.query.get('folder')} in this node"})


def _answer(status: int, value: dict[str, Any]) -> web.Response:
    return web.Response(status=status, text=json.dumps(value) + "\n", content_type=_JSON)
