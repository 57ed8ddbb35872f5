"""What is still missing, and what of it goes first, over the control socket."""

import re
from functools import partial
from typing import Any, Final

from aiohttp import web

from protocol.paths import display
from syncd.core.patterns import PatternError
from syncd.node.folder import Folder
from syncd.node.front import MOST
from syncd.node.http_request import Unclear, asker, chosen, guarded, number_of, one
from syncd.node.needs import LISTED, missing

SHOWN: Final = 100  # paths that are listed where the request does not say how many


class NeedFace:
    """folders: of this node."""

    def __init__(self, folders: list[Folder]) -> None:
        self._folders = folders

    def routes(self) -> list[web.RouteDef]:
        """For the control socket only."""
        return [
            web.get("/v1/need", guarded(self._need)),
            web.post("/v1/prioritize", guarded(self._prioritize)),
        ]

    async def _prioritize(self, request: web.Request) -> web.Response:
        """`pattern`, several times: what matches goes first; without any, everything is in its usual order again."""
        folder = one(request, self._folders)
        texts = [_pattern(folder, text) for text in request.query.getall("pattern", [])]
        if len(texts) > MOST:
            raise Unclear(f"{len(texts)} patterns; {MOST} at a time are enough")
        try:
            found = await folder.shop.hands.run(folder.shop.sources.prefer, texts)
        except PatternError as error:
            raise Unclear(str(error)) from None
        folder.fetcher.start_anew()
        folder.chronicle.tell("prioritized", patterns=texts, paths=found.paths, by=asker(request))
        said = {"dir": folder.settings.dir, "listing": folder.standing.pulling, "patterns": texts}
        return web.json_response({**said, **found._asdict()})

    async def _need(self, request: web.Request) -> web.Response:
        folders, limit, name = chosen(request, self._folders), number_of(request, "limit", SHOWN, LISTED), None
        if "class" in request.query:
            name = request.query["class"]
            known = sorted({known for folder in folders for known in folder.class_names})
            if name not in known:
                raise Unclear(f"there is no class {name}; there are: {', '.join(known)}", 404)
        return web.json_response({"folders": [await _folder(folder, name, limit) for folder in folders]})


def _pattern(folder: Folder, text: str) -> str:
    """As in the configuration; a whole path of the machine is understood, too."""
    below = text.removeprefix(f"{folder.settings.dir}/")
    return text if below == text else "/" + re.sub(r"([\\*?\[\]!# ])", r"\\\1", below)


async def _folder(folder: Folder, name: str | None, limit: int) -> dict[str, Any]:
    names = folder.class_names
    ranks = [rank for rank, known in enumerate(names) if name in (None, known)]
    items = await folder.shop.hands.run(partial(missing, folder.shop.ledger, folder.shop.sources.front, ranks, limit))
    needs = folder.standing.facts.totals.needs
    trouble = {problem.path: problem for problem in folder.standing.problems}
    return {
        "dir": folder.settings.dir,
        "listing": folder.standing.pulling,  # a peer still tells what it has: more may be missing than is known
        "need_files": sum(needs.get(rank, (0, 0))[0] for rank in ranks),
        "need_bytes": sum(needs.get(rank, (0, 0))[1] for rank in ranks),
        "items": [
            {
                "path": display(item.path),
                "class": names[item.rank],
                "kind": item.kind,
                "bytes": item.size,
                "problem": trouble[item.path].reason if item.path in trouble else "",
            }
            for item in items
        ],
    }
