"""The index of a running node under the simulator: with the copies that its faults need."""

import itertools
import sqlite3
from collections.abc import Container
from pathlib import Path

from syncd.core.index import Row
from syncd.store.index import SqliteIndex
from tests.sim.node import FOLDER


class RealIndexes:
    """Makes indexes in a directory. Each keeps one transaction open, as if all of a case happened in it."""

    def __init__(self, place: Path) -> None:
        place.mkdir()
        self.place, self.numbers, self.made = place, itertools.count(), []

    def __call__(self) -> "RealIndex":
        return RealIndex(self, self.new_path())

    def new_path(self) -> Path:
        return self.place / f"{next(self.numbers)}.db"

    def close(self) -> None:
        for index in self.made:
            index.close()


class RealIndex(SqliteIndex):
    """SqliteIndex with what MemoryIndex has besides the protocol."""

    def __init__(self, home: RealIndexes, path: Path) -> None:
        super().__init__(path, FOLDER, page_seed=7)
        self.home, self.path = home, path
        self.archive: Container[bytes] = ()
        home.made.append(self)
        self.begin()

    def copy(self) -> "RealIndex":
        self.commit()
        self.begin()
        path = self.home.new_path()
        with sqlite3.connect(self.path) as source, sqlite3.connect(path) as target:
            source.backup(target)
        source.close()
        target.close()
        return RealIndex(self.home, path)

    def restore(self, copy: "RealIndex") -> None:
        self.rollback()
        self.begin()

    def archived(self, content: bytes) -> bool:
        return content in self.archive

    def all_rows(self) -> list[Row]:
        return self.span(b"", None, 1 << 30)
