"""One file system: its inodes, what of them is durable, how much room there is, and the power cut."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Final

from tests.sim.disk.inodes import PAGE, Attributes, Inode, cut_pages
from tests.sim.disk.journal import Journal
from tests.sim.disk.script import Script

ROOT_INODE: Final = 2


class Disk:
    """Mounted at `top` by SimOS.mount. capacity: bytes, None for as much as anybody wants.

    What survives a power cut: the bytes of files and attributes that were synced (fsync, fdatasync for the bytes only,
    syncfs), and the names in directories that were synced. Syncing a file does not sync its name.
    """

    def __init__(
        self, top: bytes, device: int, clock: Callable[[], int], capacity: int | None, supports_clone: bool,
        supports_rename_flags: bool, ordered: bool,
    ) -> None:  # fmt: skip
        self.top = top
        self.device = device
        self.clock = clock
        self.capacity = capacity
        self.supports_clone = supports_clone
        self.supports_rename_flags = supports_rename_flags
        self.used = 0  # pages
        self.script = Script()
        self.journal = Journal(ordered)
        self.dirty: dict[Inode, None] = {}
        self._generation = 0
        self._next = ROOT_INODE
        self._free: list[int] = []
        self.root = self.new(stat.S_IFDIR | 0o755, 0, 0)
        self.root.nlink = 2
        self.sync()

    def new(self, mode: int, uid: int, gid: int) -> Inode:
        """An inode without a name. Its number may be one that was used before, as ext4 does it."""
        self._generation += 1
        if self._free:
            number = self._free.pop()
        else:
            number = self._next
            self._next += 1
        inode = Inode(self, number, self._generation, mode, uid, gid, self.clock())
        inode.durable_attributes = None
        self.dirty[inode] = None
        return inode

    def forget(self, inode: Inode) -> None:
        """Free an inode that has neither a name nor a descriptor."""
        self.used -= len(inode.pages) + len(inode.reserved or ())
        inode.pages = {}  # what was durable is kept by itself, should its name come back
        self.dirty.pop(inode, None)
        self._free.append(inode.ino)

    # ---- room

    def room(self, inode: Inode, offset: int, length: int) -> int:
        """How many of the bytes fit. Takes the pages. Raises OSError with ENOSPC for none."""
        first, last = offset // PAGE, (offset + length - 1) // PAGE
        pages, reserved = inode.pages, inode.reserved or ()
        free = None if self.capacity is None else self.capacity // PAGE - self.used
        taken = 0
        for number in range(first, last + 1):
            if number not in pages and number not in reserved:
                if free is not None and taken >= free:
                    length = number * PAGE - offset
                    if length <= 0:
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                    break
                taken += 1
        self.used += taken
        return length

    def reserve(self, inode: Inode, offset: int, length: int) -> None:
        """Take pages for later. Raises OSError with ENOSPC, having taken none."""
        wanted = set(range(offset // PAGE, (offset + length - 1) // PAGE + 1)) - inode.pages.keys()
        wanted -= inode.reserved or set()
        if self.capacity is not None and self.used + len(wanted) > self.capacity // PAGE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.used += len(wanted)
        inode.reserved = (inode.reserved or set()) | wanted

    def resize(self, inode: Inode, size: int) -> None:
        """Truncate."""
        before = len(inode.pages) + len(inode.reserved or ())
        inode.resize(size)
        self.used -= before - len(inode.pages) - len(inode.reserved or ())

    # ---- durability

    def sync(self) -> None:
        """Everything is durable."""
        self.journal.settle_all()
        for inode in self.dirty:
            _sync(inode, attributes=True)
        self.dirty.clear()

    def sync_inode(self, inode: Inode, *, attributes: bool) -> None:
        """A file's bytes, or a directory's names, and for fsync the attributes."""
        if inode in self.dirty:
            _sync(inode, attributes=attributes)
            if attributes:
                inode.synced = self.journal.number
                del self.dirty[inode]
        if inode.entries is not None:
            self.journal.settle(inode.last)

    def lose(self, inodes: list[Inode]) -> None:
        """A sync failed: what was to be written never will be, and the next sync says nothing of it."""
        for inode in inodes:
            self.dirty.pop(inode, None)

    def cut(self, random: Random) -> None:
        """What a power cut leaves. For SimOS.power_cut, which closes the descriptors."""
        self.journal.cut(random)
        style = random.choice(("new", "old", "mixed", "mixed"))
        reached = dict(self._reach_durable())
        for inode in sorted(reached, key=lambda inode: inode.generation):
            _restore(inode, random, style)
        self._rebuild(reached)

    def _reach_durable(self) -> Iterator[tuple[Inode, int]]:
        """(inode, how many names it has) of what is reached over durable names."""
        names: dict[Inode, int] = {self.root: 1}
        pending = [self.root]
        while pending:
            entries = pending.pop().durable_entries
            assert entries is not None
            for inode in entries.values():
                if inode not in names and inode.durable_entries is not None:
                    pending.append(inode)
                names[inode] = names.get(inode, 0) + 1
        yield from names.items()

    def _rebuild(self, names: dict[Inode, int]) -> None:
        self.dirty.clear()
        self.used = 0
        numbers: set[int] = set()
        for inode in sorted(names, key=lambda inode: inode.generation):
            if inode.ino in numbers:  # a number was given to another inode before its first one was durably gone
                inode.ino = self._next
                self._next += 1
            numbers.add(inode.ino)
            inode.opened, inode.locks, inode.reserved = 0, None, None
            inode.last = inode.born = inode.changed = None
            inode.nlink = names[inode]
            if inode.durable_entries is not None:
                inode.entries = dict(inode.durable_entries)
                inode.nlink = 2 + sum(child.entries is not None for child in inode.entries.values())
            self.used += len(inode.pages)
            _sync(inode, attributes=True)
        for inode in names:
            for name, child in (inode.entries or {}).items():
                child.parent, child.name = inode, name
        self._free = sorted(set(range(ROOT_INODE, self._next)) - numbers, reverse=True)


def _sync(inode: Inode, *, attributes: bool) -> None:
    if inode.entries is None:
        inode.durable_pages = dict(inode.pages)
        inode.durable_size = inode.size
    if attributes or inode.durable_attributes is None:
        inode.durable_attributes = inode.attributes()


def _restore(inode: Inode, random: Random, style: str) -> None:
    """Make the volatile state one of those that a power cut may leave."""
    disk: Any = inode.disk
    if inode not in disk.dirty and inode.durable_attributes is not None:
        _take_old(inode, inode.durable_attributes)
        return
    new = inode.attributes()
    old = inode.durable_attributes or Attributes(inode.born_mode, inode.uid, inode.gid, new.ctime, new.ctime, new.ctime)
    choice = {"new": "new", "old": "old"}.get(style) or random.choice(("new", "old", "zeros", "prefix", "scattered"))
    if choice == "old":
        _take_old(inode, old)
        return
    if disk.journal.ordered or (style == "mixed" and random.random() < 0.5):
        inode.set_attributes(old)
    if choice == "new" or inode.entries is not None or stat.S_ISLNK(inode.mode):
        return
    _damage(inode, random, choice)


def _take_old(inode: Inode, attributes: Attributes) -> None:
    inode.set_attributes(attributes)
    if stat.S_ISREG(inode.mode):
        inode.pages = dict(inode.durable_pages or {})
        inode.size = inode.durable_size


def _damage(inode: Inode, random: Random, choice: str) -> None:
    """Some of the new pages did not get to the disk: what was there before is there, or nothing."""
    old, new = inode.durable_pages or {}, inode.pages
    pages = {}
    boundary = random.randint(0, inode.size)
    for number in sorted(old.keys() | new.keys()):
        if old.get(number) is new.get(number):
            kept = new.get(number)
        elif choice == "scattered":
            kept = random.choice((new.get(number), old.get(number), None))
        elif choice == "prefix" and number * PAGE < boundary:
            kept = new.get(number)
        else:
            kept = old.get(number)
        if kept is not None:
            pages[number] = kept
    if choice == "prefix":
        inode.size = max(boundary, min(inode.durable_size, inode.size))
    cut_pages(pages, inode.size)
    inode.pages = pages
