"""The list of addresses for `syncd peers`: who is there, where each is known from, and what became of the last dial."""

import asyncio
from typing import Any, Final

from syncd.node.caller import Target
from syncd.node.folder import Folder
from syncd.node.peers import Peer

IT_DIALLED: Final = "it dialled us"


def peer_list(folders: list[Folder]) -> dict[str, Any]:
    """All of them, as plain values for JSON."""
    return {"folders": [{"dir": folder.settings.dir, "peers": _rows(folder)} for folder in folders]}


def _rows(folder: Folder) -> list[dict[str, Any]]:
    targets = folder.finding.targets()
    connected = {peer.node_id: peer for peer in folder.peers.all()}
    by_node = {target.node_id: target for target in targets if target.node_id in connected}
    rows = [_connected(peer, by_node.get(peer.node_id)) for peer in connected.values()]
    return rows + [_absent(target) for target in targets if target.node_id not in connected]


def _connected(peer: Peer, target: Target | None) -> dict[str, Any]:
    return {
        "name": peer.name,
        "id": peer.node_id.hex(),
        "address": peer.session.address,
        "known_from": target.origin if target is not None else IT_DIALLED,
        "state": "connected",
        "reason": "",
        "next_try_seconds": None,
        "dialled": peer.session.initiator,
    }


def _absent(target: Target) -> dict[str, Any]:
    now = asyncio.get_running_loop().time()
    wait = None if target.next_try is None else round(max(0.0, target.next_try - now), 1)
    return {
        "name": "",
        "id": target.node_id.hex() if target.node_id is not None else "",
        "address": target.address,
        "known_from": target.origin,
        "state": "own address" if target.is_self else "dialling" if wait is None else "waiting",
        "reason": "" if target.is_self else target.reason,
        "next_try_seconds": wait,
        "dialled": True,
    }
