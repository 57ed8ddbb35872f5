"""A visit: a short session with a peer, as somebody who only reads, under an identity that is gone afterwards.

The peer learns nothing from it but that somebody with the secret was there, and has nothing to wait for: a visitor is
fresh and read-only, says no STATUS, and can be dialled nowhere.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Iterable
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from protocol.certificate import tier_proof_ro
from protocol.handshake import HandshakeResult
from protocol.keys import FolderKeys, Tier
from protocol.messages import Hello, Status
from syncd.config.hosts import HostKind, KnownHost
from syncd.core.networks import Allowed
from syncd.net.endpoint import DialFailed, Endpoint, resolve
from syncd.net.limiter import Limiter, Limits
from syncd.net.services import LookupFailed, find_service
from syncd.net.session import Session, SessionEnded
from syncd.node.identity import node_id_of

ANSWER_SECONDS: Final = 30.0  # in which the peer says something
_KEY_SIZE: Final = 32
_NONCE_SIZE: Final = 16


class NobodyThere(Exception):
    """None of the peers could be visited. reasons: {address: why}."""

    def __init__(self, reasons: dict[str, str]) -> None:
        super().__init__("; ".join(f"{address}: {reason}" for address, reason in reasons.items()))
        self.reasons = reasons


class Visit(NamedTuple):
    """What a visitor has: the session, who answered, and how that one stands."""

    session: Session
    hello: Hello
    status: Status


class Visitor:
    """Somebody who visits peers of a folder. name: what the peer calls us. agent: the program and its version."""

    def __init__(self, keys: FolderKeys, allowed: Allowed, name: str, agent: str) -> None:
        self._keys = keys
        self._name, self._agent = name, agent
        self._private = os.urandom(_KEY_SIZE)
        public = X25519PrivateKey.from_private_bytes(self._private).public_key().public_bytes_raw()
        self._node_id = node_id_of(public)
        self._nonce = os.urandom(_NONCE_SIZE)
        limits = Limits(Limiter(0, time.monotonic), Limiter(0, time.monotonic))
        self._endpoint = Endpoint(
            [], self._private, os.urandom, self._hello, lambda _session, _event: None, lambda _session, _reason: None,
            lambda _address, _reason: None, limits, allowed=allowed,
        )  # fmt: skip

    @contextlib.asynccontextmanager
    async def visit(self, hosts: Iterable[KnownHost], avoid: bytes = b"") -> AsyncIterator[Visit]:
        """A session with the first one that answers, one that is settled if there is any. avoid: a node id.

        Raises NobodyThere.
        """
        reasons: dict[str, str] = {}
        fallback: Visit | None = None
        async for host, port in _addresses(hosts, reasons):
            address = str(KnownHost(HostKind.HOST, host, port))
            try:
                found = await self._knock(host, port)
            except (DialFailed, SessionEnded) as error:
                reasons[address] = str(error)
                continue
            except TimeoutError:
                reasons[address] = "it does not say how it stands"
                continue
            if found.hello.node_id == avoid:
                found.session.close("this is ourselves")
                reasons[address] = "this node itself"
                continue
            if fallback is not None:
                fallback.session.close("visited somebody else")
            fallback = found
            if found.status.settled:
                break
        if fallback is None:
            raise NobodyThere(reasons)
        try:
            yield fallback
        finally:
            fallback.session.close("the visit is over")

    async def _knock(self, host: str, port: int) -> Visit:
        session = await self._endpoint.dial(self._keys, host, port)
        assert session.established is not None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while not isinstance(message := await session.next_message(), Status):
                    pass
        except BaseException:
            session.close("no answer in time")
            raise
        return Visit(session, session.established.hello, message)

    def _hello(self, result: HandshakeResult) -> Hello:
        return Hello(
            minor=0, node_id=self._node_id, name=self._name, nonce=self._nonce, settled=False, read_only=True,
            counters={}, features=(), limits=(), clock=time.time_ns(), epoch=0, tier=Tier.READ_ONLY,
            proof=tier_proof_ro(self._keys, result.initiator, result.handshake_hash), certificate=b"", advertise="",
            service="", agent=self._agent,
        )  # fmt: skip


async def _addresses(hosts: Iterable[KnownHost], reasons: dict[str, str]) -> AsyncIterator[tuple[str, int]]:
    for host in hosts:
        if host.kind is HostKind.HOST:
            found = await resolve(host.host, host.port)
        else:
            try:
                service = host.kind is HostKind.SRV
                found = await (find_service(host.host) if service else resolve(host.host, host.port))
            except LookupFailed as error:
                reasons[str(host)] = str(error)
                continue
        if not found:
            reasons[str(host)] = "the name has no address now"
        for address in found:
            yield address
