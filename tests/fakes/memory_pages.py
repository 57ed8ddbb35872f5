"""Leaves and pages in sorted lists: what the index does with tables, for tests."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping

from protocol.pages import Leaf, Page, Root, root, update


class MemoryPages:
    """A PageStorage, and a Tree of reconcile.py. Efficient up to some 100 000 leaves."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._keys: list[bytes] = []
        self._leaves: dict[bytes, Leaf] = {}
        self._levels: dict[int, tuple[list[bytes], list[Page]]] = {}

    # ---- leaves

    def put(self, leaves: Iterable[Leaf]) -> None:
        """Insert or replace leaves and bring the pages in line."""
        self.change({leaf.key: leaf for leaf in leaves})

    def remove(self, keys: Iterable[bytes]) -> None:
        """Remove leaves and bring the pages in line."""
        self.change(dict.fromkeys(keys))

    def change(self, changes: Mapping[bytes, Leaf | None]) -> None:
        """Insert, replace or (None) remove leaves and bring the pages in line."""
        self._store(changes)
        update(self, self.seed, changes)

    def get(self, key: bytes) -> Leaf | None:
        """The leaf at a key."""
        return self._leaves.get(key)

    def __len__(self) -> int:
        return len(self._keys)

    def leaves(self, lo: bytes, hi: bytes | None) -> list[Leaf]:
        """The leaves with lo <= key < hi, in order."""
        return [self._leaves[key] for key in self._keys[_range(self._keys, lo, hi)]]

    def is_empty(self, lo: bytes, hi: bytes | None) -> bool:
        """Whether no leaf has lo <= key < hi."""
        found = _range(self._keys, lo, hi)
        return found.start == found.stop

    # ---- pages

    def pages(self, level: int, lo: bytes, hi: bytes | None) -> list[Page]:
        """The pages with lo <= first < hi, in order."""
        firsts, found = self._level(level)
        return found[_range(firsts, lo, hi)]

    def page_at(self, level: int, key: bytes) -> Page | None:
        """The page with the greatest first <= key."""
        firsts, found = self._level(level)
        place = bisect_right(firsts, key)
        return found[place - 1] if place else None

    def next_page(self, level: int, key: bytes) -> Page | None:
        """The page with the smallest first > key."""
        firsts, found = self._level(level)
        place = bisect_right(firsts, key)
        return found[place] if place < len(found) else None

    def replace(self, level: int, lo: bytes, hi: bytes | None, pages: list[Page]) -> None:
        """Remove the pages with lo <= first < hi and put `pages` in their place."""
        firsts, found = self._level(level)
        new = [page.first for page in pages]
        assert new == sorted(set(new))
        assert all(lo <= first and (hi is None or first < hi) for first in new)
        place = _range(firsts, lo, hi)
        firsts[place] = new
        found[place] = pages

    def shape(self) -> dict[int, list[Page]]:
        """All pages of all levels that have some."""
        return {level: list(found) for level, (_, found) in sorted(self._levels.items()) if found}

    def root(self) -> Root:
        """The root of the pages."""
        return root(self)

    def _level(self, level: int) -> tuple[list[bytes], list[Page]]:
        return self._levels.setdefault(level, ([], []))

    def _store(self, changes: Mapping[bytes, Leaf | None]) -> None:
        for key, leaf in changes.items():
            if leaf is None:
                self._leaves.pop(key, None)
            else:
                self._leaves[key] = leaf
        if len(changes) * 50 > len(self._keys):
            self._keys = sorted(self._leaves)
        else:
            for key in changes:
                place = bisect_left(self._keys, key)
                known = place < len(self._keys) and self._keys[place] == key
                if known and key not in self._leaves:
                    del self._keys[place]
                elif not known and key in self._leaves:
                    self._keys.insert(place, key)


def _range(keys: list[bytes], lo: bytes, hi: bytes | None) -> slice:
    start = bisect_left(keys, lo)
    return slice(start, len(keys) if hi is None else max(start, bisect_left(keys, hi)))
