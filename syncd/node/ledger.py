"""The write side of a folder: index, judgement and tree together, as plain synchronous calls, each one transaction.

The driver runs every call in one worker thread; nothing here knows of sockets or tasks.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from protocol import limits
from protocol.batches import Proof
from protocol.content import block_id, segment_id
from protocol.keys import FolderKeys
from protocol.messages import PUSH, Records
from protocol.paths import ancestors, to_key, to_path
from protocol.record import Kind, Record
from syncd.core.damage import Sign
from syncd.core.events import (
    SKIPPED,
    Action,
    Applied,
    Dismiss,
    Effects,
    Event,
    Observation,
    Observed,
    Placed,
    Problem,
    Put,
    Received,
    Seen,
)
from syncd.core.index import Row
from syncd.core.replica import Replica
from syncd.core.units import Units
from syncd.node.authors import authors
from syncd.node.findings import Findings, Report, StoredContent
from syncd.node.offers import LIST_BYTES, Offers
from syncd.node.recollection import recollect
from syncd.node.refusals import Refusals
from syncd.node.sieve import Sieve, Sifted
from syncd.node.steady import Steady
from syncd.node.verification import parts, verify
from syncd.store.applier import Applier, Job, Outcome
from syncd.store.archive import ArchivedItem
from syncd.store.contents import Contents
from syncd.store.hasher import Hasher
from syncd.store.index import Look, SqliteIndex
from syncd.store.look import Stat
from syncd.store.remains import Remains
from syncd.store.scanner import Gone, Passed, Scanner

SCAN_SLICE_ENTRIES: Final = 2_000  # entries looked at before other work may go between
SCAN_SLICE_BYTES: Final = 32 << 20  # bytes hashed before other work may go between
ROWS_AT_ONCE: Final = 1_000
# What peers may publish has no end, disks do. Millions of paths with long histories stay below the first bound; beyond
# it what is known goes on, up to the second one.
INDEX_BYTES: Final = 8 << 30  # bytes of the index at which peers' records about new paths are not taken any more
INDEX_BYTES_KNOWN: Final = 10 << 30  # bytes at which no records of peers are taken
FULL: Final = (
    "the index is as large as it may become: records of peers about new paths are not taken. If the folder is not that"
    " large, somebody floods it: use a new secret, and remove the storage of this node, whose files are adopted then"
)
DELETED: Final = "deleted"  # why something is in the archive
REPLACED: Final = "replaced"


class Tree(NamedTuple):
    """The hands on the folder's directory."""

    scanner: Scanner
    hasher: Hasher
    applier: Applier
    remains: Remains


class Ledger(Steady):
    """See the module. clock: wall time, ns. units: which directories are published all at once."""

    def __init__(
        self,
        keys: FolderKeys,
        index: SqliteIndex,
        replica: Replica,
        sieve: Sieve,
        tree: Tree,
        clock: Callable[[], int],
        units: Units,
    ) -> None:
        super().__init__(index, replica, clock)
        self._keys = keys
        self.contents = Contents(index)
        self.sieve = sieve
        self.tree = tree
        self.units = units
        self.tops = Offers(LIST_BYTES)  # of block lists, that came with pushes
        self.published = 0  # own records since the start
        self.has_room: Callable[[int], bool] = lambda _size: True  # for so many bytes of small contents, before a batch
        self.wants_authors: Callable[[], bool] = lambda: False  # whether reports name who wrote what was applied
        self.note_applied: Callable[[list[bytes]], None] = lambda _paths: None  # in the transaction of these
        self.refusals = Refusals(tree.scanner)

    # ---- events

    def handle(self, event: Event) -> Report:
        """One event in a transaction of its own."""
        return self._commit(event, ())

    def enact(self, event: Put | Dismiss | Seen, contents: Sequence[StoredContent]) -> Report:
        """An operator's decision about a path, or what it brought. contents: what it is about. Raises Refused."""
        return self._commit(event, contents)

    def _commit(self, event: Event, contents: Sequence[StoredContent]) -> Report:
        report = Report()

        def work() -> tuple[Effects, dict[bytes, Proof]]:
            for content in contents:
                self.contents.put(*content)
            effects = self.replica.handle(event, self._clock())
            if isinstance(event, Placed):
                self.note_applied([record.path for record, _ in event.placed])
            return effects, self.index.proofs({record.proof for record in effects.published})

        effects, proofs = self.steadily(work)
        self.tell(report, effects, {})
        report.proofs.update(proofs)
        self.reserve()
        return report

    def tell(self, report: Report, effects: Effects, blobs: dict[bytes, bytes]) -> None:
        """Add the effects of an event that was committed."""
        self.published += len(effects.published)
        report.take(effects, blobs)

    # ---- what peers say

    def receive(self, *messages: Records) -> Iterator[Report]:
        """Verify the records of all messages, then merge them; a report per transaction.

        Raises RemoteError at the first step, if at all: nothing of the messages is kept then.
        """
        records, proofs = verify(messages, self._keys)
        size = self.read(lambda: self.index.size)
        if size >= INDEX_BYTES:
            records = self._known(records) if size < INDEX_BYTES_KNOWN else []
            yield Report(alarms=[FULL])
        self._keep_tops(records, (blob for message in messages if message.id == PUSH for blob in message.blobs))
        blobs = [blob for message in messages if message.id != PUSH for blob in message.blobs]
        if blobs and self.has_room(sum(map(len, blobs))):
            report, records = self._take_in(records, proofs, blobs)
            yield report
        for part in parts(records):
            if self.replica.doubtful and not self.replica.fresh:
                yield self._recollect(part)
            report = self.handle(Received(part, {record.proof: proofs[record.proof] for record in part}))
            if not self.refusals.none:
                self.refusals.judge(self.rows(map(to_path, report.news)).values(), report)
            yield report

    def _keep_tops(self, records: Iterable[Record], blobs: Iterable[bytes]) -> None:
        """What comes with a push may be tops of block lists."""
        assert self._keys.block_key is not None
        if large := {record.content for record in records if record.size > limits.SMALL_FILE}:
            for blob in blobs:
                if (id_ := segment_id(self._keys.block_key, blob)) in large:
                    self.tops.add(id_, bytes(blob))

    def _recollect(self, records: Iterable[Record]) -> Report:
        findings = self.findings()
        seen = recollect(self.rows(record.path for record in records).values(), self.tree.scanner, findings)
        return self.enter(findings, Sifted([], seen, [])) if seen else findings.report

    def _take_in(
        self, records: list[Record], proofs: dict[bytes, Proof], blobs: Sequence[bytes]
    ) -> tuple[Report, list[Record]]:
        """Place what can be placed at once; the records that are left."""
        assert self._keys.block_key is not None
        contents = {block_id(self._keys.block_key, blob): blob for blob in blobs}
        report = Report()
        try:
            newcomers = self.read(lambda: self.replica.newcomers(records, contents))
            placed = self.tree.applier.plant(newcomers, contents)
        except OSError:
            return report, records  # the long way finds out what is wrong with which path
        if placed:
            done = {record.hash for record, _ in placed}
            used = {record.proof: proofs[record.proof] for record, _ in placed}
            report = self.handle(Placed(placed, used))
            report.placed = sum(record.size for record, _ in placed)
            report.planted = [(record, used[record.proof].certificate) for record, _ in placed]
            records = [record for record in records if record.hash not in done]
        self._stock(records, contents)
        return report, records

    def _stock(self, records: list[Record], contents: dict[bytes, bytes]) -> None:
        """Keep what came along for units, which are shown when all of them is there."""
        if self.units.none:
            return
        try:
            for record in records:
                if record.content in contents and self.units.of(record.path) is not None:
                    self.tree.applier.stock(record.content, contents[record.content])
        except OSError:  # it is asked for again, and whoever stages it then tells what is wrong
            return

    def _known(self, records: list[Record]) -> list[Record]:
        """Those about paths that the manifest knows."""
        rows = self.rows({record.path for record in records})
        known = {key for key, row in rows.items() if row.state}
        return [record for record in records if to_key(record.path) in known]

    # ---- looking at the disk

    def scan(self, below: bytes, on_directory: Callable[[bytes], None]) -> Iterator[Report]:
        """Compare the tree, or the directory `below`, with what was last seen; a report per slice of work.

        on_directory(path): called before a directory's entries are listed.
        """
        stats = self.walk(below, on_directory)
        findings, entries = self.findings(), 0
        refused: list[Problem] | None = None if self.refusals.none else []
        if below:
            self.observe_above([*ancestors(below), below], findings)
        for item in self.tree.scanner.compare(stats, self.seen(below, refused), self._clock()):
            if isinstance(item, Passed):
                entries += item.entries
            elif isinstance(item, Problem):
                self.trouble(item, findings)
            elif isinstance(item, Gone):
                if not self._waits(item.path, True, findings.report.units):
                    findings.gone(item.path)
            elif not self._waits(item.stat.path, item.stat.kind is Kind.DIR, findings.report.units):
                findings.examine(item.stat)
            if entries >= SCAN_SLICE_ENTRIES or findings.hashed >= SCAN_SLICE_BYTES:
                yield self._publish(findings, entries)
                findings, entries = self.findings(), 0
        for problem in refused or ():
            findings.trouble(problem)
        yield self._publish(findings, entries)

    def walk(self, below: bytes, on_directory: Callable[[bytes], None]) -> Iterator[Stat | Problem]:
        """What is below a directory. on_directory(path): called before a directory's entries are listed."""
        for item in self.tree.scanner.walk(below):
            if isinstance(item, Stat) and item.kind == Kind.DIR:
                on_directory(item.path)
            yield item

    def observe(self, paths: Iterable[bytes], written: Collection[bytes] = ()) -> Report:
        """Look at single paths; of a directory that is new or gone, at everything below it too.

        What lies in a unit is not looked at by itself. written: see `observe_one`.
        """
        units: set[bytes] = set()
        findings, wanted = self.look_at([path for path in paths if not self._is_part(path, units)], written)
        findings.report.units |= units
        return self._publish(findings, wanted)

    def look_at(self, paths: Iterable[bytes], written: Collection[bytes] = ()) -> tuple[Findings, int]:
        """Look at single paths, as `observe`, and publish nothing. Returns also how many these are."""
        findings = self.findings()
        wanted = sorted(set(paths), key=to_key)
        above = {directory for path in wanted for directory in ancestors(path)}
        self.observe_above(above.difference(wanted), findings)
        rows = self.rows(wanted)
        for path in wanted:
            self.observe_one(path, rows.get(to_key(path)), findings, path in written)
        return findings, len(wanted)

    def rehash(self, paths: Iterable[bytes]) -> Report:
        """Hash files once more that were young when they were hashed."""
        findings = self.findings()
        for path in sorted(set(paths), key=to_key):
            if self._is_part(path, findings.report.units):
                continue
            stat = self.tree.scanner.stat_one(path)
            if isinstance(stat, Stat):
                findings.examine(stat)
            elif stat is None:
                findings.missing(path)
        return self._publish(findings, 0)

    def observe_above(self, paths: Collection[bytes], findings: Findings) -> None:
        """Look at those directories that were not seen as such: whatever they replace is gone, and so is published as
        gone together with what is in them. Otherwise it would only be hidden, and come back with their end.
        """
        rows = self.rows(paths)
        for path in sorted(paths, key=to_key):
            row = rows.get(to_key(path))
            if row is None or row.disk is None or row.disk.entry.kind != Kind.DIR:
                stat = self.tree.scanner.stat_one(path)
                if isinstance(stat, Stat) and stat.kind == Kind.DIR:
                    findings.examine(stat)

    def observe_one(self, path: bytes, row: Row | None, findings: Findings, written: bool = False) -> None:
        """Look at a single path, of which the index has `row`. written: a file is hashed though its times are the same.

        We write to no file that is live, so it was somebody else; in the clock step of our placing it, perhaps.
        """
        seen = row.disk if row is not None else None
        was_directory = seen is not None and seen.entry.kind == Kind.DIR
        stat = self.tree.scanner.stat_one(path)
        if isinstance(stat, Problem):
            self.trouble(stat, findings)
            return
        if stat is not None:
            findings.there(stat)
        if was_directory and (stat is None or stat.kind != Kind.DIR):
            for key in self.read(lambda: self.index.seen_below(to_key(path))):
                findings.gone(to_path(key))
        if stat is None:
            if row is not None and row.need is not None:
                self._reopen(path, findings)
            if seen is not None:
                findings.gone(path)
            else:
                findings.missing(path)
            if row is not None and (refusal := self.refusals.of(row)) is not None:
                findings.trouble(refusal)
            return
        if self.tree.scanner.differs(stat, seen) or written:
            findings.examine(stat)
        if stat.kind == Kind.DIR and not was_directory:
            for item in self.tree.scanner.walk(path):
                if isinstance(item, Problem):
                    self.trouble(item, findings)
                elif not self._waits(item.path, item.kind is Kind.DIR, findings.report.units):
                    findings.examine(item)

    def _waits(self, path: bytes, directory: bool, noted: set[bytes]) -> bool:
        """Whether a difference at the path is looked at with the whole of its unit, which is noted.

        directory: whether a directory is there, or may have been. A fresh index publishes nothing by looking.
        """
        unit = self.units.of(path)
        if unit is None or self.replica.fresh or (path == unit and not directory):
            return False
        noted.add(unit)
        return True

    def _is_part(self, path: bytes, noted: set[bytes]) -> bool:
        """Whether the path is looked at with the whole of its unit only, which is noted then."""
        unit = self.units.of(path)
        if unit is None:
            return False
        stat = self.tree.scanner.stat_one(unit) if path == unit else None
        return self._waits(path, not isinstance(stat, Stat) or stat.kind is Kind.DIR, noted)

    def trouble(self, problem: Problem, findings: Findings) -> None:
        """What takes no part in replication is a fault only in the place of something that does."""
        if problem.operation == SKIPPED:
            row = self.rows([problem.path]).get(to_key(problem.path))
            if row is not None and any(record.live for record in row.state) and self.refusals.of(row) is None:
                problem = problem._replace(operation="read")
        findings.trouble(problem)

    def findings(self) -> Findings:
        """For what a look finds."""
        return Findings(self.tree.hasher, self._clock())

    def _reopen(self, path: bytes, findings: Findings) -> None:
        """Something is needed at the path: directories above it that are gone, and held for it, are needed too."""
        for above in self.read(lambda: self.sieve.held_above(ancestors(path))):
            if self.tree.scanner.stat_one(above) is None:
                findings.conceded.append(Observation(above, None))

    def _publish(self, findings: Findings, entries: int) -> Report:
        """What is suspicious is kept back."""
        findings.report.entries = entries
        if not findings.observations and not findings.conceded:
            return findings.report
        report = self.enter(findings, self.read(lambda: self.sieve.sift(findings.observations)))
        report.alarms += self.read(self.sieve.alarms)
        return report

    def enter(self, findings: Findings, sifted: Sifted) -> Report:
        """Publish what was found, in one transaction. sifted: what becomes of its observations."""
        report = findings.report
        concede = [*sifted.concede, *findings.conceded]
        signs = self._signs(sifted.publish)

        def work() -> tuple[list[Effects], dict[bytes, Proof]]:
            for content in findings.contents:
                self.contents.put(*content)
            events: list[Event] = [Seen(concede)] if concede else []
            if sifted.publish:
                events.append(Observed(sifted.publish, signs))
            effects = [self.replica.handle(event, self._clock()) for event in events]
            if sifted.drop is None:
                self.sieve.held.clear()
            elif sifted.drop or findings.conceded:
                self.sieve.held.drop([*sifted.drop, *(to_key(item.path) for item in findings.conceded)])
            return effects, self.index.proofs({record.proof for effect in effects for record in effect.published})

        done, proofs = self.steadily(work)
        for effects in done:
            self.tell(report, effects, findings.blobs)
        report.proofs.update(proofs)
        self.reserve()
        return report

    def rows(self, paths: Iterable[bytes]) -> dict[bytes, Row]:
        """The rows of these paths, by key."""
        keys = [to_key(path) for path in paths]
        return self.read(lambda: self.index.rows(keys))

    def _signs(self, observations: list[Observation]) -> dict[bytes, Sign] | None:
        """After an unclean stop: what is left in files that are not as they were seen last."""
        if not self.replica.doubtful:
            return None
        signs = {}
        rows = self.rows(item.path for item in observations)
        for path, disk in observations:
            if disk is None or disk.entry.kind != Kind.FILE:
                continue
            row = rows.get(to_key(path))
            known = None
            if row is not None and row.disk is not None:
                content = row.disk.entry.content
                known = self.read(lambda content=content: self.contents.block_list(content))  # type: ignore[misc]
            try:
                signs[path] = self.tree.remains.look(path, known)
            except OSError:  # it changes: what was seen of it is out of date already, and is looked at again
                pass
        return signs

    def seen(self, below: bytes, refused: list[Problem] | None = None) -> Iterator[Look]:
        """What was last seen. refused: gets what peers have and is never made here."""
        low, high = (b"", None) if not below else (to_key(below) + b"\0", to_key(below) + b"\x01")
        while True:
            found, last = self.read(lambda start=low: self._seen(start, high, refused))  # type: ignore[misc]
            yield from found
            if last is None:
                return
            low = last + b"\0"

    def _seen(self, low: bytes, high: bytes | None, refused: list[Problem] | None) -> tuple[list[Look], bytes | None]:
        """A part of it, and behind which key the rest is, if there is more."""
        if refused is None:
            found = self.index.seen(low, high, ROWS_AT_ONCE)
            return found, found[-1][0] if len(found) == ROWS_AT_ONCE else None
        rows = self.index.span(low, high, ROWS_AT_ONCE)
        refused += self.refusals.among(rows)
        here = [(row.key, row.disk) for row in rows if row.disk is not None]
        return here, rows[-1].key if len(rows) == ROWS_AT_ONCE else None

    def saw_files(self) -> bool:
        """Whether there were files in the tree when it was last looked at, and not only in the manifest."""
        return any(disk.entry.kind == Kind.FILE for _, disk in self.seen(b""))

    def forget_disk(self) -> None:
        """The tree is a new one: nothing is there of what was last seen. Nothing of that is published."""
        low: bytes | None = b""
        while low is not None:
            rows = self.index.span(low, None, ROWS_AT_ONCE)
            self.handle(Applied([Observation(to_path(row.key), None) for row in rows if row.disk is not None]))
            low = rows[-1].key + b"\0" if len(rows) == ROWS_AT_ONCE else None

    # ---- changing the disk

    def plan(self, keys: Iterable[bytes]) -> list[Action]:
        """The actions that these paths need now."""
        return self.read(lambda: self.replica.plan(keys))

    def apply(self, jobs: Sequence[Job], contents: Sequence[StoredContent]) -> Report:
        """Carry out jobs; what was done and what was displaced goes to the index in one transaction."""
        report = Report(results=self.tree.applier.apply(jobs, durable=True))
        done = [made for result in report.results for made in result.made]
        done += [Observation(result.path, result.disk) for result in report.results if result.outcome == Outcome.DONE]
        archived: dict[str, list[ArchivedItem]] = {DELETED: [], REPLACED: []}
        for job, result in zip(jobs, report.results, strict=True):
            archived[DELETED if job.action.want is None else REPLACED] += result.archived

        def work() -> Effects | None:
            for content in contents:
                self.contents.put(*content)
            for reason, items in archived.items():
                self.contents.archive_add(items, self._clock(), reason)
            self.note_applied([result.path for result in report.results if result.outcome == Outcome.DONE])
            return self.replica.handle(Applied(done), self._clock()) if done else None

        effects = self.steadily(work)
        if effects is not None:
            self.tell(report, effects, {})
        if self.wants_authors():
            report.authors = self.read(lambda: authors(self.index, report.results))
        return report

    @property
    def durable(self) -> bool:
        """Whether all that was applied would survive a power cut."""
        return self.tree.applier.durable

    def flush(self) -> OSError | None:
        """Make all that was applied survive a power cut; the error that kept it from that."""
        try:
            self.tree.applier.flush()
        except OSError as error:
            return error
        return None
