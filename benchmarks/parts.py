"""What benchmarks of single parts share: a stopwatch, and the hands of a folder in this process."""

import secrets
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.stage import scratch
from protocol.keys import generate_secret, parse_secret
from protocol.messages import AskRecords, Records
from protocol.record import Kind, Record, make_record
from syncd.core.events import Settle, Trusted
from syncd.node.identity import load_identity
from syncd.node.workshop import Workshop
from tests.lab.inside import folder_settings

COLUMNS: Final = ("us CPU each", "us each", "each second", "count")
FOLDER: Final = bytes(range(16))
SECRET: Final = generate_secret(bytes(range(32)))
KEYS: Final = parse_secret(SECRET)
_ACTOR: Final = b"bench-01"


def timed(work: Callable[[], object], count: int, runs: int) -> list[float | None]:
    """A row for COLUMNS: medians of `runs` calls, each of which does `count` things."""
    walls, cpus = [], []
    for _ in range(runs):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    wall, cpu = statistics.median(walls), statistics.median(cpus)
    return [cpu / count * 1e6, wall / count * 1e6, count / wall, float(count)]


def a_record(path: bytes, counter: int, content: bytes, size: int = 4_096) -> Record:
    """A record as the first sync of a settled folder has them."""
    return make_record(
        folder_id=FOLDER, path=path, kind=Kind.FILE, dot=(_ACTOR, counter), context={_ACTOR: counter},
        spares=frozenset(), stamp=1_700_000_000_000_000_000 + counter, content_dot=(_ACTOR, counter),
        content_stamp=1_700_000_000_000_000_000 + counter, superseded=(), mode=0o644,
        mtime=1_600_000_000_000_000_000 + counter, size=size, content=content,
    )  # fmt: skip


@contextmanager
def place() -> Iterator[Path]:
    """A directory on tmpfs for a while."""
    with tempfile.TemporaryDirectory(dir=scratch(), prefix="syncd-bench-") as name:
        yield Path(name)


@contextmanager
def workshop(base: Path, fill: Callable[[Path], object] | None = None) -> Iterator[Workshop]:
    """Index, tree and staging of a folder at `base`. fill: writes what is then scanned and published."""
    tree, storage = base / "tree", base / "state"
    tree.mkdir(parents=True)
    storage.mkdir()
    if fill is not None:
        fill(tree)
    identity = load_identity(str(storage), secrets.token_bytes(32))
    shop = Workshop(
        folder_settings(SECRET, tree), str(storage), identity, time.time_ns, time.monotonic, secrets.token_bytes
    )
    try:
        if fill is not None:
            shop.ledger.handle(Trusted())
            scan(shop)
            while shop.ledger.replica.fresh:
                shop.ledger.handle(Settle(b""))
        yield shop
    finally:
        shop.close()


def scan(shop: Workshop) -> None:
    """Look at all files."""
    for _ in shop.ledger.scan(b"", lambda _: None):
        pass


def everything(shop: Workshop) -> list[Records]:
    """All records of a folder with the contents of small files, as a node that has nothing is given them."""
    messages: list[Records] = []
    low: bytes | None = b""
    while low is not None:
        answer = list(shop.library.records(AskRecords(1, low, None, (), small=True)))
        messages += answer
        low = answer[-1].next
    return messages
