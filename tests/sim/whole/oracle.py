"""What must be true of every case, whatever happened in it; from what users did and what lies on the disks."""

from stat import S_IMODE, S_ISDIR, S_ISLNK, S_ISREG
from typing import Any

from protocol.content import block_id
from protocol.limits import SMALL_FILE
from protocol.merge import digest, winner
from protocol.pages import Leaf
from protocol.paths import display, to_key, to_path
from protocol.record import Kind
from syncd.core.events import DAMAGED
from syncd.core.index import Row
from syncd.store.index import SqliteIndex
from syncd.store.index_copies import CopyState
from tests.fakes.memory_pages import MemoryPages
from tests.sim.whole.machine import files
from tests.sim.whole.workload import PLUGIN, name_of

PATIENCE = 400  # seconds of virtual time in which all must agree
QUIET = 11.0  # seconds after which nothing but signs of life may have been sent
PING_BYTES = 60.0  # per second and connection
Tree = dict[str, tuple[Any, ...]]


class Oracle:
    """excused: contents that a fault took away. borrowed: (path, content) of which it left the bytes at other paths,
    where a user may do away with them.
    """

    def __init__(self, world: Any) -> None:
        self.world = world
        self.excused: set[bytes] = set()
        self.borrowed: set[tuple[str, bytes]] = set()
        self.waiting: set[str] = set()  # paths whose bytes nobody has
        self.outside = self.outside_now()

    # ---- looking

    def tree(self, node: Any) -> Tree:
        """{path: what is there} of all that takes part."""
        found: Tree = {}
        self._walk(node.tree, "", found)
        if self.world.config.beside and node.running:
            for copy in node.shop.index.copies():
                if copy.state != CopyState.NONE and copy.path in node.shop.beside.listed:
                    found.pop(files.fsdecode(copy.path), None)
        return found

    def _walk(self, top: str, path: str, found: Tree) -> None:
        for entry in sorted(files.scandir(files.path.join(top, path)), key=lambda item: item.name):
            below = f"{path}/{entry.name}" if path else entry.name
            if below == ".syncd" or entry.name.endswith(".ignored"):
                continue
            status = entry.stat(follow_symlinks=False)
            if S_ISDIR(status.st_mode):
                found[below] = "directory", S_IMODE(status.st_mode)
                self._walk(top, below, found)
            elif S_ISLNK(status.st_mode):
                found[below] = "link", files.readlink(entry.path), status.st_mtime_ns
            elif S_ISREG(status.st_mode):
                with files.file(entry.path, "rb") as file:
                    data = file.read()
                found[below] = "file", S_IMODE(status.st_mode), status.st_mtime_ns, name_of(data)

    def archived(self) -> set[bytes]:
        """Contents in the archives of all nodes, and in those that faults took off them."""
        found = set()
        for node in self.world.nodes:
            for top in (node.state, f"{node.tree}/.syncd"):
                found |= self._contents_below(top)
        return found | self._contents_below(self.world.kept_archives)

    def _contents_below(self, top: str) -> set[bytes]:
        found = set()
        for directory, _, names in files.walk(top):
            if "archive" in directory.split("/"):  # a displaced unit is whole for a while
                for name in names:
                    full = files.path.join(directory, name)
                    if not files.path.islink(full):
                        with files.file(full, "rb") as file:
                            found.add(name_of(file.read()))
        return found

    def outside_now(self) -> list[str]:
        """What lies beside the trees and states."""
        place = f"{self.world.home}/outside"
        if not files.path.exists(place):
            files.mkdir(place)
            with files.file(f"{place}/b", "wb") as file:
                file.write(b"not yours")
        beside = [
            name for node in self.world.nodes for name in files.listdir(node.home)
            if name not in ("tree", "state") and not name.startswith("backup-")
        ]  # fmt: skip
        with files.file(f"{place}/b", "rb") as file:
            return [*sorted(files.listdir(place)), *beside, file.read().decode()]

    # ---- faults

    def excuse_tree(self, node: Any) -> None:
        """The node's tree is about to go: what nobody else has may be lost."""
        archived, elsewhere, lost = self.archived(), set(), files_in(self.tree(node))
        for other in self.world.nodes:
            if other is not node:
                elsewhere |= files_in(self.tree(other))
        self.borrowed |= {key for key in lost - elsewhere if key[1] not in archived}
        self.excused |= {content for _, content in lost} - {content for _, content in elsewhere} - archived

    def restored(self, node: Any) -> None:
        """The node's tree came from elsewhere: as if users had written there what is in it."""
        for path, entry in self.tree(node).items():
            if entry[0] == "file":
                key = path, entry[3]
                self.world.users.written[key] = self.world.users.written.get(key, 0) + 1

    # ---- while it goes on

    def check_mixtures(self) -> None:
        """Every file on every disk is what some user wrote, whole."""
        for node in self.world.nodes:
            for path, entry in self.tree(node).items():
                if entry[0] == "file" and entry[3] not in self.world.users.known:
                    self.world.blame(f"mixture: {path} on node {node.number}")
            if self.world.config.units:
                self.check_plugin(node)

    def check_plugin(self, node: Any) -> None:
        """Where the plugin is, it is one of its releases, with all of its files and no others."""
        found: Tree = {}
        if files.path.isdir(f"{node.tree}/{PLUGIN}"):
            self._walk(node.tree, PLUGIN, found)
        contents_of = {path: entry[3] for path, entry in found.items() if entry[0] == "file"}
        if found and contents_of not in self.world.users.releases:
            self.world.blame(f"half a unit on node {node.number}: {sorted(contents_of)}")

    # ---- in the end

    def agree(self) -> str | None:
        """Why the nodes do not agree yet, or None."""
        trees = [self.tree(node) for node in self.world.present]
        self.waiting = set()
        unavailable = self.waits_for_what_nobody_has()
        trees = [{path: entry for path, entry in tree.items() if path not in self.waiting} for tree in trees]
        roots = set()
        for node in self.world.present:
            if not node.running:
                return f"node {node.number} does not run"
            if len(node.folder.peers.all()) < len(node.neighbours):
                return f"node {node.number} lacks a connection"
            standing = node.folder.standing
            roots.add(standing.facts.root.hash)
            state = standing.state(node.folder.peers.all())
            alone = len(self.world.present) == 1 and state == "waiting"  # for somebody who knows more: it cannot know
            if state != "in-sync" and not alone and (standing.facts.root.count or any(trees)) and not unavailable:
                return f"node {node.number} is {state} {standing.problems[:2]}"
            if standing.facts.fresh and not alone and len(self.world.present) > 1:
                return f"node {node.number} has yet to publish what it found"  # whoever has the bytes that it lacks
        if len(roots) > 1:
            return "manifests differ"
        for node, tree in zip(self.world.present, trees, strict=True):
            if tree != trees[0]:
                return f"trees differ: {difference(trees[0], tree)} on node {node.number}"
            if node.folder.fetcher.busy and not unavailable:
                return f"node {node.number} is at work"
        return None

    def waits_for_what_nobody_has(self) -> bool:
        """Whether all that is needed are bytes that nobody has, and may have gone: with a tree or an index, or when
        what a user did after an unclean stop was taken for damage, which is told, or was about something that the index
        had forgotten.
        """
        if not all(node.running for node in self.world.present):
            return False
        rows = [
            row for node in self.world.present
            for row in node.shop.index.span(b"", None, 1 << 30) if row.need is not None
        ]  # fmt: skip
        if not rows or not all(row.need.size for row in rows):
            return False
        damaged = {
            to_key(problem.path) for node in self.world.present for problem in node.folder.standing.problems
            if problem.operation == DAMAGED
        }  # fmt: skip
        forgotten = {to_key(files.fsencode(path)) for path, _ in self.world.users.raced}
        if not self.world.had_losses and not all(row.key in damaged | forgotten for row in rows):
            return False
        available = self._available()
        if any(self._names(row) & available for row in rows):
            return False
        self.waiting = {files.fsdecode(to_path(row.key)) for row in rows}
        return True

    def _names(self, row: Row) -> set[Any]:
        best = winner(row.state)
        return {best.content if best.size <= SMALL_FILE else best.size} if best is not None else set()

    def _available(self) -> set[Any]:
        """Content ids of all small files that anybody has, and the sizes of large ones, of which few are alike."""
        found: set[Any] = set()
        key = self.world.nodes[0].block_key
        for node in self.world.present:
            for top in (node.tree, node.state):
                for directory, below, names in files.walk(top):
                    below[:] = [name for name in below if name != "staging"]  # as long as the file that is not there
                    for full in (files.path.join(directory, name) for name in names):
                        size = files.lstat(full).st_size
                        if size > SMALL_FILE:
                            found.add(size)
                        elif not files.path.islink(full):
                            with files.file(full, "rb") as file:
                                found.add(block_id(key, file.read()))
        return found

    def verdict(self) -> str | None:
        """The first thing that is wrong when all agree."""
        checks = [self.check_lost, self.check_index, self.check_outside, self.check_live]
        if not self.world.had_losses:
            checks.append(self.check_resurrected)
        return next((found for check in checks if (found := check())), None)

    def check_lost(self) -> str | None:
        kept = self.archived() | self.excused
        for node in self.world.nodes:
            kept |= contents(self.tree(node))
        users = self.world.users
        for path, content in users.written:
            if (path, content) not in users.dismissed | self.borrowed and content not in kept:
                return f"lost write: {path}"
        return None

    def check_live(self) -> str | None:
        """What was written and neither replaced nor removed is in the manifest, and its path is not empty."""
        users, node = self.world.users, self.world.present[0]
        tree = self.tree(node)
        rows = node.shop.index.span(b"", None, 1 << 30)
        live = {files.fsdecode(to_path(row.key)): {r.content for r in row.state if r.live} for row in rows}
        for path, content in users.written:
            given_up = (path, content) in users.dismissed or (path, content) in users.read_only
            crossed = any(f"{path}/".startswith(f"{other}/") for other in users.disturbed)
            if given_up or crossed or path in self.waiting:
                continue
            if path not in tree and content not in self.excused:
                return f"vacated path: {path}"
            if self.world.had_losses:  # with an index its records may go: then the bytes are found once more, or kept
                continue
            data = users.small.get(content)
            if data is not None and block_id(node.block_key, data) not in live.get(path, ()):
                return f"lost write: {path} is in no record"
        return None

    def check_resurrected(self) -> str | None:
        """What is taken for damage after an unclean stop may be what a user did in its last instants; it is told."""
        damaged = self.world.damaged
        users = self.world.users
        for path, entry in self.tree(self.world.present[0]).items():
            key = (path, entry[3]) if entry[0] == "file" and display(files.fsencode(path)) not in damaged else None
            if key in users.dismissed - users.raced and users.written.get(key) == 1 and entry[3] != name_of(b""):
                return f"resurrected: {path}"
        return None

    def check_index(self) -> str | None:
        """The index has seen what is there, and its root is that of its rows."""
        for node in self.world.present:
            index: SqliteIndex = node.shop.index
            rows = index.span(b"", None, 1 << 30)
            seen = {files.fsdecode(to_path(row.key)): row.disk.entry for row in rows if row.disk is not None}
            tree = self.tree(node)
            if seen.keys() != tree.keys():
                return f"the index has not seen the disk: {sorted(seen.keys() ^ tree.keys())}"
            for path, entry in seen.items():
                there = tree[path]
                if entry.kind == Kind.FILE and (entry.mode, entry.mtime) != (there[1], there[2]):
                    return f"the index has not seen {path}"
            if any(row.need is not None for row in rows) and not self.waits_for_what_nobody_has():
                return "something is still needed"
            rebuilt = MemoryPages(node.page_seed)
            rebuilt.put(leaf_of(row) for row in rows if row.state)
            if rebuilt.root().hash != index.root().hash:
                return "the root is not that of the rows"
        return None

    def check_outside(self) -> str | None:
        return "something outside was touched" if self.outside_now() != self.outside else None


def leaf_of(row: Row) -> Leaf:
    """The entry of the manifest that a row stands for."""
    return Leaf(row.key, digest(row.state), len(row.key) + sum(len(record.raw) for record in row.state))


def files_in(tree: Tree) -> set[tuple[str, bytes]]:
    """(path, content) of a tree's files."""
    return {(path, entry[3]) for path, entry in tree.items() if entry[0] == "file"}


def contents(tree: Tree) -> set[bytes]:
    """The contents of a tree's files."""
    return {entry[3] for entry in tree.values() if entry[0] == "file"}


def difference(first: Tree, second: Tree) -> list[str]:
    """Paths that differ."""
    return sorted(path for path in first.keys() | second.keys() if first.get(path) != second.get(path))[:3]
