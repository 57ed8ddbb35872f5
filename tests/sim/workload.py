"""What users do to the disk of a node. Every operation notes what it knowingly gives up."""

from protocol.edit import Entry
from protocol.paths import ancestors, to_key
from protocol.record import DIRECTORY_CONTENT, LINK_MODE, Kind, link_content

FLAT = (b"a", b"b")
DEEP = (b"a", b"a/b")
TREE = (b"a", b"a/b", b"a/b/c", b"b", b"b/a")
WIDE = (b"a", b"a/b", b"a/b/c", b"a/c", b"a-b", b"b", b"b/a")
MODES = (0o600, 0o700, 0o755)


def file_entry(token: int, mode: int, mtime: int) -> Entry:
    return Entry(Kind.FILE, token.to_bytes(32, "big"), token % 7, mode, mtime, b"")


def link_entry(token: int, mtime: int) -> Entry:
    target = b"to %d" % token
    return Entry(Kind.LINK, link_content(target), 0, LINK_MODE, mtime, target)


def directory_entry(mode: int) -> Entry:
    return Entry(Kind.DIR, DIRECTORY_CONTENT, 0, mode, 0, b"")


def is_directory(node, path: bytes) -> bool:
    return path in node.disk and node.disk[path].entry.kind == Kind.DIR


class Users:
    """The users of all nodes of a world."""

    def __init__(self, world) -> None:
        self.world, self.random, self.tokens = world, world.random, 0
        self.used: dict[bytes, list[Entry]] = {}

    # ---- single operations

    def change(self, node, path: bytes, entry: Entry | None) -> None:
        node.change(path, entry)
        if self.random.random() >= self.world.config.events_lost:
            node.suspects.add(path)

    def dismiss(self, node, path: bytes) -> None:
        """The user does away with the file that they have before them."""
        entry = node.disk[path].entry
        if entry.kind != Kind.DIR:
            self.world.ledger.dismissed.add((path, entry.content))

    def remove(self, node, path: bytes) -> None:
        """rm -r. It dismisses also the siblings that the node knew, unless the user saw something outdated."""
        ledger = self.world.ledger
        for below in [p for p in node.disk if p == path or p.startswith(path + b"/")]:
            self.dismiss(node, below)
            if node.sees_what_is_shown(below):
                ledger.dismissed.update((below, record.content) for record in node.states([to_key(below)]))
            ledger.deleted.add(below)
            self.change(node, below, None)

    def make_parents(self, node, path: bytes) -> None:
        for parent in ancestors(path):
            if not is_directory(node, parent):
                if parent in node.disk:
                    self.dismiss(node, parent)
                self.change(node, parent, directory_entry(0o755))

    def write(self, node, path: bytes, entry: Entry) -> None:
        self.make_parents(node, path)
        if is_directory(node, path):
            self.remove(node, path)
        elif path in node.disk and node.disk[path].entry.content != entry.content:
            self.dismiss(node, path)
        self.change(node, path, entry)
        if node.read_only:
            self.world.ledger.local.add((node, path, entry.content))
        else:
            self.world.ledger.written.add((path, entry.content))
            self.used.setdefault(path, []).append(entry)

    def make_directory(self, node, path: bytes) -> None:
        self.make_parents(node, path + b"/x")

    def rename(self, node, source: bytes, target: bytes) -> None:
        if target == source or target.startswith(source + b"/") or source.startswith(target + b"/"):
            return
        moved = {p: d.entry for p, d in node.disk.items() if p == source or p.startswith(source + b"/")}
        self.remove(node, source)
        self.remove(node, target)
        for path, entry in sorted(moved.items()):
            if entry.kind == Kind.DIR:
                self.make_directory(node, target + path[len(source) :])
            else:
                self.write(node, target + path[len(source) :], entry)

    def new_entry(self, node, path: bytes) -> Entry:
        """Mostly a new content; sometimes an old one of the path (a revert) or the one that another node has there."""
        used = self.used.get(path)
        if used and self.random.random() < self.world.config.again:
            old = self.random.choice(used)
            return old if self.random.random() < 0.5 or old.kind == Kind.LINK else old._replace(mtime=node.wall())
        self.tokens += 1
        if self.random.random() < 0.05:
            return link_entry(self.tokens, node.wall())
        return file_entry(self.tokens, 0o644, node.wall())

    # ---- a step

    def step(self, node) -> None:
        """Something at random."""
        draw, path = self.random.random(), self.random.choice(self.world.paths)
        existing = self.random.choice(sorted(node.disk)) if node.disk else None
        if draw < 0.42 or existing is None:
            self.write(node, path, self.new_entry(node, path))
        elif draw < 0.49:
            self.make_directory(node, path)
        elif draw < 0.63:
            self.remove(node, existing)
        elif draw < 0.81:
            self.chmod(node, existing)
        elif draw < 0.87:
            self.touch(node, existing)
        elif draw < 0.97:
            self.rename(node, existing, path)
        elif draw < 0.98:
            self.rewrite_and_remove(node, path)
        else:
            self.remove_while_another_creates(node, existing)

    def chmod(self, node, path: bytes) -> None:
        entry = node.disk[path].entry
        if entry.kind != Kind.LINK:
            self.change(node, path, entry._replace(mode=self.random.choice(MODES)))

    def touch(self, node, path: bytes) -> None:
        entry = node.disk[path].entry
        if entry.kind != Kind.DIR:
            age = self.random.choice((0, 0, 500, -500))
            self.change(node, path, entry._replace(mtime=node.wall() - age))

    def rewrite_and_remove(self, node, path: bytes) -> None:
        """More versions than a record remembers, then none."""
        for _ in range(10):
            self.write(node, path, self.new_entry(node, path))
            node.watch()
        if self.random.random() < 0.7:
            self.remove(node, path)
            node.watch()

    def remove_while_another_creates(self, node, path: bytes) -> None:
        """rm -r of what another node creates something in at the same moment."""
        other = self.random.choice(self.world.nodes)
        self.remove(node, path)
        if other is not node and not other.read_only:
            inside = path + b"/" + self.random.choice((b"b", b"c"))
            self.write(other, inside, self.new_entry(other, inside))
