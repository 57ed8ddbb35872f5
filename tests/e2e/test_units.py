"""Units between real processes: nobody finds half of one, whatever is killed in between."""

import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.cluster import Cluster, Daemon, await_condition, snapshot
from tests.lab.plugin import texts

ATOMIC = {"atomic": ["/plugins/*"]}
FILES = 40
ROUNDS = 3
MANY = 30


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        yield cluster


def bring(daemon: Daemon, version: int) -> None:
    """As WordPress does it: the new plugin beside the folder, the old one away, the new one in."""
    new, old, live = daemon.base / "new", daemon.base / f"old-{version}", daemon.tree / "plugins/foo"
    (new / "inc").mkdir(parents=True)
    (new / "foo.php").write_text(f"{version}")
    for number in range(FILES):
        (new / f"inc/{number}.php").write_text(f"{version}")
    (new / "large.bin").write_bytes(version.to_bytes(4, "big") * 500_000)
    live.parent.mkdir(exist_ok=True)
    if live.exists():
        live.rename(old)
    new.rename(live)


def versions(top: Path) -> set[str]:
    """All versions in the plugin. Raises OSError if a file is missing."""
    *small, large = texts(top, ("foo.php", *(f"inc/{number}.php" for number in range(FILES)), "large.bin"))
    return {*(text.decode() for text in small), str(int.from_bytes(large[:4], "big"))}


def watch(top: Path, stop: Any, seen: Any) -> None:
    """Look at full speed; what was seen goes into the queue in the end, a fault at once."""
    found: set[str] = set()
    over = False
    while not over:
        over = stop.is_set()  # the last look comes after the last version
        try:
            now = versions(top)
        except OSError as error:
            seen.put(f"missing: {error}")
            return
        if len(now) != 1:
            seen.put(f"mixed: {sorted(now)}")
            return
        found |= now
    seen.put(found)


def shows(daemon: Daemon, version: int) -> bool:
    try:
        return versions(daemon.tree / "plugins/foo") == {f"{version}"}
    except OSError:
        return False


def updated(cluster: Cluster, count: int) -> None:
    one = cluster.add("one", folder_options=ATOMIC)
    bring(one, 0)
    one.start()
    two = cluster.add("two", knows=[one], folder_options=ATOMIC).start()
    await_condition(lambda: shows(two, 0), "the plugin does not arrive")
    context = multiprocessing.get_context("fork")
    stop, seen = context.Event(), context.Queue()
    watcher = context.Process(target=watch, args=(two.tree / "plugins/foo", stop, seen))
    watcher.start()
    try:
        for version in range(1, count + 1):
            bring(one, version)
            await_condition(lambda version=version: shows(two, version), f"version {version} does not arrive")  # type: ignore[misc]
    finally:
        stop.set()
    assert seen.get(timeout=30) == {f"{version}" for version in range(count + 1)}
    watcher.join(10)
    cluster.converge()
    assert snapshot(one.tree) == snapshot(two.tree)


def test_a_plugin_that_is_updated_is_never_seen_half(cluster: Cluster) -> None:
    updated(cluster, ROUNDS)


@pytest.mark.heavy
def test_a_plugin_that_is_updated_many_times_is_never_seen_half(cluster: Cluster) -> None:
    updated(cluster, MANY)


@pytest.mark.heavy
def test_whoever_is_killed_has_the_old_unit_or_the_new_one(cluster: Cluster) -> None:
    one = cluster.add("one", folder_options=ATOMIC)
    bring(one, 0)
    one.start()
    two = cluster.add("two", knows=[one], folder_options=ATOMIC).start()
    await_condition(lambda: shows(two, 0), "the plugin does not arrive")
    for version in range(1, ROUNDS + 1):
        bring(one, version)
        await_condition(lambda: bool(two.staging) or shows(two, version), "nothing comes")  # noqa: B023
        two.kill()
        assert len(versions(two.tree / "plugins/foo")) == 1
        two.start()
        await_condition(lambda: shows(two, version), f"version {version} does not arrive")  # noqa: B023
    two.kill()
    two.start()
    cluster.converge()
    assert snapshot(one.tree) == snapshot(two.tree)
    await_condition(lambda: not any(item.is_dir() for item in two.archive) and not two.staging, "debris is left")
