"""Losing versions: which bytes the archive still lacks, what the folder itself has of them, and how they get there.

They are kept by every node that may write, so that nobody's edit is on one machine only. They never touch the tree.
Runs in the folder's worker thread.
"""

import contextlib
from collections.abc import Callable, Container, Sequence
from typing import Final, NamedTuple

from protocol.limits import SMALL_FILE
from protocol.paths import display, to_path
from protocol.record import Kind, Record
from syncd.core import sizes
from syncd.core.index import Row
from syncd.node.assembly import Assembly
from syncd.node.findings import Report, StoredContent
from syncd.node.gauge import NoRoom
from syncd.node.ledger import Ledger
from syncd.node.sources import Sources
from syncd.store.archive import Archive, ArchivedItem
from syncd.store.staging import Staged, Staging

LOOKED_AT: Final = 256  # missing ones looked at in one call: some milliseconds
REASON: Final = "lost a conflict"
_START: Final = (b"", b"")


class Loser(NamedTuple):
    """A file's version that loses. size: bytes, mtime: ns."""

    path: bytes
    content: bytes
    size: int
    mode: int
    mtime: int


class LoserSupply(NamedTuple):
    """What the folder has for one: all of it (source), or a beginning (assembly), or nothing."""

    loser: Loser
    source: bytes | Staged | None
    assembly: Assembly | None


class LoserLoad(NamedTuple):
    """Some of those whose bytes are missing. more: whether there are others behind them."""

    items: list[LoserSupply]
    more: bool


class Deposit(NamedTuple):
    """A loser and its verified bytes, which shall go to the archive."""

    loser: Loser
    source: bytes | Staged


class Losers:
    """See the module. clock: wall time, ns. largest: bytes of the largest file that is kept, None for any."""

    def __init__(
        self,
        ledger: Ledger,
        sources: Sources,
        staging: Staging,
        archive: Archive,
        clock: Callable[[], int],
        largest: int | None = None,
    ) -> None:
        self._ledger = ledger
        self._sources = sources
        self._staging = staging
        self._archive = archive
        self._clock = clock
        self._largest = largest
        self._cursor = _START

    def load(self, held: Container[bytes], limit: int, large: int, offered: dict[bytes, bytes]) -> LoserLoad:
        """Up to `limit` of those whose contents are not `held`, in turn, `large` ones of more than a block among them.

        offered: small contents at hand.
        """
        return self._ledger.read(lambda: self._load(held, limit, large, offered))

    def _load(self, held: Container[bytes], limit: int, large: int, offered: dict[bytes, bytes]) -> LoserLoad:
        self._sources.gauge.look()
        if self._sources.gauge.scarce:
            return LoserLoad([], False)
        index = self._ledger.index
        places = index.missing_losers(self._cursor, LOOKED_AT)
        self._cursor = places[-1] if len(places) == LOOKED_AT else _START
        rows = index.rows({key for key, _ in places})
        found: dict[bytes, LoserSupply] = {}
        last = _START
        for key, content in places:
            if content in held or content in found:
                continue
            if len(found) == limit:
                self._cursor = last
                break
            record = record_of(rows.get(key), content)
            if record is not None and sizes.refusal(record.size, self._largest) is not None:
                record = None
            if record is not None and (large > 0 or record.size <= SMALL_FILE):
                large -= record.size > SMALL_FILE
                loser = Loser(to_path(key), content, record.size, record.mode, record.mtime)
                with contextlib.suppress(NoRoom):  # it is met again with the next round
                    found[content] = LoserSupply(loser, *self._sources.find(content, record.size, offered))
            last = key, content
        return LoserLoad(list(found.values()), self._cursor != _START)

    def deposit(self, batch: Sequence[Deposit], contents: Sequence[StoredContent]) -> tuple[Report, list[Deposit]]:
        """Write losers into the archive, durably, and list them there; and those that could not be written.

        One whose conflict was settled meanwhile is left out.
        """
        report = Report()
        failed: list[Deposit] = []
        written: list[tuple[Deposit, ArchivedItem]] = []
        loses = self._ledger.index.loses
        for deposit in batch:
            if self._ledger.read(lambda content=deposit.loser.content: loses(content)):  # type: ignore[misc]
                try:
                    written.append((deposit, self._write(deposit)))
                except OSError as error:
                    failed.append(deposit)
                    report.alarms.append(_complaint(deposit, error))
        items = [item for _, item in written]
        try:
            self._archive.sync(items)
        except OSError as error:
            self._archive.remove([item.name for item in items])
            report.alarms += [_complaint(deposit, error) for deposit, _ in written]
            return report, [*failed, *(deposit for deposit, _ in written)]
        placed = {item.name: deposit.loser.content for deposit, item in written}

        def work() -> None:
            for content in contents:
                self._ledger.contents.put(*content)
            self._ledger.contents.archive_add(items, self._clock(), REASON, placed)

        self._ledger.steadily(work)
        report.kept = list(placed.values())
        return report, failed

    def _write(self, deposit: Deposit) -> ArchivedItem:
        loser, source = deposit
        if isinstance(source, Staged):
            item = self._archive.put(self._staging.fd, source.name, loser.path)
            source.close()
        else:
            item = self._archive.add(source, loser.path, loser.mode, loser.mtime)
        return self._archive.date(item._replace(mode=loser.mode, mtime=loser.mtime))


def record_of(row: Row | None, content: bytes) -> Record | None:
    """A file's record at a path that has this content."""
    of_it = (record for record in row.state if record.kind == Kind.FILE and record.content == content) if row else ()
    return next(iter(of_it), None)


def _complaint(deposit: Deposit, error: OSError) -> str:
    return f"a losing version cannot be kept: {error.strerror or error}: {display(deposit.loser.path)}"
