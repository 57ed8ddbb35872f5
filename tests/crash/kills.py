"""`python -m tests.crash.kills --count N`: three nodes under load, SIGKILL at random, and nothing is lost or mixed.

Every file is a token: random bytes that begin with their hash. Users make new tokens on every node, up or down, and
replace and delete some; readers look at all trees the whole time. A file that somebody reads is one token in full; at
the end all nodes have all tokens that were not replaced or deleted, and nothing else.
"""

import argparse
import hashlib
import os
import random
import select
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.lab.cluster import Cluster, Daemon, await_condition, differences, snapshot

SIZES = (40, 2_000, 30_000, 200_000)  # bytes
KEPT = 300  # tokens at a time: older ones are deleted, so that disks and comparisons stay small
PAUSE = 0.1  # seconds between two looks at everything: the nodes are to work, too
LONGEST_LIFE = 0.4  # seconds between two kills
SETTLE_EVERY = 50  # kills after which all nodes have to converge
DEADLINE = 120.0  # seconds for that


def token(chance: random.Random) -> bytes:
    """Random bytes that begin with the hash of the rest: what is cut, mixed or damaged shows by itself."""
    body = chance.randbytes(chance.choice(SIZES))
    return hashlib.sha256(body).digest() + body


def is_token(data: bytes) -> bool:
    """Whether these are a token's bytes, all of them."""
    return hashlib.sha256(data[32:]).digest() == data[:32]


class Readers(threading.Thread):
    """Reads files in all trees over and over. mixed: what was no token."""

    def __init__(self, trees: list[Path]) -> None:
        super().__init__(daemon=True)
        self._trees = trees
        self._ended = threading.Event()
        self.mixed: list[str] = []
        self.read = 0

    def run(self) -> None:
        while not self._ended.wait(PAUSE):
            for tree in self._trees:
                for path in list(tree.glob("[!.]*/*")):
                    try:
                        data = path.read_bytes()
                    except OSError:
                        continue
                    self.read += 1
                    if not is_token(data):
                        self.mixed.append(f"{path}: {len(data)} bytes")

    def end(self) -> None:
        """Stop reading."""
        self._ended.set()
        self.join()


class Load:
    """What users do on the trees. expected: {path: the only token that it may end with}."""

    def __init__(self, daemons: list[Daemon], chance: random.Random) -> None:
        self._daemons, self._chance = daemons, chance
        self._number = 0
        self.expected: dict[str, bytes] = {}
        for daemon in daemons:
            (daemon.tree / daemon.base.name).mkdir()
            (daemon.base / "new").mkdir()

    def work(self) -> None:
        """Some new tokens on every disk; each node's user works in a directory of their own."""
        for daemon in self._daemons:
            name = daemon.base.name
            for _ in range(self._chance.randrange(4)):
                self._number += 1
                self._place(daemon, f"{name}/{self._number}")
            own = [path for path in self.expected if path.startswith(f"{name}/")]
            if own and self._chance.random() < 0.5:
                self._place(daemon, self._chance.choice(own))
            if len(own) > KEPT // len(self._daemons):
                gone = own[0]
                (daemon.tree / gone).unlink(missing_ok=True)
                del self.expected[gone]

    def _place(self, daemon: Daemon, path: str) -> None:
        """As careful programs write: readers never see a part of it."""
        self.expected[path] = token(self._chance)
        (daemon.base / "new/file").write_bytes(self.expected[path])
        os.rename(daemon.base / "new/file", daemon.tree / path)


def campaign(base: Path, count: int, seed: int) -> int:
    """Kill `count` times; the number of files that readers looked at. Raises AssertionError."""
    chance = random.Random(seed)
    with Cluster(base) as cluster:
        one = cluster.add("one")
        two = cluster.add("two", knows=[one])
        three = cluster.add("three", knows=[one, two])
        load = Load(cluster.daemons, chance)
        for daemon in cluster.daemons:
            daemon.start()
        cluster.converge(deadline=DEADLINE)
        readers = Readers([daemon.tree for daemon in (one, two, three)])
        readers.start()
        for number in range(count):
            load.work()
            victim = chance.choice(cluster.daemons)
            select.select([], [], [], chance.random() * LONGEST_LIFE)  # the moment is what chance decides here
            victim.kill()
            load.work()
            victim.start(wait=chance.random() < 0.3)
            if (number + 1) % SETTLE_EVERY == 0 or number + 1 == count:
                settle(cluster, load, f"after {number + 1} kills, seed {seed}")
            assert not readers.mixed, f"seed {seed}: {readers.mixed[:5]}"
        readers.end()
        assert not readers.mixed, f"seed {seed}: {readers.mixed[:5]}"
        for daemon in cluster.daemons:
            assert daemon.stop() == 0
        return readers.read


def settle(cluster: Cluster, load: Load, when: str) -> None:
    """All converge: no token lost, none back, nothing left in staging."""
    for daemon in cluster.daemons:
        daemon.wait_started()
    cluster.converge(deadline=DEADLINE)
    for daemon in cluster.daemons:
        files = {os.fsdecode(path): item[3] for path, item in snapshot(daemon.tree).items() if item[0] == "file"}
        lost = load.expected.keys() - files.keys()
        back = files.keys() - load.expected.keys()
        assert not lost, f"{when}: {daemon.base.name} lost {sorted(lost)[:5]}"
        assert not back, f"{when}: {daemon.base.name} has {sorted(back)[:5]} again"
        other = [path for path, data in load.expected.items() if files[path] != data]
        assert not other, f"{when}: {daemon.base.name} has others in {other[:5]}"
        assert daemon.status()["alarms"] == [], when
        assert differences(snapshot(cluster.daemons[0].tree), snapshot(daemon.tree)) == [], when
        await_condition(lambda daemon=daemon: not daemon.staging, f"{when}: left in staging")  # type: ignore[misc]


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="syncd-kills-") as base:
        read = campaign(Path(base), options.count, options.seed)
    print(f"{options.count} kills in {time.monotonic() - began:.0f} s: nothing lost, nothing mixed in {read} reads")
    return 0


if __name__ == "__main__":
    sys.exit(main())
