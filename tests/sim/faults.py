"""What befalls indexes and whole nodes."""

from protocol.record import Kind
from syncd.core.events import PeerCounters

LASTING = frozenset({"lossy links"})  # these do not strike


def strike(world, node) -> None:
    """One of the world's faults happens to the node."""
    kinds = sorted(world.config.faults - LASTING)
    if not kinds or node.fresh:
        return
    kind = world.random.choice(kinds)
    node.report_applied()
    before = node.holdings()
    world.ledger.note_fault(node)
    FAULTS[kind](world, node)
    world.ledger.excuse(node, before)


def lose_index(world, node) -> None:
    """With the disk as it was, or copied to a new one by something that keeps no times."""
    node.start(world.new_index())
    if world.random.random() < 0.5:
        for path, disk in sorted(node.disk.items()):
            node.change(path, disk.entry if disk.entry.kind == Kind.DIR else disk.entry._replace(mtime=node.wall()))


def restore_index(world, node) -> None:
    node.start(node.backup[0].copy())
    node.forget()


def restore_node(world, node) -> None:
    index, _, disk, archive = node.backup
    node.disk, node.archive = dict(disk), set(archive)
    node.start(index.copy())
    node.forget()


def clone(world, node) -> None:
    """The node becomes a copy of another one: cp -a with new inodes, or a virtual disk with the same ones."""
    source = world.random.choice([other for other in world.nodes if other is not node])
    source.report_applied()
    copied = world.random.random() < 0.5
    node.disk = {
        path: disk._replace(inode=world.next_tick(), ctime=world.next_tick()) if copied else disk
        for path, disk in source.disk.items()
    }
    node.start(source.index.copy())
    node.forget()


def roll_back(world, node) -> None:
    """Nobody notices. A snapshot of a running machine goes on with the counter that it had in its memory."""
    index, counter, _, _ = node.backup
    actor = node.replica.actor
    lost = [r.path for r, _ in world.ledger.log if r.dot == (actor, counter + 1)]
    node.start(index.copy())
    if world.random.random() < 0.5:
        node.replica.author.counter = counter
        if lost and not node.read_only and world.random.random() < 0.5:  # the same event happens once more, otherwise
            world.users.write(node, lost[0], world.users.new_entry(node, lost[0]))
            node.watch()


def greet(world, node) -> None:
    """A peer's HELLO says which counters it knows."""
    peer = world.random.choice([other for other in world.nodes if other is not node])
    if (peer.number, node.number) not in world.cut:
        node.handle(PeerCounters(peer.replica.counters()))


FAULTS = {
    "lose index": lose_index,
    "restore index": restore_index,
    "restore node": restore_node,
    "clone": clone,
    "undetected rollback": roll_back,
}
