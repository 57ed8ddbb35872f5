"""The life of a node, from its settings to its exit code."""

import asyncio
import errno
import os
import random
import secrets
import signal
import time
from contextlib import AsyncExitStack, nullcontext
from functools import partial
from typing import Any, Final

import structlog

from protocol.connection import Established
from protocol.errors import RemoteError
from protocol.handshake import HandshakeResult
from protocol.keys import FolderKeys
from protocol.messages import Hello
from syncd import __version__
from syncd.config import load
from syncd.config.location import control_socket
from syncd.config.settings import Folder as FolderSettings
from syncd.config.settings import Settings
from syncd.core.namesakes import confused_with
from syncd.core.networks import Allowed
from syncd.core.readiness import Verdict
from syncd.net.endpoint import Endpoint
from syncd.net.limiter import Limiter, Limits
from syncd.net.session import Session, format_address
from syncd.node.admission import Admission
from syncd.node.agent_check import AgentCheck, words
from syncd.node.audit import Audit
from syncd.node.draining import Drain
from syncd.node.events import Events
from syncd.node.first_process import leave_orphans_to_the_kernel
from syncd.node.folder import Folder
from syncd.node.greeting import NodeFacts
from syncd.node.identity import StorageError, load_identity, node_id_of, open_storage, renew_identity
from syncd.node.local_check import LocalCheck
from syncd.node.memory import Memory, settle_down
from syncd.node.presence import DIAL_OUT_ONLY, Presence, advertised
from syncd.node.registration import Registration
from syncd.node.retention import ArchiveLimits
from syncd.node.roster import Roster
from syncd.node.sandbox import SandboxError, restrict
from syncd.node.service_manager import ServiceManager
from syncd.node.status import status_document
from syncd.node.strangers import Strangers
from syncd.node.webhook import Webhook
from syncd.node.workshop import Workshop
from syncd.store.index import IndexFailed, IndexUnavailable
from syncd.store.root import RootError

EX_OK: Final = 0
EX_SOFTWARE: Final = 70
EX_IOERR: Final = 74
EX_TEMPFAIL: Final = 75  # something that is here has reached no peer
EX_NOPERM: Final = 77
EX_CONFIG: Final = 78
_PASSING: Final = {errno.ENOSPC, errno.EDQUOT, errno.EIO}  # another try may find a better disk

_log = structlog.get_logger()


class StartFailed(Exception):
    """The node cannot start; the message is one line for the operator. code: exit status of sysexits."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def run(settings: Settings, warnings: list[str]) -> int:
    """Run a node until SIGTERM or SIGINT; the exit status."""
    import uvloop

    from syncd.node.logs import set_up_logging

    set_up_logging(settings.log)
    leave_orphans_to_the_kernel()
    manager = ServiceManager.from_environment(os.environ, os.getpid())
    for warning in warnings:
        _log.warning("configuration", text=warning)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            drain = Drain()
            while (code := runner.run((node := Node(settings, drain, manager)).run())) is None:
                settings = node.settings
            return code
    except StartFailed as error:
        _log.error("cannot start", reason=str(error))
        return error.code
    except Exception:
        _log.exception("internal error; nothing is lost, a restart goes on from here")
        return EX_SOFTWARE


class Node:
    """A running syncd. drain: lasts when the node has to start once more in this process."""

    def __init__(self, settings: Settings, drain: Drain, manager: ServiceManager) -> None:
        self._settings = settings
        self._drain = drain
        self._manager = manager
        self._roster: Roster | None = None
        self._strangers = Strangers(time.monotonic)
        self._memory = Memory()
        self._started = time.monotonic()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()  # the operator does not want to wait for the end
        self._again = False
        self._wants_reload = False

    async def run(self) -> int | None:
        """Start, work, stop; the exit status, or None if the node has to start once more. Raises StartFailed."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        try:
            lock = open_storage(self._settings.storage_path)
        except StorageError as error:
            raise StartFailed(str(error), _code(error)) from None
        clean = False
        try:
            status = await self._run_locked()
            clean = True
            return status
        finally:
            if self._roster is not None:
                self._roster.close(clean=clean)
            os.close(lock)

    async def _run_locked(self) -> int | None:
        settings = self._settings
        try:
            identity = load_identity(settings.storage_path, secrets.token_bytes(32))
        except StorageError as error:
            raise StartFailed(str(error), _code(error)) from None
        facts = NodeFacts(
            identity=identity,
            name=settings.device_name,
            agent=f"syncd {__version__}",
            start_nonce=secrets.token_bytes(16),
            clock=time.time_ns,
            draw=secrets.token_bytes,
            chance=random.random,
            advertise=advertised(settings),
            on_clone=self._met_clone,
            restart=self._restart,
            events=Events(time.time_ns),
            drain=self._drain,
            service=settings.service,
        )
        limits = Limits(
            Limiter(settings.upload_limit, time.monotonic), Limiter(settings.download_limit, time.monotonic)
        )
        endpoint = Endpoint(
            [folder.keys for folder in settings.folders],
            identity.static_private,
            secrets.token_bytes,
            self._hello,
            self._established,
            self._ended,
            self._strangers.note,
            limits,
            allowed=Allowed(settings.allow_networks),
        )
        self._roster = roster = Roster(
            settings, facts, endpoint, limits, partial(_try_open, facts), lambda: load(settings.file), self._manager
        )
        for folder_settings in settings.folders:
            workshop = _open_workshop(settings, folder_settings, facts)
            roster.add(Folder(folder_settings, facts, workshop, endpoint))
        if settings.sandbox == "landlock":
            try:
                restrict(settings)  # after all that looks above the folders, before there are threads
            except SandboxError as error:
                raise StartFailed(str(error), EX_CONFIG) from None
        await self._listen(endpoint)
        who = {"node": facts.name, "node_id": identity.node_id.hex()}
        audit = Audit(settings.audit, facts.events, who) if settings.audit is not None else None
        page = LocalCheck(settings.local_check) if settings.local_check is not None else None
        webhook = Webhook(settings.webhook, facts.events, who) if settings.webhook is not None else None
        admission = Admission(
            roster.listed, self._drain, lambda: page.verdict if page is not None else Verdict(True, "ready")
        )
        agent = await self._open_agent_check(admission)
        haproxy = settings.haproxy
        registration = Registration(haproxy, roster.listed, time.monotonic) if haproxy is not None else None
        # Last: whoever can ask it finds all of the node.
        face = await self._open_face(facts, roster, admission, {"audit": audit, "webhook": webhook}, registration)
        _log.info("started", version=__version__, name=facts.name, id=identity.node_id.hex())
        for folder in roster.listed:
            tier = folder.keys.tier.name.lower().replace("_", "-")
            _log.info("folder", dir=folder.settings.dir, fingerprint=folder.keys.fingerprint, tier=tier)
        settle_down()
        if self._wants_reload:
            roster.wanted.set()
        facts.events.put("started", version=__version__, name=facts.name)
        showing = asyncio.create_task(Presence(settings, facts, roster).run())
        helpers = (item or nullcontext() for item in (audit, webhook, registration, page))
        async with AsyncExitStack() as stack, self._manager.attended():
            for helper in helpers:
                await stack.enter_async_context(helper)
            try:
                flushed = await roster.run(self._stop, self._hurry)
            finally:
                facts.events.put("stopping")
                facts.events.close()
                showing.cancel()
                await asyncio.gather(showing, return_exceptions=True)
                await endpoint.close()
                await face.close()
                await agent.close()
        _log.info("stopped")
        if self._again:
            return None
        return EX_OK if flushed else EX_TEMPFAIL

    @property
    def settings(self) -> Settings:
        """Those that hold: as at the start, or as they were read since."""
        return self._roster.settings if self._roster is not None else self._settings

    def _reload(self) -> None:
        self._wants_reload = True  # it may come while the node starts
        if self._roster is not None:
            self._roster.wanted.set()

    def _end(self) -> None:
        if self._drain.stopping:
            self._hurry.set()
        self._drain.stopping = True
        self._again = False
        self._stop.set()

    def _met_clone(self, address: str) -> None:
        """Another node has our identity, its state is a copy of ours or ours of it: be somebody else."""
        if self._stop.is_set():
            return
        _log.warning("another node has the identity of this one, which takes a new one", address=address)
        try:
            renew_identity(self._settings.storage_path, secrets.token_bytes(32))
        except OSError as error:
            _log.error("no new identity", reason=error.strerror)
            return
        self._restart()

    def _restart(self) -> None:
        self._again = not self._stop.is_set()
        self._stop.set()

    # ---- wiring

    async def _listen(self, endpoint: Endpoint) -> None:
        settings = self._settings
        if settings.advertise_address == DIAL_OUT_ONLY:
            return
        try:
            await endpoint.listen(settings.listening_address, settings.listening_port)
        except OSError as error:
            address = format_address(settings.listening_address or "*", settings.listening_port)
            raise StartFailed(
                f"cannot listen on {address}: {error.strerror}; is another syncd running? See listening_port",
                _code(error),
            ) from None

    async def _open_face(
        self,
        facts: NodeFacts,
        roster: Roster,
        admission: Admission,
        tellers: dict[str, Audit | Webhook | None],
        registration: Registration | None,
    ) -> Any:
        from syncd.node.http import Face

        settings = self._settings
        folders = roster.listed  # the list itself: it changes

        def status() -> dict[str, Any]:
            uptime = time.monotonic() - self._started
            document = status_document(facts, __version__, uptime, folders, registration, admission)
            told = {name: teller.document() for name, teller in tellers.items() if teller is not None}
            return {**document, **told}

        face = Face(status, folders, admission, self._drain, facts.events)
        socket_path = control_socket(settings.storage_path)
        try:
            await face.open_control(socket_path)
        except OSError as error:
            raise StartFailed(f"control socket {socket_path}: {error.strerror or error}", _code(error)) from None
        if settings.http is not None:
            try:
                await face.open_health(settings.http.host, settings.http.port, settings.status_page)
            except OSError as error:
                raise StartFailed(f"http.listen {settings.http}: {error.strerror or error}", _code(error)) from None
        return face

    async def _open_agent_check(self, admission: Admission) -> AgentCheck:
        # Whoever only stops syncd, to upgrade it, takes no page down: the balancer is told of `syncd drain` alone.
        agent = AgentCheck(lambda: words(self._drain.asked, admission.fit()))
        address = self._settings.agent_check
        if address is not None:
            try:
                await agent.open(address.host, address.port)
            except OSError as error:
                text = f"agent_check.listen {address}: {error.strerror or error}; is it an address of this machine?"
                raise StartFailed(text, _code(error)) from None
        return agent

    def _hello(self, result: HandshakeResult) -> Hello:
        folder = self._folder(result.keys)
        if folder is None:
            raise RemoteError("the folder was taken out of the configuration")
        return folder.hello(result)

    def _established(self, session: Session, event: Established) -> None:
        if event.hello.node_id != node_id_of(event.result.remote_static):
            session.close("the node id does not belong to the key")
            return
        folder = self._folder(event.result.keys)
        if folder is None:
            session.close("the folder was taken out of the configuration")
            return
        folder.attach(session, event)
        self._look_for_swapped_secrets(folder, event.hello)

    def _look_for_swapped_secrets(self, folder: Folder, hello: Hello) -> None:
        assert self._roster is not None
        assert folder.keys.block_key is not None
        others = {other.settings.dir: other.keys.fingerprint for other in self._roster.listed if other is not folder}
        place = folder.settings.dir
        other = confused_with(hello.features, folder.keys.block_key, place, others)
        if other is not None:
            folder.troubles.alarm([
                f"are two secrets swapped? With the one of {place} ({folder.keys.fingerprint}) the peer {hello.name} "
                f"has what is called like {other} ({others[other]}) here: compare `syncd check-config` on both"
            ])  # fmt: skip

    def _ended(self, session: Session, reason: str) -> None:
        assert session.established is not None
        self._memory.session_ended()
        folder = self._folder(session.established.result.keys)
        if folder is not None:
            folder.detach(session, reason)

    def _folder(self, keys: FolderKeys) -> Folder | None:
        assert self._roster is not None
        return self._roster.by_id.get(keys.folder_id)


def _try_open(facts: NodeFacts, settings: Settings, folder: FolderSettings) -> Workshop | str:
    try:
        return _open_workshop(settings, folder, facts)
    except StartFailed as error:
        return str(error)


def _open_workshop(settings: Settings, folder: FolderSettings, facts: NodeFacts) -> Workshop:
    try:
        limits = ArchiveLimits(settings.archive_max, settings.archive_ttl)
        return Workshop(
            folder,
            settings.storage_path,
            facts.identity,
            facts.clock,
            time.monotonic,
            facts.draw,
            limits=limits,
            min_free=settings.min_free,
        )
    except (RootError, IndexFailed) as error:
        raise StartFailed(str(error), _code(error)) from None
    except OSError as error:
        raise StartFailed(f"{error.filename or folder.dir}: {error.strerror}", _code(error)) from None


def _code(error: BaseException) -> int:
    """The exit status for an error that keeps the node from starting, by the system's error that it puts into words."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__context__
    if isinstance(cause, PermissionError):
        return EX_NOPERM
    if isinstance(error, IndexUnavailable) or (cause is not None and cause.errno in _PASSING):
        return EX_IOERR
    return EX_CONFIG
