"""Stands for the module `os` in the code that touches the disk: real or simulated, but each call belongs to a life.

Before a call that changes something the node may be killed, before any call a user may do something, and any call may
be refused as a failing disk does it. Change times are those of the node's own clock, so that nothing of the real time
shows. Where power may fail the trees are on a simulated disk, which knows what is durable (`use`).
"""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from syncd.node import beside, curator, holdings, identity, library, retention, rules, workshop
from syncd.store import (
    archive,
    capabilities,
    changes,
    conflict_copies,
    copies,
    directories,
    displaced,
    hasher,
    index_database,
    moves,
    parents,
    placing,
    planter,
    remains,
    renames,
    root,
    scanner,
    shadow,
    staging,
    syscalls,
    temps,
    unit_places,
    unit_trees,
)
from tests.sim.disk.convenience import opener
from tests.sim.disk.system import SimOS
from tests.sim.whole.loop import LIFE, Killed, Life

MODULES = (
    archive, beside, capabilities, changes, conflict_copies, copies, curator, directories, displaced, hasher, holdings,
    identity, index_database, library, moves, parents, placing, planter, remains, renames, retention, root, rules,
    scanner, shadow, staging, syscalls, temps, unit_places, unit_trees, workshop,
)  # fmt: skip
CHANGING = (
    "rename", "unlink", "rmdir", "mkdir", "makedirs", "link", "symlink", "chmod", "fchmod", "chown", "fchown", "utime",
    "write", "pwrite", "ftruncate", "copy_file_range", "fsync", "fdatasync",
)  # fmt: skip

RENAMING = {"rename", "unlink", "rmdir", "mkdir", "link", "symlink"}

FAILING = {
    "EIO": (*CHANGING, "sync", "open", "stat", "fstat", "read", "pread", "scandir", "listdir", "fstatvfs"),
    "ENOSPC": ("mkdir", "makedirs", "link", "symlink", "write", "pwrite", "copy_file_range", "open"),
    "EACCES": ("rename", "unlink", "rmdir", "mkdir", "link", "symlink", "open", "scandir", "listdir"),
}  # which calls may be refused with which error
WINDOW = 1 << 18  # bytes that are read at once to be hashed: more than any file here has


class Status(NamedTuple):
    """As os.stat_result, as far as anybody looks."""

    st_mode: int
    st_ino: int
    st_dev: int
    st_nlink: int
    st_uid: int
    st_gid: int
    st_size: int
    st_mtime_ns: int
    st_ctime_ns: int
    st_blocks: int


class Machine:
    """The proxy. system: what is below. ctimes: {inode: (real change time, simulated one)}."""

    def __init__(self) -> None:
        self.system: Any = os
        self.ctimes: dict[int, tuple[int, int]] = {}
        for name in CHANGING:
            setattr(self, name, _before(name, effect))
        for name in ("read", "pread", "scandir", "listdir", "fstatvfs"):
            setattr(self, name, _before(name, refuse))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.system, name)

    def stat(self, path: Any, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> Any:
        look("stat")
        return self.status(self.system.stat(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks))

    def fstat(self, fd: int) -> Any:
        look("fstat")
        return self.status(self.system.fstat(fd))

    def status(self, real: os.stat_result, wall: int | None = None) -> Any:
        """With the change time on the clock of whoever sees the change first; a simulated disk has it already."""
        if self.system is not os and real.st_dev in self.system.devices:
            return real
        known = self.ctimes.get(real.st_ino)
        if known is None or known[0] != real.st_ctime_ns:
            life = LIFE.get()
            now = wall if wall is not None else life.wall() if life is not None else 0
            known = real.st_ctime_ns, now if known is None or now > known[1] else known[1] + 1
            self.ctimes[real.st_ino] = known
        return Status(
            real.st_mode, real.st_ino, real.st_dev, real.st_nlink, real.st_uid, real.st_gid, real.st_size,
            real.st_mtime_ns, known[1], real.st_blocks,
        )  # fmt: skip

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        life = effect("open") if flags & os.O_CREAT else look("open")
        fd = self.system.open(path, flags, mode, dir_fd=dir_fd)
        if life is not None:
            life.descriptors.add(fd)
        return fd

    def sync(self) -> None:
        effect("sync")
        if self.system is not os:
            self.system.sync()

    def dup(self, fd: int) -> int:
        life = look("dup")
        copy = self.system.dup(fd)
        if life is not None:
            life.descriptors.add(copy)
        return copy

    def close(self, fd: int) -> None:
        life = LIFE.get()
        if life is None:
            self.system.close(fd)
        elif fd in life.descriptors:
            life.descriptors.discard(fd)
            self.system.close(fd)
        elif not life.dead:
            raise OSError(9, "a descriptor that the node does not have")


class Sqlite:
    """Stands for the module sqlite3: connections belong to a life."""

    def __getattr__(self, name: str) -> Any:
        return getattr(sqlite3, name)

    def connect(self, *arguments: Any, **options: Any) -> Any:
        connection = sqlite3.connect(*arguments, **options)
        life = LIFE.get()
        if life is not None:
            life.connections.append(connection)
        return connection


def refuse(name: str) -> None:
    """Before any call: the disk may fail. Raises OSError."""
    life = LIFE.get()
    if life is not None and life.refusal is not None:
        life.refusal.strike(name)


def look(name: str) -> Life | None:
    """Before a call that changes nothing: a user may be quicker, or the disk fails. Raises OSError."""
    life = LIFE.get()
    if life is None:
        return None
    if life.dead:
        raise Killed
    life.effects += 1
    while life.between and life.between[0][0] <= life.effects:
        life.between.pop(0)[1]()
    refuse(name)
    return life


def effect(name: str) -> Life | None:
    """Before a call that changes something: the node may end here, too."""
    life = look(name)
    if life is not None and life.kill_at is not None and life.effects >= life.kill_at:
        life.on_kill()
        raise Killed
    return life


def _before(name: str, what: Callable[[str], object]) -> Any:
    def call(*arguments: Any, **options: Any) -> Any:
        life = what(name)
        result = getattr(MACHINE.system, name)(*arguments, **options)
        if isinstance(life, Life) and name in RENAMING:
            life.on_renamed()
        return result

    return call


class Files:
    """What tests use in place of `os` to reach the same disks: their calls belong to nobody."""

    def __getattr__(self, name: str) -> Any:
        return getattr(MACHINE.system, name)

    def file(self, path: Any, mode: str) -> Any:
        """As the built-in `open`."""
        return open(path, mode) if MACHINE.system is os else opener(MACHINE.system)(path, mode)


class Disks(SimOS):
    """Simulated disks. devices: their numbers."""

    def walk(self, top: Any) -> Iterator[tuple[Any, list[Any], list[Any]]]:
        """As os.walk: nothing where nothing is."""
        if self.path.isdir(top):
            yield from super().walk(top)

    @property
    def devices(self) -> set[int]:
        return {disk.device for disk in self.disks.values()}


class Locks:
    """Stands for the module fcntl."""

    def __getattr__(self, name: str) -> Any:
        return getattr(fcntl if MACHINE.system is os else MACHINE.system.fcntl, name)


MACHINE = Machine()
files = Files()
_rename, _commit = syscalls.rename, index_database.Database.commit
_C = {name: getattr(syscalls, name) for name in ("_renameat2", "_syncfs", "_fallocate", "_statx")}


def use(system: "Disks | None") -> None:
    """From now on all disks are simulated ones, or again those of this machine."""
    MACHINE.system = system or os
    MACHINE.ctimes.clear()
    for name, function in _C.items():
        setattr(syscalls, name, getattr(system.syscalls, name[1:]) if system is not None else function)


def _rename_with_effect(*arguments: Any) -> None:
    life = effect("rename")
    _rename(*arguments)
    if life is not None:
        life.on_renamed()


def _sync_with_effect(fd: int) -> None:
    effect("fsync")
    if MACHINE.system is not os:
        MACHINE.system.sync_file_system(fd)


def _commit_with_effects(self: index_database.Database, durable: bool) -> None:
    life = effect("commit")
    _commit(self, durable)
    if durable and life is not None:
        life.on_durable()
    effect("commit")


def _boot() -> bytes:
    life = LIFE.get()
    return b"%d" % life.boot if life is not None else b""


def install() -> None:
    """From now on the code of the store works on simulated machines; for the whole process."""
    hasher._WINDOW = WINDOW  # type: ignore[misc]
    for module in MODULES:
        module.os = MACHINE  # type: ignore[attr-defined]
    root.fcntl = Locks()  # type: ignore[attr-defined]
    workshop._boot = _boot
    syscalls.rename = _rename_with_effect
    syscalls.sync_file_system = _sync_with_effect
    index_database.sqlite3 = Sqlite()  # type: ignore[assignment]
    index_database.Database.commit = _commit_with_effects  # type: ignore[method-assign]
