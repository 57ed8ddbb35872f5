"""A world of whole nodes on one virtual time, from one seed: machines, a network, users and faults."""

import hashlib
import os
import random
import shutil
import tempfile
import traceback
from typing import Any, NamedTuple

import structlog

from protocol.keys import derive_read_only, generate_secret
from tests.sim.whole.loop import SimLoop
from tests.sim.whole.machine import Disks, use
from tests.sim.whole.network import Network
from tests.sim.whole.node import SimNode
from tests.sim.whole.workload import PATHS

YEAR = 31_536_000  # seconds
BEGIN = 1_700_000_000_000_000_000  # ns on the true clock when a case begins
PAUSES = (0.0, 0.0, 0.001, 0.01, 0.05, 0.3, 1.0, 3.0, 8.0)
PLACE = "/dev/shm" if os.path.isdir("/dev/shm") else None


class Config(NamedTuple):
    """What may happen. faults: kinds of operations. between: share of user operations that hit inside of a call.

    twins: share of operations that are done elsewhere too. again: share of writes that bring an old content. pauses:
    seconds between two operations. power: whether trees are on disks that know what a power cut leaves.
    """

    faults: tuple[str, ...] = ()
    events_lost: float = 0.0
    events_doubled: float = 0.0
    overflows: float = 0.0
    rescan: float = 60.0
    between: float = 0.0
    readers: float = 0.0
    skew: int = 0  # seconds at most
    power: bool = False
    twins: float = 0.2
    again: float = 0.0
    paths: tuple[str, ...] = PATHS
    pauses: tuple[float, ...] = PAUSES
    units: float = 0.0  # share of user operations that are releases of a plugin, all on one node
    beside: bool = False  # whether conflict copies are put into the tree


class World:
    """One case. home: a directory of its own, removed by `close`."""

    def __init__(self, seed: int, config: Config, count: int, edges: list[tuple[int, int]], readers: list[int]) -> None:
        self.seed, self.config = seed, config
        self.home = tempfile.mkdtemp(prefix="syncd-sim-", dir=PLACE)
        self.over = False  # nobody looks at it any more
        self.disks = Disks(self.wall) if config.power else None
        use(self.disks)
        self.violation: str | None = None
        self.details = ""
        self.damaged: set[str] = set()  # paths whose damage after an unclean stop was told
        self.trace = hashlib.blake2b(digest_size=16)
        self.loop = SimLoop(random.Random(f"{seed} loop"))
        self.loop.set_exception_handler(self._on_exception)
        self.network = Network(self.loop, random.Random(f"{seed} network"), self._on_bytes)
        self.loop.network = self.network
        self.random = random.Random(f"{seed} world")
        secret = generate_secret(self.random.randbytes(32))
        self.secret = secret
        self.kept_archives = f"{self.home}/kept"
        os.mkdir(self.kept_archives)
        structlog.configure(processors=[self._log], cache_logger_on_first_use=False)
        skews = [int(config.skew * (2 * self.random.random() - 1) ** 5) * 1_000_000_000 for _ in range(count)]
        self.nodes = [
            SimNode(
                self, n, derive_read_only(secret) if n in readers else secret, edges, skews[n - 1]
            )
            for n in range(1, count + 1)
        ]  # fmt: skip

    def wall(self) -> int:
        return BEGIN + int(self.loop.time() * 1e9)

    @property
    def present(self) -> list[SimNode]:
        """The nodes that have not left for good."""
        return [node for node in self.nodes if not node.left]

    def blame(self, violation: str, error: BaseException | None = None) -> None:
        """Something that must not be was seen."""
        if self.violation is None:
            self.violation = violation
            if error is not None:
                self.details = "".join(traceback.format_exception(error))

    def note(self, *what: Any) -> None:
        """Something that every run of the seed must show."""
        self.trace.update(repr((round(self.loop.time(), 9), *what)).encode())

    def keep_archive(self, node: SimNode) -> None:
        """A state directory is about to go: what the archive in it has is not lost by us."""
        if os.path.exists(node.state):
            shutil.copytree(node.state, f"{self.kept_archives}/{len(os.listdir(self.kept_archives))}", symlinks=True)

    def close(self) -> None:
        """Remove everything."""
        self.over = True
        for node in self.nodes:
            node.kill()
        self.loop.end()
        use(None)
        shutil.rmtree(self.home, ignore_errors=True)

    def _on_bytes(self, sender: int, receiver: int, data: bytes) -> None:
        self.trace.update(b"%d>%d %.9f " % (sender, receiver, self.loop.time()) + data)

    def _on_exception(self, loop: Any, context: dict[str, Any]) -> None:
        self.blame(f"unhandled: {context.get('message')} {context.get('exception')!r}", context.get("exception"))

    def _log(self, logger: Any, name: str, event: dict[str, Any]) -> dict[str, Any]:
        if VERBOSE:
            print(f"    {self.loop.time():10.4f} {name} {event}")
        if event.get("event") == "damaged":
            self.damaged.add(event["path"])
        if name in ("error", "exception"):
            error = event.get("exc_info")
            self.blame(f"logged: {event.get('event')}", error if isinstance(error, BaseException) else None)
        raise structlog.DropEvent


VERBOSE = False
