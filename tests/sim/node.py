"""A node of the simulator: the real Replica over a disk, a watcher and an applier that live in memory."""

from collections import deque
from collections.abc import Iterable, Sequence

from protocol.edit import Entry, same_content
from protocol.paths import ancestors, to_key, to_path
from protocol.record import Kind, Record
from protocol.shown import shown
from syncd.core.events import (
    Action,
    Applied,
    Effects,
    Event,
    Forget,
    Observation,
    Observed,
    Received,
    Reserve,
    Settle,
)
from syncd.core.index import Disk
from syncd.core.replica import Identity, Replica
from syncd.core.scene import Memory, Scene

FOLDER = bytes(range(16))
UNDONE = 0.02  # share of transactions that fail and are repeated


class PlainPolicy:
    """Two classes by the first byte, nothing ignored."""

    overwrite_changes = True

    def ignored(self, path: bytes, directory: bool) -> bool:
        return False

    def place(self, path: bytes, want: Entry | None) -> tuple[int, int]:
        return int(path[:1] != b"a"), 0

    def normalise(self, seen: Entry, shown: Entry | None) -> Entry:
        return seen

    def refusal(self, path: bytes, target: bytes) -> str | None:
        return None

    def too_large(self, thing: Entry | None) -> bool:
        return False


class NoSigner:
    """Signs nothing: proofs are tested elsewhere."""

    def sign(self, actor: bytes, records: Sequence[Record]) -> dict:
        return {}


class Archived:
    """The contents in the archive of a node."""

    def __init__(self, node: "SimNode") -> None:
        self._node = node

    def __contains__(self, content: object) -> bool:
        return any(content == archived for _, archived in self._node.archive)


class SimNode:
    """disk: what is there. suspects: paths that the watcher has reported. archive: bytes that the applier displaced."""

    looks_first = True  # at a path before it acts there

    def __init__(self, world, number: int, read_only: bool) -> None:
        self.world, self.number, self.read_only = world, number, read_only
        self.disk: dict[bytes, Disk] = {}
        self.archive: set[tuple[bytes, bytes]] = set()
        self.suspects: set[bytes] = set()
        self.actions: deque[Action] = deque()
        self.applied: list[Observation] = []
        self.start(world.new_index())
        self.handle(Settle(b""))
        self.take_backup()

    def start(self, index) -> None:
        """Start, or start again, with this index."""
        self.index = index
        index.archive = Archived(self)
        self.suspects, self.actions, self.applied = set(), deque(), []
        self.replica = Replica(
            index, Identity(bytes([self.number] * 16), FOLDER, self.read_only), PlainPolicy(), NoSigner(),
            self.world.new_actor, reserve=64, settle_rows=self.world.config.settle_rows,
        )  # fmt: skip

    def restart(self) -> None:
        """Stop and start again: what only the memory held is gone, and the disk is scanned.

        After a crash that is also what was last applied; but never something that had been overtaken by then.
        """
        crashed = self.world.random.random() < 0.5
        if not crashed or any((item.disk and item.disk.entry) != self.shown(item.path) for item in self.applied):
            self.report_applied()
        self.start(self.index)
        self.scan()

    def shown(self, path: bytes) -> Entry | None:
        return shown(path, Scene(self.index, Memory()))

    @property
    def fresh(self) -> bool:
        return self.replica.fresh

    def wall(self) -> int:
        return self.world.wall(self.number)

    # ---- the replica and what follows from it

    def handle(self, event: Event) -> Effects:
        """One event, as the driver does it; what changed is sent to all."""
        self.report_applied()
        self.reserve()
        if self.world.random.random() < UNDONE:
            saved = self.index.copy()
            self.replica.handle(event, self.wall())
            self.index.restore(saved)
            self.reserve()
        actor = self.replica.actor
        effects = self.replica.handle(event, self.wall())
        if self.replica.actor != actor:
            self.actions.clear()
        if effects.published or effects.news:
            changed = [to_key(record.path) for record in effects.published] + effects.news
            self.world.broadcast(self, dict.fromkeys(changed))
        return effects

    def reserve(self) -> None:
        if self.replica.counter_low:
            self.replica.handle(Reserve(), self.wall())

    def report_applied(self) -> None:
        """Nothing else is told to the replica before what the applier did."""
        if self.applied:
            done, self.applied = self.applied, []
            self.replica.handle(Applied(done), self.wall())

    def manifest(self) -> dict[bytes, tuple[Record, ...]]:
        return {to_path(row.key): row.state for row in self.index.all_rows() if row.state}

    def states(self, keys: Iterable[bytes]) -> list[Record]:
        return [record for row in self.index.rows(keys).values() for record in row.state]

    def states_of_all(self) -> list[Record]:
        return [record for row in self.index.all_rows() for record in row.state]

    def news_for(self, other: "SimNode") -> list[Record]:
        """The records of all states in which the other one differs."""
        theirs = {row.key: row.state for row in other.index.all_rows()}
        differing = [row.state for row in self.index.all_rows() if row.state and theirs.get(row.key) != row.state]
        return [record for state in differing for record in state]

    # ---- looking at the disk

    def observe(self, paths: Iterable[bytes]) -> bool:
        """Look at these paths; True if the replica published anything."""
        self.report_applied()
        keys = {to_key(path): path for path in sorted(paths)}
        rows = self.index.rows(keys)
        seen = []
        for key, path in keys.items():
            if (rows[key].disk if key in rows else None) != self.disk.get(path):
                seen.append(Observation(path, self.disk.get(path)))
        if not seen:
            return False
        quiet = not self.fresh and not self.needed()
        before = {item.path: rows.get(to_key(item.path)) for item in seen}
        effects = self.handle(Observed(seen))
        self.world.ledger.log_edits(self, effects.published, before)
        if quiet and effects.published:
            self.world.ledger.check_own_edits(self, [record.path for record in effects.published])
        if not self.world.config.delayed:
            self.drain()
        return bool(effects.published)

    def watch(self) -> bool:
        """The watcher's events, all in one batch."""
        suspects, self.suspects = self.suspects, set()
        return self.observe(suspects)

    def scan(self) -> bool:
        """Look at everything."""
        self.suspects = set()
        seen = {to_path(row.key) for row in self.index.all_rows() if row.disk}
        return self.observe(seen | self.disk.keys())

    def sees_what_is_shown(self, path: bytes) -> bool:
        """Whether a user of this disk has before them what is shown at the path, and a deletion would say so."""
        self.report_applied()
        boundary = self.index.meta("fresh")
        if boundary is not None and to_key(path) >= boundary:
            return False
        row = self.index.rows([to_key(path)]).get(to_key(path))
        want = self.shown(path)
        return row is not None and row.disk is not None and row.need is None and same_content(row.disk.entry, want)

    # ---- network

    def receive(self, records: list[Record]) -> bool:
        """Merge records of a peer; True if that changed anything."""
        if self.world.random.random() < 0.5:
            self.observe({record.path for record in records})
        effects = self.handle(Received(records, {}))
        if not self.world.config.delayed:
            self.drain()
        return bool(effects.news)

    # ---- the applier

    def needed(self) -> list[bytes]:
        return [row.key for row in self.index.all_rows() if row.need]

    def drain(self) -> None:
        """Apply until nothing is needed or nothing more can be done."""
        self.actions.clear()
        for _ in range(20):
            keys = self.needed()
            done = [self.execute(action) for action in self.replica.plan(keys)] if keys else []
            if not any(done):
                break
            self.report_applied()

    def apply_one(self) -> None:
        """One action of a plan that may be old by now."""
        if not self.actions:
            keys = self.needed()
            some = self.world.random.sample(keys, self.world.random.randint(0, len(keys)))
            self.actions.extend(self.replica.plan(some) if some else [])
        if self.actions:
            self.execute(self.actions.popleft())

    def execute(self, action: Action) -> bool:
        """Do what was planned if the disk still is what was expected, else look at it."""
        path, want, current = action.path, action.want, self.disk.get(action.path)
        if self.looks_first and current != action.expect:
            self.observe([path])
            return False
        if current and current.entry.kind == Kind.DIR and (want is None or want.kind != Kind.DIR):
            below = [other for other in self.disk if other.startswith(path + b"/")]
            if below:
                self.observe(below)
                return False
        if want is not None and (missing := self.missing_parents(path)):
            self.observe(missing)
            return False
        brings_content = want is not None and not same_content(want, current.entry if current else None)
        if brings_content and want.kind == Kind.FILE and not self.world.has(want.content):
            return False
        if current and current.entry.kind != Kind.DIR and not same_content(current.entry, want):
            self.archive.add((path, current.entry.content))
        self.change(path, want)
        self.applied.append(Observation(path, self.disk.get(path)))
        return True

    def holds(self, content: bytes) -> bool:
        """Whether the disk or the archive has a content."""
        return content in Archived(self) or any(disk.entry.content == content for disk in self.disk.values())

    def missing_parents(self, path: bytes) -> list[bytes]:
        return [p for p in ancestors(path) if p not in self.disk or self.disk[p].entry.kind != Kind.DIR]

    def change(self, path: bytes, entry: Entry | None) -> None:
        """What the file system does: a new inode for a new content, a new ctime for anything."""
        old = self.disk.pop(path, None)
        if entry is not None:
            tick = self.world.next_tick()
            inode = old.inode if old and same_content(old.entry, entry) else tick
            self.disk[path] = Disk(entry, inode, tick)

    # ---- faults

    def take_backup(self) -> None:
        self.report_applied()
        self.backup = (self.index.copy(), self.replica.author.counter, dict(self.disk), set(self.archive))

    def forget(self) -> None:
        """The driver noticed that the index is not the one that belongs to the folder."""
        self.handle(Forget())

    def holdings(self) -> set[tuple[bytes, bytes]]:
        """(path, content) of all that could be got back from this node."""
        live = {(path, r.content) for path, state in self.manifest().items() for r in state if r.live}
        return live | {(path, disk.entry.content) for path, disk in self.disk.items()} | self.archive
