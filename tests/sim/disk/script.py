"""What a test does to the calls of a disk: looks before each, errors at chosen ones, the end of the process."""

import errno
import os
from collections.abc import Callable, Collection
from typing import Any

WRITING = frozenset({
    "write", "create", "mkdir", "rmdir", "unlink", "rename", "link", "symlink", "mknod", "chmod", "chown", "utime",
    "truncate", "fallocate", "copy_file_range",
})  # fmt: skip


class Killed(BaseException):
    """The process ends here: no handler of it runs, so every further call of it on this disk raises this again."""


class Call:
    """One call on a disk, before it does anything. name: of the call; open is "create" if it would make a file."""

    __slots__ = ("_entry", "_other", "inode", "name", "number")

    def __init__(self, number: int, name: str, inode: Any, entry: bytes | None, other: tuple[Any, bytes] | None):
        self.number = number
        self.name = name
        self.inode = inode
        self._entry = entry
        self._other = other

    @property
    def path(self) -> bytes:
        """The absolute path of what the call is about, by the name it was opened with if it has none any more."""
        return path_of(self.inode, self._entry)

    @property
    def target(self) -> bytes | None:
        """The second path of rename and link."""
        return path_of(*self._other) if self._other is not None else None

    def __repr__(self) -> str:
        second = f" -> {os.fsdecode(self.target)}" if self.target is not None else ""
        return f"{self.number} {self.name} {os.fsdecode(self.path)}{second}"


def path_of(inode: Any, entry: bytes | None = None) -> bytes:
    """The absolute path of an inode, or of an entry in it."""
    parts = [] if entry is None else [entry]
    while inode.parent is not None:
        parts.append(inode.name)
        inode = inode.parent
    return b"/".join([inode.disk.top, *reversed(parts)])


class _Failure:
    def __init__(self, code: int, calls: Collection[str] | None, prefix: bytes, after: int, times: int | None) -> None:
        self.code = code
        self.calls = calls
        self.prefix = prefix
        self.after = after
        self.times = times

    def strikes(self, call: Call) -> bool:
        if self.times == 0 or (self.calls is not None and call.name not in self.calls):
            return False
        if self.prefix and not (call.path.startswith(self.prefix) or (call.target or b"").startswith(self.prefix)):
            return False
        if self.after:
            self.after -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


class Script:
    """hooks: called with each Call before it does anything; what they raise comes out of the call. Their own calls are
    not looked at. dead: the process was killed."""

    def __init__(self) -> None:
        self.hooks: list[Callable[[Call], None]] = []
        self.dead = False
        self.read_only = False
        self.calls = 0
        self._failures: list[_Failure] = []
        self._within = False

    def fail(
        self, code: int, calls: str | Collection[str] | None = None, *, prefix: bytes = b"", after: int = 0,
        times: int | None = 1,
    ) -> None:  # fmt: skip
        """Let calls fail with an errno: those of these names and with a path that begins so, `times` times (None:
        always), after the first `after` of them."""
        names = {calls} if isinstance(calls, str) else calls
        self._failures.append(_Failure(code, names, prefix, after, times))

    def heal(self) -> None:
        """No more failures."""
        self._failures.clear()
        self.read_only = False

    def kill(self) -> None:
        """End the process now: raises Killed."""
        self.dead = True
        raise Killed

    def kill_at(self, number: int, calls: Collection[str] | None = None) -> None:
        """End the process before its `number`-th call from now on (0: the next one), of those names."""
        remaining = number

        def count(call: Call) -> None:
            nonlocal remaining
            if calls is None or call.name in calls:
                if not remaining:
                    self.kill()
                remaining -= 1

        self.hooks.append(count)

    @property
    def active(self) -> bool:
        """Whether calls have to be shown to it."""
        return bool(self.hooks or self._failures or self.dead or self.read_only)

    def before(self, name: str, inode: Any, entry: bytes | None, other: tuple[Any, bytes] | None) -> None:
        """For the disk. Raises what was asked for."""
        if self._within:
            return
        if self.dead:
            raise Killed
        self.calls += 1
        call = Call(self.calls, name, inode, entry, other)
        self._within = True
        try:
            for hook in list(self.hooks):
                hook(call)
        finally:
            self._within = False
        if self.read_only and name in WRITING:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        for failure in self._failures:
            if failure.strikes(call):
                raise OSError(failure.code, os.strerror(failure.code))
