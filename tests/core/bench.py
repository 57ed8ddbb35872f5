"""A replica on a bench: short ways to show it a disk, to have peers speak, and to read what it decided."""

import itertools
from collections.abc import Iterable

from protocol.batches import Proof
from protocol.edit import Entry, edit_record, found_record
from protocol.merge import State, merge
from protocol.paths import to_key
from protocol.record import DIRECTORY_CONTENT, LINK_MODE, Kind, Record, link_content
from syncd.core.events import Applied, Effects, Observation, Observed, Received, Reserve, Settle
from syncd.core.index import Disk, Row
from syncd.core.replica import Identity, Replica
from tests.fakes.memory_index import MemoryIndex

FOLDER = bytes(range(16))
NOW = 1_000_000
PROOF = Proof(b"certificate", b"signature", 1, ((0, 1, bytes(32)),))
_inodes = itertools.count(1)


def file(token: int, mode: int = 0o644, mtime: int = 1) -> Entry:
    return Entry(Kind.FILE, token.to_bytes(32, "big"), token, mode, mtime, b"")


def directory(mode: int = 0o755) -> Entry:
    return Entry(Kind.DIR, DIRECTORY_CONTENT, 0, mode, 0, b"")


def link(target: bytes) -> Entry:
    return Entry(Kind.LINK, link_content(target), 0, LINK_MODE, 1, target)


class FakePolicy:
    """ignore: paths that take no part. modes: where they are local policy. largest: bytes of the largest file."""

    def __init__(
        self,
        *,
        ignore: Iterable[bytes] = (),
        fixed_modes: bool = False,
        overwrite: bool = True,
        largest: int | None = None,
    ) -> None:
        self.ignore, self.fixed_modes, self.overwrite_changes = set(ignore), fixed_modes, overwrite
        self.largest = largest

    def ignored(self, path: bytes, directory: bool) -> bool:
        return path in self.ignore or any(path.startswith(other + b"/") for other in self.ignore)

    def place(self, path: bytes, want: Entry | None) -> tuple[int, int]:
        return len(path.split(b"/")), 0 if want is None else 1 + want.size

    def normalise(self, seen: Entry, shown: Entry | None) -> Entry:
        return seen._replace(mode=shown.mode) if self.fixed_modes and shown else seen

    def refusal(self, path: bytes, target: bytes) -> str | None:
        return None

    def too_large(self, thing: Entry | None) -> bool:
        return thing is not None and self.largest is not None and thing.size > self.largest


class FakeSigner:
    """Names its proofs by their number."""

    def __init__(self) -> None:
        self.signed: list[tuple[bytes, list[Record]]] = []

    def sign(self, actor: bytes, records: list[Record]) -> dict[bytes, Proof]:
        self.signed.append((actor, list(records)))
        name = len(self.signed).to_bytes(16, "big")
        for record in records:
            record.proof = name
        return {name: PROOF}


class Author:
    """A peer that makes records upon states it is given."""

    def __init__(self, number: int) -> None:
        self.actor, self.counter = bytes([number] * 8), 0

    def edit(self, path: bytes, after: Entry | None, state: State = (), before: Entry | None = None, stamp=0) -> Record:
        self.counter += 1
        stamp = stamp or 100 * self.counter
        return edit_record(path, state, before, after, (self.actor, self.counter), stamp, FOLDER)

    def found(self, path: bytes, after: Entry, stamp: int = 1) -> Record:
        self.counter += 1
        return found_record(path, after, (self.actor, self.counter), stamp, FOLDER)


class Bench:
    """A read-write replica that is settled, unless told otherwise."""

    def __init__(self, *, fresh=False, read_only=False, policy=None, index=None, reserve=1 << 20, settle_rows=1000):
        self.index = index if index is not None else MemoryIndex()
        self.policy, self.signer = policy or FakePolicy(), FakeSigner()
        self.identity = Identity(b"n" * 16, FOLDER, read_only)
        self.sizes = {"reserve": reserve, "settle_rows": settle_rows}
        self.actors = (bytes([200 + n] * 8) for n in range(50))
        self.open()
        self.handle(Reserve())
        if not fresh:
            self.handle(Settle(b""))

    def open(self) -> None:
        self.replica = Replica(
            self.index, self.identity, self.policy, self.signer, lambda: next(self.actors), **self.sizes
        )

    def handle(self, event, now: int = NOW) -> Effects:
        return self.replica.handle(event, now)

    @staticmethod
    def looks(entries: dict[bytes, Entry | None]) -> list[Observation]:
        return [Observation(path, e and Disk(e, next(_inodes), 1)) for path, e in entries.items()]

    def see(self, entries: dict[bytes, Entry | None], now: int = NOW) -> Effects:
        return self.handle(Observed(self.looks(entries)), now)

    def apply(self, entries: dict[bytes, Entry | None]) -> Effects:
        return self.handle(Applied(self.looks(entries)))

    def receive(self, *records: Record) -> Effects:
        return self.handle(Received(list(records), {}))

    def apply_all(self) -> list[tuple[bytes, Entry | None]]:
        """Meet all needs, as an applier would; what was done."""
        done = []
        while actions := self.plan():
            done += actions
            for path, want in actions:
                self.apply({path: want})
        return done

    def row(self, path: bytes) -> Row:
        return self.index.rows([to_key(path)]).get(to_key(path)) or Row(to_key(path), (), None, None)

    def state(self, path: bytes) -> State:
        return self.row(path).state

    def needs(self) -> list[bytes]:
        return [row.key.replace(b"\0", b"/") for row in self.index.all_rows() if row.need]

    def plan(self, *paths: bytes) -> list[tuple[bytes, Entry | None]]:
        """(path, want) of the actions for these paths, or for all needed ones."""
        keys = [to_key(path) for path in paths or self.needs()]
        return [(action.path, action.want) for action in self.replica.plan(keys)]

    def said(self, effects: Effects) -> list[tuple[Kind, bytes]]:
        return [(record.kind, record.path) for record in effects.published]

    def merged(self, *records: Record) -> State:
        return merge(*[(record,) for record in records])


def in_step(entries: dict[bytes, Entry | None], **options) -> Bench:
    """A bench whose users made these entries, all of them published."""
    bench = Bench(**options)
    bench.see(entries)
    return bench
