"""What stays in the archive, and whether it still is what it was. Runs in the folder's worker thread, in small steps.

Bytes that somebody wrote through a descriptor that they held while their file was displaced are in the archive too:
items are looked at again for that a minute later, and all of them with every round.

A row goes before its file: a file without a row is found again at the next start, and kept from then on.
"""

import os
from collections.abc import Callable
from typing import Any, Final, NamedTuple, cast

from protocol.paths import display
from protocol.record import Kind
from syncd.config.values import Amount
from syncd.core.events import KEPT, Problem
from syncd.node.findings import Report
from syncd.store.archive import Archive, ArchivedItem
from syncd.store.contents import Contents
from syncd.store.hasher import FileChanged, Hasher
from syncd.store.index import SqliteIndex
from syncd.store.index_archive import Archived

LATE: Final = 60 * 10**9  # ns after which an item is looked at for late writes: who still writes has flushed by then
# ns that an item stays though the archive is too large: what is put back is read from there, and late writers are met.
GRACE: Final = 600 * 10**9
ITEMS: Final = 500  # in one step: some milliseconds
SUMMED: Final = 5_000  # items whose sizes are added in one step
HASHED: Final = 32 << 20  # bytes hashed in one step, but for one large file
WRITTEN_LATE: Final = "written to after it was displaced"
_LOOKED: Final = "archive.looked"
_START: Final = (-1, b"")


class ArchiveLimits(NamedTuple):
    """most: space for what may go. seconds: that it is kept."""

    most: Amount = Amount(10.0, None)
    seconds: float = 30 * 86_400.0


class Retention:
    """See the module. clock: wall time, ns. removed: (items, bytes) since the start. size: bytes that are there.

    steadily(work): does all of the work again if the index fails, when that works again.
    """

    def __init__(
        self,
        index: SqliteIndex,
        contents: Contents,
        archive: Archive,
        hasher: Hasher,
        limits: ArchiveLimits,
        clock: Callable[[], int],
        steadily: Callable[[Callable[[], Any]], Any] = lambda work: work(),
    ) -> None:
        self._steadily = steadily
        self._index = index
        self._contents = contents
        self._archive = archive
        self._hasher = hasher
        self._limits = limits
        self._clock = clock
        self.removed = (0, 0)
        self._looked = int((index.meta(_LOOKED) or b"-1").decode()), b"\xff"
        self._summed: tuple[int, bytes] | None = _START  # None: all are
        self._size = 0
        self.size = 0  # bytes of the archive, as of the latest round

    def become(self, limits: ArchiveLimits) -> None:
        """Other limits from the next round on."""
        self._limits = limits

    # ---- late writers

    def look(self) -> Report | None:
        """Look at the next items that are old enough; None if there are none."""
        return cast(Report | None, self._steadily(self._look))

    def _look(self) -> Report | None:
        now = self._clock()
        due = [item for item in self._contents.archive_aging(self._looked, ITEMS) if item[0] <= now - LATE]
        if not due:
            return None
        report = Report()
        hashed = 0
        with self._index.transaction():
            for kept_from, archived in due:
                hashed += self._examine(archived, now, report)
                self._looked = kept_from, archived.item.name
                if hashed >= HASHED:
                    break
            self._index.set_meta(_LOOKED, str(self._looked[0]).encode())
        return report

    def look_at_all(self) -> None:
        """Begin anew with the oldest item."""
        self._looked = _START

    def _examine(self, archived: Archived, now: int, report: Report) -> int:
        """Look at one item. Returns how many bytes were hashed."""
        item = archived.item
        try:
            changed = self._archive.changed(item)
            if item.kind != Kind.FILE or (changed is None and archived.content):
                return 0
            return self._take_in(archived, changed, now, report)
        except FileNotFoundError:
            self._contents.archive_remove([item.name])
        except FileChanged:
            if item.size <= HASHED:  # of a larger one that is still written to, the next round is soon enough
                self._contents.archive_renew([item.name], now)
        except OSError as error:
            report.alarms.append(f"an archived file cannot be read: {error.strerror}: {display(item.path)}")
        return 0

    def _take_in(self, archived: Archived, changed: ArchivedItem | None, now: int, report: Report) -> int:
        """Find out what an item holds: its content was not known, or is another one by now."""
        item = archived.item
        fd = self._archive.open(item.name)
        try:
            hashed = self._hasher.hash_open(fd, item.path)
        finally:
            os.close(fd)
        size = hashed.disk.entry.size
        if hashed.small is None:
            self._contents.put(hashed.content, size, hashed.segments, hashed.blocks)
        if changed is None or hashed.content == archived.content:
            self._contents.archive_settle(item.name, hashed.content)
            report.kept.append(hashed.content)
            return size
        entry = hashed.disk.entry
        self._contents.archive_correct(item._replace(size=size, mtime=entry.mtime), hashed.content, WRITTEN_LATE)
        if size <= HASHED:
            self._contents.archive_renew([item.name], now)
        report.kept.append(hashed.content)
        report.problems.append(Problem(item.path, KEPT, f"{WRITTEN_LATE}; archive id {item.name.decode()}"))
        report.alarms.append(
            f"{WRITTEN_LATE}: {display(item.path)}: what was written is in the archive as {item.name.decode()}"
        )
        return size

    # ---- what goes

    def begin(self) -> None:
        """Begin another round."""
        self._summed, self._size = _START, 0

    def expire(self) -> bool:
        """A step of a round; whether there is another one."""
        return cast(bool, self._steadily(self._expire))

    def _expire(self) -> bool:
        if self._summed is not None:
            self._summed, size = self._contents.archive_sum(self._summed, SUMMED)
            self._size += size
            return True
        now = self._clock()
        aging = self._contents.archive_aging(_START, ITEMS)
        status = os.fstatvfs(self._archive.fd)
        most = self._limits.most.of(status.f_blocks * status.f_frsize)
        going: list[ArchivedItem] = []
        staying: list[bytes] = []
        for kept_from, archived in aging:
            age, item = now - kept_from, archived.item
            if age <= self._limits.seconds * 1e9 and (self._size <= most or age <= GRACE):
                break
            if archived.content and self._contents.archive_protects(archived.content):
                staying.append(item.name)
            else:
                going.append(item)
                self._size -= item.size
        with self._index.transaction():
            self._contents.archive_remove([item.name for item in going])
            self._contents.archive_renew(staying, now)
        self._archive.remove([item.name for item in going])
        self.size = self._size
        self.removed = self.removed[0] + len(going), self.removed[1] + sum(item.size for item in going)
        return len(going) + len(staying) == ITEMS
