"""One case: nodes, what users and faults do and when, as plain values; and its run, to the first violation."""

import json
import os
import random
import shutil
from typing import Any, NamedTuple

from tests.sim.whole.faults import LOSSES, Faults, draw_fault
from tests.sim.whole.oracle import PATIENCE, PING_BYTES, QUIET, Oracle
from tests.sim.whole.workload import CROWDED, Op, Users, draw_op, draw_release
from tests.sim.whole.world import PAUSES, YEAR, Config, World

CRASHES = ("kill", "kill", "start", "stop", "start")
NETWORK = ("cut", "one way", "reset", "reset", "heal", "slow", "heal")
CONFIGURATIONS = {
    "no faults": Config(between=0.1),
    "same instants": Config(("start", "stop"), between=0.4, twins=0.6, again=0.4, paths=CROWDED, pauses=PAUSES[:6]),
    "network": Config(NETWORK, between=0.1),
    "crashes": Config((*CRASHES, "reset"), between=0.1),
    "power cuts": Config(("power cut", "power cut", "start", "kill", "stop", "reset"), between=0.1, power=True),
    "failing disks": Config(("refuse", "refuse", "refuse", "recover", "start", "reset"), between=0.1),
    "clocks": Config(("step clock", "step clock", "start", "stop", "kill", "reset"), between=0.1, skew=YEAR),
    "missed events": Config(("start", "stop"), 0.3, 0.2, 0.05, rescan=20.0, between=0.1),
    "readers": Config((*NETWORK, *CRASHES), readers=1.0, between=0.1),
    "index loss": Config((*CRASHES, "lose index", "lose state", "lose tree", "leave"), between=0.1),
    "restore and clone": Config(("save", "save", "restore state", "restore tree", "restore both", "clone", "kill")),
    "units": Config((*NETWORK, *CRASHES), 0.1, 0.1, 0.01, rescan=20.0, between=0.1, units=0.5),
    "conflict copies": Config((*CRASHES, "cut", "reset", "heal"), between=0.1, twins=0.6, beside=True),
    "everything": Config(
        (*NETWORK, *CRASHES, "lose index", "lose state", "lose tree", "save", "restore state", "restore tree",
         "restore both", "clone", "step clock", "leave"),
        0.1, 0.1, 0.01, rescan=20.0, between=0.1, readers=0.2, skew=YEAR,
    ),
}  # fmt: skip


class Case(NamedTuple):
    """ops: (pause before it in seconds, operation). before: what users do before any node runs."""

    config: str
    seed: int
    nodes: int
    edges: list[tuple[int, int]]
    readers: list[int]
    before: list[Op]
    ops: list[tuple[float, Op]]

    def dump(self) -> str:
        """As JSON."""
        return json.dumps(self._asdict(), indent=1)


def load(text: str) -> Case:
    """The case in a JSON text."""
    values = json.loads(text)
    values["edges"] = [(a, b) for a, b in values["edges"]]
    values["ops"] = [(pause, op) for pause, op in values["ops"]]
    return Case(**values)


def draw_case(name: str, seed: int) -> Case:
    """The case of a seed."""
    rng, config = random.Random(f"{name} {seed}"), CONFIGURATIONS[name]
    count = rng.choice((2, 2, 2, 3))
    pairs = [(a, b) for a in range(1, count + 1) for b in range(a + 1, count + 1)]
    edges = rng.choice((pairs, [(b, a) for a, b in pairs], [*pairs, *((b, a) for a, b in pairs)], pairs[:: count - 1]))
    if count == 3 and len({n for pair in edges for n in pair}) < 3:
        edges = pairs
    readers = [count] if rng.random() < config.readers else []
    tokens = iter(range(1, 1000))
    founder = 1 if rng.random() < 0.7 else count
    before = [draw_op(rng, founder, next(tokens), config.paths) for _ in range(rng.choice((0, 4, 8)))]
    ops: list[tuple[float, Op]] = [(0.0, ["start", n]) for n in range(1, count + 1) if rng.random() < 0.8]
    written: list[Op] = []
    for _ in range(rng.randint(4, 26)):
        pause = rng.choice(config.pauses)
        if config.faults and rng.random() < 0.3:
            ops.append((pause, draw_fault(rng, count, config.faults)))
            continue
        op = draw_op(rng, count, next(tokens), config.paths)
        if config.units and rng.random() < config.units:
            op = draw_release(rng, next(tokens))
        if op[0] == "write" and config.again:
            if written and rng.random() < config.again:
                op[3:5] = rng.choice(written)[3:5]
            written.append(op)
        if rng.random() < config.between:
            op = ["between", op[1], rng.randint(1, 80), op]
        ops.append((pause, op))
        if rng.random() < config.twins:  # the same path elsewhere at about the same time
            twin = (
                [op[0], rng.randint(1, count), *op[2:]] if op[0] != "between" else draw_op(rng, count, 0, config.paths)
            )
            if twin[0] in ("write", "append") and not (config.again and rng.random() < config.again):
                twin[3] = next(tokens)
            if twin[0] != "release":
                ops.append((rng.choice(PAUSES[:5]), twin))
    return Case(name, seed, count, edges, readers, before, ops)


class Run:
    """A case on its way."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.world = world = World(case.seed, CONFIGURATIONS[case.config], case.nodes, case.edges, case.readers)
        self.users, self.faults = Users(world), Faults(world)
        world.users = self.users
        self.oracle = world.oracle = Oracle(world)
        world.had_losses = any(op[0] in LOSSES for _, op in case.ops)

    def go(self) -> str | None:
        """The first violation, or None."""
        world = self.world
        for op in self.case.before:
            self.do(op)
        for number, (pause, op) in enumerate(self.case.ops):
            self.advance(pause)
            if world.violation:
                return world.violation
            self.do(op)
            if number % 4 == 0:
                self.oracle.check_mixtures()
        self.heal()
        return world.violation or self.settle()

    def advance(self, seconds: float) -> None:
        self.world.loop.advance(seconds)

    def do(self, op: Op) -> None:
        self.world.note("op", op)
        if op[0] == "between":
            life = self.world.nodes[op[1] - 1].life
            if life is not None and not life.dead:
                life.between.append((life.effects + op[2], lambda: self.do_inside(op[3])))
                life.between.sort(key=lambda item: item[0])
                return
            op = op[3]
        target = self.users if hasattr(self.users, "_" + op[0]) else self.faults
        target.do(op)

    def do_inside(self, op: Op) -> None:
        """A user's operation before a call of the node."""
        self.users.inside = True
        self.do(op)
        self.users.inside = False

    def heal(self) -> None:
        """No more faults and no more users."""
        self.world.network.heal()
        for node in self.world.nodes:
            if node.life is not None:
                node.life.kill_at = node.life.refusal = None
                between, node.life.between = node.life.between, []
                for _, act in between:
                    act()

    def settle(self) -> str | None:
        """Wait until all agree, then see whether all is well and stays so."""
        world = self.world
        end = world.loop.time() + PATIENCE
        reason: str | None = "nothing was looked at"
        pause = 0.25
        while reason is not None:
            if world.loop.time() > end:
                return f"no agreement: {reason}"
            for node in world.present:
                node.start()
            self.advance(pause)
            pause = min(pause * 1.5, 5.0)
            self.oracle.check_mixtures()
            if world.violation:
                return world.violation
            for node in world.present:
                node.approve()
            reason = self.oracle.agree() or self.missed_events(end)
        return self.oracle.verdict() or self.stays_quiet()

    def missed_events(self, end: float) -> str | None:
        """What no event told of is found by a scan of every node: an hour may pass, or an operator asks for it."""
        for node in self.world.present:
            if node.life is self.scanned.get(node.number):
                continue
            self.scanned[node.number] = node.life
            task = node.context.run(self.world.loop.create_task, node.folder.watching.rescan())
            while not task.done() and self.world.loop.time() < end and not self.world.violation:
                self.advance(0.05)
            return "just scanned"
        return None

    def stays_quiet(self) -> str | None:
        """After agreement nothing changes, and soon nothing but signs of life is sent."""
        trees = [self.oracle.tree(node) for node in self.world.present]
        sent = self.sent_in(QUIET) and self.sent_in(QUIET)  # a dial may have been under way
        if [self.oracle.tree(node) for node in self.world.present] != trees:
            return "a tree changed after all had agreed"
        if sent:
            return f"not quiet: {sent} bytes were sent after all had agreed"
        return self.oracle.agree() or self.world.violation

    def sent_in(self, seconds: float) -> int:
        """Bytes that are sent in this time, if more than signs of life."""
        network = self.world.network
        before = network.delivered
        self.advance(seconds)
        sent: int = network.delivered - before
        links = sum(not link.over for link in network.links)
        return sent if sent > seconds * PING_BYTES * links else 0

    @property
    def scanned(self) -> dict[int, Any]:
        """{node: its life in which it was scanned after the end}."""
        return self.__dict__.setdefault("_scanned", {})


class Outcome(NamedTuple):
    """violation: None if all was well. trace: a hash over everything that was seen."""

    violation: str | None
    details: str
    trace: str


def run_case(case: Case) -> Outcome:
    """Run it in this process, which must have called machine.install()."""
    os.umask(0o022)
    run = Run(case)
    try:
        violation = run.go()
        return Outcome(violation, run.world.details, run.world.trace.hexdigest())
    finally:
        run.world.close()
        shutil.rmtree(run.world.home, ignore_errors=True)
