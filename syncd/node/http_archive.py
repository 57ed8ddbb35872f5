"""Conflicts and the archive over the control socket. Paths and ids travel in hex: names are bytes."""

import asyncio
import os
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from aiohttp import web

from protocol.edit import Entry
from protocol.paths import display
from protocol.record import Kind
from syncd.node.curator import Conflict, Curator, Handout, Version
from syncd.node.desk import consult, decide
from syncd.node.findings import Report
from syncd.node.folder import Folder
from syncd.node.http_request import asker, chosen, guarded, hex_of, number_of, one, path_of
from syncd.store.index_archive import Archived

CHUNK: Final = 1 << 20  # bytes of a content that are sent at once
_KINDS: Final = {Kind.FILE: "file", Kind.DIR: "directory", Kind.LINK: "link"}


class ArchiveFace:
    """folders: of this node."""

    def __init__(self, folders: list[Folder]) -> None:
        self._folders = folders

    def routes(self) -> list[web.RouteDef]:
        """For the control socket only."""
        return [
            web.get("/v1/conflicts", guarded(self._conflicts)),
            web.post("/v1/conflicts/restore", guarded(self._restore_version)),
            web.post("/v1/conflicts/dismiss", guarded(self._dismiss)),
            web.get("/v1/conflicts/content", guarded(self._version_content)),
            web.get("/v1/archive", guarded(self._items)),
            web.post("/v1/archive/restore", guarded(self._restore_item)),
            web.get("/v1/archive/content", guarded(self._item_content)),
        ]

    # ---- conflicts

    async def _conflicts(self, request: web.Request) -> web.Response:
        found = []
        for folder in chosen(request, self._folders):
            conflicts = await consult(folder, lambda curator: curator.conflicts())
            names = {peer.node_id: peer.name for peer in folder.peers.all()}
            names[folder.node.identity.node_id] = folder.node.name
            found += [_conflict(folder, conflict, names) for conflict in conflicts]
        return web.json_response({"conflicts": found})

    async def _restore_version(self, request: web.Request) -> web.Response:
        path, number = path_of(request, self._folders), _version_of(request)
        return await self._decide(request, path, lambda curator: curator.restore_version(path, number), "restored")

    async def _dismiss(self, request: web.Request) -> web.Response:
        path = path_of(request, self._folders)
        return await self._decide(request, path, lambda curator: curator.dismiss(path), "dismissed")

    async def _version_content(self, request: web.Request) -> web.StreamResponse:
        path, number = path_of(request, self._folders), _version_of(request)
        handout = await consult(one(request, self._folders), lambda curator: curator.hand_out_version(path, number))
        return await _send(request, handout)

    # ---- the archive

    async def _items(self, request: web.Request) -> web.Response:
        path = path_of(request, self._folders) if "path" in request.query else None
        found = []
        for folder in chosen(request, self._folders):
            items = await consult(folder, lambda curator: curator.items(path))
            found += [_item(folder, archived) for archived in items]
        return web.json_response({"items": found})

    async def _restore_item(self, request: web.Request) -> web.Response:
        name, path = self._item_of(request)
        where = path or await consult(one(request, self._folders), lambda curator: curator.path_of(name))
        return await self._decide(request, where, lambda curator: curator.restore_item(name, path), "restored")

    async def _item_content(self, request: web.Request) -> web.StreamResponse:
        name, path = self._item_of(request)
        handout = await consult(one(request, self._folders), lambda curator: curator.hand_out_item(name, path))
        return await _send(request, handout)

    # ---- inside

    async def _decide(
        self, request: web.Request, path: bytes, decision: Callable[[Curator], Report], event: str
    ) -> web.Response:
        folder = one(request, self._folders)
        applied = await decide(folder, path, decision)
        folder.chronicle.tell(event, path=display(path), by=asker(request))
        return web.json_response({"path": display(path), "applied": applied})

    def _item_of(self, request: web.Request) -> tuple[bytes | None, bytes]:
        """(id, b"") or (None, path)"""
        if "id" in request.query:
            return hex_of(request, "id"), b""
        return None, path_of(request, self._folders)


def _version_of(request: web.Request) -> int:
    """A number from 1 on: what there is not is told by who knows."""
    return number_of(request, "version", 1)


async def _send(request: web.Request, handout: Handout) -> web.StreamResponse:
    loop = asyncio.get_running_loop()
    headers = {"X-Mode": f"{handout.mode:o}", "X-Mtime": str(handout.mtime), "Content-Length": str(handout.size)}
    response = web.StreamResponse(headers=headers)
    try:
        await response.prepare(request)
        for offset in range(0, handout.size, CHUNK):
            length = min(CHUNK, handout.size - offset)
            await response.write(await loop.run_in_executor(None, partial(os.pread, handout.fd, length, offset)))
        await response.write_eof()
    finally:
        os.close(handout.fd)
    return response


def _conflict(folder: Folder, conflict: Conflict, names: dict[bytes, str]) -> dict[str, Any]:
    return {
        "folder": folder.settings.dir,
        "path": display(conflict.path),
        "shown": _entry(conflict.shown),
        "versions": [_version(version, names) for version in conflict.versions],
    }


def _version(version: Version, names: dict[bytes, str]) -> dict[str, Any]:
    record = version.record
    return {
        "version": version.number,
        "kind": _KINDS[record.kind],
        "size": record.size,
        "written_ns": record.stamp,
        "mtime_ns": record.mtime,
        "target": display(record.target),
        "author": names.get(version.node, ""),
        "node": version.node.hex(),
        "actor": record.dot[0].hex(),
        "content": record.content.hex(),
        "here": version.here,
        "copy": display(version.copy),
    }


def _entry(entry: Entry | None) -> dict[str, Any] | None:
    if entry is None:
        return None
    return {"kind": _KINDS[entry.kind], "size": entry.size, "mtime_ns": entry.mtime, "content": entry.content.hex()}


def _item(folder: Folder, archived: Archived) -> dict[str, Any]:
    item = archived.item
    return {
        "folder": folder.settings.dir,
        "id": item.name.decode("ascii", "replace"),
        "path": display(item.path),
        "kind": _KINDS[item.kind],
        "size": item.size,
        "mtime_ns": item.mtime,
        "archived_ns": archived.archived_at,
        "reason": archived.reason,
        "content": archived.content.hex(),
    }
