"""What befalls machines and the network: plain lists, as the operations of users."""

import errno
import random
import shutil
from typing import Any

from tests.sim.whole.loop import Refusal
from tests.sim.whole.machine import FAILING
from tests.sim.whole.workload import Op

STEPS = (-31_536_000, -3600, -5, 5, 3600, 31_536_000)  # seconds, of a clock
EFFECTS = 60  # calls within which a node that is to be killed ends
LOSSES = frozenset(
    {"lose index", "lose state", "lose tree", "restore state", "restore tree", "restore both", "clone", "leave"}
)


def draw_fault(rng: random.Random, nodes: int, kinds: tuple[str, ...]) -> Op:
    """One of the kinds."""
    kind, node = rng.choice(kinds), rng.randint(1, nodes)
    other = rng.choice([n for n in range(1, nodes + 1) if n != node])
    if kind == "kill":
        return [kind, node, rng.choice((0, rng.randint(1, EFFECTS))), rng.random() < 0.3]
    if kind == "refuse":
        code = rng.choice(sorted(FAILING))
        return [kind, node, code, rng.choice((0, rng.randint(1, EFFECTS))), rng.choice((1, 2, 10, 1000))]
    if kind in ("cut", "one way", "reset", "clone"):
        return [kind, node, other]
    return [kind, node]


class Faults:
    """Carries them out."""

    def __init__(self, world: Any) -> None:
        self.world = world

    def do(self, op: Op) -> None:
        node = self.world.nodes[op[1] - 1]
        getattr(self, "_" + op[0].replace(" ", "_"))(node, *op[2:])

    # ---- machines

    def _start(self, node: Any) -> None:
        node.start()

    def _stop(self, node: Any) -> None:
        node.stop()

    def _kill(self, node: Any, effects: int, silent: bool) -> None:
        if effects and node.life is not None:
            node.life.kill_at = node.life.effects + effects
        else:
            node.kill(silent)

    def _lose_index(self, node: Any) -> None:
        node.lose_index()
        node.start()

    def _lose_state(self, node: Any) -> None:
        node.lose_state()
        node.start()

    def _lose_tree(self, node: Any) -> None:
        """A container is made anew: an empty tree without a marker, the index is still there or not."""
        node.kill()
        self.world.oracle.excuse_tree(node)
        self.world.users.empty_tree(node)
        if self.world.random.random() < 0.5:
            node.lose_state()
        node.start()

    def _save(self, node: Any) -> None:
        node.save("state")
        node.save("tree")

    def _restore_state(self, node: Any) -> None:
        self._restore(node, ("state",))

    def _restore_tree(self, node: Any) -> None:
        self._restore(node, ("tree",))

    def _restore_both(self, node: Any) -> None:
        self._restore(node, ("state", "tree"))

    def _restore(self, node: Any, what: tuple[str, ...]) -> None:
        if "state" not in node.backup or "tree" not in node.backup:
            return
        node.kill()
        if "state" in what:
            self.world.keep_archive(node)
        if "tree" in what:
            self.world.oracle.excuse_tree(node)
        if what == ("tree",):  # whoever does that wants the old state: for a node it is an edit, as all that users do
            for path in self.world.oracle.tree(node):
                self.world.users.gives_up(node, path, disturbs=True)
        for part in what:
            node.restore(part)
        if "tree" in what:
            self.world.oracle.restored(node)
        node.start()

    def _clone(self, node: Any, other: int) -> None:
        """The node's disk becomes a copy of another's, with all but the key of that node."""
        source = self.world.nodes[other - 1]
        if source.read_only != node.read_only:
            return
        node.kill()
        source.save("state")
        source.save("tree")
        if "state" not in source.backup:
            return
        self.world.keep_archive(node)
        self.world.oracle.excuse_tree(node)
        shutil.rmtree(node.tree)
        shutil.rmtree(node.state, ignore_errors=True)
        shutil.copytree(source.backup["tree"], node.tree, symlinks=True)
        shutil.copytree(source.backup["state"], node.state, symlinks=True, ignore=shutil.ignore_patterns("node.key"))
        self.world.oracle.restored(node)
        node.start()

    def _step_clock(self, node: Any) -> None:
        node.skew += self.world.random.choice(STEPS) * 1_000_000_000

    def _power_cut(self, node: Any) -> None:
        node.power_cut(self.world.random)

    def _refuse(self, node: Any, code: str, after: int, times: int) -> None:
        """Calls of a running node fail, until it starts anew or the disk is well again."""
        if node.running:
            node.life.refusal = Refusal(getattr(errno, code), FAILING[code], after, times)

    def _recover(self, node: Any) -> None:
        if node.life is not None:
            node.life.refusal = None

    def _leave(self, node: Any) -> None:
        """It is switched off for good, if two others remain at least, which know each other, one of them a writer."""
        staying = [other for other in self.world.present if other is not node]
        reached = {other.number for other in staying[:1]}
        for _ in staying:
            reached |= {other.number for other in staying if other.neighbours & reached}
        alone = len(staying) < 2  # the last copy may be lost by the next fault
        if node.left or alone or all(other.read_only for other in staying) or len(reached) < len(staying):
            return
        self.world.oracle.excuse_tree(node)
        node.stop()
        node.left = True
        for other in staying:
            other.neighbours.discard(node.number)

    # ---- the network

    def _cut(self, node: Any, other: int) -> None:
        self.world.network.cut |= {(node.number, other), (other, node.number)}

    def _one_way(self, node: Any, other: int) -> None:
        self.world.network.cut.add((node.number, other))

    def _heal(self, node: Any) -> None:
        self.world.network.heal()

    def _reset(self, node: Any, other: int) -> None:
        self.world.network.reset(node.number, other)

    def _slow(self, node: Any) -> None:
        self.world.network.slow ^= {node.number}
