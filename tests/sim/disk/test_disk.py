"""The simulated disk by itself: what survives a power cut, and what a script does to calls."""

import errno
import os
import secrets
from random import Random

import pytest

from syncd.store import moves, staging, syscalls
from tests.sim.disk.inodes import PAGE
from tests.sim.disk.install import installed
from tests.sim.disk.script import Call, Killed
from tests.sim.disk.system import SimOS

SEEDS = 60
DATA = b"1" * (3 * PAGE + 5)


class Bench:
    """A disk with a clock that counts."""

    def __init__(self, **options: object) -> None:
        self._now = 1_000_000_000
        self.system = SimOS(self._clock)
        self.disk = self.system.mount("/m", **options)  # type: ignore[arg-type]
        self.script = self.disk.script

    def _clock(self) -> int:
        self._now += 1
        return self._now

    def write(self, path: str, data: bytes, *, sync: bool = False) -> None:
        fd = self.system.open(path, os.O_WRONLY | os.O_CREAT)
        try:
            self.system.write(fd, data)
            if sync:
                self.system.fsync(fd)
        finally:
            self.system.close(fd)

    def sync_directory(self, path: str) -> None:
        fd = self.system.open(path, os.O_RDONLY)
        self.system.fsync(fd)
        self.system.close(fd)

    def read(self, path: str) -> bytes | None:
        try:
            fd = self.system.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        data = self.system.read(fd, 1 << 20)
        self.system.close(fd)
        return data

    def cut(self, seed: int) -> None:
        self.system.power_cut(self.disk, Random(seed))


def test_what_was_synced_survives() -> None:
    for seed in range(SEEDS):
        bench = Bench()
        bench.write("/m/f", DATA, sync=True)
        bench.sync_directory("/m")
        bench.cut(seed)
        assert bench.read("/m/f") == DATA


def test_bytes_that_were_not_synced_are_whole_empty_zeroed_short_or_patchy() -> None:
    found = set()
    for seed in range(SEEDS):
        bench = Bench()
        bench.write("/m/f", DATA)
        bench.sync_directory("/m")
        bench.cut(seed)
        data = bench.read("/m/f")
        assert data is not None
        if data == DATA:
            found.add("whole")
        elif not data:
            found.add("empty")
        elif not data.strip(b"\0"):
            found.add("zeros")
        elif DATA.startswith(data):
            found.add("short")
        else:
            found.add("patchy")
            assert set(data) == {0, ord("1")}
    assert found == {"whole", "empty", "zeros", "short", "patchy"}


def test_what_was_overwritten_without_a_sync_is_never_lost_where_it_was_not_touched() -> None:
    for seed in range(SEEDS):
        bench = Bench()
        bench.write("/m/f", DATA, sync=True)
        bench.sync_directory("/m")
        fd = bench.system.open("/m/f", os.O_WRONLY)
        bench.system.pwrite(fd, b"2" * PAGE, PAGE)
        bench.cut(seed)
        data = bench.read("/m/f")
        assert data is not None
        assert data[:PAGE] + data[2 * PAGE :] == DATA[:PAGE] + DATA[2 * PAGE :]


def test_names_that_were_not_synced_come_and_go_in_order() -> None:
    """A rename is there or not, never half; of one directory a prefix of what was done is kept."""
    outcomes = set()
    for seed in range(SEEDS):
        bench = Bench()
        bench.system.mkdir("/m/d")
        bench.write("/m/old", b"", sync=True)
        bench.disk.sync()
        bench.system.rename("/m/old", "/m/d/new")
        bench.write("/m/d/second", b"")
        bench.system.unlink("/m/d/new")
        bench.cut(seed)
        outcomes.add((*bench.system.listdir("/m"), *sorted(bench.system.listdir("/m/d"))))
    assert outcomes == {("d", "old"), ("d", "new"), ("d", "new", "second"), ("d", "second")}


def test_what_goes_into_a_directory_that_is_lost_stays_where_it_was() -> None:
    for seed in range(SEEDS):
        bench = Bench()
        bench.write("/m/f", b"1", sync=True)
        bench.disk.sync()
        bench.system.mkdir("/m/new")
        bench.system.mkdir("/m/new/er")
        bench.system.rename("/m/f", "/m/new/er/f")
        bench.cut(seed)
        assert [bench.read("/m/f"), bench.read("/m/new/er/f")].count(b"1") == 1


def test_a_cut_leaves_a_sound_file_system() -> None:
    for seed in range(SEEDS):
        random = Random(seed)
        bench = Bench(capacity=1 << 20)
        system = bench.system
        for _ in range(60):
            one, other = (f"/m/{random.choice('abc')}{random.choice(('', '/x', '/y'))}" for _ in range(2))
            call = random.choice(("mkdir", "write", "rename", "link", "unlink", "rmdir", "sync"))
            try:
                if call == "write":
                    bench.write(one, DATA[: random.randrange(len(DATA))])
                elif call == "sync":
                    bench.sync_directory(random.choice(("/m", one)))
                elif call in ("rename", "link"):
                    getattr(system, call)(one, other)
                else:
                    getattr(system, call)(one)
            except OSError:
                pass
        bench.cut(seed)
        numbers: dict[int, int] = {}
        used = 0
        for above, directories, files in system.walk("/m"):
            assert system.stat(above).st_nlink == 2 + len(directories)
            for name in files:
                status = system.stat(f"{above}/{name}")
                used += status.st_blocks * 512 if status.st_ino not in numbers else 0
                numbers[status.st_ino] = numbers.get(status.st_ino, 0) + 1
                assert numbers[status.st_ino] <= status.st_nlink
        free = system.statvfs("/m")
        assert (free.f_blocks - free.f_bfree) * PAGE == used
        bench.disk.sync()
        before = sorted(system.walk("/m"))
        bench.cut(seed)
        assert sorted(system.walk("/m")) == before


def test_a_failed_sync_loses_what_was_to_be_written_and_the_next_one_says_nothing() -> None:
    bench = Bench()
    bench.write("/m/f", DATA)
    bench.sync_directory("/m")
    bench.script.fail(errno.EIO, "fsync")
    fd = bench.system.open("/m/f", os.O_RDWR)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        bench.system.fsync(fd)
    bench.system.fsync(fd)
    found = set()
    for seed in range(SEEDS):
        if seed:
            bench = Bench()
            bench.write("/m/f", DATA)
            bench.sync_directory("/m")
            bench.disk.lose(list(bench.disk.dirty))
            bench.disk.sync()
        bench.cut(seed)
        found.add(bench.read("/m/f") == DATA)
    assert False in found


def test_a_full_disk() -> None:
    bench = Bench(capacity=4 * PAGE)
    fd = bench.system.open("/m/f", os.O_RDWR | os.O_CREAT)
    assert bench.system.write(fd, b"1" * (5 * PAGE)) == 4 * PAGE
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        bench.system.write(fd, b"1")
    assert bench.system.pwrite(fd, b"2", 0) == 1
    bench.system.ftruncate(fd, PAGE)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        bench.system.syscalls._reserve(fd, PAGE, 4 * PAGE)
    bench.system.syscalls._reserve(fd, PAGE, 3 * PAGE)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        bench.write("/m/g", b"1")
    assert bench.system.pwrite(fd, b"1" * PAGE, 2 * PAGE) == PAGE
    bench.system.unlink("/m/f")
    assert bench.disk.used == 4
    bench.system.close(fd)
    assert bench.disk.used == 0


def test_failures_by_call_path_and_number() -> None:
    bench = Bench()
    bench.system.mkdir("/m/d")
    bench.script.fail(errno.EACCES, {"create", "mkdir"}, prefix=b"/m/d/", after=1)
    bench.system.mkdir("/m/e")
    bench.system.mkdir("/m/d/1")
    with pytest.raises(PermissionError):
        bench.write("/m/d/2", b"")
    bench.system.mkdir("/m/d/2")
    bench.script.fail(errno.EDQUOT, "rename", prefix=b"/m/d", times=None)
    for _ in range(2):
        with pytest.raises(OSError, match=os.strerror(errno.EDQUOT)):
            bench.system.rename("/m/e", "/m/d/3")
    bench.script.heal()
    bench.system.rename("/m/e", "/m/d/3")
    bench.script.read_only = True
    with pytest.raises(OSError, match=os.strerror(errno.EROFS)):
        bench.system.unlink("/m/d/3")
    assert bench.system.listdir("/m/d") == ["1", "2", "3"]


def test_a_hook_changes_what_the_call_finds() -> None:
    bench = Bench()
    bench.write("/m/f", b"old")
    seen: list[str] = []

    def change(call: Call) -> None:
        seen.append(f"{call.name} {os.fsdecode(call.path)}")
        if call.name == "open":
            bench.write("/m/f", b"new")

    bench.script.hooks.append(change)
    assert bench.read("/m/f") == b"new"
    assert seen == ["open /m/f", "read /m/f", "close /m/f"]


def test_a_killed_process_does_nothing_more() -> None:
    bench = Bench()
    bench.system.mkdir("/m/a")
    bench.script.kill_at(1, {"mkdir"})
    bench.system.mkdir("/m/b")
    with pytest.raises(Killed):
        bench.system.mkdir("/m/c")
    fd = min(bench.system.table, default=None)
    with pytest.raises(Killed):
        bench.system.rmdir("/m/a")
    bench.script.hooks.clear()
    bench.system.restart(bench.disk)
    assert bench.system.listdir("/m") == ["a", "b"]
    assert fd is None
    other = bench.system.mount("/other")
    bench.script.hooks.append(lambda call: bench.script.kill())
    bench.system.mkdir("/other/a")
    assert not other.script.dead


def test_everything_is_put_back() -> None:
    bench = Bench()
    before = syscalls._renameat2

    def run() -> None:
        with installed(bench.system, random=Random(1)):
            assert vars(moves)["os"] is bench.system
            raise Killed

    with pytest.raises(Killed):
        run()
    assert moves.os is os
    assert syscalls._renameat2 is before
    assert staging.secrets is secrets
