"""A shadow: the next state of a unit, built beside the tree. What stays as it is has a second name in it.

Until the shadow is exchanged with the live directory an inode may have two names, one live and one here: nothing is
copied, and nothing of the live directory is touched. What changes only its mode or time is copied for that reason.
"""

import errno
import os
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from protocol.paths import to_key
from protocol.record import PERMISSIONS, Kind
from syncd.core.index import Disk
from syncd.core.unit_plan import Part, UnitPlan, brings_content, contents_wanted
from syncd.store import syscalls
from syncd.store.copies import copy_contents
from syncd.store.directories import Directories
from syncd.store.look import OPEN_FILE, is_still, kind_of
from syncd.store.moves import lstat
from syncd.store.parents import LocalPolicy, Parents
from syncd.store.placing import Differs
from syncd.store.staging import Staging
from syncd.store.temps import Temps
from syncd.store.unit_trees import ENTER, Listing

_CREATE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PRIVATE: Final = 0o600
_PRIVATE_DIRECTORY: Final = 0o700
_SPECIAL: Final = 0o7000
_NO_LINK: Final = syscalls.UNSUPPORTED | {errno.EPERM, errno.EMLINK, errno.EXDEV}


class Missing(Exception):
    """A content that was kept in staging for the unit is not there."""

    def __init__(self, content: bytes) -> None:
        self.content = content


class Shadow(NamedTuple):
    """One in staging. shared: paths whose inodes have a live name too. contents: taken from those kept in staging.

    made: all others, as they are when they are finished.
    """

    name: bytes
    shared: set[bytes]
    contents: set[bytes]
    made: dict[bytes, os.stat_result]


class _Level(NamedTuple):
    """A directory that is being filled. mode: what it gets when it is full. status: whose entries look like it."""

    path: bytes
    fd: int
    mode: int
    status: os.stat_result


def check_live(plan: UnitPlan, live: Listing, takes_part: Callable[[bytes, os.stat_result], bool]) -> set[bytes]:
    """That the live directory is what the index last saw. Returns the paths there that take no part. Raises Differs."""
    seen = {part.path: part.have for part in plan.parts if part.have is not None}
    others = set()
    for path, status in live.items():
        have = seen.pop(path, None)
        if have is None:
            if takes_part(path, status):
                raise Differs
            others.add(path)
        elif not is_still(status, have) or _is_other_mode(status, have):
            raise Differs
    if seen:
        raise Differs
    return others


def _is_other_mode(status: os.stat_result, have: Disk) -> bool:
    return have.entry.kind is Kind.DIR and status.st_mode & PERMISSIONS != have.entry.mode


class ShadowBuilder:
    """Builds in the staging of one folder, in one thread."""

    def __init__(
        self, directories: Directories, staging: Staging, temps: Temps, parents: Parents, policy: LocalPolicy
    ) -> None:
        self._directories = directories
        self._staging = staging
        self._temps = temps
        self._parents = parents
        self._policy = policy

    def build(self, plan: UnitPlan, live: Listing, others: set[bytes]) -> Shadow:
        """Build it, durably. live: what is there now, of which `others` take no part. Raises Missing, OSError.

        If it raises, the names of live inodes in it are gone again; `shared` of the plan's paths may have a new ctime.
        """
        shadow = Shadow(self._staging.fresh_name(), set(), set(), {})
        try:
            _Building(self, shadow, plan, live, others).run()
            self._temps.sync([])
        except BaseException:
            self.drop(shadow)
            raise
        return shadow

    def drop(self, shadow: Shadow) -> None:
        """Remove it. What cannot be removed is removed by the next start."""
        try:
            self._staging.remove(shadow.name)
        except OSError:
            pass

    @property
    def hands(self) -> tuple[Directories, Staging, Temps, Parents, LocalPolicy]:
        """What it works with."""
        return self._directories, self._staging, self._temps, self._parents, self._policy


class _Building:
    def __init__(
        self, builder: ShadowBuilder, shadow: Shadow, plan: UnitPlan, live: Listing, others: set[bytes]
    ) -> None:
        self._directories, self._staging, self._temps, self._parents, self._policy = builder.hands
        self._shadow = shadow
        self._unit = plan.unit
        self._live = live
        self._uses = contents_wanted(plan)
        self._parts: Mapping[bytes, Part] = {part.path: part for part in plan.parts if part.want is not None}
        self._paths = sorted({*self._parts, *self._kept(others)}, key=to_key)
        self._levels: list[_Level] = []

    def _kept(self, others: set[bytes]) -> list[bytes]:
        """Those that take no part and whose directory stays."""
        kept: list[bytes] = []
        directories = {path for path, part in self._parts.items() if part.want and part.want.kind is Kind.DIR}
        for path in sorted(others, key=to_key):
            if path.rpartition(b"/")[0] in directories:
                kept.append(path)
                if kind_of(self._live[path]) is Kind.DIR:
                    directories.add(path)
        return kept

    def run(self) -> None:
        try:
            for path in self._paths:
                above, _, name = path.rpartition(b"/")
                while self._levels and self._levels[-1].path != above:
                    self._finish()
                self._make(path, name)
            while self._levels:
                self._finish()
        finally:
            for level in self._levels:
                os.close(level.fd)

    def _make(self, path: bytes, name: bytes) -> None:
        part, status = self._parts.get(path), self._live.get(path)
        if part is None:
            assert status is not None
            if kind_of(status) is Kind.DIR:
                self._directory(path, name, status.st_mode & PERMISSIONS)
            else:
                self._link(path, name)
            return
        want = part.want
        assert want is not None
        if want.kind is Kind.DIR:
            mode = self._policy.directory(want.mode) if part.needed else want.mode
            self._directory(path, name, mode)
        elif not part.needed or (part.have is not None and part.have.entry == want):
            self._link(path, name)
        elif want.kind is Kind.LINK:
            fd = self._levels[-1].fd
            os.symlink(want.target, name, dir_fd=fd)
            os.utime(name, ns=(self._temps.now, want.mtime), dir_fd=fd, follow_symlinks=False)
            self._own(name, status)
        elif brings_content(part):
            self._bring(want.content, name, self._policy.file(want.mode), want.mtime, status)
        else:
            self._copy(path, name, self._policy.file(want.mode), want.mtime)

    def _directory(self, path: bytes, name: bytes, mode: int) -> None:
        status = self._live.get(path)
        top = path == self._unit
        where = self._staging.fd if top else self._levels[-1].fd
        if top:
            name = self._shadow.name
        os.mkdir(name, _PRIVATE_DIRECTORY, dir_fd=where)
        fd = os.open(name, ENTER, dir_fd=where)
        try:
            above = os.fstat(self._parents.enter(path)[0]) if top else self._levels[-1].status
            is_same = status is not None and kind_of(status) is Kind.DIR
            owner = self._parents.owner_within(above, status if is_same else None)
            if owner is not None:
                os.fchown(fd, *owner)
            bits = (status.st_mode if is_same and status is not None else above.st_mode & 0o2000) & _SPECIAL
            self._levels.append(_Level(path, fd, mode | bits, status if is_same and status else above))
        except BaseException:
            os.close(fd)
            raise

    def _finish(self) -> None:
        """The mode comes last: it may be one that nothing can be put into."""
        level = self._levels.pop()
        try:
            os.fchmod(level.fd, level.mode)
            self._shadow.made[level.path] = os.fstat(level.fd)
        finally:
            os.close(level.fd)

    def _link(self, path: bytes, name: bytes) -> None:
        above, source = self._directories.parent(path)
        try:
            os.link(source, name, src_dir_fd=above, dst_dir_fd=self._levels[-1].fd, follow_symlinks=False)
        except FileNotFoundError:
            raise Differs from None
        except OSError as error:
            status = self._live[path]
            if error.errno not in _NO_LINK or kind_of(status) is not Kind.FILE:
                raise
            self._copy(path, name, status.st_mode & 0o7777, status.st_mtime_ns)
        else:
            self._shadow.shared.add(path)

    def _copy(self, path: bytes, name: bytes, mode: int, mtime: int) -> None:
        """The bytes of the live file, in an inode of its own."""
        above, source = self._directories.parent(path)
        fd = os.open(source, OPEN_FILE, dir_fd=above)
        try:
            self._write(fd, name, mode, mtime, self._live[path])
        finally:
            os.close(fd)

    def _bring(self, content: bytes, name: bytes, mode: int, mtime: int, replaced: os.stat_result | None) -> None:
        stocked = content.hex().encode()
        self._uses[content] -= 1
        self._shadow.contents.add(content)
        try:
            fd = os.open(stocked, OPEN_FILE, dir_fd=self._staging.fd)
        except FileNotFoundError:
            raise Missing(content) from None
        try:
            if self._uses[content] or not self._takes(stocked, name):
                self._write(fd, name, mode, mtime, replaced)
                return
            os.fchmod(fd, mode)
            os.utime(fd, ns=(self._temps.now, mtime))
        finally:
            os.close(fd)
        self._own(name, replaced)

    def _takes(self, stocked: bytes, name: bytes) -> bool:
        """The kept file itself is the last use of its content. Its name stays until the exchange was done."""
        try:
            os.link(stocked, name, src_dir_fd=self._staging.fd, dst_dir_fd=self._levels[-1].fd, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            return False
        return True

    def _write(self, source: int, name: bytes, mode: int, mtime: int, replaced: os.stat_result | None) -> None:
        fd = os.open(name, _CREATE, _PRIVATE, dir_fd=self._levels[-1].fd)
        try:
            copy_contents(source, fd, os.fstat(source).st_size)
            os.fchmod(fd, mode)
            os.utime(fd, ns=(self._temps.now, mtime))
        finally:
            os.close(fd)
        self._own(name, replaced)

    def _own(self, name: bytes, replaced: os.stat_result | None) -> None:
        """The last thing that is done to a file or link."""
        level = self._levels[-1]
        owner = self._parents.owner_within(level.status, replaced)
        if owner is not None:
            os.chown(name, *owner, dir_fd=level.fd, follow_symlinks=False)
        self._shadow.made[level.path + b"/" + name] = lstat(level.fd, name)
