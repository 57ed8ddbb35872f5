"""inotify on a SimOS: the class of inotify_simple, with a descriptor of the machine that epoll and event loops can wait
for."""

import errno
import os
import struct
import weakref
from collections import deque
from typing import Any, Final

from tests.sim.disk.events import ISDIR
from tests.sim.disk.inodes import Inode
from tests.sim.disk.names import READ, Names, refuse

_Q_OVERFLOW: Final = 0x4000
_IGNORED: Final = 0x8000
_ONLYDIR: Final = 0x1000000
_QUEUED: Final = 16_384  # events: fs.inotify.max_queued_events
_ALIGNED: Final = 16  # names are padded to this


def inotify_of(system: Names) -> type["SimINotify"]:
    """The class with this system in it, to be used as inotify_simple's."""

    class BoundINotify(SimINotify):
        def __init__(self, nonblocking: bool = True) -> None:
            super().__init__(system, nonblocking)

    return BoundINotify


class SimINotify:
    """As INotify of inotify_simple. limit: watches it can have."""

    def __init__(self, system: Names, nonblocking: bool = True, limit: int = 65_536) -> None:
        self._system = system
        self._limit = limit
        self._numbers = 0
        self._watches: dict[int, tuple[Inode, int]] = {}
        self._queue: deque[tuple[int, int, int, bytes]] = deque()
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._release = weakref.finalize(self, os.close, self._fd)  # of a killed node nobody closes it
        system.queues[self._fd] = weakref.ref(self)

    def fileno(self) -> int:
        return self._fd

    def add_watch(self, path: Any, mask: int) -> int:
        inode = self._system.find(path, None, follow=True)
        assert inode is not None, "watches the machine's own files"
        self._system.before("watch", inode)
        if mask & _ONLYDIR and inode.entries is None:
            refuse(errno.ENOTDIR, path)
        self._system.need(inode, READ)
        number = (inode.watches or {}).get(self)
        if number is None:
            if len(self._watches) >= self._limit:
                refuse(errno.ENOSPC, path)
            self._numbers += 1
            number = self._numbers
            inode.watches = {**(inode.watches or {}), self: number}
        self._watches[number] = (inode, mask)
        return number

    def rm_watch(self, number: int) -> None:
        if number not in self._watches:
            refuse(errno.EINVAL)
        self.drop(number)

    def drop(self, number: int) -> None:
        """Forget a watch, and say so."""
        inode, _ = self._watches.pop(number)
        assert inode.watches is not None
        del inode.watches[self]
        self._append((number, _IGNORED, 0, b""))

    def put(self, number: int, mask: int, cookie: int, name: bytes) -> None:
        """An event, if this watch is for such."""
        if mask & self._watches[number][1] & ~ISDIR:
            self._append((number, mask, cookie, name))

    def _append(self, event: tuple[int, int, int, bytes]) -> None:
        if self._queue and self._queue[-1] == event:
            return
        if len(self._queue) >= _QUEUED:
            event = (-1, _Q_OVERFLOW, 0, b"")
            if self._queue[-1] == event:
                return
        if not self._queue:
            os.eventfd_write(self._fd, 1)
        self._queue.append(event)

    def take(self, length: int) -> bytes:
        """What reading the descriptor brings. Raises BlockingIOError."""
        if not self._queue:
            refuse(errno.EAGAIN)
        raw = bytearray()
        while self._queue:
            number, mask, cookie, name = self._queue[0]
            padded = name + bytes(_ALIGNED - len(name) % _ALIGNED) if name else b""
            if len(raw) + 16 + len(padded) > length:
                break
            raw += struct.pack("iIII", number, mask, cookie, len(padded)) + padded
            self._queue.popleft()
        if not self._queue:
            os.eventfd_read(self._fd)
        return bytes(raw)

    def forget(self, disk: Any) -> None:
        """The process that watched this disk is gone."""
        for number, (inode, _) in list(self._watches.items()):
            if inode.disk is disk:
                del self._watches[number]
                inode.watches = {watcher: other for watcher, other in inode.watches.items() if watcher is not self}

    def close(self) -> None:
        for inode, _ in self._watches.values():
            inode.watches.pop(self, None)
        self._watches.clear()
        self._system.queues.pop(self._fd, None)
        self._release()
