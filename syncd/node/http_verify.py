"""Verifying over the control socket: begin, look how far it is, stop."""

from typing import Any

from aiohttp import web

from syncd.core.replica import Refused
from syncd.node.folder import Folder
from syncd.node.http_request import asker, flag_of, guarded, one, path_of
from syncd.node.scrub import Scrub


class VerifyFace:
    """folders: of this node."""

    def __init__(self, folders: list[Folder]) -> None:
        self._folders = folders

    def routes(self) -> list[web.RouteDef]:
        """For the control socket only."""
        return [
            web.get("/v1/verify", guarded(self._progress)),
            web.post("/v1/verify", guarded(self._begin)),
            web.delete("/v1/verify", guarded(self._stop)),
        ]

    async def _progress(self, request: web.Request) -> web.Response:
        return web.json_response(_document(one(request, self._folders)))

    async def _begin(self, request: web.Request) -> web.Response:
        """`path`: only this, in hex. `heal`: what cannot be told from damage is taken for it."""
        folder, heal = one(request, self._folders), flag_of(request, "heal")
        below = path_of(request, self._folders) if "path" in request.query else b""
        shop = folder.shop
        if shop.scrub is not None and shop.scrub.active:
            raise Refused("the folder is being verified already: syncd verify --stop ends that")
        if folder.standing.facts.fresh:
            raise Refused("the folder is not settled yet: try again when a peer has answered")
        if held := folder.watching.held or await shop.hands.run(shop.distrust):
            raise Refused(held)
        rereader = await shop.hands.run(shop.rereader)
        shop.scrub = scrub = Scrub(shop.ledger, shop.hands, rereader, below, heal, folder.take)
        folder.chronicle.tell("verifying", by=asker(request))
        folder.spawn(_run(folder, scrub))
        return web.json_response(_document(folder))

    async def _stop(self, request: web.Request) -> web.Response:
        folder = one(request, self._folders)
        if folder.shop.scrub is not None:
            folder.shop.scrub.stop()
        return web.json_response(_document(folder))


async def _run(folder: Folder, scrub: Scrub) -> None:
    await scrub.run()
    told = scrub.document()
    folder.chronicle.tell("verified", **{name: told[name] for name in ("files", "bytes", "damaged", "unsure")})


def _document(folder: Folder) -> dict[str, Any]:
    totals, scrub = folder.standing.facts.totals, folder.shop.scrub
    head = {"dir": folder.settings.dir, "total_files": totals.files, "total_bytes": totals.bytes}
    return {**head, **(scrub.document() if scrub is not None else {"active": False, "never": True})}
