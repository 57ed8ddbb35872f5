"""The status document: everything that `syncd status` shows, as plain values for JSON."""

from typing import Any

from protocol.keys import Tier
from protocol.paths import display
from syncd.net.endpoint import CLOSED_UNANSWERED
from syncd.node.admission import Admission, class_row
from syncd.node.caller import Target
from syncd.node.folder import Folder
from syncd.node.greeting import NodeFacts
from syncd.node.lag import in_sync
from syncd.node.peers import Peer
from syncd.node.registration import Registration
from syncd.node.standing import problem_rows


def status_document(
    node: NodeFacts,
    version: str,
    uptime: float,
    folders: list[Folder],
    registration: Registration | None = None,
    admission: Admission | None = None,
) -> dict[str, Any]:
    """The whole status. uptime: seconds. registration: beside a balancer. admission: if it asks for more than files."""
    admission = admission or Admission(folders, node.drain)
    ready, reason = admission.welcome()
    return {
        "node": {
            "name": node.name,
            "id": node.identity.node_id.hex(),
            "version": version,
            "uptime_seconds": round(uptime, 3),
            "ready": ready,
            "reason": "" if ready else reason,
            "draining": admission.draining,
            "balancer": registration.status() if registration is not None else None,
        },
        "folders": [_folder(folder) for folder in folders],
    }


def _folder(folder: Folder) -> dict[str, Any]:
    standing = folder.standing
    totals = standing.facts.totals
    peers = folder.peers.all()
    return {
        "dir": folder.settings.dir,
        "id": folder.keys.folder_id.hex(),
        "fingerprint": folder.keys.fingerprint,
        "tier": _tier(folder.keys.tier),
        "state": standing.state(peers),
        "reason": standing.held_reason(folder.settings.dir),
        "held": _held(folder),
        "settled": not standing.facts.fresh,
        "root": standing.facts.root.hash.hex(),
        "behind_seconds": round(folder.lag.own, 3),
        "files": totals.files,
        "bytes": totals.bytes,
        "uncounted": totals.unpublished,
        "need_files": standing.need_files,
        "need_bytes": standing.need_bytes,
        "verifying": scrub.progress() if (scrub := folder.shop.scrub) is not None else None,
        "prioritized": list(front.texts) if (front := folder.shop.sources.front) is not None else [],
        "fetched_bytes": folder.fetcher.fetched_bytes,
        "bytes_in": folder.peers.bytes_in,
        "bytes_out": folder.peers.bytes_out,
        "scanning": {"active": standing.scanning, "entries": folder.watching.scanned_entries},
        "watching": folder.watching.complete,
        "counters": folder.counters.document(folder.watching.overflows),
        "archive_bytes": folder.shop.retention.size,
        "limitations": folder.shop.limitations,
        "classes": [class_row(folder, rank, name) for rank, name in enumerate(folder.class_names)],
        "peers": [_peer(folder, peer) for peer in peers] + _absent(folder),
        "space": _space(folder),
        "conflicts": totals.conflicts,
        "problems": problem_rows([*folder.hooks.problems(), *standing.problems]),
        "problem_count": len(standing.problems) + len(folder.hooks.problems()),
        "hooks": folder.hooks.status(),
        "alarms": [*folder.troubles.alarms[-20:], *folder.troubles.offences],
    }


def _space(folder: Folder) -> dict[str, Any]:
    """Bytes of the file system of the folder. scarce: nothing is fetched for lack of them."""
    facts = folder.standing.facts
    return {
        "free_bytes": facts.space.free,
        "total_bytes": facts.space.total,
        "min_free_bytes": folder.shop.gauge.least.bytes,
        "scarce": facts.shortage is not None,
    }


def _held(folder: Folder) -> dict[str, Any]:
    """What waits for the operator's word."""
    held = folder.standing.facts.held
    return {
        "deletions": held.deletions,
        "directories": held.directories,
        "reverts": held.reverts,
        "rewrites": held.rewrites,
        "sample": [display(path) for path in held.sample],
    }


def _peer(folder: Folder, peer: Peer) -> dict[str, Any]:
    status = peer.status
    synced = in_sync(peer, folder.standing.facts.root.hash)
    if status is None:
        reason = "connected, not heard yet"
    elif not synced:
        reason = f"needs {status.need_files} files, {status.need_bytes} bytes" if status.need_files else status.state
    else:
        reason = ""
    return {
        "name": peer.name,
        "id": peer.node_id.hex(),
        "address": peer.session.address,
        "connected": True,
        "tier": _tier(peer.tier),
        "in_sync": synced,
        "lag_seconds": 0.0 if synced else round(folder.lag.of(peer), 3),
        "reason": reason,
        "state": status.state if status is not None else "",
        "draining": status is not None and status.drain,
        "need_files": status.need_files if status is not None else 0,
        "bytes_in": peer.session.bytes_in,
        "bytes_out": peer.session.bytes_out,
        "agent": peer.hello.agent,
        "service": peer.hello.service,
    }


def _absent(folder: Folder) -> list[dict[str, Any]]:
    """Addresses that are dialled and where nobody is connected, with the reason."""
    return [
        {
            "name": "",
            "id": target.node_id.hex() if target.node_id is not None else "",
            "address": target.address,
            "connected": False,
            "tier": "",
            "in_sync": False,
            "reason": target.reason,
            "other_secret": target.reason == CLOSED_UNANSWERED,
            "draining": False,
        }
        for target in folder.finding.dialer.targets.values()
        if not target.is_self and not _is_connected(folder, target)
    ]


def _is_connected(folder: Folder, target: Target) -> bool:
    return target.node_id is not None and folder.peers.connected(target.node_id) is not None


def _tier(tier: Tier) -> str:
    return tier.name.lower().replace("_", "-")
