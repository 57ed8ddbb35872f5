"""The Merkle manifest: entries in pages, pages in pages of the next level, one root hash.

The entries of a level are cut into pages by themselves: where a seeded hash of a key says so, and inside such a natural
run wherever a page would grow beyond a bound. So the shape depends on the set of entries alone, one change moves few
pages, and two equal ranges of two nodes hash alike. Level 0 holds the leaves; the entries of a higher level are the
pages below it. Levels end with the first one of a single page; the last level there may be is never cut.

The first page of a level starts at b"", another one at the key of its first entry.
"""

import sys
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, Protocol

from blake3 import blake3
from xxhash import xxh3_64_intdigest

from protocol import limits

HASH_SIZE: Final = 32
_DOMAIN: Final = b"syncd/1 page\0"
_U64: Final = (1 << 64) - 1
_BOUNDARY: Final = (1 << 64) // limits.PAGE_TARGET
_PADDING: Final = b"\xff" * (limits.MAX_PATH + 1)

_boundary_hash = xxh3_64_intdigest
_Entry = tuple[bytes, bytes, int, int]  # key, digest or hash, weight, leaves below


class Leaf(NamedTuple):
    """An entry of the manifest. digest: of the path's state, 32 bytes. weight: bytes of the key and the records."""

    key: bytes
    digest: bytes
    weight: int


class Page(NamedTuple):
    """A run of entries. first: where it starts. hash: 32 bytes. count: leaves below."""

    first: bytes
    hash: bytes
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody calls


class Root(NamedTuple):
    """The page above all others."""

    level: int
    hash: bytes
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody calls


class PageStorage(Protocol):
    """Where leaves and pages are kept, each level sorted by key. `hi` None means to the end."""

    def leaves(self, lo: bytes, hi: bytes | None) -> Iterable[Leaf]:
        """The leaves with lo <= key < hi, in order."""

    def pages(self, level: int, lo: bytes, hi: bytes | None) -> list[Page]:
        """The pages with lo <= first < hi, in order."""

    def page_at(self, level: int, key: bytes) -> Page | None:
        """The page with the greatest first <= key."""

    def next_page(self, level: int, key: bytes) -> Page | None:
        """The page with the smallest first > key."""

    def replace(self, level: int, lo: bytes, hi: bytes | None, pages: list[Page]) -> None:
        """Remove the pages with lo <= first < hi and put `pages`, which lie there, in their place."""


def update(storage: PageStorage, seed: int, changed: Iterable[bytes]) -> None:
    """Bring the pages in line with the leaves after those at `changed` were put, replaced or removed.

    seed: the folder's page seed, 64 bits. Costs one pass over the pages touched, on every level.
    """
    touched = sorted(set(changed))
    for level in range(limits.MAX_LEVELS):
        if not touched:
            return
        if level and storage.next_page(level - 1, b"") is None:
            _drop_from(storage, level)
            return
        touched = _rebuild(storage, seed, level, touched)


def root(storage: PageStorage) -> Root:
    """The root of the pages. An empty manifest has level 0 and the hash of a page without entries."""
    for level in range(limits.MAX_LEVELS):
        first = storage.page_at(level, b"")
        if first is not None and storage.next_page(level, b"") is None:
            return Root(level, first.hash, first.count)
    return Root(0, EMPTY_HASH, 0)


def listing(storage: PageStorage, level: int, lo: bytes, hi: bytes | None) -> list[Page]:
    """The pages of a level whose span meets lo <= key < hi: what a peer who asks for that range is told.

    Above the top level its page stands for all there is, under a hash that no page of `level` has: whoever asks by an
    older root goes on below, and does not take the range for empty.
    """
    at = storage.page_at(level, lo)
    if at is None:
        top = root(storage)
        return [Page(b"", top.hash, top.count)] if top.count else []
    found = storage.pages(level, lo, hi)
    return found if at.first == lo else [at, *found]


def _page_hash(level: int, parts: list[bytes]) -> bytes:
    return blake3(_DOMAIN + bytes([level]) + b"".join(parts)).digest()


EMPTY_HASH: Final = _page_hash(0, [])


def _drop_from(storage: PageStorage, level: int) -> None:
    while level < limits.MAX_LEVELS and storage.page_at(level, b"") is not None:
        storage.replace(level, b"", None, [])
        level += 1


def _rebuild(storage: PageStorage, seed: int, level: int, touched: list[bytes]) -> list[bytes]:
    """Recompute the pages of one level around the entries at `touched`, which came, went or changed.

    Returns the keys of the pages that did so in turn.
    """
    members = frozenset(touched)
    changed: list[bytes] = []
    done = 0
    while done < len(touched):
        old, new, stop = _stretch(storage, seed, level, touched[done], members)
        changed += _replace(storage, level, old, new, stop)
        done = len(touched) if stop is None else bisect_left(touched, stop)
    return changed


def _stretch(
    storage: PageStorage, seed: int, level: int, key: bytes, touched: frozenset[bytes]
) -> tuple[list[Page], list[Page], bytes | None]:
    """(old pages, new pages, where they end) from the touched entry `key` on to where old and new cuts meet again.

    Where a page starts depends on its first entry and on those before it in the natural run, on nothing else. So the
    pages before the one of `key` stay as they are, and so do those behind an old start that is a new one too, up to the
    next touched entry. Only if `key` itself is a start may the page before grow into its place.
    """
    old: list[Page] = []
    page = storage.page_at(level, key)
    if page is not None and page.first == key != b"":
        page = storage.page_at(level, _before(key))
    cutter = _Cutter(seed, level, page.first if page else b"")
    while page is not None:
        following = storage.next_page(level, page.first)
        stop = following.first if following else None
        cutter.add(_entries(storage, level, page.first, stop))
        old.append(page)
        if stop is None or (stop not in touched and _meets(storage, level, cutter, stop)):
            return old, cutter.finish(), stop
        page = following
    cutter.add(_entries(storage, level, b"", None))
    return old, cutter.finish(), None


def _meets(storage: PageStorage, level: int, cutter: "_Cutter", stop: bytes) -> bool:
    """Whether a page of the new cut starts at the entry `stop`, too."""
    if cutter.cuts_before(stop, 0):
        return True
    return any(cutter.cuts_before(key, weight) for key, _, weight, _ in _entries(storage, level, stop, stop + b"\0"))


def _replace(storage: PageStorage, level: int, old: list[Page], new: list[Page], stop: bytes | None) -> list[bytes]:
    same = 0
    while same < min(len(old), len(new)) and old[same] == new[same]:
        same += 1
    differing = {page.first for page in set(old).symmetric_difference(new)}
    if differing:
        storage.replace(level, min(differing), stop, new[same:])
    return sorted(differing)


def _entries(storage: PageStorage, level: int, lo: bytes, hi: bytes | None) -> Iterator[_Entry]:
    if level == 0:
        return ((key, digest, weight, 1) for key, digest, weight in storage.leaves(lo, hi))
    return (
        (first, digest, len(first) + limits.PAGE_OVERHEAD, count)
        for first, digest, count in storage.pages(level - 1, lo, hi)
    )


def _before(key: bytes) -> bytes:
    """The greatest byte string below `key`, which is not empty, among those of at most MAX_PATH bytes."""
    if key[-1] == 0:
        return key[:-1]
    return key[:-1] + bytes([key[-1] - 1]) + _PADDING[len(key) :]


class _Cutter:
    """Cuts entries into pages, from a place on where a page starts at `first`."""

    def __init__(self, seed: int, level: int, first: bytes) -> None:
        self._level = level
        self._seed = (seed + level) & _U64
        # The last level is one page, whatever its size.
        self._bounds = (limits.MAX_PAGE_ENTRIES, limits.MAX_PAGE_WEIGHT, _BOUNDARY)
        if level == limits.MAX_LEVELS - 1:
            self._bounds = (sys.maxsize, sys.maxsize, 0)
        self._pages: list[Page] = []
        self._first = first
        self._items: list[bytes] = []  # of the page that is open
        self._weight = 0
        self._count = 0

    def cuts_before(self, key: bytes, weight: int) -> bool:
        """Whether a page would start at this entry, came it next."""
        most, heaviest, boundary = self._bounds
        too_much = len(self._items) >= most or self._weight + weight > heaviest
        return bool(self._items) and (too_much or _boundary_hash(key, self._seed) < boundary)

    def add(self, entries: Iterable[_Entry]) -> None:
        """The next entries. The rule is that of cuts_before, spelled out because every entry comes through here."""
        items, total, count = self._items, self._weight, self._count
        most, heaviest, boundary = self._bounds
        for key, digest, weight, leaves in entries:
            total += weight
            if (_boundary_hash(key, self._seed) < boundary or total > heaviest or len(items) >= most) and items:
                self._pages.append(Page(self._first, _page_hash(self._level, items), count))
                self._first, items, total, count = key, [], weight, 0
            items.append(len(key).to_bytes(2, "big") + key + digest)
            count += leaves
        self._items, self._weight, self._count = items, total, count

    def finish(self) -> list[Page]:
        """All pages; none starts without an entry."""
        if self._items:
            self._pages.append(Page(self._first, _page_hash(self._level, self._items), self._count))
        return self._pages
