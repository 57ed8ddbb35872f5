"""A whole node: the real folder, endpoint, dialer and workshop on a directory, which can be killed at any moment."""

import asyncio
import itertools
import os
import random
import shutil
from contextvars import copy_context
from typing import Any

from protocol.connection import Established
from protocol.handshake import HandshakeResult
from protocol.keys import Tier, parse_secret
from protocol.messages import Hello
from syncd.config.hosts import HostKind, KnownHost
from syncd.config.settings import Folder as FolderSettings
from syncd.config.settings import Ready
from syncd.core.priority import PriorityClass
from syncd.net.endpoint import Endpoint
from syncd.net.limiter import Limiter, Limits
from syncd.net.session import Session
from syncd.node.folder import Folder
from syncd.node.greeting import NodeFacts
from syncd.node.identity import load_identity, node_id_of, open_storage
from syncd.node.roster import GOODBYE_SECONDS, LANDING_SECONDS
from syncd.node.workshop import Workshop
from syncd.store.directories import Directories
from syncd.store.watch import Cause, WatchEvent
from tests.sim.whole.loop import LIFE, Killed, Life
from tests.sim.whole.machine import MACHINE, files

PORT = 55_555
EVENT_DELAY = (0.0001, 0.003)  # seconds until an event of the watcher is seen
CLASSES = (PriorityClass("first", ["/a"]), PriorityClass("newest", ["/b"], "newest"))


class SimWatcher:
    """Told by the users what they do."""

    def __init__(self, node: "SimNode") -> None:
        self.node, self.pending, self.armed = node, [], False

    def add(self, path: bytes) -> bool:
        self.armed = True
        return True

    def remove(self, path: bytes) -> None:
        pass

    def fileno(self) -> int:
        return self.node.number

    def read(self) -> list[WatchEvent]:
        events, self.pending = self.pending, []
        return events

    def close(self) -> None:
        self.armed = False

    @property
    def prompt(self) -> bool:
        return True

    @property
    def watched(self) -> int:
        return 1

    @property
    def complete(self) -> bool:
        return self.armed


class SimNode:
    """number: from 1. tree, state: its directories. skew: of its wall clock, ns."""

    def __init__(
        self, world: Any, number: int, secret: str, edges: list[tuple[int, int]], skew: int
    ) -> None:  # fmt: skip
        self.world, self.number, self.secret, self.skew = world, number, secret, skew
        self.known = [b for a, b in edges if a == number]
        self.neighbours = {*self.known, *(a for a, b in edges if b == number)}
        self.home = f"{world.home}/{number}"
        self.tree, self.state = f"{self.home}/tree", f"{self.home}/state"
        self.random = random.Random(f"{world.seed} node {number}")
        keys = parse_secret(secret)
        self.read_only, self.page_seed = keys.tier < Tier.READ_WRITE, keys.page_seed
        self.block_key = keys.block_key
        self.life: Life | None = None
        self.folder: Folder | None = None
        self.shop: Workshop | None = None
        self.watcher: SimWatcher | None = None
        self._approving: asyncio.Task[None] | None = None
        self.stopping = self.left = False
        self.backup: dict[str, str] = {}
        self.boot = 1
        self.durable: dict[str, bytes] = {}  # the index as of the last commit that a power cut leaves
        self.set_back = False  # a power cut took the last commits of the index, and the tree was not looked at since
        self._kept_at = 0.0  # when that was
        self._cut: Folder | None = None  # the run that the latest power cut ended
        self._ticks = itertools.count()
        self.disk = world.disks.mount(self.tree, clock=self._disk_clock) if world.disks is not None else None
        os.makedirs(self.home)
        if self.disk is None:
            os.mkdir(self.tree)

    def _disk_clock(self) -> int:
        return self.wall() + next(self._ticks)

    def wall(self) -> int:
        return self.world.wall() + self.skew

    @property
    def running(self) -> bool:
        return self.life is not None and not self.life.dead and self.folder is not None and not self.stopping

    @property
    def settled(self) -> bool:
        """Whether its index knows what was in the tree when it ran last: what goes then was deleted."""
        knows = self._looked or not self.set_back
        return self.folder is not None and knows and not self.folder.standing.facts.fresh

    @property
    def _looked(self) -> bool:
        """Whether the latest run has looked at all of the tree, and no power cut may have taken that from the index."""
        return self.folder is not None and self.folder is not self._cut and self.folder.watching.scanned_once

    # ---- lifetime

    def start(self) -> None:
        """Start the node, if it is not running."""
        if self.left or (self.life is not None and not self.life.dead):
            return
        life = self.life = Life(self.number, self.wall, self.boot)
        life.on_kill = lambda: self.die(life)
        if self.disk is not None:
            life.on_durable = self._keep_index
        if self.world.config.units:
            life.on_renamed = lambda: self.world.oracle.check_plugin(self)
        self.set_back &= not self._looked
        self.folder = self.shop = self.watcher = None
        self.stopping = False
        context = copy_context()
        context.run(LIFE.set, life)
        self.context = context
        self.world.loop.call_soon(self._boot, context=context)

    def _boot(self) -> None:
        try:
            self._open()
        except Killed:
            return
        self.task = self.world.loop.create_task(self._run())
        self.task.add_done_callback(self._over)

    def _open(self) -> None:
        life, loop, world = self.life, self.world.loop, self.world
        open_storage(self.state)
        identity = load_identity(self.state, self.random.randbytes(32))
        settings = FolderSettings(
            dir=self.tree, keys=parse_secret(self.secret),
            known_hosts=tuple(KnownHost(HostKind.HOST, f"10.0.0.{n}", PORT) for n in self.known),
            search_lan=False, priority=CLASSES, atomic=("/p/*",), ignore=("*.ignored",), owner=None, group=None,
            file_mode=None, dir_mode=None, symlinks="all", ready=Ready((), None, False), overwrite_changes=True,
            folder_rescan_interval=world.config.rescan, publish_alone_after=10.0,
            conflict_copies="beside" if world.config.beside else "archive",
        )  # fmt: skip
        draw = self.random.randbytes
        facts = NodeFacts(identity, f"n{self.number}", "syncd", draw(16), self.wall, draw, self.random.random)
        self.shop = Workshop(settings, self.state, identity, self.wall, loop.time, draw, self._watch)
        limits = Limits(Limiter(0, loop.time), Limiter(0, loop.time))
        self.endpoint = Endpoint(
            [settings.keys], identity.static_private, draw, self._hello, self._established, self._ended,
            lambda address, reason: None, limits, loop.time,
        )  # fmt: skip
        self.folder = Folder(settings, facts, self.shop, self.endpoint)
        assert life is self.life

    def _watch(self, directories: Directories) -> tuple[SimWatcher, str]:
        self.watcher = SimWatcher(self)
        return self.watcher, ""

    async def _run(self) -> None:
        assert self.folder is not None
        await self.endpoint.listen(f"10.0.0.{self.number}", PORT)
        await self.folder.run()

    def _over(self, task: "asyncio.Task[None]") -> None:
        if not self.stopping and not task.cancelled():
            self.world.blame(f"a node ended by itself: {task.exception()!r}", task.exception())

    def stop(self) -> None:
        """End it in good order, as SIGTERM does."""
        if not self.running:
            return
        self.stopping = True
        self.context.run(self.world.loop.create_task, self._end())

    def approve(self) -> None:
        """What is held was meant: users did it."""
        held = self.running and self.folder is not None and self.folder.standing.facts.held.paths
        if held and (self._approving is None or self._approving.done()):
            self._approving = self.context.run(self.world.loop.create_task, self.folder.watching.decide(True))

    async def _end(self) -> None:
        assert self.folder is not None
        assert self.shop is not None
        await self.endpoint.close()
        await self.folder.fetcher.wind_down(LANDING_SECONDS)
        self.folder.end_sessions("shutting down")
        await asyncio.sleep(GOODBYE_SECONDS)
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self.shop.close(clean=True)
        self.finish()

    def finish(self) -> None:
        """After a stop in good order: nothing of it runs any more."""
        assert self.life is not None
        self.life.dead = True
        self._release(self.life)
        self.world.network.drop(self.number, silent=False)

    def _keep_index(self) -> None:
        self.durable, self._kept_at = self.database_files(), self.world.loop.time()

    def power_cut(self, rng: random.Random) -> None:
        """Its machine loses power: of what was not made durable some is gone. Then it is up again, without the node."""
        assert self.disk is not None
        now = self.database_files()
        index = rng.choice((self.durable, now))
        self.set_back = index != now or (self.set_back and not self._looked)
        if index != now:
            self.world.users.lose_track(self.number, self._kept_at)
        self._cut = self.folder
        if self.life is not None:
            self.die(self.life, silent=True, index=index)
        self.world.disks.power_cut(self.disk, rng)
        self.boot += 1

    def sync(self, path: str) -> None:
        """A user's program makes durable what it did at the path: what is lost otherwise is none of our business."""
        if self.disk is None:
            return
        names = path.split("/")
        for depth in range(len(names), -1, -1):
            inode = self._inode(names[:depth])
            if inode is not None:
                self.disk.sync_inode(inode, attributes=True)

    def _inode(self, names: list[str]) -> Any:
        inode = self.disk.root if self.disk is not None else None
        for name in names:
            inode = inode.entries.get(os.fsencode(name)) if inode is not None and inode.entries is not None else None
        return inode

    def die(self, life: Life, silent: bool = False, index: dict[str, bytes] | None = None) -> None:
        """End it now: files are as they are. index: what became of its files, if they are not as they are."""
        if life.dead:
            return
        life.dead = True
        if self.world.over:
            self._release(life)
            return
        saved = self.database_files() if index is None else index
        self._release(life)
        for name in self._database_names():
            if os.path.exists(name):
                os.unlink(name)
        for name, data in saved.items():
            with open(name, "wb") as file:
                file.write(data)
        self.world.network.drop(self.number, silent)
        self.world.loop.readers.pop(self.number, None)

    def kill(self, silent: bool = False) -> None:
        """SIGKILL."""
        if self.life is not None:
            self.die(self.life, silent)

    def _release(self, life: Life) -> None:
        for connection in reversed(life.connections):
            connection.close()
        for fd in life.descriptors:
            files.close(fd)
        life.connections.clear()
        life.descriptors.clear()

    # ---- files

    def _database_names(self) -> list[str]:
        base = f"{self.state}/folders/{parse_secret(self.secret).folder_id.hex()}/index.sqlite3"
        return [base, base + "-wal", base + "-shm"]

    def database_files(self) -> dict[str, bytes]:
        """{name: bytes} of the index as it lies on the disk."""
        found = {}
        for name in self._database_names()[:2]:
            try:
                with open(name, "rb") as file:
                    found[name] = file.read()
            except FileNotFoundError:
                pass
        return found

    def lose_index(self) -> None:
        """The node is killed and its index is gone; its key and its archive stay."""
        self.kill()
        for name in self._database_names():
            if os.path.exists(name):
                os.unlink(name)

    def lose_state(self) -> None:
        """The node is killed, and all of its state directory is gone but the archive, which is a user's to keep."""
        self.kill()
        if os.path.exists(self.state):
            self.world.keep_archive(self)
        shutil.rmtree(self.state, ignore_errors=True)

    def save(self, what: str) -> None:
        """Copy the node's tree or state aside, as of now."""
        place = f"{self.home}/backup-{what}-{len(os.listdir(self.home))}"
        if what == "state":
            if not os.path.exists(self.state):
                return
            shutil.copytree(self.state, place, symlinks=True, ignore=shutil.ignore_patterns("index.sqlite3-shm"))
        else:
            shutil.copytree(self.tree, place, symlinks=True)
        self.backup[what] = place

    def restore(self, what: str) -> bool:
        """Kill it and put the copy back; False if there is none."""
        if what not in self.backup:
            return False
        self.kill()
        target = self.state if what == "state" else self.tree
        shutil.rmtree(target)
        shutil.copytree(self.backup[what], target, symlinks=True)
        return True

    # ---- wiring, as in syncd.node.daemon

    def _hello(self, result: HandshakeResult) -> Hello:
        assert self.folder is not None
        return self.folder.hello(result)

    def _established(self, session: Session, event: Established) -> None:
        assert self.folder is not None
        if event.hello.node_id != node_id_of(event.result.remote_static):
            session.close("the node id does not belong to the key")
            return
        self.folder.attach(session, event)

    def _ended(self, session: Session, reason: str) -> None:
        assert self.folder is not None
        self.folder.detach(session, reason)

    # ---- the watcher

    def notify(self, path: bytes, cause: Cause, directory: bool) -> None:
        """A user did something here."""
        try:
            MACHINE.status(files.lstat(os.path.join(os.fsencode(self.tree), path)), self.wall())
        except OSError:
            pass
        config, rng = self.world.config, self.random
        if rng.random() < config.events_lost:
            return
        event = WatchEvent(path, cause, directory)
        if rng.random() < config.overflows:
            event = WatchEvent(b"", Cause.OVERFLOW, True)
        for _ in range(2 if rng.random() < config.events_doubled else 1):
            if self.running and self.watcher is not None and self.watcher.armed:
                delay = self.world.loop.delay(EVENT_DELAY)
                self.world.loop.call_later(delay, self._see, self.watcher, event, context=self.context)

    def _see(self, watcher: SimWatcher, event: WatchEvent) -> None:
        watcher.pending.append(event)
        callback = self.world.loop.readers.get(self.number)
        if callback is not None:
            callback()
