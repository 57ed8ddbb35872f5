"""`syncd demo`: a primary and a fresh secondary on this machine, everything about them measured."""

import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import click

from syncd.cli.demo_compare import differences, same_bytes
from syncd.cli.demo_nodes import DEADLINE, DemoFailed, Stage, until
from syncd.cli.demo_show import fill, rate
from syncd.cli.demo_site import BIG_FILE, BIG_SIZE, OLD_YEAR, PRIORITY, SAVED_IN, Site, make_site
from syncd.cli.wording import count, size

SEED: Final = 20_241_124
SAVES: Final = 20
SAVED_SIZES: Final = (100_000, 4_000)  # bytes
INSERTED: Final = b"-- three words inserted --"
KILL_FILE: Final = "uploads/2024/12/lecture.mp4"
KILL_SIZE: Final = 96_000_000  # bytes: long enough on the way to be killed in the middle
KILL_AT: Final = 0.3  # of it
DIFFERENCES: Final = 20  # shown at most
_CLASSES: Final = [str(item["class"]) for item in PRIORITY]


@click.command("demo")
def command() -> int:
    """Show a primary and a fresh secondary on this machine, in a temporary directory that is removed afterwards.

    The exit code is 0 if both trees are equal at the end.
    """
    with Stage() as stage:
        return Demo(stage).run()


class Demo:
    """The acts, in order. Every number that is printed was measured in this run."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._primary, self._secondary = stage.nodes
        self._chance = random.Random(SEED + 1)  # noqa: S311 - contents of files, of which the site has none
        self._site = Site()

    def run(self) -> int:
        """All acts; the exit status."""
        began = time.monotonic()
        self._prepare()
        self._fill()
        _title("Changes, from the write on one side until it can be read on the other")
        for amount in SAVED_SIZES:
            self._save(amount)
        self._delete()
        self._rename()
        self._edit()
        self._kill()
        status = self._compare()
        _say(f"all of it took {time.monotonic() - began:.0f} s")
        return status

    # ---- the secondary comes up

    def _prepare(self) -> None:
        _title("A primary with a WordPress wp-content")
        self._site = make_site(self._primary.tree, SEED)
        for name in _CLASSES:
            _say(f"{name}: {count(self._site.files[name], 'file')}, {size(self._site.bytes[name])}")
        began = time.monotonic()
        self._stage.start(self._primary)
        for name in _CLASSES:
            self._primary.wait(**{"class": name})
        _say(f"started, scanned and serving after {time.monotonic() - began:.2f} s")

    def _fill(self) -> None:
        _title("A fresh secondary with an empty directory joins")
        began = time.monotonic()
        self._stage.start(self._secondary)
        self._secondary.ask("/livez")
        _say(f"its process was up after {time.monotonic() - began:.2f} s")
        marks: dict[str, float] = {}

        def mark(name: str) -> None:
            marks[name] = self._secondary.wait(**{"class": name}) - began

        watchers = ThreadPoolExecutor(len(_CLASSES) + 1)
        try:
            synced = watchers.submit(self._secondary.wait, state="in-sync")
            waits: list[Future[Any]] = [synced, *(watchers.submit(mark, name) for name in _CLASSES)]
            fill(lambda: self._secondary.ask("/v1/status"), began, marks, lambda: all(wait.done() for wait in waits))
            for wait in waits:
                wait.result()
        finally:
            watchers.shutdown(wait=False)  # what still waits ends with the node
        passed, total = synced.result() - began, self._site.bytes.total()
        first = _CLASSES[0]
        _say(f"READY for traffic ({first}) {marks[first]:.2f} s after its start")
        _say(f"in sync after {passed:.2f} s: {size(total)} at {rate(total, passed)}, its start included")

    # ---- changes

    def _save(self, amount: int) -> None:
        name = f"{SAVED_IN}/saved-{amount}.bin"
        target = os.path.join(self._secondary.tree, name)
        times = []
        for _ in range(SAVES):
            data = self._chance.randbytes(amount)
            with Arrivals(os.path.dirname(target)) as arrivals:
                began = time.monotonic()
                _write(os.path.join(self._primary.tree, name), data)
                arrivals.wait(f"the saved {name}", lambda data=data: _read(target) == data)  # type: ignore[misc]
                times.append(time.monotonic() - began)
        worst, median = max(times), statistics.median(times)
        _say(f"save of {size(amount)}: {_ms(median)} (median of {SAVES}; slowest {_ms(worst)})")

    def _delete(self) -> None:
        name = f"{SAVED_IN}/saved-{SAVED_SIZES[0]}.bin"
        target = os.path.join(self._primary.tree, name)
        with Arrivals(os.path.dirname(target)) as arrivals:
            began = time.monotonic()
            os.unlink(os.path.join(self._secondary.tree, name))
            arrivals.wait("the deletion", lambda: not os.path.lexists(target))
            _say(f"delete, on the secondary: {_ms(time.monotonic() - began)}")

    def _rename(self) -> None:
        new = f"{OLD_YEAR}-archived"
        old_here, new_here = (os.path.join(self._primary.tree, name) for name in (OLD_YEAR, new))
        old_there, new_there = (os.path.join(self._secondary.tree, name) for name in (OLD_YEAR, new))
        before = self._wire()
        names = _names(old_here)
        began = time.monotonic()
        os.rename(old_here, new_here)
        end = until("the rename", lambda: not os.path.lexists(old_there) and _names(new_there) == names)
        moved = self._wire() - before
        what = f"rename of a directory of {len(names)} files and directories"
        _say(f"{what}: {_ms(end - began)}, {size(moved)} over the wire")

    def _edit(self) -> None:
        path = os.path.join(self._primary.tree, BIG_FILE)
        target = os.path.join(self._secondary.tree, BIG_FILE)
        edited = os.path.join(self._primary.base, "edited")
        with open(path, "rb") as file:
            data = file.read()
        quarter = len(data) // 4
        _write(edited, INSERTED.join(data[start : start + quarter] for start in range(0, len(data), quarter)))
        before = self._wire()
        with Arrivals(os.path.dirname(target)) as arrivals:
            began = time.monotonic()
            os.rename(edited, path)
            arrivals.wait("the edit", lambda: _same_stamp(path, target))
            passed = time.monotonic() - began
        same = same_bytes(path, target)
        moved = self._wire() - before
        _say(f"three small insertions into a file of {size(BIG_SIZE)}: {_ms(passed)}, {size(moved)} over the wire")
        if not same:
            _say("  but the bytes differ")

    # ---- a crash

    def _kill(self) -> None:
        _title("kill -9 of the secondary in the middle of a transfer, and a restart")
        before = self._wire()
        fetched = self._secondary.folder()["fetched_bytes"]
        _write(os.path.join(self._primary.tree, KILL_FILE), self._chance.randbytes(KILL_SIZE))
        at = fetched + KILL_AT * KILL_SIZE
        until("the transfer", lambda: self._secondary.folder()["fetched_bytes"] >= at)
        here = self._secondary.folder()["fetched_bytes"] - fetched
        self._secondary.kill()
        _say(f"killed when about {size(here)} of a file of {size(KILL_SIZE)} had come")
        began = time.monotonic()
        self._stage.start(self._secondary)
        end = self._secondary.wait(state="in-sync")
        after = self._wire()
        again = max(0, after - before - KILL_SIZE)
        _say(f"in sync {end - began:.2f} s after the restart, its start included")
        _say(f"over the wire in all: {size(after - before)}, {size(again)} of it talk and what came twice")

    # ---- the proof

    def _compare(self) -> int:
        _title("Both trees, compared entry by entry: names, kinds, modes, mtimes in ns, bytes")
        self._quiet()
        found, kinds = differences(self._primary.tree, self._secondary.tree, DIFFERENCES)
        held = f"{count(kinds['file'], 'file')}, {count(kinds['link'], 'link')}, {kinds['directory']} directories"
        for difference in found:
            _say(difference)
        _say(f"DIFFERENT (the first {len(found)} differences)" if found else f"equal: {held}")
        return 1 if found else 0

    # ---- inside

    def _wire(self) -> int:
        """Bytes that ever went over the wire, both ways, as the primary counts them, once nothing moves any more."""
        self._quiet()
        folder = self._primary.folder()
        return int(folder["bytes_in"] + folder["bytes_out"])

    def _quiet(self) -> None:
        """Return when both are in sync about the same manifest."""
        until("that both are in sync", self._is_quiet)

    def _is_quiet(self) -> bool:
        folders = [node.folder() for node in self._stage.nodes]
        return len({folder["root"] for folder in folders}) == 1 and all(
            folder["state"] == "in-sync" for folder in folders
        )


class Arrivals:
    """Tells when something changes in a directory; a context manager. Looks every few ms where there is no inotify."""

    def __init__(self, directory: str) -> None:
        self._inotify: Any = None
        try:
            from inotify_simple import INotify, flags

            self._inotify = INotify()
        except (ImportError, OSError):
            return
        self._inotify.add_watch(directory, flags.CLOSE_WRITE | flags.MOVED_TO | flags.MOVED_FROM | flags.DELETE)

    def __enter__(self) -> "Arrivals":
        return self

    def __exit__(self, *error: object) -> None:
        if self._inotify is not None:
            self._inotify.close()

    def wait(self, what: str, reached: Callable[[], bool]) -> None:
        """Return when it is so. Raises DemoFailed at the deadline."""
        if self._inotify is None:
            until(what, reached)
            return
        deadline = time.monotonic() + DEADLINE
        while not reached():
            left = deadline - time.monotonic()
            if left <= 0:
                raise DemoFailed(f"{what} did not come within {DEADLINE:.0f} s", os.EX_SOFTWARE)
            self._inotify.read(timeout=int(left * 1000) + 1)


def _same_stamp(one: str, two: str) -> bool:
    first, second = os.stat(one), os.stat(two)
    return (first.st_size, first.st_mtime_ns) == (second.st_size, second.st_mtime_ns)


def _names(tree: str) -> set[str]:
    found = set()
    for directory, directories, files in os.walk(tree):
        found |= {os.path.relpath(os.path.join(directory, name), tree) for name in directories + files}
    return found


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def _write(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _title(text: str) -> None:
    click.echo(f"\n{text}")


def _say(text: str) -> None:
    click.echo(f"  {text}")


if __name__ == "__main__":
    from syncd.cli.main import main

    sys.exit(main(["demo"], prog_name="syncd"))
