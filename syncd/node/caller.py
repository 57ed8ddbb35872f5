"""One dial after another to one address: what came of the last one, and when the next one is due."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from protocol.keys import FolderKeys
from syncd.config.hosts import KnownHost
from syncd.core.backoff import Backoff
from syncd.net.endpoint import DialFailed, DialledClone, DialledSelf, Endpoint, resolve
from syncd.net.session import Session, format_address
from syncd.node.identity import node_id_of

SELF_INTERVAL: Final = 300.0  # seconds until an address that turned out to be our own is tried again
MAX_ADDRESSES: Final = 64  # addresses of one name that are dialled
# Seconds within which a node that has met its copy asks once more and then takes a new identity. Whoever is first does,
# the other finds somebody else there: copies that were started together are told apart by chance.
CLONE_PATIENCE: Final = 4.0

_log = structlog.get_logger()


@dataclass(slots=True)
class Target:
    """What is known of an address that is dialled. reason: why there is no session, for the status.

    origin: where it is known from, for people. addresses: those that it stood for when it was dialled last.
    """

    address: str
    origin: str = "known_hosts"
    reason: str = "not tried yet"
    tried: bool = False
    meetings: int = 0  # sessions that stood with it
    node_id: bytes | None = None  # of whoever answered there last
    is_self: bool = False
    clones: int = 0  # times in a row that a copy of this node answered
    addresses: list[tuple[str, int]] = field(default_factory=list)
    on_met: Callable[[], None] = lambda: None  # a session stands
    next_try: float | None = None  # seconds of the loop's clock; None: while it is dialled, or connected
    _hurry: asyncio.Event = field(default_factory=asyncio.Event)

    async def rest(self, seconds: float) -> None:
        """Wait for the next try, or until somebody hurries it."""
        self._hurry.clear()
        self.next_try = asyncio.get_running_loop().time() + seconds
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        except TimeoutError:
            pass
        self.next_try = None

    def hurry(self) -> None:
        """End the rest, if it rests."""
        self._hurry.set()


class Caller:
    """chance(): evenly from [0, 1).

    peer_gone(node_id): returns when there is no session with that node, whoever began it. on_clone(address): another
    node with our identity is there, and it stays.
    """

    def __init__(
        self,
        keys: FolderKeys,
        endpoint: Endpoint,
        chance: Callable[[], float],
        peer_gone: Callable[[bytes], Awaitable[None]],
        on_clone: Callable[[str], None],
    ) -> None:
        self._keys = keys
        self._endpoint = endpoint
        self._chance = chance
        self._peer_gone = peer_gone
        self._on_clone = on_clone

    async def call(self, host: KnownHost, target: Target, backoff: Backoff) -> float:
        """One dial, and the session that it leads to until it ends; seconds until the next one."""
        try:
            session = await self._dial(host, target)
        except DialFailed as error:
            target.tried = True
            target.is_self = isinstance(error, DialledSelf)
            if str(error) != target.reason and not target.is_self:
                _log.info("no connection", address=target.address, reason=str(error))
            target.reason = str(error)
            if isinstance(error, DialledClone):
                return self._met_clone(target)
            target.clones = 0
            if error.established is not None:  # it may have dialled us: then there is a session, until that one ends
                target.meetings += 1
                target.node_id = node_id_of(error.established.result.remote_static)
                await self._peer_gone(target.node_id)
            return SELF_INTERVAL if target.is_self else backoff.failed(self._chance())
        target.tried = True
        target.clones = 0
        assert session.established is not None
        target.node_id = session.established.hello.node_id
        target.reason = ""
        target.meetings += 1
        target.on_met()
        await self._peer_gone(target.node_id)
        target.reason = session.reason or "the connection ended"
        backoff.succeeded()
        return backoff.failed(self._chance())

    def _met_clone(self, target: Target) -> float:
        target.clones += 1
        if target.clones > 1:
            self._on_clone(target.address)
        return CLONE_PATIENCE * self._chance()

    async def _dial(self, host: KnownHost, target: Target) -> Session:
        target.addresses = (await resolve(host.host, host.port))[:MAX_ADDRESSES]
        if not target.addresses:
            raise DialFailed(f"name {host.host} has no address")
        failure = DialFailed("no address")
        for address, port in target.addresses:
            try:
                return await self._endpoint.dial(self._keys, address, port)
            except DialFailed as error:
                failure = error
        raise failure

    async def meet(self, address: str, port: int) -> None:
        """Dial once, whoever is connected, for a peer that was restarted before we noticed that it was gone."""
        try:
            await self._endpoint.dial(self._keys, address, port)
        except DialFailed as error:
            _log.debug("no connection", address=format_address(address, port), reason=str(error))
