"""A fresh secondary behind a slow link: the themes come first, and the health port says when they are there."""

import http.client
import itertools
import json
import os
import random
import select
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from tests.lab.cluster import PRIORITY, Cluster, Daemon, await_condition
from tests.lab.hosts import Network

pytestmark = pytest.mark.root

RATE = 20_000_000  # bytes per second of the link, each way
THEMES = 5_000_000  # bytes
UPLOADS = 595_000_000
BUDGET = 2 * RATE  # bytes that pass the link in the two seconds in which the themes have to be complete
NOTICE = 5.0  # seconds in which the health port must tell what the disk holds, on a busy machine
PAUSE = 0.01  # seconds between two polls
PATIENCE = 20.0


class Poll(NamedTuple):
    """One request to the health port. Times by the wall clock, seconds. status: 0 if nobody listens."""

    asked: float
    answered: float
    status: int
    reason: str


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    """A wp-content of 600 MB without two equal blocks in it."""
    tree = tmp_path / "primary/tree"
    chance = random.Random(1)
    keystream = Cipher(AES(bytes(16)), CTR(bytes(16))).encryptor()
    write_files(tree / "themes", THEMES, lambda: keystream.update(bytes(chance.randint(500, 30_000))))
    write_files(tree / "uploads", UPLOADS, lambda: keystream.update(bytes(chance.randint(50_000, 2_000_000))))
    os.sync()  # or the secondary's first sync, on the same disk, pays for this
    yield tree
    shutil.rmtree(tree)


def write_files(directory: Path, total: int, content: Callable[[], bytes]) -> None:
    """So many files that they hold `total` bytes."""
    for number in itertools.count():
        if total <= 0:
            return
        data = content()
        place = directory / f"{number % 10}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.php").write_bytes(data)
        total -= len(data)


def poll_until_ready(daemon: Daemon) -> list[Poll]:
    """Every answer of the health port until the themes are ready. To be called on the daemon's host."""
    polls: list[Poll] = []
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and (not polls or polls[-1].status != 200):
        asked = time.time()
        connection = http.client.HTTPConnection(daemon.address, daemon.http_port, timeout=PATIENCE)
        try:
            connection.request("GET", "/readyz?class=themes")
            response = connection.getresponse()
            status, reason = response.status, json.loads(response.read())["reason"]
        except ConnectionRefusedError:
            status, reason = 0, "refused"
        finally:
            connection.close()
        polls.append(Poll(asked, time.time(), status, reason))
        select.select([], [], [], PAUSE)
    return polls


def test_themes_are_complete_first(network: Network, cluster: Cluster, site: Path) -> None:
    one, two = network.pair("one", "two")
    one.limit(RATE)
    two.limit(RATE)
    classes = {"priority": PRIORITY, "ready": {"classes": ["themes"]}}
    primary = cluster.add("primary", address=one.address, prefix=one.prefix, folder_options=classes).start()
    await_condition(lambda: primary.status()["settled"], "the primary does not settle")
    secondary = cluster.add(
        "secondary", knows=[primary], address=two.address, prefix=two.prefix, folder_options=classes, http=True
    )
    before = two.counters()
    polling = two.begin(lambda: (poll_until_ready(secondary), two.counters()))
    secondary.start(wait=False)
    polls, after = polling.result(PATIENCE + 1)
    uploads = sum(1 for _ in (secondary.tree / "uploads").rglob("*.php"))
    needs = {item["class"]: item for item in secondary.status()["classes"]}

    assert polls[-1].status == 200, polls[-1]
    listens = max(poll.asked for poll in polls if not poll.status)
    ready = polls[-1].answered
    appeared = max(path.lstat().st_ctime for path in (secondary.tree / "themes").rglob("*"))
    received = after.received - before.received
    print(f"themes on the disk after {appeared - listens:.3f} s, ready after {ready - listens:.3f} s")
    print(f"{uploads} uploads are there, {received} bytes passed the link")
    assert {path.name: path.read_bytes() for path in (site / "themes").rglob("*.php")} == {
        path.name: path.read_bytes() for path in (secondary.tree / "themes").rglob("*.php")
    }
    assert received < BUDGET
    assert appeared <= ready <= appeared + NOTICE
    assert {poll.status for poll in polls[:-1]} == {0, 503}
    assert all(poll.reason for poll in polls)
    assert needs["themes"]["complete"]
    assert not needs["uploads"]["ready"]
    assert uploads < sum(1 for _ in (site / "uploads").rglob("*.php")) / 2


def test_a_folder_is_emptied_only_if_it_was_full(network: Network, cluster: Cluster) -> None:
    """A scan while the first file is on its way finds an empty folder, and so it was."""
    one, two = network.pair("one", "two")
    one.limit(RATE // 10)
    primary = cluster.add("primary", address=one.address, prefix=one.prefix)
    (primary.tree / "film").write_bytes(os.urandom(RATE // 10))
    primary.start()
    await_condition(lambda: primary.status()["settled"], "the primary does not settle")
    secondary = cluster.add("secondary", knows=[primary], address=two.address, prefix=two.prefix).start()
    await_condition(lambda: secondary.status()["settled"], "the secondary does not settle")
    secondary.rescan()
    status = secondary.status()
    assert (status["state"], status["need_files"], status["files"]) == ("syncing", 1, 1)
    cluster.converge()

    assert secondary.stop() == 0
    (secondary.tree / "film").rename(secondary.base / "film")
    secondary.start()
    await_condition(lambda: secondary.status()["state"] == "held", "an emptied folder is not held")
    primary.rescan()
    assert (primary.tree / "film").exists()
    (secondary.base / "film").rename(secondary.tree / "film")
    cluster.converge()
