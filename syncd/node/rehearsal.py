"""A rehearsal: what a folder would do now, found out with the real judgement on a copy of its index.

Nothing of the folder is written: the tree is read through descriptors, the index is copied to a scratch directory, and
what would be published is signed by a key that nobody knows. Units are looked at path by path here; to the guard each
of them counts as one change, as ever.
"""

import contextlib
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from typing import Final, NamedTuple, cast

from protocol.keys import Tier
from protocol.messages import Records
from protocol.record import Kind, Record
from syncd.config.settings import Folder as FolderSettings
from syncd.core.events import Action, Forget, PeerCounters, Problem, Scanned, Settle, Started
from syncd.core.identity import Identity
from syncd.core.patterns import Patterns
from syncd.core.planner import BEFORE_ALL
from syncd.core.priority import FolderPolicy, Priority
from syncd.core.replica import Replica
from syncd.core.units import Units
from syncd.node.findings import Report
from syncd.node.judging import Judging
from syncd.node.ledger import Ledger, Tree
from syncd.node.rules import Rules
from syncd.node.sieve import Sieve
from syncd.node.signer import ReaderSigner, WriterSigner
from syncd.node.workshop import known_nonces
from syncd.store.applier import Applier
from syncd.store.directories import Directories, names_in
from syncd.store.hasher import Hasher
from syncd.store.index import SqliteIndex
from syncd.store.remains import Remains
from syncd.store.root import NO_CONTENT, read_marker
from syncd.store.scanner import Scanner

INDEX: Final = "index.sqlite3"
AT_ONCE: Final = 1_000  # needs planned at a time
SAMPLE: Final = 1_000  # paths of a kind that are named
_KEY_SIZE: Final = 32


class Sum(NamedTuple):
    """Files, their bytes together, and the paths of the first ones."""

    files: int
    size: int
    paths: list[bytes]


class _Sums:
    def __init__(self) -> None:
        self._files: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._paths: dict[str, list[bytes]] = {}

    def add(self, kind: str, path: bytes, size: int) -> None:
        self._files[kind] += 1
        self._bytes[kind] += size
        paths = self._paths.setdefault(kind, [])
        if len(paths) < SAMPLE:
            paths.append(path)

    def of(self, kind: str) -> Sum:
        return Sum(self._files[kind], self._bytes[kind], self._paths.get(kind, []))


class Outcome(NamedTuple):
    """What would happen. fresh: this node is new in the folder, or its index does not know the tree.

    fetched: by class. replaced, removed: here, to the archive. published, deleted: elsewhere. lost: of what is here,
    kept as losing versions. conflicts: losing versions in all. held: what waits for the operator, in words.
    problems: paths that cannot be looked at.
    """

    fresh: bool
    fetched: dict[str, Sum]
    replaced: Sum
    removed: Sum
    published: Sum
    deleted: Sum
    lost: Sum
    conflicts: int
    held: str
    problems: list[Problem]


class Rehearsal:
    """Of one folder. home: the directory of its index, which need not exist. scratch: an empty directory.

    clock: wall time, ns. Raises OSError, RootError, IndexFailed.
    """

    def __init__(self, settings: FolderSettings, home: str, scratch: str, clock: int, monotonic: float) -> None:
        keys = settings.keys
        assert keys.block_key is not None
        assert keys.page_seed is not None
        self._settings = settings
        self._fd = os.open(settings.dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in (INDEX, f"{INDEX}-wal"):
                with contextlib.suppress(FileNotFoundError):
                    shutil.copyfile(os.path.join(home, name), os.path.join(scratch, name))
            self.index = SqliteIndex(os.path.join(scratch, INDEX), keys.folder_id, keys.page_seed)
        except BaseException:
            os.close(self._fd)
            raise
        self._directories = Directories(self._fd)
        self._priority = Priority(settings.priority)
        policy = FolderPolicy(
            self._priority, Patterns(settings.ignore), file_mode=settings.file_mode, dir_mode=settings.dir_mode,
            overwrite_changes=settings.overwrite_changes, symlinks=settings.symlinks, largest=settings.max_file_size,
        )  # fmt: skip
        listed = {copy.path for copy in self.index.copies()}
        scanner = Scanner(
            self._directories, policy.ignored, policy.refusal, settings.max_file_size,
            lambda path, _status: path in listed,
        )  # fmt: skip
        hasher = Hasher(self._directories, keys.block_key)
        # Nothing is applied: whoever asks for it would find nobody.
        tree = Tree(scanner, hasher, cast(Applier, None), Remains(self._directories, keys.block_key))
        secret = os.urandom(_KEY_SIZE)
        signer = WriterSigner(keys, secret, secret) if keys.tier >= Tier.READ_WRITE else ReaderSigner()
        with self.index.transaction():
            identity = Identity(os.urandom(16), keys.folder_id, keys.tier < Tier.READ_WRITE)
            replica = Replica(self.index, identity, policy, signer, lambda: os.urandom(8), units=Units(Patterns(())))
            replica.handle(Started(b""), clock)
        sieve = Sieve(
            self.index, replica, lambda: monotonic, self._is_emptied, False, Units(Patterns(settings.atomic)),
            settings.hold_rewrites,
        )  # fmt: skip
        self._ledger = Ledger(keys, self.index, replica, sieve, tree, lambda: clock, Units(Patterns(())))
        self._ledger.reserve()
        self._sums = _Sums()
        self._problems: dict[bytes, Problem] = {}
        self._own: list[Record] = []
        for report in Rules(settings, policy, self.index, self._directories).take_effect(self._ledger):
            self._take(report)
        marker, known = read_marker(settings.dir), known_nonces(self.index)
        if known and (marker is None or marker.nonce not in known):
            self._take(self._ledger.handle(Forget()))
            if self._is_empty():
                self._ledger.forget_disk()
            self._ledger.reserve()

    def _is_empty(self) -> bool:
        return not set(names_in(self._fd)) - NO_CONTENT

    def _is_emptied(self) -> bool:
        return bool(known_nonces(self.index)) and self._is_empty()

    # ---- what happens

    def meet(self, counters: dict[bytes, int]) -> None:
        """A peer that may write knows these."""
        self._take(self._ledger.handle(PeerCounters(dict(counters))))

    def scan(self) -> None:
        """Look at the tree."""
        for report in self._ledger.scan(b"", lambda _path: None):
            self._take(report)

    def receive(self, message: Records) -> None:
        """Records of a peer. Raises RemoteError."""
        for report in self._ledger.receive(message):
            self._take(report)

    def end(self, settled: bool) -> None:
        """All of the peer's manifest is here. settled: whether the peer is."""
        for report in Judging(self._ledger).judge(first_look=True):
            self._take(report)
        if self._ledger.replica.doubtful:
            self._take(self._ledger.handle(Scanned()))
        low: bytes | None = b"" if settled and self._ledger.replica.fresh else None
        while low is not None:
            report = self._ledger.handle(Settle(low))
            low = report.resume
            self._take(report)

    def _take(self, report: Report) -> None:
        self._own += [push.record for push in report.pushes]
        self._problems.update((problem.path, problem) for problem in report.problems)

    # ---- what comes of it

    def outcome(self, fresh: bool) -> Outcome:
        """What would be done. fresh: whether the index was before the peer was met."""
        names = self._priority.names
        for rank, action in self._actions():
            self._count(names[rank], action)
        for record in self._own:
            self._count_own(record)
        sums = self._sums
        held = self._ledger.sieve.holding()
        return Outcome(
            fresh, {name: sums.of(f"class {name}") for name in names}, sums.of("replaced"), sums.of("removed"),
            sums.of("published"), sums.of("deleted"), sums.of("lost"), self.index.losing_count(),
            held.text if held.paths else "", list(self._problems.values()),
        )  # fmt: skip

    @property
    def fresh(self) -> bool:
        """Whether the index is."""
        return self._ledger.replica.fresh

    def _actions(self) -> Iterator[tuple[int, Action]]:
        for rank in range(len(self._priority.names)):
            after = BEFORE_ALL
            while places := self.index.needed(rank, after, AT_ONCE):
                after = places[-1]
                for action in self._ledger.plan([key for _, key in places]):
                    yield rank, action

    def _count(self, name: str, action: Action) -> None:
        want, have = action.want, action.expect.entry if action.expect is not None else None
        is_file_here = have is not None and have.kind is not Kind.DIR
        if want is None:
            if is_file_here and have is not None:
                self._sums.add("removed", action.path, have.size)
            return
        if want.kind is Kind.DIR or (have is not None and (have.kind, have.content) == (want.kind, want.content)):
            return
        self._sums.add(f"class {name}", action.path, want.size)
        if is_file_here and have is not None:
            self._sums.add("replaced", action.path, have.size)

    def _count_own(self, record: Record) -> None:
        if record.kind is Kind.DELETE:
            if not record.was_directory:
                self._sums.add("deleted", record.path, 0)
        elif record.kind is not Kind.DIR:
            lost = self.index.loses(record.content)
            self._sums.add("lost" if lost else "published", record.path, record.size)

    def close(self) -> None:
        """Close everything; the scratch directory is the caller's."""
        self.index.close()
        self._directories.close()
        os.close(self._fd)
