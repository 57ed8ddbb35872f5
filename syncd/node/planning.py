"""`syncd plan`: what the folders of this node would do if it joined its peers now. Nothing is changed anywhere."""

import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from protocol.errors import RemoteError
from protocol.keys import Tier
from protocol.messages import PUSH, Leaves, Pages, Records
from protocol.paths import display
from protocol.reconcile import Pull
from syncd import __version__
from syncd.config.hosts import KnownHost
from syncd.config.settings import Folder as FolderSettings
from syncd.config.settings import Settings
from syncd.core.networks import Allowed
from syncd.node.rehearsal import Outcome, Rehearsal, Sum
from syncd.node.visit import Visit, Visitor

T = TypeVar("T")

_EVERYTHING: Final = [(b"", None)]


async def plan_folder(settings: Settings, folder: FolderSettings, hosts: tuple[KnownHost, ...]) -> dict[str, Any]:
    """What would become of a folder, for JSON. hosts: who is asked.

    Raises NobodyThere, SessionEnded, RemoteError, OSError, RootError, IndexFailed.
    """
    visitor = Visitor(folder.keys, Allowed(settings.allow_networks), f"plan of {settings.device_name}", _AGENT)
    home = os.path.join(settings.storage_path, "folders", folder.keys.folder_id.hex())
    async with visitor.visit(hosts) as first:
        counters = dict(first.hello.counters) if first.hello.tier == Tier.READ_WRITE else {}
    with tempfile.TemporaryDirectory(prefix="syncd-plan-") as scratch:
        rehearsal = Rehearsal(folder, home, scratch, time.time_ns(), time.monotonic())
        try:
            await asyncio.to_thread(_prepare, rehearsal, counters)
            fresh = rehearsal.fresh
            async with visitor.visit(hosts) as visit:
                await _pull(visit, rehearsal)
                await asyncio.to_thread(rehearsal.end, visit.status.settled)
                outcome = await asyncio.to_thread(rehearsal.outcome, fresh)
                return _document(folder, visit, outcome)
        finally:
            rehearsal.close()


_AGENT: Final = f"syncd {__version__}"


def _prepare(rehearsal: Rehearsal, counters: dict[bytes, int]) -> None:
    """The tree is read before the peer is asked for its manifest: that may take long, and the peer waits for nobody."""
    rehearsal.meet(counters)
    rehearsal.scan()


async def _pull(visit: Visit, rehearsal: Rehearsal) -> None:
    session = visit.session
    pull = Pull(rehearsal.index, _EVERYTHING, visit.status.level)
    session.post(*pull.requests())
    while not pull.done:
        message = await session.next_message()
        if isinstance(message, Pages):
            await _step(pull.on_pages, message.id, list(message.pages), message.next)
        elif isinstance(message, Leaves):
            await _step(pull.on_leaves, message.id, list(message.leaves), message.next)
        elif isinstance(message, Records) and message.id != PUSH:
            pull.expects_records(message.id)
            if message.next is not None and not message.records:
                raise RemoteError("an answer that does not advance")
            await _step(rehearsal.receive, message)
            if message.last:
                await _step(pull.on_records_end, message.id, message.next)
        else:  # it goes on talking of other things
            continue
        session.post(*await _step(pull.requests))


async def _step(call: Callable[..., T], *given: Any) -> T:
    return await asyncio.to_thread(call, *given)


def _document(folder: FolderSettings, visit: Visit, outcome: Outcome) -> dict[str, Any]:
    plain = ("replaced", "removed", "published", "deleted", "lost")
    fetched = [{"class": name, **_sum(each)} for name, each in outcome.fetched.items()]
    return {
        "dir": folder.dir,
        "fingerprint": folder.keys.fingerprint,
        "peer": visit.hello.name,
        "address": visit.session.address,
        "settled": visit.status.settled,
        "fresh": outcome.fresh,
        "fetched": fetched,
        **{name: _sum(getattr(outcome, name)) for name in plain},
        "conflicts": outcome.conflicts,
        "held": outcome.held,
        "problems": [
            {"path": display(each.path), "operation": each.operation, "reason": each.reason}
            for each in outcome.problems
        ],
    }


def _sum(each: Sum) -> dict[str, Any]:
    return {"files": each.files, "bytes": each.size, "paths": [display(path) for path in each.paths]}
