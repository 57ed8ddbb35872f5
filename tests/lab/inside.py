"""A folder of a node in the test's own process: its sessions go over memory, or, between two of them, over loopback."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from protocol.connection import Connection, Established
from protocol.handshake import HandshakeResult, Responder
from protocol.keys import parse_secret
from protocol.messages import AskRecords, Hello
from protocol.record import decode_record
from syncd.config.settings import Folder as FolderSettings
from syncd.config.settings import Ready
from syncd.net.endpoint import Endpoint
from syncd.net.limiter import Limiter, Limits
from syncd.net.session import Session
from syncd.node.folder import Folder
from syncd.node.greeting import NodeFacts
from syncd.node.identity import load_identity, node_id_of
from syncd.node.workshop import Workshop

JOIN_SECONDS = 30.0  # in which a test has joined a folder that is to begin with a peer
UNLIMITED = Limits(Limiter(0, time.monotonic), Limiter(0, time.monotonic))


def folder_settings(secret: str, tree: Path, **options: Any) -> FolderSettings:
    """One class, no known hosts."""
    values: dict[str, Any] = {
        "dir": str(tree), "keys": parse_secret(secret), "known_hosts": (), "search_lan": False, "priority": (),
        "atomic": (), "ignore": (), "owner": None, "group": None, "file_mode": None, "dir_mode": None,
        "symlinks": "all", "ready": Ready((), None, False), "overwrite_changes": True,
        "folder_rescan_interval": 600.0, "publish_alone_after": 0.0, "conflict_copies": "archive",
    }  # fmt: skip
    return FolderSettings(**{**values, **options})


class Wire(asyncio.Transport):
    """The transport of a session in memory: what is written gathers until it is taken."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.happened = asyncio.Event()  # something was written, or the wire was cut
        self.closed = False
        self.reading = True

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return _Socket() if name == "socket" else ("memory", 1)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def writelines(self, parts: Any) -> None:
        for part in parts:
            self.written += part
        self.happened.set()

    def write(self, data: Any) -> None:
        self.writelines([data])

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True
        self.happened.set()

    def abort(self) -> None:
        self.close()

    def is_reading(self) -> bool:
        return self.reading

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def take(self) -> bytes:
        """What was written since the last call."""
        taken = bytes(self.written)
        self.written.clear()
        return taken


class _Socket:
    def setsockopt(self, *values: object) -> None:
        pass

    def getsockopt(self, *values: object) -> bytes:
        raise OSError


class Inside:
    """folder: one that is not running yet. Its log goes wherever structlog was told.

    options: of the folder, or `limits`, `min_free` and `measure` of its workshop.
    """

    def __init__(self, base: Path, secret: str, **options: Any) -> None:
        tree, storage = base / "tree", base / "state"
        tree.mkdir(parents=True, exist_ok=True)
        storage.mkdir(exist_ok=True)
        disk = {name: options.pop(name) for name in ("limits", "min_free", "measure") if name in options}
        settings = folder_settings(secret, tree, **options)
        self.secret = secret
        self.keys = settings.keys
        self.tree = tree
        self.identity = load_identity(str(storage), secrets.token_bytes(32))
        facts = NodeFacts(
            self.identity, base.name, "syncd", secrets.token_bytes(16), time.time_ns, secrets.token_bytes, lambda: 0.5
        )
        self.shop = Workshop(
            settings, str(storage), self.identity, time.time_ns, time.monotonic, secrets.token_bytes, **disk
        )
        self.endpoint = Endpoint(
            [self.keys], self.identity.static_private, secrets.token_bytes, self.hello, self.established, self.ended,
            lambda address, reason: None, UNLIMITED,
        )  # fmt: skip
        self.folder = Folder(settings, facts, self.shop, self.endpoint)
        self.actors: set[bytes] = set()  # under which the folder has published

    def hello(self, result: HandshakeResult) -> Hello:
        return self.folder.hello(result)

    def established(self, session: Session, event: Established) -> None:
        if event.hello.node_id != node_id_of(event.result.remote_static):
            session.close("the node id does not belong to the key")
            return
        self.folder.attach(session, event)

    def ended(self, session: Session, reason: str) -> None:
        if session.established is not None:
            self.folder.detach(session, reason)

    def session(self) -> tuple[Session, Wire]:
        """A session that somebody dialled, and its wire."""
        responder = Responder([self.keys], self.identity.static_private, secrets.token_bytes(32))
        session = Session(Connection(responder, self.hello), self.established, self.ended, UNLIMITED, False)
        wire = Wire()
        session.connection_made(wire)
        return session, wire

    @property
    def root(self) -> bytes:
        """Of the manifest."""
        self.actors.add(self.shop.ledger.replica.actor)
        return self.shop.index.root().hash

    def heard(self) -> set[bytes]:
        """Records of others in the manifest, as canonical bytes. The folder itself may add its own at any time."""
        messages = self.shop.library.records(AskRecords(1, b"", None, ()))
        raws = {raw for message in messages for raw, _ in message.records}
        return {raw for raw in raws if decode_record(raw, self.keys.folder_id).dot[0] not in self.actors}

    @contextlib.asynccontextmanager
    async def running(self, settled: bool = True) -> AsyncIterator[None]:
        """The folder's tasks at work. settled: wait until it publishes what it finds.

        Otherwise somebody joins it before it might think that it is alone, however slow the machine is.
        """
        if not settled:
            self.folder.settings = replace(self.folder.settings, publish_alone_after=JOIN_SECONDS)
        task = asyncio.create_task(self.folder.run())
        try:
            async with asyncio.timeout(60.0):  # a folder that is empty never settles
                await self.folder.wait_refresh()
                while settled and self.folder.standing.facts.fresh:
                    await self.folder.wait_refresh()
                    task.done() and task.result()
            yield
            if task.done():
                task.result()
                raise AssertionError("the folder has stopped")
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await self.endpoint.close()
            self.shop.close()

    async def join(self, other: "Inside") -> Session:
        """Dial another one that runs; our side of the session."""
        return await self.endpoint.dial(self.keys, "127.0.0.1", await other.endpoint.listen("127.0.0.1", 0))

    @property
    def in_sync(self) -> bool:
        """Whether the folder is, with all its peers, by its latest refresh."""
        standing, peers = self.folder.standing, self.folder.peers.all()
        same = all(peer.status is not None and peer.status.root == standing.facts.root.hash for peer in peers)
        return bool(peers) and same and not standing.need_files and not standing.facts.fresh

    async def reach(self, reached: Callable[[], bool], deadline: float = 180.0) -> None:
        """Wait until it is so, looking after every refresh of the folder."""
        async with asyncio.timeout(deadline):
            while not reached():
                await self.folder.wait_refresh()
