"""How a node shows itself, and where it looks for others, besides its sessions: beacons and the local network."""

import asyncio
import time
from typing import Final

import structlog

from syncd.config.settings import Settings
from syncd.core.networks import address_of
from syncd.net.mdns import LocalNetwork
from syncd.node.beacons import Beacons
from syncd.node.greeting import NodeFacts
from syncd.node.roster import Roster

DIAL_OUT_ONLY: Final = "none"  # value of advertise_address
LOOK_INTERVAL: Final = 5.0  # seconds between two looks whether a folder wants its peers to be searched for
RETRY_INTERVAL: Final = 60.0  # seconds until the search is begun again that failed, such as without a network
MDNS: Final = "mDNS"

_log = structlog.get_logger()


def advertised(settings: Settings) -> str:
    """What HELLO says of where we can be dialled: an address, or a port alone, or nothing."""
    if settings.advertise_address == DIAL_OUT_ONLY:
        return ""
    return settings.advertise_address or f":{settings.listening_port}"


class Presence:
    """A node that only dials out shows itself nowhere."""

    def __init__(self, settings: Settings, node: NodeFacts, roster: Roster) -> None:
        self._hidden = settings.advertise_address == DIAL_OUT_ONLY
        self._host, self._port = settings.listening_address, settings.listening_port
        self._roster = roster
        self._draw = node.draw
        self.beacons = Beacons(node, roster.listed, self._port, self._host, time.monotonic)
        address = address_of(self._host)
        self._shown = "" if address is not None and address.is_unspecified else self._host

    async def run(self) -> None:
        """Work until cancelled. Whatever fails here, sessions work as ever."""
        if self._hidden:
            return
        try:
            await self.beacons.open()
        except OSError as error:
            _log.warning("no beacons: UDP port not available", port=self._port, reason=error.strerror)
            return
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.beacons.run())
                tasks.create_task(self._search())
        except* Exception:
            _log.exception("no beacons any more, because of an internal error; sessions go on")

    async def _search(self) -> None:
        """mDNS while a folder wants it; nothing of it is even loaded before."""
        search: asyncio.Task[None] | None = None
        try:
            while True:
                wanted = any(folder.settings.search_lan for folder in self._roster.listed)
                if wanted and search is None:
                    search = asyncio.create_task(self._search_now())
                elif not wanted and search is not None:
                    search.cancel()
                    search = None
                await asyncio.sleep(LOOK_INTERVAL)
        finally:
            if search is not None:
                search.cancel()
                await asyncio.gather(search, return_exceptions=True)

    async def _search_now(self) -> None:
        while True:
            try:
                await LocalNetwork(self._tags, self._found, self._draw, self._shown, self._port).run()
            except Exception as error:
                _log.warning("no mDNS now; it is tried again", reason=str(error) or type(error).__name__)
            await asyncio.sleep(RETRY_INTERVAL)

    def _tags(self) -> list[bytes]:
        return [self.beacons.tag_now(folder) for folder in self._roster.listed if folder.settings.search_lan]

    def _found(self, tag: bytes, host: str, port: int) -> None:
        folder = self.beacons.folder_of(tag)
        if folder is not None and folder.settings.search_lan:
            folder.finding.invited(host, port, None, MDNS)
