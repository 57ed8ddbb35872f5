"""Work on an index that may fail for a while: undone, and done again when that works."""

from collections.abc import Callable
from typing import TypeVar

from syncd.core.events import Effects, Reserve
from syncd.core.replica import Replica
from syncd.store.index import IndexUnavailable, SqliteIndex
from syncd.store.patience import Patience

T = TypeVar("T")


class Steady:
    """An index with its judgement. clock: wall time, ns.

    If the index cannot be written, a call waits in its thread until it can, and then does all of its work again: so
    nothing is published, applied or lost meanwhile. `patience` says so to others, and ends the waiting.
    """

    def __init__(self, index: SqliteIndex, replica: Replica, clock: Callable[[], int]) -> None:
        self.index = index
        self.replica = replica
        self.patience = Patience()
        self._clock = clock

    def now(self) -> int:
        """The wall clock, ns."""
        return self._clock()

    def steadily(self, work: Callable[[], T], *, durable: bool = False) -> T:
        """`work` in a transaction; if the index fails it is undone and done again when that works.

        Raises IndexUnavailable if the node ends before.
        """
        while True:
            try:
                with self.index.transaction(durable):
                    result = work()
            except IndexUnavailable as error:
                self._mend(error)
            else:
                self.patience.over()
                return result

    def read(self, work: Callable[[], T]) -> T:
        """As `steadily`, for what only reads."""
        while True:
            try:
                result = work()
            except IndexUnavailable as error:
                self._mend(error)
            else:
                self.patience.over()
                return result

    def reserve(self) -> None:
        """Reserve counters durably before they run out; a counter is never used before that."""
        if self.replica.counter_low:
            self.steadily(self._reserve, durable=True)

    def _reserve(self) -> Effects:
        return self.replica.handle(Reserve(), self._clock())

    def _mend(self, error: IndexUnavailable) -> None:
        """Wait until the index can be written. Counters that were used for nothing are replaced, durably, first."""
        while True:
            self.patience.wait(error)
            try:
                self.index.mend()
                if self.replica.counter_low:
                    with self.index.transaction(durable=True):
                        self._reserve()
                return
            except IndexUnavailable as again:
                error = again
