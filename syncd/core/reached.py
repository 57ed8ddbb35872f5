"""What of the records that this node made has reached no peer yet.

A peer has all of them up to a moment if it says that its manifest has the root that ours had then, and that its disk
lacks nothing. Roots name sets of records, so nothing has to be asked or kept per peer. What a peer ignores it does not
lack, and has not: where a peer has other rules, paths are looked at.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable
from itertools import islice
from typing import Final

from syncd.core.foreign import Ignores

ROOTS_KEPT: Final = 256  # roots of ours that are recognised when a peer tells them late
PATHS_KEPT: Final = 10_000  # paths that can be named: who reads more?

Said = tuple[bytes, int]  # what a record is about: its path, and the bytes of the file there


class Reached:
    """Records are counted from the start of the process. earlier: some of an earlier run may have reached nobody."""

    def __init__(self, earlier: bool) -> None:
        self.earlier = earlier
        self._roots: OrderedDict[bytes, int] = OrderedDict()  # {root: records that were published by then}
        self._said: deque[Said] = deque(maxlen=PATHS_KEPT)  # the last ones that were published
        self._published = 0
        self._reached = 0

    def published(self, said: Iterable[Said]) -> None:
        """These records were made, in this order."""
        for each in said:
            self._said.append(each)
            self._published += 1

    def had(self, root: bytes, published: int) -> None:
        """Our manifest has, or had, this root when so many records had been published."""
        self._roots.pop(root, None)
        self._roots[root] = published
        if len(self._roots) > ROOTS_KEPT:
            self._roots.popitem(last=False)

    def heard(self, root: bytes, need_files: int, ignores: Ignores | None = None) -> bool:
        """A peer tells its root, and how many paths its disk lacks. Whether that was news.

        ignores: which files take no part there, though they do here.
        """
        published = self._roots.get(root)
        if published is None or need_files or (ignores is not None and not self._keeps(published, ignores)):
            return False
        news = self.earlier or published > self._reached
        self.earlier = False
        self._reached = max(self._reached, published)
        return news

    def _keeps(self, published: int, ignores: Ignores) -> bool:
        """Whether no path that was published until then, and has reached nobody, takes no part there."""
        later = self._published - published
        end = len(self._said) - later
        begin = end - max(0, published - self._reached)
        if self.earlier or begin < 0:
            return False  # what there is beyond these paths is not known by name
        return not any(ignores(path, size) for path, size in islice(self._said, begin, end))

    @property
    def outstanding(self) -> int:
        """How many records of this run have reached no peer."""
        return self._published - self._reached

    @property
    def unreached(self) -> list[bytes]:
        """The paths of these, as far as they are kept, each once, the latest ones last."""
        number = min(self.outstanding, len(self._said))
        return list(dict.fromkeys(path for path, _ in islice(self._said, len(self._said) - number, None)))
