"""What tests use beside `os`: open, rmtree and pathlib, on a SimOS."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any, Self

from tests.sim.disk.system import SimOS

_FLAGS = {"r": os.O_RDONLY, "w": os.O_WRONLY | os.O_CREAT | os.O_TRUNC, "a": os.O_WRONLY | os.O_CREAT | os.O_APPEND,
          "x": os.O_WRONLY | os.O_CREAT | os.O_EXCL}  # fmt: skip


class SimFile(io.RawIOBase):
    """A file object without a buffer. Takes the descriptor over."""

    def __init__(self, system: SimOS, fd: int, readable: bool, writable: bool) -> None:
        self._system, self._fd = system, fd
        self._readable, self._writable = readable, writable

    def readable(self) -> bool:
        return self._readable

    def writable(self) -> bool:
        return self._writable

    def seekable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def readinto(self, buffer: Any) -> int:
        data = self._system.read(self._fd, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        return self._system.write(self._fd, bytes(data))

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._system.lseek(self._fd, offset, whence)

    def truncate(self, size: int | None = None) -> int:
        size = self.tell() if size is None else size
        self._system.ftruncate(self._fd, size)
        return size

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._system.close(self._fd)


class SimShutil:
    """shutil.rmtree on a SimOS."""

    def __init__(self, system: SimOS) -> None:
        self._system = system

    def rmtree(self, path: Any) -> None:
        top = os.fsencode(path)
        for name in self._system.listdir(top):
            below = top + b"/" + name
            if self._system.path.isdir(below) and not self._system.path.islink(below):
                self.rmtree(below)
            else:
                self._system.unlink(below)
        self._system.rmdir(top)


class SimTempfile:
    """tempfile.TemporaryDirectory on a SimOS: on its first disk."""

    def __init__(self, system: SimOS) -> None:
        self._system = system
        self._number = 0

    @contextmanager
    def TemporaryDirectory(self) -> Iterator[str]:
        self._number += 1
        name = f"{os.fsdecode(next(iter(self._system.disks)))}/temporary-{self._number}"
        self._system.mkdir(name)
        yield name
        SimShutil(self._system).rmtree(name)


def opener(system: SimOS) -> Any:
    """The built-in open on a SimOS, for files without an encoding to choose."""

    def sim_open(file: Any, mode: str = "r", buffering: int = -1) -> Any:
        plain = mode.replace("b", "").replace("t", "")
        flags = _FLAGS[plain[0]]
        if "+" in plain:
            flags = flags & ~os.O_ACCMODE | os.O_RDWR
        fd = file if isinstance(file, int) else system.open(file, flags | os.O_CLOEXEC, 0o666)
        readable, writable = "r" in plain or "+" in plain, plain != "r"
        raw: Any = SimFile(system, fd, readable, writable)
        if not buffering:
            return raw
        if readable and writable:
            raw = io.BufferedRandom(raw)
        else:
            raw = io.BufferedReader(raw) if readable else io.BufferedWriter(raw)
        return raw if "b" in mode else io.TextIOWrapper(raw)

    return sim_open


def paths_of(system: SimOS) -> type[PurePosixPath]:
    """pathlib.Path on a SimOS, as far as tests of the store use it."""
    sim_open = opener(system)

    class SimPath(PurePosixPath):
        def open(self, mode: str = "r") -> Any:
            return sim_open(self, mode)

        def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
            if parents or exist_ok:
                system.makedirs(str(self), mode, exist_ok)
            else:
                system.mkdir(self, mode)

        def read_bytes(self) -> bytes:
            with sim_open(self, "rb") as file:
                return bytes(file.read())

        def write_bytes(self, data: bytes) -> int:
            with sim_open(self, "wb") as file:
                return int(file.write(data))

        def read_text(self) -> str:
            return self.read_bytes().decode()

        def write_text(self, text: str) -> int:
            return self.write_bytes(text.encode())

        def exists(self) -> bool:
            return system.path.exists(self)

        def is_dir(self) -> bool:
            return system.path.isdir(self)

        def is_symlink(self) -> bool:
            return system.path.islink(self)

        def stat(self) -> os.stat_result:
            return system.stat(self)

        def lstat(self) -> os.stat_result:
            return system.lstat(self)

        def chmod(self, mode: int) -> None:
            system.chmod(self, mode)

        def unlink(self) -> None:
            system.unlink(self)

        def rmdir(self) -> None:
            system.rmdir(self)

        def rename(self, target: Any) -> Self:
            system.rename(self, target)
            return type(self)(target)

        def symlink_to(self, target: Any) -> None:
            system.symlink(target, self)

        def iterdir(self) -> Any:
            return (self / name for name in system.listdir(str(self)))

    return SimPath
