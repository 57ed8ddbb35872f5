"""Two nodes' disk sides with real databases on simulated disks: what a power cut makes of what they published."""

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from unittest import mock

import pytest

from protocol.content import block_id
from protocol.keys import generate_secret
from protocol.messages import AskRecords
from syncd.core.events import Settle, Trusted
from syncd.node import workshop
from syncd.node.identity import load_identity
from syncd.node.workshop import Workshop
from syncd.store.applier import Applier, Job, Outcome, Result
from tests.lab.inside import folder_settings
from tests.sim.disk.convenience import opener
from tests.sim.disk.databases import committed, put_back
from tests.sim.disk.install import installed
from tests.sim.disk.system import SimOS

SEEDS = 5


class Nodes:
    """Disk sides of nodes of one folder, by name. Their databases are durable to the last commit."""

    def __init__(self, base: Path) -> None:
        self.system = SimOS(time.time_ns)
        self._secret = generate_secret(secrets.token_bytes(32))
        self._base = base
        self.shops: dict[str, Workshop] = {}
        self.boots = 1

    def start(self, name: str) -> Workshop:
        storage = self._base / name
        storage.mkdir(exist_ok=True)
        identity = load_identity(str(storage), secrets.token_bytes(32))
        settings = folder_settings(self._secret, Path(f"/{name}"))
        shop = Workshop(settings, str(storage), identity, time.time_ns, time.monotonic, secrets.token_bytes)
        low: bytes | None = b""
        while low is not None and shop.ledger.replica.fresh:
            low = shop.ledger.handle(Settle(low)).resume
        self.shops[name] = shop
        return shop

    def save(self, name: str, path: str, data: bytes) -> None:
        with opener(self.system)(f"/{name}/{path}", "wb") as file:
            file.write(data)
        self.shops[name].ledger.observe([path.encode()])

    def send(self, source: str, target: str, small: dict[bytes, bytes]) -> None:
        """Everything that one has goes to another, which applies it."""
        ledger = self.shops[target].ledger
        for message in self.shops[source].library.records(AskRecords(1, b"", None, ())):
            for _ in ledger.receive(message):
                pass
        rows = [row for row in ledger.index.span(b"", None, 100) if row.need is not None]
        actions = ledger.plan([row.key for row in rows])
        jobs = [Job(action, small[action.want.content] if action.want is not None else None) for action in actions]
        report = ledger.apply(jobs, [])
        assert all(result.outcome is Outcome.DONE for result in report.results), report.results

    def read(self, name: str, path: str) -> bytes:
        with opener(self.system)(f"/{name}/{path}", "rb") as file:
            return bytes(file.read())

    def power_cut(self, name: str, seed: int) -> None:
        self.boots += 1
        self.shops[name].hands.close()
        self.shops[name].reader.close()
        self.shops[name].library.close()
        self.shops[name].index.close()
        self.system.power_cut(self.system.disks[f"/{name}".encode()], Random(seed))


@contextmanager
def nodes(base: Path) -> Iterator[Nodes]:
    result = Nodes(base)
    result.system.mount("/a")
    result.system.mount("/b")

    def boot() -> bytes:
        return b"%d" % result.boots

    with installed(result.system), mock.patch.object(workshop, "_boot", boot):
        yield result
        for shop in result.shops.values():
            shop.close()


CONTENTS = (b"old", b"new!")


def published_after_a_power_cut(base: Path, seed: int, *, cut_index: bool = False) -> tuple[list[bytes], bytes]:
    """(contents that b publishes as its own edits after it lost power, what is live there): a's edit had been applied
    and committed there, but was not durable. cut_index: neither was the commit."""
    base.mkdir()
    with nodes(base) as both:
        both.start("a")
        both.start("b")
        both.save("a", "f", b"old")
        block_key = both.shops["a"].ledger._keys.block_key
        assert block_key is not None
        contents = {block_id(block_key, data): data for data in CONTENTS}
        both.send("a", "b", contents)
        both.system.disks[b"/b"].sync()
        (database,) = map(str, base.glob("b/folders/*/index.sqlite3"))
        before = committed(database)
        both.save("a", "f", b"new!")
        both.send("a", "b", contents)
        assert both.read("b", "f") == b"new!"
        both.power_cut("b", seed)
        if cut_index:
            put_back(database, before)
        shop = both.start("b")
        shop.ledger.handle(Trusted())
        reports = list(shop.ledger.scan(b"", lambda path: None))
        return [push.blob or b"" for report in reports for push in report.pushes], both.read("b", "f")


def test_a_power_cut_does_not_make_old_contents_new_edits(tmp_path: Path) -> None:
    for seed in range(SEEDS):
        published, live = published_after_a_power_cut(tmp_path / str(seed), seed)
        assert not published, f"seed {seed}: with {live!r}"


def test_with_a_flush_before_the_commit_a_power_cut_takes_nothing_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply = Applier.apply

    def apply_durably(applier: Applier, jobs: Sequence[Job], *, durable: bool) -> list[Result]:
        results = apply(applier, jobs, durable=durable)
        applier.flush()
        return results

    monkeypatch.setattr(Applier, "apply", apply_durably)
    for seed in range(SEEDS):
        assert published_after_a_power_cut(tmp_path / str(seed), seed) == ([], b"new!")


def test_an_index_that_lost_as_much_publishes_nothing_old(tmp_path: Path) -> None:
    for seed in range(SEEDS):
        published, live = published_after_a_power_cut(tmp_path / str(seed), seed, cut_index=True)
        assert published == ([b"new!"] if live == b"new!" else []), f"seed {seed}"
