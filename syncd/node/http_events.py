"""Events over the control socket: one JSON object per line, those that are kept or, if asked for, those to come too."""

import asyncio
import json
from typing import Any, Final

from aiohttp import web

from syncd.node.events import Events
from syncd.node.http_request import Unclear, flag_of, guarded, number_of

READERS: Final = 16  # at a time: each may hold a buffer of its socket
AT_ONCE: Final = 256  # events in one write
HEARTBEAT: Final = 15.0  # seconds: an empty line then finds out whether somebody still reads


class EventsFace:
    """Hands out the events of a node."""

    def __init__(self, events: Events) -> None:
        self._events = events

    def routes(self) -> list[web.RouteDef]:
        """For the control socket only."""
        return [web.get("/v1/events", guarded(self._get))]

    async def _get(self, request: web.Request) -> web.StreamResponse:
        """`since`: events after this number; without it those that are kept, with `follow` only those to come."""
        follow = flag_of(request, "follow")
        after = number_of(request, "since", self._events.last if follow else 0, 1 << 62)
        types = frozenset(filter(None, request.query.get("types", "").split(",")))
        if self._events.readers >= READERS:
            raise Unclear(f"{READERS} others follow the events already: end one of them", 503)
        self._events.readers += 1
        try:
            return await self._send(request, after, types, follow)
        finally:
            self._events.readers -= 1

    async def _send(self, request: web.Request, after: int, types: frozenset[str], follow: bool) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        try:
            while True:
                missed, found = self._events.read(after, AT_ONCE)
                after += missed + len(found)
                lines = [{"event": "missed", "count": missed}] if missed and follow else []
                lines += [item for item in found if not types or item["event"] in types]
                if lines:
                    await response.write("".join(map(_line, lines)).encode())
                if not found and (not follow or not await self._more(response, after)):
                    break
            await response.write_eof()
        except ConnectionError:  # who read is gone
            pass
        return response

    async def _more(self, response: web.StreamResponse, after: int) -> bool:
        """Whether there is another event, when there is one; False at the end of the node."""
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT):
                    return await self._events.wait(after)
            except TimeoutError:
                await response.write(b"\n")


def _line(item: dict[str, Any]) -> str:
    return json.dumps(item) + "\n"
