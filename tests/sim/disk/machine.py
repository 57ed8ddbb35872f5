"""A machine with one folder on a simulated disk: batches of the real applier, killed or cut off at a chosen call."""

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from protocol.record import LINK_MODE, Kind
from syncd.store.applier import Job, Result
from tests.sim.disk.install import beside, installed, store_modules
from tests.sim.disk.script import Call, Killed
from tests.sim.disk.system import SimOS
from tests.store import disturbances, trees
from tests.store.trees import SOME_TIME, Folder, Tree, make_tree, plan

TOP = "/machine/root"
_START = 1_800_000_000_000_000_000  # ns
_TICK = 4_000_000  # ns per call that looks at the clock: a kernel's step
LARGE = 9_000  # bytes: more than two pages


class Machine:
    """folder: the store on it, as of the last start. trace: calls since the last `watch`. options: of SimOS.mount."""

    def __init__(self, seed: int, **options: bool) -> None:
        self._now = _START
        self.system = SimOS(self._clock)
        self.system.euid = self.system.egid = 0
        self.disk = self.system.mount("/machine", **options)
        self.random = Random(seed)
        self.trace: list[str] = []

    def _clock(self) -> int:
        self._now += _TICK
        return self._now

    @contextmanager
    def running(self) -> Iterator["Machine"]:
        """With the store on it."""
        modules = [trees, disturbances]
        with installed(self.system, [*store_modules(), *modules], self.random), beside(self.system, modules):
            self.folder = Folder(TOP, draw=self.random.randbytes)
            yield self

    def prepare(self, tree: Tree) -> None:
        """Make a tree, all of it durable."""
        make_tree(self.folder, tree)
        self.disk.sync()

    def apply(self, wanted: Tree) -> list[Result]:
        """Bring the tree to what is wanted, in one batch. Raises Killed."""
        jobs = plan(self.folder, self.folder.seen_tree(), wanted)
        return self.folder.apply(*jobs, durable=True)

    def applied_until(self, wanted: Tree, call: int) -> bool:
        """As `apply`, killed before the `call`-th call of the batch. Whether it came to that."""
        return self.runs_until(plan(self.folder, self.folder.seen_tree(), wanted), call)

    def runs_until(self, jobs: list[Job], call: int) -> bool:
        """Apply jobs, killed before the `call`-th call, counted from 0. Whether it came to that."""
        self.watch()
        self.disk.script.kill_at(call)
        try:
            self.folder.apply(*jobs, durable=True)
        except Killed:
            return True
        finally:
            self.disk.script.hooks.clear()
        return False

    def watch(self) -> None:
        """Write down the calls from now on."""
        self.trace = []

        def note(call: Call) -> None:
            self.trace.append(repr(call))

        self.disk.script.hooks.append(note)

    def start(self, *, power_cut: bool) -> None:
        """What a node does after an unclean stop of itself, or of everything."""
        if power_cut:
            self.system.power_cut(self.disk, self.random)
        else:
            self.system.restart(self.disk)
        self.folder = Folder(TOP, draw=self.random.randbytes)
        self.folder.staging.clean(())
        self.folder.archive.adopt(())

    def archived(self) -> set[bytes]:
        """The bytes of all archived files, those in directories that await being taken apart included."""
        found = set()
        for above, _, names in self.system.walk(self.folder.at(b".syncd/archive")):
            for name in names:
                if not self.system.path.islink(above + b"/" + name):
                    found.add(self.folder.read(above[len(self.folder.path) + 1 :] + b"/" + name))
        return found


def random_tree(random: Random) -> Tree:
    """A small tree in which names of one often are also names of another."""
    tree: Tree = {}
    for _ in range(random.randint(0, 8)):
        parts = [random.choice((b"a", b"b", b"c", b"d")) for _ in range(random.randint(1, 3))]
        above = [b"/".join(parts[:length]) for length in range(1, len(parts))]
        path = b"/".join(parts)
        if path in tree or any(tree.get(name, (Kind.DIR,))[0] is not Kind.DIR for name in above):
            continue
        for name in above:
            tree.setdefault(name, (Kind.DIR, b"", random.choice((0o755, 0o750, 0o775)), 0))
        kind = random.choice((Kind.FILE, Kind.FILE, Kind.FILE, Kind.DIR, Kind.LINK))
        data = random.choice((b"", b"1", b"2" * LARGE))
        mode, mtime = random.choice((0o644, 0o755, 0o600)), random.choice((5, SOME_TIME))
        if kind is Kind.FILE:
            tree[path] = (kind, data, mode, mtime)
        elif kind is Kind.DIR:
            tree[path] = (kind, b"", mode | 0o700, 0)
        else:
            tree[path] = (kind, b"to" + data[:1], LINK_MODE, mtime)
    return tree


def damages(before: Tree, after: Tree, found: Tree, archived: set[bytes]) -> list[str]:
    """What an unclean stop must not leave: each path is as before or as after, and what left the tree is archived."""
    wrong = []
    for path in sorted(before.keys() | after.keys() | found.keys()):
        old, new, now = before.get(path), after.get(path), found.get(path)
        if now not in (old, new):
            wrong.append(f"{path!r}: {_brief(now)}, was {_brief(old)}, to be {_brief(new)}")
        left = old is not None and old[0] is Kind.FILE and old[1] and (now is None or now[:2] != old[:2])
        if left and old is not None and old[1] not in archived:
            wrong.append(f"{path!r}: its old bytes are nowhere")
    return wrong


def _brief(item: tuple[Kind, bytes, int, int] | None) -> str:
    if item is None:
        return "nothing"
    kind, data, mode, mtime = item
    return f"{kind.name} {data[:3]!r}*{len(data)} {mode:o} {mtime}"
