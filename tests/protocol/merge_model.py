"""The merge rule written down as plainly as possible, as an oracle, and a world of nodes that makes histories.

States are dictionaries keyed by the hash of the record, the manifest is looked at as a whole, nothing is shortened.
"""

import random

from protocol.edit import Entry, edit_record, found_record
from protocol.merge import State
from protocol.record import DIRECTORY_CONTENT, LINK_MODE, Kind, Record, link_content

FOLDER = bytes(range(16))
DEFAULT_MODE = 0o755
SUPERSEDED_KEPT = 8


def as_dict(state):
    return {record.hash: record for record in state}


def as_tuple(state):
    return tuple(sorted(state.values(), key=lambda r: r.hash))


def content(thing):
    return (thing.kind, thing.content)


def knows(by, dot):
    return by.context.get(dot[0], 0) >= dot[1]


def covers(by, record):
    return knows(by, record.dot) and record.content_dot not in by.spares


def supersedes(by, content_dot):
    return knows(by, content_dot) and content_dot not in by.spares


def merge(*states):
    union = {}
    for state in states:
        union.update(state)
    members = union.values()
    return {k: r for k, r in union.items() if not any(o is not r and covers(o, r) for o in members)}


def is_stale_metadata(record, state):
    if record.content_dot == record.dot:
        return False
    return any(content(o) != content(record) and supersedes(o, record.content_dot) for o in state.values())


def rank(record, state):
    if is_stale_metadata(record, state):
        tier = 0
    elif record.found:
        tier = 1
    elif record.kind == Kind.DELETE:
        tier = 2
    else:
        tier = 3
    return (tier, record.content_stamp, record.stamp, record.dot, record.hash)


def winner(state):
    return max(state.values(), key=lambda r: rank(r, state), default=None)


def conflicts(state):
    best = winner(state)
    return [r for r in state.values() if r.live and content(r) != content(best) and not is_stale_metadata(r, state)]


def ancestors(path):
    parts = path.split(b"/")
    return [b"/".join(parts[:n]) for n in range(1, len(parts))]


def directory_record(state):
    candidates = [r for r in state.values() if r.kind == Kind.DIR or (r.kind == Kind.DELETE and r.was_directory)]
    return max(candidates, key=lambda r: (not r.found, r.stamp, r.dot, r.hash), default=None)


def entry(record):
    return Entry(record.kind, record.content, record.size, record.mode, record.mtime, record.target)


def directory(mode):
    return Entry(Kind.DIR, DIRECTORY_CONTENT, 0, mode, 0, b"")


def shown_tree(manifest):
    live = {path: best for path, state in manifest.items() if (best := winner(state)) and best.live}
    directories = {a for path, best in live.items() if not best.found for a in ancestors(path)}

    def is_users_file(path):
        return path in live and not live[path].found and live[path].kind != Kind.DIR and path not in directories

    for path in [p for p, best in live.items() if best.found]:
        if any(is_users_file(a) for a in ancestors(path)):
            del live[path]
    directories = {a for path in live for a in ancestors(path)} | {p for p, r in live.items() if r.kind == Kind.DIR}
    tree = {path: entry(best) for path, best in live.items() if path not in directories}
    for path in directories:
        source = directory_record(manifest.get(path, {}))
        tree[path] = directory(source.mode if source else DEFAULT_MODE)
    return tree


def shown_record(state, thing):
    if thing is None:
        return None
    same = [r for r in state.values() if content(r) == content(thing)]
    return max(same, key=lambda r: rank(r, state), default=None)


def joined_context(records):
    context = {}
    for record in records:
        for actor, counter in [*record.context.items(), record.dot]:
            context[actor] = max(context.get(actor, 0), counter)
    return context


def spared_dots(state, before, after):
    known = {r.content_dot for r in state.values()}
    spared = {dot for r in state.values() for dot in r.spares
              if dot not in known and not any(supersedes(o, dot) for o in state.values())}  # fmt: skip
    if after is None:
        return frozenset(spared)
    for record in state.values():
        was_shown = before is not None and content(record) == content(before)
        if record.live and not was_shown and not is_stale_metadata(record, state):
            spared.add(record.content_dot)
    return frozenset(spared)


def superseded_contents(state, spares, after):
    gone = {}
    for record in sorted(state.values(), key=lambda r: (r.stamp, r.dot, r.hash)):
        own = [record.content] if record.live and record.content_dot not in spares else []
        for old in [*record.superseded, *own]:
            gone.pop(old, None)
            gone[old] = True
    if after is not None:
        gone.pop(after.content, None)
    return tuple(gone)[-SUPERSEDED_KEPT:]


def edit_fields(state, before, after, dot, stamp):
    """What an edit has to say, as attributes of the record."""
    best = winner(state)
    same = before is not None and after is not None and content(before) == content(after)
    spares = spared_dots(state, before, after)
    fields = {
        "kind": Kind.DELETE, "content": b"", "size": 0, "mode": 0, "mtime": 0, "target": b"", "dot": dot,
        "stamp": stamp, "spares": spares, "context": joined_context(state.values()),
        "superseded": superseded_contents(state, spares, after), "content_dot": dot, "content_stamp": stamp,
        "found": False, "was_directory": False,
    }  # fmt: skip
    if after is not None:
        fields.update(after._asdict())
    elif before is not None and before.kind == Kind.DIR:
        fields.update(mode=before.mode, was_directory=True)
    if same and best and content(best) == content(after):
        fields.update(content_dot=best.content_dot, content_stamp=best.content_stamp, found=best.found)
    return fields


# --- histories


def file_entry(token, mode=0o644, mtime=1):
    return Entry(Kind.FILE, token.to_bytes(32, "big"), token, mode, mtime, b"")


def link_entry(target, mtime=1):
    return Entry(Kind.LINK, link_content(target), 0, LINK_MODE, mtime, target)


class Node:
    def __init__(self, actor):
        self.actor, self.counter, self.clock = actor, 0, 0
        self.manifest: dict[bytes, dict[bytes, Record]] = {}
        self.backup = None


class History:
    """Nodes that edit and merge at random, through the code under test where records are made.

    log: every record. edits: for every edit (path, state, before, after, record). rollbacks: whether nodes are now and
    then restored without noticing it, so that one dot names two records.
    """

    def __init__(self, seed, *, paths=(b"a",), rollbacks=False):
        self.random = random.Random(seed)
        self.paths, self.rollbacks, self.time, self.tokens = paths, rollbacks, 100, 1
        self.nodes = [Node(self.new_actor()) for _ in range(self.random.choice((2, 3, 4)))]
        self.log: list[tuple[bytes, Record]] = []
        self.edits: list[tuple] = []
        self.states: list[State] = []

    def new_actor(self):
        return self.random.getrandbits(64).to_bytes(8, "big")

    def run(self, steps):
        for _ in range(steps):
            self.step()
        return self

    def step(self):
        self.time += 1
        node, draw = self.random.choice(self.nodes), self.random.random()
        path = self.random.choice(self.paths)
        if draw < 0.5:
            self.edit(node, path)
        elif draw < 0.9:
            self.exchange(self.random.choice(self.nodes), node, path)
        elif draw < 0.96:
            self.find(node, path)
        elif self.rollbacks:
            self.roll_back(node)

    def edit(self, node, path):
        state = node.manifest.get(path, {})
        before = shown_tree(node.manifest).get(path)
        after = self.some_entry(before)
        if before == after or (after is None and not any(r.live for r in state.values())):
            return
        dot, stamp = self.new_dot(node), self.tick(node)
        record = edit_record(path, as_tuple(state), before, after, dot, stamp, FOLDER)
        self.edits.append((path, as_tuple(state), before, after, record))
        self.add(node, path, record)

    def find(self, node, path):
        known = {r.content for r in node.manifest.get(path, {}).values()}
        found = self.some_entry(None)
        if found is not None and found.content not in known:
            stamp = self.random.choice((-5, 1, self.time, self.time + 1000))
            self.add(node, path, found_record(path, found, self.new_dot(node), stamp, FOLDER))

    def some_entry(self, before):
        """Mostly a new content, sometimes an older one, a change of metadata, a directory, a link or nothing."""
        draw = self.random.random()
        mode = self.random.choice((0o600, 0o644, 0o755))
        if before is not None and draw < 0.25:
            changed = before if before.kind == Kind.LINK else before._replace(mode=mode)
            return changed if before.kind == Kind.DIR else changed._replace(mtime=self.time)
        if draw < 0.4:
            return None
        if draw < 0.5:
            return directory(mode)
        if draw < 0.6:
            return link_entry(self.random.choice((b"x", b"y")), self.time)
        self.tokens += 1
        token = self.random.randint(1, self.tokens) if draw < 0.75 else self.tokens
        return file_entry(token, mode, self.time)

    def tick(self, node):
        node.clock = max(node.clock + 1, self.time + self.random.choice((0, 0, -50)))
        return node.clock

    def new_dot(self, node):
        node.counter += 1
        return (node.actor, node.counter)

    def add(self, node, path, record):
        self.log.append((path, record))
        node.manifest[path] = merge(node.manifest.get(path, {}), {record.hash: record})
        self.states.append(as_tuple(node.manifest[path]))

    def exchange(self, sender, receiver, path):
        state = sender.manifest.get(path, {})
        for record in state.values():
            if not record.found:
                receiver.clock = max(receiver.clock, record.stamp)
            own = record.dot[1] if record.dot[0] == receiver.actor else 0
            if max(record.context.get(receiver.actor, 0), own) > receiver.counter:
                receiver.actor, receiver.counter = self.new_actor(), 0
        receiver.manifest[path] = merge(receiver.manifest.get(path, {}), state)
        self.states.append(as_tuple(receiver.manifest[path]))

    def roll_back(self, node):
        if node.backup is not None:
            node.counter, node.clock = node.backup[0], node.backup[1]
            node.manifest = {path: dict(state) for path, state in node.backup[2].items()}
        node.backup = (node.counter, node.clock, {path: dict(state) for path, state in node.manifest.items()})
