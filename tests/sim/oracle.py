"""The oracle: what must be true of every history, from book-keeping that does not believe what records say.

covers and shown_tree are written down again here, as plainly as possible.
"""

from protocol.edit import Entry, entry_of, same_content
from protocol.errors import RemoteError
from protocol.merge import conflicts, directory_record, merge, winner
from protocol.paths import ancestors, to_key
from protocol.record import DIRECTORY_CONTENT, Kind, Record, decode_record
from tests.sim.node import FOLDER

EDIT, METADATA, FOUND = "edit", "metadata", "found"


def covers(by: Record, record: Record) -> bool:
    return by.context.get(record.dot[0], 0) >= record.dot[1] and record.content_dot not in by.spares


def shown_tree(manifest) -> dict[bytes, Entry]:
    """{path: entry}: what a disk with this manifest has to hold."""
    live = {path: best for path, state in manifest.items() if (best := winner(state)) and best.live}
    directories = {above for path, best in live.items() if not best.found for above in ancestors(path)}

    def is_users_file(path):
        return path in live and not live[path].found and live[path].kind != Kind.DIR and path not in directories

    for path in [p for p, best in live.items() if best.found]:
        if any(is_users_file(above) for above in ancestors(path)):
            del live[path]
    directories = {above for path in live for above in ancestors(path)}
    directories |= {path for path, best in live.items() if best.kind == Kind.DIR}
    tree = {path: entry_of(best) for path, best in live.items() if path not in directories}
    for path in directories:
        source = directory_record(manifest.get(path, ()))
        tree[path] = Entry(Kind.DIR, DIRECTORY_CONTENT, 0, source.mode if source else 0o755, 0, b"")
    return tree


class Ledger:
    """What users did, noted when they did it.

    written: (path, content) that have to survive. dismissed: those that a user has replaced or removed knowingly.
    deleted: paths that a user removed. local: (node, path, content) written on read-only nodes. log: every record with
    what it came from. replaced: pairs of hashes, the second one's content was shown to the author of the first.
    excused: what a fault took away. lost_records: hashes of records that a fault took from all nodes.
    """

    def __init__(self, world) -> None:
        self.world = world
        self.written, self.dismissed, self.deleted, self.excused = set(), set(), set(), set()
        self.local: set = set()
        self.log: list[tuple[Record, str]] = []
        self.replaced: set[tuple[bytes, bytes]] = set()
        self.lost_records: set[bytes] = set()
        self.violation: str | None = None
        self.faulty = False

    def blame(self, violation: str) -> None:
        self.violation = self.violation or violation

    # ---- records

    def log_edits(self, node, published, before) -> None:
        """before: the row of every observed path as it was."""
        for record in published:
            row = before.get(record.path) or node.world.empty_row
            last = row.disk.entry if row.disk else None
            origin = METADATA if same_content(last, record) else EDIT
            self._log(record, origin)
            if origin == EDIT and last is not None:
                self.replaced.update((record.hash, old.hash) for old in row.state if same_content(old, last))

    def log_found(self, published, before) -> None:
        """before: the manifest as it was."""
        for record in published:
            self._log(record, FOUND)
            state = before.get(record.path, ())
            if any(record.content in (other.content, *other.superseded) for other in state):
                self.blame("known content was not adopted")

    def _log(self, record: Record, origin: str) -> None:
        self.log.append((record, origin))
        try:
            decode_record(record.raw, FOLDER)
        except RemoteError:
            self.blame("a record that peers refuse")

    def check_own_edits(self, node, paths) -> None:
        """The disk was in step before: so what the user did has to be what is shown now."""
        tree = shown_tree(node.manifest())
        for path in paths:
            shown, disk = tree.get(path), node.disk.get(path)
            if shown != (disk.entry if disk else None) and (disk or not shown or shown.kind != Kind.DIR):
                self.blame("an edit is displaced by its own scan")

    def note_fault(self, node) -> None:
        """Before an index is damaged: remember what only it knew."""
        self.faulty = True
        others = [other for other in self.world.nodes if other is not node]
        known = [other.manifest() for other in others]
        for record, _ in self.log:
            states = [state for manifest in known for state in manifest.get(record.path, ())]
            if not any(record.hash == other.hash or covers(other, record) for other in states):
                self.lost_records.add(record.hash)

    def excuse(self, node, before) -> None:
        """After the damage: what nobody holds any more."""
        others = [other.holdings() for other in self.world.nodes if other is not node]
        self.excused |= before - node.holdings() - set().union(*others)

    # ---- the verdict

    def verdict(self) -> str | None:
        """The first thing that is wrong in the end, when everybody has talked to everybody."""
        first = self.world.nodes[0]
        manifest, tree = first.manifest(), {path: disk.entry for path, disk in first.disk.items()}
        hashes = {path: [record.hash for record in state] for path, state in manifest.items()}
        for node in self.world.nodes:
            if {path: [r.hash for r in state] for path, state in node.manifest().items()} != hashes:
                return "manifests differ"
            if {path: disk.entry for path, disk in node.disk.items()} != tree:
                return "trees differ"
        checks = [
            self.check_lost, self.check_local, self.check_index, self.check_complete, self.check_vacated,
            self.check_found_won,
        ]  # fmt: skip
        if "undetected rollback" not in self.world.config.faults:  # two records with one dot mislead contexts
            checks += [self.check_resurrected, self.check_conflicts, self.check_fold]
        checks.append(self.check_tree)
        return next((violation for check in checks if (violation := check(manifest, tree))), None)

    def check_lost(self, manifest, tree):
        """Archives count only where nothing better can be had: for records that went with an index, on readers."""
        kept = {(path, r.content) for path, state in manifest.items() for r in state if r.live} | self.excused
        archived = set().union(*[node.archive for node in self.world.nodes])
        if "undetected rollback" not in self.world.config.faults:  # it makes records cover what they do not know
            archived &= {(r.path, r.content) for r, _ in self.log if r.hash in self.lost_records}
            archived |= set().union(*[node.archive for node in self.world.nodes if node.read_only and self.faulty])
        return "lost write" if self.written - kept - archived - self.dismissed else None

    def check_local(self, manifest, tree):
        """What was written on a read-only node is in its archive, or everybody has it there."""
        live = {(path, r.content) for path, state in manifest.items() for r in state if r.live}
        given_up = self.dismissed | self.excused | live
        lost = {(n.number, p, c) for n, p, c in self.local if (p, c) not in n.archive and (p, c) not in given_up}
        return "lost local write" if lost else None

    def check_index(self, manifest, tree):
        """Quiet: the index has seen what is on the disk, and nothing is needed."""
        for node in self.world.nodes:
            seen = {row.key: row.disk for row in node.index.all_rows() if row.disk}
            if seen != {to_key(path): disk for path, disk in node.disk.items()}:
                return "the index has not seen the disk"
            if node.needed():
                return "something is still needed"
        return None

    def check_complete(self, manifest, tree):
        """A record that nobody's record covers is still there, and nothing is there that nobody made."""
        made: dict[bytes, list[Record]] = {}
        for record, _ in self.log:
            made.setdefault(record.path, []).append(record)
        for path, records in made.items():
            state = manifest.get(path, ())
            for record in records:
                stands = not any(covers(other, record) for other in records)
                if stands and record.hash not in self.lost_records and record not in state:
                    return "a record is missing"
        return "a record from nowhere" if any(r not in made[p] for p, s in manifest.items() for r in s) else None

    def check_tree(self, manifest, tree):
        return "the disk is not what the manifest shows" if shown_tree(manifest) != tree else None

    def check_vacated(self, manifest, tree):
        live = {(path, r.content) for path, state in manifest.items() for r in state if r.live}
        for path, _ in (self.written & live) - self.dismissed:
            hidden = any(above in tree and tree[above].kind != Kind.DIR for above in ancestors(path))
            if path not in tree and not (self.faulty and (hidden or path in self.deleted)):
                return "vacated path"
        return None

    def check_resurrected(self, manifest, tree):
        """A shown content that a user's surviving record superseded, and that no user wrote again."""
        by_path: dict[bytes, list] = {}
        for record, origin in self.log:
            by_path.setdefault(record.path, []).append((record, origin))
        for path, entry in tree.items():
            if entry.kind == Kind.DIR:
                continue
            history = by_path.get(path, [])
            same = [(r, origin) for r, origin in history if same_content(r, entry)]
            edits = [
                r for r, origin in history
                if origin == EDIT and not same_content(r, entry) and r.hash not in self.lost_records
            ]  # fmt: skip
            dismissed = any(covers(edit, r) for edit in edits for r, _ in same)
            rewritten = any(origin == EDIT and not any(covers(edit, r) for edit in edits) for r, origin in same)
            if dismissed and not rewritten:
                return "resurrected content"
        return None

    def check_found_won(self, manifest, tree):
        """A fresh index never wins: where a user's record is live, what is shown is a user's."""
        origin = {record.dot: kind for record, kind in self.log}
        users = {path for path, s in manifest.items() if (best := winner(s)) and best.live and not best.found}
        for path in users & tree.keys():
            best = winner(manifest[path])
            if not same_content(tree[path], best) and not any(path in ancestors(other) for other in users):
                return "fresh index won"
        for state in manifest.values():
            whose = [origin[r.content_dot] for r in state]
            if EDIT in whose and origin[winner(state).content_dot] == FOUND:
                return "fresh index won"
        return None

    def check_conflicts(self, manifest, tree):
        """No conflict with a content that its author was shown and replaced."""
        replaced = {old for new, old in self.replaced if new not in self.lost_records}
        if any(record.hash in replaced for state in manifest.values() for record in conflicts(state)):
            return "spurious conflict"
        return None

    def check_fold(self, manifest, tree):
        """Merging any set of records one by one gives the same state in every order."""
        by_path: dict[bytes, list[Record]] = {}
        for record, _ in self.log:
            if self.world.random.random() < 0.7:
                by_path.setdefault(record.path, []).append(record)
        for records in by_path.values():
            results = {merge(*[(record,) for record in records])}
            for _ in range(2):
                self.world.random.shuffle(records)
                state: tuple[Record, ...] = ()
                for record in records:
                    state = merge(state, (record,))
                results.add(state)
            if len(results) > 1:
                return "merge depends on the order"
        return None
