"""What was done to directories and is not durable yet, and in which orders a power cut may keep it.

An operation is kept or dropped as a whole, and only together with all earlier ones of the directories it touches, with
the making of those directories, and with earlier changes of the inodes that it changes. A real journal keeps a prefix
of everything; nothing here relies on that.
"""

from random import Random
from typing import Final

from tests.sim.disk.inodes import Attributes, Inode

Edits = tuple[tuple[Inode, bytes, Inode | None], ...]  # (directory, name, what it stands for then)


class Operation:
    """Edits of directories and changes of attributes that become durable in one instant.

    after: what must be durable before.
    """

    __slots__ = ("after", "changes", "done", "edits", "number")

    def __init__(self, number: int, edits: Edits, changes: list[tuple[Inode, Attributes]]) -> None:
        self.number = number
        self.edits = edits
        self.changes = changes
        self.after: list[Operation] = []
        self.done = False


class Journal:
    """The operations of one file system, in their order.

    ordered: changes of an inode's attributes keep their order with each other and with its renames, as in file systems
    that log all metadata (ext4, XFS, Btrfs). Otherwise they are none of the journal's business.
    """

    def __init__(self, ordered: bool) -> None:
        self.ordered = ordered
        self.pending: list[Operation] = []
        self.number = 0
        self._moved: Operation | None = None  # the last move of a directory: so that kept moves never make a circle

    def add(
        self, *edits: tuple[Inode, bytes, Inode | None], changes: tuple[Inode, ...] = (), moves: bool = False,
        also: Inode | None = None,
    ) -> None:  # fmt: skip
        """Something was done. changes: inodes whose attributes are others now. moves: a directory went to another one.
        also: a directory that has to be empty for it."""
        self.number += 1
        operation = Operation(self.number, edits, [(inode, inode.attributes()) for inode in changes])
        after = operation.after
        for directory, _, inode in edits:
            _wait_for(after, directory.last, directory.born)
            directory.last = operation
            if inode is not None and inode.entries is not None and inode.born is None:
                inode.born = operation
        for inode in changes:
            _wait_for(after, inode.changed, None)
            inode.changed = operation
        if also is not None:
            _wait_for(after, also.last, None)
            also.last = operation
        if moves:
            _wait_for(after, self._moved, None)
            self._moved = operation
        self.pending.append(operation)

    def change(self, inode: Inode) -> None:
        """Attributes of an inode were set."""
        if self.ordered:
            self.add(changes=(inode,))

    def settle(self, last: Operation | None) -> None:
        """Make an operation durable, and what has to be before it."""
        needed: dict[int, Operation] = {}
        stack = [last] if last is not None else []
        while stack:
            operation = stack.pop()
            if not operation.done and operation.number not in needed:
                needed[operation.number] = operation
                stack += operation.after
        for number in sorted(needed):
            _carry_out(needed[number])
        if needed:
            self.pending = [operation for operation in self.pending if not operation.done]

    def settle_all(self) -> None:
        """Make everything durable."""
        for operation in self.pending:
            _carry_out(operation)
        self.pending.clear()

    def cut(self, random: Random) -> int:
        """Keep some of what is pending, forget the rest. Returns how many operations were dropped."""
        keep = _KEEPERS[random.randrange(len(_KEEPERS))](random, len(self.pending))
        dropped = 0
        for operation in self.pending:
            if keep(operation.number - self.pending[0].number) and all(before.done for before in operation.after):
                _carry_out(operation)
            else:
                dropped += 1
        self.pending.clear()
        self._moved = None
        return dropped


def _wait_for(after: list[Operation], first: Operation | None, second: Operation | None) -> None:
    if first is not None and not first.done:
        after.append(first)
    if second is not None and not second.done:
        after.append(second)


def _carry_out(operation: Operation) -> None:
    for inode, attributes in operation.changes:
        if operation.number > inode.synced:
            inode.durable_attributes = attributes
    for directory, name, inode in operation.edits:
        assert directory.durable_entries is not None
        if inode is None:
            directory.durable_entries.pop(name, None)
        else:
            directory.durable_entries[name] = inode
    operation.done = True
    operation.after = []


def _prefix(random: Random, count: int):
    length = random.randint(0, count)
    return lambda number: number < length


def _coins(random: Random, count: int):
    share = random.choice((0.5, 0.9, 0.98))
    return lambda number: random.random() < share


_KEEPERS: Final = (
    lambda random, count: lambda number: False,
    lambda random, count: lambda number: True,
    _prefix,
    _coins,
)
