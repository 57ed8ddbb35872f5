"""Who an index speaks as: its actor id, its counter of events, and its clock.

A counter that was used must never be used again, even if the last commits are lost in a power cut. So counters are
reserved in large runs that the driver makes durable, and every start goes on above all that was ever reserved.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from protocol import codec
from protocol.batches import Proof
from protocol.errors import LocalError
from protocol.limits import MAX_COUNTERS, MAX_STAMP
from protocol.record import Dot, Record
from syncd.core.index import Index

RESERVE: Final = 1 << 20  # counters reserved at a time: no batch of edits comes near it

_ACTOR: Final = "actor"
_RESERVED: Final = "reserved"
_CLOCK: Final = "clock"
_COUNTERS: Final = "counters"


class Identity(NamedTuple):
    """What a node is in a folder, for as long as its configuration stands."""

    node_id: bytes
    folder_id: bytes
    read_only: bool


class Signer(Protocol):
    """Signs what an actor publishes."""

    def sign(self, actor: bytes, records: Sequence[Record]) -> dict[bytes, Proof]:
        """Sign `records` in batches, set the `proof` of each, and return the proofs by id."""


class Author:
    """The voice of one index, kept in its meta values. Changes are written by `save`."""

    def __init__(
        self, index: Index, new_actor: Callable[[], bytes], reserve: int = RESERVE, earlier: "Author | None" = None
    ) -> None:
        """Go on as the actor of `index`. `actor` is empty if the index has none yet: `renew` gives it one.

        new_actor: 8 random bytes. reserve: counters in a reservation. earlier: who spoke for the index in this process
        until now, and knows which counters were used.
        """
        self._index, self._new_actor, self._reserve = index, new_actor, reserve
        self.actor = index.meta(_ACTOR) or b""
        self.bound = _number(index.meta(_RESERVED))  # counters below it are durably reserved
        self.counter = max(self.bound - 1, 0)  # the last one that is, or has to count as, used
        if earlier is not None and earlier.actor == self.actor:
            self.counter = earlier.counter
        self.clock = _number(index.meta(_CLOCK))  # ns: above all stamps given and seen
        self._known = dict(codec.unpack(index.meta(_COUNTERS) or codec.pack([])))
        self._saved_clock, self._counters_changed = self.clock, False

    @property
    def low(self) -> bool:
        """Whether it is time to reserve more counters."""
        return self.bound - 1 - self.counter <= self._reserve // 2

    def next_dot(self) -> Dot:
        """The name of a new event. Raises LocalError if no counter is reserved for it."""
        if self.counter + 1 >= self.bound:
            raise LocalError("no counter is reserved")
        self.counter += 1
        return self.actor, self.counter

    def tick(self, now: int) -> int:
        """A stamp (ns) for a new record, above all stamps seen. now: the wall clock, ns.

        At the end of the range it stands still: a stamp that nobody accepts would be worse than two equal ones.
        """
        self.clock = min(max(self.clock + 1, now), MAX_STAMP)
        return self.clock

    def see(self, records: Iterable[Record]) -> bool:
        """Learn stamps and counters from records; True if one knows an event of this actor that it did not make."""
        actor, mine, known = self.actor, self.counter, self._known
        ahead = False
        for record in records:
            if record.stamp > self.clock and not record.found:
                self.clock = record.stamp
            for other, counter in (record.dot, *record.context.items()):
                if other == actor:
                    ahead = ahead or counter > mine
                elif counter > known.get(other, 0):
                    known.pop(other, None)
                    known[other] = counter
                    self._counters_changed = True
        if len(known) >= MAX_COUNTERS:
            self._drop_the_silent()
        return ahead

    def _drop_the_silent(self) -> None:
        for actor in list(self._known)[: len(self._known) - MAX_COUNTERS + 1]:
            del self._known[actor]

    def counters(self) -> dict[bytes, int]:
        """The highest counter known of each actor, MAX_COUNTERS at most, this one's among them."""
        return {**self._known, self.actor: self.counter}

    def reserve(self) -> None:
        """Reserve counters. They may be used once this is durable."""
        self.bound = self.counter + 1 + self._reserve
        self._index.set_meta(_RESERVED, self.bound.to_bytes(8, "big"))

    def renew(self) -> None:
        """Become another actor, which has nothing reserved yet. The clock goes on."""
        if self.counter:
            self._known[self.actor] = self.counter
            self._counters_changed = True
        self.actor, self.counter, self.bound = self._new_actor(), 0, 0
        self._index.set_meta(_ACTOR, self.actor)
        self._index.set_meta(_RESERVED, None)

    def save(self) -> None:
        """Write what changed."""
        if self.clock != self._saved_clock:
            self._saved_clock = self.clock
            self._index.set_meta(_CLOCK, self.clock.to_bytes(8, "big"))
        if self._counters_changed:
            self._counters_changed = False
            self._index.set_meta(_COUNTERS, codec.pack([[*item] for item in self._known.items()]))


def _number(stored: bytes | None) -> int:
    return int.from_bytes(stored, "big") if stored else 0
