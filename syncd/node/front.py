"""What the operator wants before all else: patterns whose needed paths go first until none is left. Never stored."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from protocol.paths import to_path
from syncd.core.index import Index, Need
from syncd.core.patterns import Patterns

RANK: Final = -1  # before that of the first class
MOST: Final = 100  # patterns at a time
LOOKS: Final = 10_000  # needs looked at in one call: some ten milliseconds
COUNTED: Final = 200_000  # needs looked at to tell how many there are
AGAIN_SECONDS: Final = 30.0  # until needs that came later are looked for
_AT_ONCE: Final = 1_000
_START: Final = (-(1 << 63), b"")


class Matching(NamedTuple):
    """Needed paths that go first. more: whether not all needs were looked at."""

    paths: int
    size: int  # bytes at most
    more: bool


class Front:
    """texts: patterns as those of classes; raises PatternError. ranks: number of classes."""

    def __init__(self, texts: Sequence[str], ranks: int) -> None:
        self.texts = tuple(dict.fromkeys(texts))
        self._patterns = Patterns(self.texts)
        self._ranks = ranks
        self._rank, self._after = 0, _START
        self._due = float("-inf")  # when the next walk over the needs may begin
        self._seen = False  # in this walk
        self.over = False  # a whole walk found nothing

    def take(self, index: Index, held: frozenset[bytes], limit: int, now: float) -> list[bytes]:
        """Up to `limit` further keys that are needed and not held; the next call goes on from there. now: seconds."""
        found: list[bytes] = []
        if (self._rank, self._after) == (0, _START) and now < self._due:
            return found
        for _ in range(LOOKS // _AT_ONCE):
            rows = index.needs(self._rank, self._after, min(_AT_ONCE, limit - len(found)))
            for row in rows:
                if self.selects(row.key):
                    self._seen = True
                    if row.key not in held:
                        found.append(row.key)
            if rows:
                need = rows[-1].need
                assert need is not None
                self._after = (need.order, rows[-1].key)
            elif not self._next_class(now):
                break
            if len(found) >= limit:
                break
        return found

    def _next_class(self, now: float) -> bool:
        """Whether there is one: else the walk is over."""
        self._rank, self._after = self._rank + 1, _START
        if self._rank < self._ranks:
            return True
        self.over = not self._seen
        self._rank, self._seen, self._due = 0, False, now + AGAIN_SECONDS
        return False

    def selects(self, key: bytes) -> bool:
        """Whether a needed path goes first."""
        return self._patterns.match(to_path(key), False)

    def matching(self, index: Index) -> Matching:
        """How much is needed of it now."""
        paths = size = looks = 0
        for looks, (key, need) in enumerate(needs(index, range(self._ranks)), 1):
            if looks > COUNTED:
                break
            if self.selects(key):
                paths, size = paths + 1, size + need.size
        return Matching(paths, size, looks > COUNTED)


def needs(index: Index, ranks: Sequence[int]) -> Iterator[tuple[bytes, Need]]:
    """All needed keys of these classes, in the order in which they are wanted."""
    for rank in ranks:
        after = _START
        while rows := index.needs(rank, after, _AT_ONCE):
            for row in rows:
                assert row.need is not None
                yield row.key, row.need
                after = (row.need.order, row.key)
