"""A disk of which a part has to stay free: what waits, what goes on, what is said, and how it ends."""

import os
import random
from pathlib import Path

import pytest

from protocol.keys import generate_secret
from syncd.config.values import Amount
from syncd.core.room import Space
from syncd.node import tending
from syncd.node.gauge import Gauge, NoRoom, amount
from syncd.node.retention import ArchiveLimits
from tests.lab.cluster import snapshot
from tests.lab.inside import Inside
from tests.lab.meeting import agree, archived, problems, running, state

MIB = 1 << 20
PLENTY = Space(1_000 * MIB, 1_000 * MIB)
FULL = Space(49 * MIB, 1_000 * MIB)


class Disk:
    """Says how full it is, whatever is written to it."""

    def __init__(self) -> None:
        self.space = PLENTY

    def measure(self, _fd: int) -> Space:
        return self.space


def pair(base: Path, disk: Disk) -> tuple[Inside, Inside]:
    """The second one is on the disk, of which 5 % have to stay free."""
    secret = generate_secret(os.urandom(32))
    one = Inside(base / "one", secret)
    return one, Inside(base / "two", secret, min_free=Amount(5.0, None), measure=disk.measure)


def staged(inside: Inside) -> list[Path]:
    return list(inside.tree.parent.glob("**/staging/*"))


def told(inside: Inside) -> str:
    """What is said of the room, or nothing."""
    found = [problem for problem in problems(inside) if problem.operation == "space"]
    assert all(problem.path == os.fsencode(inside.tree) for problem in found)
    return "".join(problem.reason for problem in found)


async def test_nothing_new_comes_while_room_is_short_and_all_else_goes_on(tmp_path: Path) -> None:
    disk = Disk()
    one, two = pair(tmp_path, disk)
    for name in ("old", "gone", "mode", "edited"):
        (one.tree / name).write_bytes(name.encode())
    large = random.Random(1).randbytes(3 * MIB)
    async with running(one, two):
        await two.join(one)
        await agree(one, two)
        assert two.folder.ready(None)[0]
        disk.space = FULL
        await two.reach(lambda: two.folder.standing.facts.shortage is not None)
        assert told(two) == "", "nothing waits: no fault"
        assert state(two) == "in-sync"
        (one.tree / "small").write_bytes(b"small")
        (one.tree / "large").write_bytes(large)
        (one.tree / "edited").write_bytes(b"edited again")
        (one.tree / "deep").mkdir()
        (one.tree / "gone").unlink()
        (one.tree / "mode").chmod(0o600)
        (two.tree / "mine").write_bytes(b"mine")
        await one.folder.watching.rescan()
        await two.folder.watching.rescan()
        await two.reach(lambda: not (two.tree / "gone").exists() and (two.tree / "mode").stat().st_mode & 0o77 == 0)
        await one.reach(lambda: (one.tree / "mine").exists())
        await two.reach(lambda: two.folder.standing.need_files == 4 and state(two) == "error")
        assert {path for path in snapshot(two.tree) if b"." not in path} == {b"old", b"mode", b"edited", b"mine"}
        assert (two.tree / "edited").read_bytes() == b"edited"
        assert staged(two) == []
        assert archived(two) == {b"gone"}
        assert told(two).startswith(f"less than 5 % free on {two.tree} (51.4 MB of 1.05 GB): nothing is fetched until")
        assert "there is room; free 4.19 MB, or lower min_free" in told(two)
        assert two.folder.ready(None)[0], "what was ready stays so"
        disk.space = PLENTY
        await agree(one, two)
        assert problems(two) == []
        assert (two.tree / "large").read_bytes() == large
        assert (two.tree / "edited").read_bytes() == b"edited again"


async def test_who_has_no_room_serves_others(tmp_path: Path) -> None:
    disk = Disk()
    one, two = pair(tmp_path, disk)
    three = Inside(tmp_path / "three", one.secret)
    (one.tree / "old").write_bytes(b"old")
    async with running(one, two):
        await two.join(one)
        await agree(one, two)
        disk.space = FULL
        await two.reach(lambda: two.folder.standing.facts.shortage is not None)
        (two.tree / "mine").write_bytes(b"mine")
        async with three.running(settled=False):
            await three.join(two)
            await agree(two, three)
            assert (three.tree / "old").read_bytes() == b"old"
            assert (three.tree / "mine").read_bytes() == b"mine"


async def test_an_empty_node_on_a_full_disk_takes_nothing_in(tmp_path: Path) -> None:
    """Small files come along with their records there, and would be placed at once."""
    disk = Disk()
    disk.space = FULL
    one, two = pair(tmp_path, disk)
    for number in range(20):
        (one.tree / f"f{number}").write_bytes(b"%d" % number)
    async with running(one, two):
        await two.join(one)
        await two.reach(lambda: two.folder.standing.need_files == 20 and state(two) == "error")
        assert snapshot(two.tree) == {}
        assert "nothing is fetched until there is room" in told(two)
        assert not two.folder.ready(None)[0]
        disk.space = PLENTY
        await agree(one, two)


async def test_what_is_large_waits_alone_while_small_things_fit(tmp_path: Path) -> None:
    disk = Disk()
    one, two = pair(tmp_path, disk)
    (one.tree / "old").write_bytes(b"old")
    async with running(one, two):
        await two.join(one)
        await agree(one, two)
        disk.space = Space(52 * MIB, 1_000 * MIB)
        (one.tree / "large").write_bytes(random.Random(2).randbytes(3 * MIB))
        (one.tree / "small").write_bytes(b"small")
        (one.tree / "middle").write_bytes(random.Random(3).randbytes(MIB))
        await one.folder.watching.rescan()
        await two.reach(lambda: (two.tree / "small").exists() and (two.tree / "middle").exists())
        await two.reach(lambda: [problem.path for problem in problems(two)] == [b"large"])
        (problem,) = problems(two)
        assert problem.operation == "write"
        assert problem.reason == "there is no room: it has 3.15 MB, and 5 % have to stay free (min_free)"
        assert staged(two) == []
        disk.space = PLENTY
        await agree(one, two)


async def test_holes_take_no_room(tmp_path: Path) -> None:
    disk = Disk()
    one, two = pair(tmp_path, disk)
    disk.space = Space(52 * MIB, 1_000 * MIB)
    with (one.tree / "sparse").open("wb") as file:
        file.write(b"begin")
        file.truncate(500 * MIB)
    async with running(one, two):
        await two.join(one)
        await agree(one, two)


async def test_the_archive_is_trimmed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tending, "HURRIED_INTERVAL", 0.0)
    disk = Disk()
    one, two = pair(tmp_path, disk)
    (one.tree / "f").write_bytes(b"f")
    async with running(one, two):
        await two.join(one)
        await agree(one, two)
        (one.tree / "f").unlink()
        await agree(one, two)
        assert archived(two) == {b"f"}
        monkeypatch.setattr("syncd.node.retention.GRACE", 0)
        two.shop.retention.become(ArchiveLimits(most=Amount(None, 0)))
        disk.space = FULL
        await two.reach(lambda: archived(two) == set())


def gauge(space: Space, min_free: Amount, owed: int = 0) -> Gauge:
    made = Gauge(lambda: space, lambda: owed, min_free)
    made.look()
    return made


def test_what_is_said() -> None:
    short = gauge(Space(1 * 10**9, 80 * 10**9), Amount(None, 2 * 10**9)).shortage("/w", 10**9)
    assert short == (
        "less than 2 GB free on /w (1 GB of 80 GB): nothing is fetched until there is room; "
        "free 2 GB, or lower min_free"
    )
    inodes = gauge(Space(40 * 10**9, 80 * 10**9, 4, 100), Amount(5.0, None)).shortage("/w", 10**9)
    assert inodes is not None
    assert inodes.endswith("inodes are short: remove files there, or lower min_free")
    assert gauge(PLENTY, Amount(5.0, None)).shortage("/w", 10**12) is None
    assert (amount(0), amount(999), amount(1234), amount(10**15)) == ("0 B", "999 B", "1.23 kB", "1e+03 TB")


def test_what_is_owed_to_staged_files_is_not_there() -> None:
    assert gauge(PLENTY, Amount(5.0, None), owed=960 * MIB).scarce
    with pytest.raises(NoRoom):
        gauge(PLENTY, Amount(5.0, None), owed=900 * MIB).claim(60 * MIB)


def test_a_disk_that_does_not_answer_is_no_reason_to_stop() -> None:
    def fails() -> Space:
        raise OSError

    silent = Gauge(fails, lambda: 0, Amount(5.0, None))
    silent.look()
    assert not silent.scarce
    assert silent.take(1)
