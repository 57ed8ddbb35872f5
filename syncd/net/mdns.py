"""Finding peers on the local network by multicast DNS (RFC 6762, 6763), with zeroconf, which is loaded only if wanted.

Nothing in it tells a stranger which folder or node it is: names are random, and the mark of a folder is the tag of its
beacons, which changes every hour. It proves nothing either; the handshake decides.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from syncd.core.networks import address_of
from syncd.net.networks import attachments

SERVICE: Final = "_syncd._tcp.local."
TABLE: Final = 256  # instances that wait to be looked at: more than nodes of a network, and all that a liar can fill
CACHED_PER_TICK: Final = 64  # of these, that are looked at in a second without asking the network
TICK: Final = 1.0  # seconds; also between two questions to the network
QUESTION: Final = 1_000  # ms that an answer may take
ADDRESSES: Final = 4  # of one instance: as many as a host has on a network
NAME_BYTES: Final = 8  # of chance in a name

Found = Callable[[bytes, str, int], None]


class LocalNetwork:
    """tags(): of our folders at this hour. on_found(tag, host, port): somebody says that a peer is there. draw(n): n
    random bytes. host: the only address to show and listen on, or empty. port: where we can be dialled.
    """

    def __init__(
        self, tags: Callable[[], list[bytes]], on_found: Found, draw: Callable[[int], bytes], host: str, port: int
    ) -> None:
        self._tags = tags
        self._on_found = on_found
        self._draw = draw
        self._host, self._port = host, port
        self._shown: dict[bytes, Any] = {}  # {tag: what is registered}
        self._own: set[str] = set()  # names
        self.waiting: OrderedDict[str, None] = OrderedDict()

    async def run(self) -> None:
        """Work until cancelled. Raises OSError if there is no network to do it on."""
        from zeroconf import InterfaceChoice
        from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf

        network = AsyncZeroconf(interfaces=[self._host] if self._host else InterfaceChoice.All)
        browser = None
        try:
            browser = AsyncServiceBrowser(network.zeroconf, SERVICE, handlers=[self._changed])
            while True:
                await self._show(network)
                await self._look(network)
                await asyncio.sleep(TICK)
        finally:
            if browser is not None:
                await browser.async_cancel()
            await network.async_close()

    def heard_of(self, name: str) -> None:
        """An instance is there, or has changed."""
        if name in self._own:
            return
        self.waiting[name] = None
        if len(self.waiting) > TABLE:
            self.waiting.popitem(last=False)

    def _changed(self, *, zeroconf: Any, service_type: str, name: str, state_change: Any) -> None:
        if state_change.name != "Removed":
            self.heard_of(name)

    async def _show(self, network: Any) -> None:
        """What is shown follows the hour, and the folders. Names are new ones each time."""
        from zeroconf import ServiceInfo

        tags = self._tags()
        for tag in self._shown.keys() - set(tags):
            await network.async_unregister_service(self._shown.pop(tag))
        for tag in tags:
            if tag not in self._shown:
                name = self._draw(NAME_BYTES).hex()
                self._shown[tag] = info = ServiceInfo(
                    SERVICE,
                    f"{name}.{SERVICE}",
                    port=self._port,
                    properties={"tag": tag.hex(), "port": str(self._port)},
                    server=f"{name}.local.",
                    parsed_addresses=self._addresses(),
                )
                self._own = {f"{name}.{SERVICE}", *(shown.name for shown in self._shown.values())}
                await network.async_register_service(info)

    def _addresses(self) -> list[str]:
        """IPv4 if there is any: one way to a peer is enough."""
        if self._host:
            return [self._host]
        own = [each.address for each in attachments() if ":" in each.address or not each.network.is_link_local]
        return [address for address in own if ":" not in address] or own

    async def _look(self, network: Any) -> None:
        """What is known of an instance is taken; of one that is not known of, somebody is asked: one a second."""
        from zeroconf.asyncio import AsyncServiceInfo

        asked = False
        for name in list(self.waiting)[-CACHED_PER_TICK:]:
            info = AsyncServiceInfo(SERVICE, name)
            if not info.load_from_cache(network.zeroconf):
                if asked:
                    continue
                asked = True
                await info.async_request(network.zeroconf, QUESTION)
            self.waiting.pop(name, None)
            self._take(info)

    def _take(self, info: Any) -> None:
        """Addresses of other networks than ours are somebody's trick: what this is about ends at the next router."""
        text = info.properties.get(b"tag") or b""
        try:
            tag = bytes.fromhex(text.decode("ascii"))
        except ValueError:
            return
        networks = [each.network for each in attachments()]
        for host in info.parsed_scoped_addresses()[:ADDRESSES]:
            address = address_of(host)
            if address is not None and any(address in each for each in networks if each.version == address.version):
                if tag and info.port:
                    self._on_found(tag, host, info.port)
                return
