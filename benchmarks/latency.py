"""How long from the save of a 100 kB file until it can be read on the other node?

Time runs from the moment the writer closes the file until the kernel tells that it has appeared in the other tree,
whole (nobody ever sees less). Files are new ones, saved one by one. lsyncd and Syncthing wait on purpose: with their
shortest delays.
"""

import contextlib
import random
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from inotify_simple import INotify, flags

from benchmarks import syncthing
from benchmarks.measure import percentile
from benchmarks.report import Budget, Options, Report, run
from benchmarks.rivals import RSYNC_PORT, missing, serving
from benchmarks.stage import DEADLINE, Stage, skipped

SIZE: Final = 100_000  # bytes
SAVES: Final = 400
SLOW_SAVES: Final = 10  # of contenders that wait for a second each time
PAUSE: Final = 0.05  # seconds between two saves at most
PATIENCE: Final = 30.0  # seconds in which a file must appear
P50: Final = 10.0  # ms
P99: Final = 50.0  # ms
COLUMNS: Final = ("p50 ms", "p90 ms", "p99 ms", "worst ms", "saves")


def measure(options: Options) -> Iterator[Report]:
    """One table: a row per contender."""
    saves = 5 if options.tiny else SAVES
    rows: dict[str, list[float | None]] = {}
    budgets = []
    with Stage() as stage:
        if options.wants("syncd"):
            times = _syncd(stage, saves)
            rows["syncd"] = _row(times)
            budgets = [
                Budget("save to readable, p50", percentile(times, 0.5) * 1e3, P50, "ms"),
                Budget("save to readable, p99", percentile(times, 0.99) * 1e3, P99, "ms"),
            ]
        for name, contender in (("lsyncd", _lsyncd), ("Syncthing", _syncthing)):
            if options.wants(name) and (times := contender(stage, min(saves, SLOW_SAVES))):
                rows[name] = _row(times)
    title = f"save to readable, files of {SIZE:,} bytes"
    binds = "hops between threads, and the syncs before and after the rename"
    yield Report("latency", title, binds, COLUMNS, rows, budgets)


def _row(times: list[float]) -> list[float | None]:
    return [*(percentile(times, share) * 1e3 for share in (0.5, 0.9, 0.99)), max(times) * 1e3, float(len(times))]


def _syncd(stage: Stage, saves: int) -> list[float]:
    full = stage.holder(lambda tree: (tree / "uploads").mkdir())
    fresh = stage.joiner(full)
    fresh.start()
    fresh.wait(state="in-sync", deadline=DEADLINE)
    return _save(full.tree / "uploads", fresh.tree / "uploads", saves)


def _lsyncd(stage: Stage, saves: int) -> list[float]:
    if missing(("lsyncd", "rsync")):
        skipped("lsyncd", "not installed")
        return []
    source, target = stage.base / "lsyncd-source", stage.base / "lsyncd-target"
    source.mkdir()
    target.mkdir()
    daemon = stage.base / "lsyncd-rsyncd.conf"
    daemon.write_text(
        f"use chroot = no\nreverse lookup = no\nuid = root\ngid = root\n[all]\npath = {target}\nread only = no\n"
    )
    address = stage.joiner_host.address
    config = stage.base / "lsyncd.lua"
    config.write_text(
        f'settings {{ nodaemon = true }}\nsync {{ default.rsync, source = "{source}", delay = 1,\n'
        f'  target = "rsync://{address}:{RSYNC_PORT}/all/" }}\n'
    )
    command = ["rsync", "--daemon", "--no-detach", f"--config={daemon}", f"--port={RSYNC_PORT}"]
    with serving(stage.joiner_host, command, RSYNC_PORT), contextlib.ExitStack() as stack:
        process = subprocess.Popen(
            [*stage.holder_host.prefix, "lsyncd", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        stack.callback(process.wait)
        stack.callback(process.terminate)
        return _save(source, target, saves)


def _syncthing(stage: Stage, saves: int) -> list[float]:
    if not syncthing.available():
        return []
    trees = stage.base / "syncthing-source", stage.base / "syncthing-target"
    for tree in trees:
        tree.mkdir()
    one = syncthing.Node(stage.holder_host, stage.base / "syncthing-one", trees[0])
    other = syncthing.Node(stage.joiner_host, stage.base / "syncthing-other", trees[1])
    try:
        one.start(other)
        other.start(one)
        one.wait_idle(0)
        other.wait_idle(0)
        return _save(*trees, saves)
    finally:
        other.stop()
        one.stop()


def _save(source: Path, target: Path, saves: int) -> list[float]:
    """Seconds of each save."""
    chance = random.Random(1)
    times = []
    with INotify() as notify:
        notify.add_watch(target, flags.CREATE | flags.MOVED_TO)
        _save_one(notify, source, target, "warm-up", chance.randbytes(SIZE))
        for number in range(saves):
            name, data = f"picture-{number}.jpg", chance.randbytes(SIZE)
            times.append(_save_one(notify, source, target, name, data))
            time.sleep(chance.uniform(0, PAUSE))
    return times


def _save_one(notify: INotify, source: Path, target: Path, name: str, data: bytes) -> float:
    (source / name).write_bytes(data)
    saved = time.monotonic()
    _await(notify, lambda names: name in names, PATIENCE)
    seconds = time.monotonic() - saved
    assert (target / name).read_bytes() == data
    return seconds


def _await(notify: INotify, reached: Callable[[set[str]], bool], patience: float) -> None:
    end = time.monotonic() + patience
    names: set[str] = set()
    while not reached(names):
        if not select.select([notify], [], [], max(0.0, end - time.monotonic()))[0]:
            raise RuntimeError("the file does not appear")
        names |= {event.name for event in notify.read(timeout=0)}


if __name__ == "__main__":
    sys.exit(run(measure, __doc__))
