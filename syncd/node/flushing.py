"""What of a folder is here only: known all the time, and brought to at least one peer before the node ends."""

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

import structlog

from protocol.keys import Tier
from protocol.paths import display
from syncd.core.reached import PATHS_KEPT
from syncd.node.folder import Folder

NAMES_TOLD: Final = 100  # paths in one line of the log
NAMES_BYTES: Final = 8_000  # characters of these, one more name at most

LAST_LOOK: Final = 1.0  # seconds for what a hurried end still asks the index

_log = structlog.get_logger()


class Left(NamedTuple):
    """What reached no peer. paths: those that are known by name, of `number` changes.

    earlier: perhaps something of an earlier run, too. unseen: the disk was not looked at in time: there may be more.
    """

    paths: Sequence[bytes]
    number: int
    earlier: bool
    unseen: bool

    @property
    def nothing(self) -> bool:
        """Whether some peer has everything."""
        return not (self.number or self.earlier or self.unseen)


async def flush(folders: Sequence[Folder], limit: float, hurry: asyncio.Event) -> bool:
    """Bring what is here to some peer; whether that was done. limit: seconds. hurry: nothing is waited for any more."""
    jobs = [asyncio.create_task(_flush(folder, limit)) for folder in folders]
    hurrying = asyncio.create_task(_cancel_when(hurry, jobs))
    left = await asyncio.gather(*jobs)
    hurrying.cancel()
    told = [_tell(folder, item) for folder, item in zip(folders, left, strict=True)]
    return not any(told)


async def _cancel_when(hurry: asyncio.Event, jobs: Sequence[asyncio.Task[Left]]) -> None:
    await hurry.wait()
    for job in jobs:
        job.cancel()


async def _flush(folder: Folder, limit: float) -> Left:
    """Look at what changed last, and wait until a peer has everything. To be cancelled is to be in a hurry."""
    seen = not limit
    try:
        async with asyncio.timeout(limit if _has_known_peers(folder) else 0.0):
            await folder.refresh_now()  # peers hear that the node drains
            if folder.keys.tier < Tier.READ_WRITE:  # nothing of it is its own
                return Left((), 0, earlier=False, unseen=False)
            await folder.watching.catch_up()
            await folder.refresh_now()
            seen = True
            while not (await _left(folder)).nothing:
                await folder.wait_refresh()
    except (TimeoutError, asyncio.CancelledError):
        pass
    try:
        async with asyncio.timeout(LAST_LOOK):  # the index may be stuck
            await folder.outgoing.remember()
            return (await _left(folder))._replace(unseen=not seen)
    except TimeoutError:
        return Left((), 0, earlier=False, unseen=True)


def _has_known_peers(folder: Folder) -> bool:
    """Whether any other node is configured, or was connected since the start.

    Names are looked up after the start: until then what the file says counts, though it may be this node itself.
    """
    targets = list(folder.finding.targets())
    known = any(not target.is_self for target in targets) if targets else bool(folder.settings.known_hosts)
    return folder.peers.met or known


async def _left(folder: Folder) -> Left:
    """What no peer has now."""
    reached = folder.outgoing.reached
    if not folder.standing.facts.fresh:
        return Left(reached.unreached, reached.outstanding, reached.earlier, unseen=False)
    paths = await folder.shop.hands.run(folder.shop.unpublished, PATHS_KEPT)
    return Left(paths, len(paths), earlier=False, unseen=False)


def _tell(folder: Folder, left: Left) -> bool:
    """Log what became of a flush; whether something reached nobody although there are peers."""
    where = folder.settings.dir
    if left.nothing:
        return False
    if not _has_known_peers(folder):
        _log.info("nobody is there to flush to: no peer is configured, and none came", dir=where)
        return False
    if left.number:
        _log.error("these changes have reached no peer", dir=where, count=left.number, paths=_named(left.paths))
    if left.earlier:
        _log.error("changes of an earlier run may have reached no peer; its log names them", dir=where)
    if left.unseen:
        _log.error("not everything was looked at in time: the last changes may have reached no peer", dir=where)
    return True


def _named(paths: Sequence[bytes]) -> str:
    named: list[str] = []
    size = 0
    for path in paths[:NAMES_TOLD]:
        named.append(display(path))
        size += len(named[-1])
        if size > NAMES_BYTES:
            break
    return ", ".join(named) + (", ..." if len(named) < len(paths) else "")
