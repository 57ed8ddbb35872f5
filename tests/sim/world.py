"""A world: nodes, their users, links between them, and time, all from one seed."""

import itertools
import random
from typing import NamedTuple

from syncd.core.events import Settle
from syncd.core.index import Row
from tests.fakes.memory_index import MemoryIndex
from tests.sim.faults import greet, strike
from tests.sim.node import SimNode
from tests.sim.oracle import Ledger
from tests.sim.workload import DEEP, FLAT, TREE, WIDE, Users

BEGIN = 100_000  # ns on the clock of the first step: room for clocks that run behind
STEP = 10  # ns


class Config(NamedTuple):
    """What may go wrong.

    delayed: the disk lags behind the manifest. events_lost: share of what the watcher misses. start_fresh: probability
    that all nodes start with files and no index. again: share of writes that bring a content that was there before.
    """

    faults: frozenset[str] = frozenset()
    delayed: bool = False
    events_lost: float = 0.0
    settle_rows: int = 1000
    paths: tuple[tuple[bytes, ...], ...] = (DEEP, TREE, TREE, WIDE)
    start_fresh: float = 0.0
    again: float = 0.25


LOSS = frozenset({"lose index"})
ANY_LOSS = LOSS | {"restore index", "restore node", "clone"}
ROLLBACK = frozenset({"undetected rollback"})
CONFIGURATIONS = {
    "no faults": Config(),
    "crowded": Config(paths=(FLAT,)),
    "delayed apply": Config(delayed=True),
    "same instants": Config(delayed=True, paths=(FLAT, DEEP), again=0.6),
    "lost events": Config(delayed=True, events_lost=0.4),
    "index loss": Config(LOSS, start_fresh=0.3, settle_rows=2),
    "fresh nodes": Config(LOSS, start_fresh=1.0, paths=(FLAT, DEEP)),
    "lagging first peer": Config(LOSS | {"lossy links"}, paths=(FLAT,)),
    "restore and clone": Config(ANY_LOSS, start_fresh=0.3),
    "everything late": Config(ANY_LOSS, delayed=True, events_lost=0.2, start_fresh=0.3, settle_rows=2),
    "undetected rollback": Config(ROLLBACK),
    "late rollback": Config(ROLLBACK, delayed=True),
}


class World:
    """One case."""

    def __init__(self, seed: int, config: Config, new_index=MemoryIndex) -> None:
        self.random, self.config, self.time = random.Random(seed), config, 0
        self.new_index = new_index
        self.ticks = itertools.count(1)
        self.empty_row = Row(b"", (), None, None)
        count = self.random.choice((2, 3, 3, 4))
        self.skew = [self.random.choice((0, 0, 0, -10_000, 10_000)) for _ in range(count)]
        self.paths = self.random.choice(config.paths)
        self.queue: list[tuple] = []
        self.cut: set[tuple[int, int]] = set()
        self.ledger, self.users = Ledger(self), Users(self)
        self.nodes: list[SimNode] = []
        reader = self.random.randrange(count) if count > 2 and self.random.random() < 0.1 else None
        for number in range(count):
            self.nodes.append(SimNode(self, number, number == reader))
        if self.random.random() < config.start_fresh:
            self.start_fresh_with_files()

    def new_actor(self) -> bytes:
        return self.random.randbytes(8)

    def next_tick(self) -> int:
        return next(self.ticks)

    def wall(self, number: int) -> int:
        return BEGIN + self.time * STEP + self.skew[number]

    def start_fresh_with_files(self) -> None:
        self.ledger.faulty = True
        for node in self.nodes:
            node.start(self.new_index())
            for _ in range(self.random.randrange(4)):
                path = self.random.choice(self.paths)
                self.users.write(node, path, self.users.new_entry(node, path))

    # ---- network

    def broadcast(self, node: SimNode, keys) -> None:
        records = node.states(keys)
        self.queue.extend((node, other, records) for other in self.nodes if other is not node)

    def deliver(self) -> None:
        sender, receiver, records = self.queue.pop(self.random.randrange(len(self.queue)))
        lost = "lossy links" in self.config.faults and self.random.random() < 0.5
        if (sender.number, receiver.number) not in self.cut and not lost:
            receiver.receive(records)

    def join(self, node: SimNode) -> None:
        """A fresh node merges the manifest of a settled peer in reach, which may lag; or it is the founder."""
        peers = [
            peer for peer in self.nodes
            if peer is not node and not peer.fresh and (peer.number, node.number) not in self.cut
        ]  # fmt: skip
        node.scan()
        if peers:
            node.receive(self.random.choice(peers).states_of_all())
        elif not all(n.fresh for n in self.nodes) or node is not next(n for n in self.nodes if not n.read_only):
            return
        resume: bytes | None = b""
        while resume is not None:
            before = node.manifest()
            effects = node.handle(Settle(resume))
            self.ledger.log_found(effects.published, before)
            resume = effects.resume
            if self.config.delayed and resume is not None and self.random.random() < 0.5:
                self.interfere(node)
        if not self.config.delayed:
            node.drain()

    def interfere(self, node: SimNode) -> None:
        """Between two pieces of settling."""
        self.users.step(node)
        self.random.choice((node.watch, node.apply_one, lambda: None))()

    # ---- one case

    def step(self) -> None:
        self.time += 1
        node, draw = self.random.choice(self.nodes), self.random.random()
        if draw < 0.38:
            if not node.read_only or self.random.random() < 0.3:
                self.users.step(node)
        elif draw < 0.49:
            node.watch()
        elif draw < 0.52:
            node.scan()
        elif draw < 0.81:
            if self.queue:
                self.deliver()
            if self.config.delayed:
                self.random.choice(self.nodes).apply_one()
        elif draw < 0.87:
            self.cut ^= {tuple(self.random.sample(range(len(self.nodes)), 2))}
        elif draw < 0.90:
            if not node.fresh:
                node.take_backup()
        elif draw < 0.93:
            strike(self, node)
        elif draw < 0.94:
            greet(self, node)
        elif draw < 0.96:
            node.restart()
        elif node.fresh:
            self.join(node)

    def heal(self) -> bool:
        """All links up, no more users: exchange manifests until nothing changes. False if that does not end."""
        self.cut.clear()
        for _ in self.nodes:
            for node in self.nodes:
                if node.fresh:
                    self.join(node)
        pairs = list(itertools.permutations(self.nodes, 2))
        for _ in range(len(self.nodes) + 6):
            self.queue.clear()
            changed = [node.fresh for node in self.nodes]
            for node in self.nodes:
                changed.append(node.scan())
                node.drain()
            self.random.shuffle(pairs)
            for sender, receiver in pairs:
                if records := sender.news_for(receiver):
                    changed.append(receiver.receive(records))
            for node in self.nodes:
                node.drain()
                if node.fresh:
                    self.join(node)
            if not any(changed):
                return True
        return False

    def has(self, content: bytes) -> bool:
        """Whether a content can be had: it is on some disk or in some archive, or a fault may have taken it.

        After a fault a content that counts may be gone: a user replaced it on the only disk that had it, and the index
        that would have known this to be an edit is lost.
        """
        return self.ledger.faulty or any(node.holds(content) for node in self.nodes)

    def run(self) -> str | None:
        """The first violation of the case, or None."""
        for _ in range(self.random.randint(5, 50)):
            self.step()
        quiet = self.heal()
        return self.ledger.violation or ("no quiescence" if not quiet else self.ledger.verdict())

    def fingerprint(self) -> list:
        return [
            (sorted((path, disk) for path, disk in node.disk.items()), node.index.all_rows()) for node in self.nodes
        ]
