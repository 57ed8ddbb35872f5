"""What the operator decides about the paths of a folder, and what follows when that changes: live, or while it was off.

The index keeps the rules that its needs were worked out with. As long as they are other ones than those that hold now,
the work is done again from the beginning: a power cut in between loses nothing.
"""

import os
from collections.abc import Iterator
from functools import partial
from typing import Any

from protocol import codec
from protocol.paths import to_path
from protocol.record import Kind
from syncd.config.settings import Folder as FolderSettings
from syncd.core import sizes
from syncd.core.events import Observation, Reconsider, Seen
from syncd.core.index import Disk
from syncd.core.patterns import Patterns
from syncd.core.priority import FolderPolicy, Priority
from syncd.node.findings import Report
from syncd.node.ledger import Ledger
from syncd.store.directories import Directories
from syncd.store.index import SqliteIndex
from syncd.store.index_database import RECONSIDER

_RULES = "rules"
_IGNORE = 1  # places in what is stored
_LARGEST = 6
_ROWS = 5_000  # looked at together


def rules_of(settings: FolderSettings) -> bytes:
    """Everything that needs depend on, as the index keeps it."""
    return codec.pack(
        [
            [[item.name, list(item.patterns), item.order] for item in settings.priority],
            list(settings.ignore),
            settings.symlinks,
            settings.file_mode,
            settings.dir_mode,
            settings.overwrite_changes,
            settings.max_file_size,
        ]
    )


class Rules:
    """Of one folder. Everything here runs in the folder's worker thread."""

    def __init__(
        self, settings: FolderSettings, policy: FolderPolicy, index: SqliteIndex, directories: Directories
    ) -> None:
        self._wanted = rules_of(settings)
        self._policy = policy
        self._index = index
        self._directories = directories

    def become(self, settings: FolderSettings, priority: Priority) -> None:
        """Other rules from now on; `take_effect` is to follow."""
        self._wanted = rules_of(settings)
        self._policy.become(priority, Patterns(settings.ignore))

    def take_effect(self, ledger: Ledger) -> Iterator[Report]:
        """Think over what is needed, if that was not done with these rules."""
        stored = self._index.meta(_RULES)
        if stored == self._wanted and self._index.meta(RECONSIDER) is None:
            return
        if stored is not None:
            yield from self._forget_gone(ledger, *_left_out(stored))
        low: bytes | None = b""
        while low is not None:
            report = ledger.handle(Reconsider(low))
            low = report.resume
            yield report
        wanted = self._wanted

        def store() -> None:
            self._index.set_meta(_RULES, wanted)
            self._index.set_meta(RECONSIDER, None)

        ledger.steadily(store)

    def _forget_gone(self, ledger: Ledger, before: Patterns, largest: int | None) -> Iterator[Report]:
        """What went away while it took no part was nobody's deletion: it is fetched again, not deleted elsewhere.

        before, largest: the ignore rules and the greatest size of before.
        """
        low = b""
        while rows := ledger.read(partial(self._index.span, low, None, _ROWS)):
            low = rows[-1].key + b"\0"
            gone = [
                Observation(path, None)
                for path, disk in ((to_path(row.key), row.disk) for row in rows)
                if disk is not None and self._is_back(path, disk, before, largest) and not self._is_there(path)
            ]
            if gone:
                yield ledger.handle(Seen(gone))

    def _is_back(self, path: bytes, disk: Disk, before: Patterns, largest: int | None) -> bool:
        directory = disk.entry.kind == Kind.DIR
        size = disk.entry.size if disk.entry.kind == Kind.FILE else 0
        left_out = before.match(path, directory) or sizes.refusal(size, largest) is not None
        return left_out and not (self._policy.ignored(path, directory) or self._policy.too_large(disk.entry))

    def _is_there(self, path: bytes) -> bool:
        try:
            fd, name = self._directories.parent(path)
            os.stat(name, dir_fd=fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True  # it cannot be told: a scan says more
        return True


def _left_out(stored: bytes) -> tuple[Patterns, int | None]:
    rules: Any = codec.unpack(stored)
    largest = rules[_LARGEST] if len(rules) > _LARGEST else None  # indexes of before that rule have none
    return Patterns([str(line) for line in rules[_IGNORE]]), largest
