"""Where sessions begin: the listener and the dialler of a node."""

import asyncio
import contextlib
import errno
import socket
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, cast

from protocol.connection import Connection, Established
from protocol.handshake import HandshakeResult, Initiator, NotSyncd, Responder, SelfConnection
from protocol.keys import FolderKeys
from protocol.messages import Hello
from protocol.workspace import Workspace
from syncd.core.invitations import Invitations
from syncd.core.networks import Allowed
from syncd.net.doorman import OFFENCE_COST, REPLAY_COST, STRANGER_COST, Doorman, source_of
from syncd.net.limiter import Limits
from syncd.net.session import HANDSHAKE_DEADLINE, Session, scoped

CONNECT_TIMEOUT: Final = 5.0  # seconds for a TCP connection
BACKLOG: Final = 1_024  # connections that wait to be accepted: beyond it an honest one is told nothing for a second
# Ephemeral keys of connections that came in, by which we know ourselves: more than come in while a handshake goes on.
OWN_EPHEMERALS: Final = 8_192
NOT_ALLOWED: Final = "not in allow_networks"
SOMETHING_ELSE: Final = "something answers there that is not syncd: is the port right?"
CLOSED_UNANSWERED: Final = "connected, closed without an answer: other secret, or not syncd"


class DialFailed(Exception):
    """No session came of a dial; the message is the reason for the status.

    established: what was learned of the peer, if it authenticated and one side then ended the session at once.
    """

    def __init__(self, reason: str, established: Established | None = None) -> None:
        super().__init__(reason)
        self.established = established


class DialledSelf(DialFailed):
    """The address is our own."""


class DialledClone(DialFailed):
    """Another node has our key: one of the two is a copy."""


class Endpoint:
    """Makes sessions for the folders of a node.

    static_private: the node's Noise static key. draw(n): n random bytes. make_hello(result): the HELLO to send for the
    folder of a finished handshake. on_established(session, event): takes a new session over. on_stranger(address,
    reason): an incoming connection that did not authenticate. clock: seconds, monotonic. allowed: where peers may be.

    invitations: bounds the dials of the node to where somebody sent it.
    """

    def __init__(
        self,
        folders: list[FolderKeys],
        static_private: bytes,
        draw: Callable[[int], bytes],
        make_hello: Callable[[HandshakeResult], Hello],
        on_established: Callable[[Session, Established], None],
        on_ended: Callable[[Session, str], None],
        on_stranger: Callable[[str, str], None],
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
        allowed: Allowed = Allowed(),  # noqa: B008 -- immutable
    ) -> None:
        self._folders = folders
        self._static_private = static_private
        self._draw = draw
        self._make_hello = make_hello
        self._workspace = Workspace()
        self._on_established = on_established
        self._on_ended = on_ended
        self._on_stranger = on_stranger
        self._limits = limits
        self.allowed = allowed
        self.invitations = Invitations()
        self._doorman: Doorman[Session] = Doorman(clock, _has_shown_a_secret)
        self._server: asyncio.Server | None = None
        self._sessions: set[Session] = set()
        self._own: OrderedDict[bytes, bool] = OrderedDict()  # whether it turned out that we dialled ourselves

    async def listen(self, host: str | None, port: int) -> int:
        """Accept connections; the port that was bound. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Gate(self), host or None, port, backlog=BACKLOG, reuse_address=True
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def dial(self, keys: FolderKeys, host: str, port: int) -> Session:
        """A session with whoever answers there. Raises DialFailed."""
        if not self.allowed.admits(host):
            raise DialFailed(NOT_ALLOWED)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Session] = loop.create_future()

        def established(session: Session, event: Established) -> None:
            self._on_established(session, event)
            if not done.done():
                done.set_result(session)

        def ended(session: Session, reason: str) -> None:
            self._forget(session, reason)
            if not done.done():
                done.set_exception(self._failure(session, reason))

        def factory() -> Session:
            handshake = Initiator(keys, self._static_private, self._draw(32))
            session = Session(
                Connection(handshake, self._make_hello, self._workspace), established, ended, self._limits, True
            )
            self._sessions.add(session)
            return session

        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await loop.create_connection(factory, host, port)
        except TimeoutError:
            raise DialFailed("no answer (firewall?)") from None
        except OSError as error:
            raise DialFailed(_explain_os(error)) from None
        try:
            async with asyncio.timeout(HANDSHAKE_DEADLINE * 2):
                return await done
        except TimeoutError:
            raise DialFailed("no session in time") from None

    def _failure(self, session: Session, reason: str) -> DialFailed:
        error = session.error
        if isinstance(error, NotSyncd):
            return DialFailed(SOMETHING_ELSE)
        if not isinstance(error, SelfConnection):
            return DialFailed(_explain(session, reason), session.established)
        if error.ephemeral in self._own:
            self._own[error.ephemeral] = True
            return DialledSelf(reason)
        return DialledClone("another node there has the key of this one: one of the two was copied from the other")

    def add(self, keys: FolderKeys) -> None:
        """Answer for one more folder."""
        self._folders.append(keys)

    def remove(self, keys: FolderKeys) -> None:
        """Answer for a folder no more."""
        self._folders[:] = [other for other in self._folders if other.folder_id != keys.folder_id]

    async def close(self) -> None:
        """Stop listening and drop what has not authenticated."""
        if self._server is not None:
            self._server.close()
        for session in self._doorman.half_open():
            session.close("shutting down", goodbye=False)

    # ---- incoming

    def accept(self, transport: asyncio.Transport) -> None:
        """A connection came in."""
        host = scoped(transport.get_extra_info("peername") or ("",))
        source = source_of(host)
        if not self.allowed.admits(host):
            transport.abort()
            self._on_stranger(host, NOT_ALLOWED)
            return
        if not self._doorman.admits(source):
            transport.abort()
            self._on_stranger(host, "too many failures from there")
            return
        handshake = Responder(self._folders, self._static_private, self._draw(32))
        self._own[handshake.ephemeral] = False
        if len(self._own) > OWN_EPHEMERALS:
            self._own.popitem(last=False)
        session = Session(
            Connection(handshake, self._make_hello, self._workspace),
            self._incoming_established,
            lambda session, reason: self._incoming_ended(session, reason, source, handshake.ephemeral),
            self._limits,
            False,
        )
        self._sessions.add(session)
        rival = self._doorman.enter(session, source)
        transport.set_protocol(session)
        session.connection_made(transport)
        if rival is not None:
            rival.close("too many connections that have not authenticated", goodbye=False)

    def _incoming_established(self, session: Session, event: Established) -> None:
        if self._doorman.establish(session):
            self._on_established(session, event)
        else:
            session.close("too many sessions")

    def _incoming_ended(self, session: Session, reason: str, source: str, ephemeral: bytes) -> None:
        self._doorman.leave(session)
        if self._own.get(ephemeral):  # nobody has failed: one's own address is a known host where all have one file
            self._forget(session, reason)
            return
        if session.offended:
            self._doorman.failed(source, OFFENCE_COST)
        if session.established is None:
            self._doorman.failed(source, REPLAY_COST if _has_shown_a_secret(session) else STRANGER_COST)
            self._on_stranger(session.address, reason)
        self._forget(session, reason)

    def _forget(self, session: Session, reason: str) -> None:
        self._sessions.discard(session)
        if session.established is not None:
            self._on_ended(session, reason)


class _Gate(asyncio.Protocol):
    """Hands an incoming connection to the endpoint, which gives it a session if it lets it in."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._endpoint.accept(cast(asyncio.Transport, transport))  # uvloop's is none by class, but by what it does


def _has_shown_a_secret(session: Session) -> bool:
    """Whether the first message of who dialled us opened: nothing is written before."""
    return session.bytes_out > 0


def _explain(session: Session, reason: str) -> str:
    if session.answered or reason != "closed without an answer":
        return reason
    return CLOSED_UNANSWERED


def _explain_os(error: OSError) -> str:
    if error.errno == errno.ECONNREFUSED:
        return "refused (nothing listens there)"
    if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return "no route to the host"
    if isinstance(error, socket.gaierror):
        return f"name not found: {error.strerror}"
    return error.strerror or str(error)


async def resolve(name: str, port: int) -> list[tuple[str, int]]:
    """All addresses of a host name, in the resolver's order; empty if there are none."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):
        found = await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys((scoped(item[4]), int(item[4][1])) for item in found))
    return []
