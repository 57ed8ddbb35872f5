"""What reaches the replica, and what it wants done: plain values between judgement, hands and voice."""

from typing import Final, NamedTuple

from protocol.batches import Proof
from protocol.edit import Entry
from protocol.record import Record
from syncd.core.damage import Sign
from syncd.core.index import Disk


class Observation(NamedTuple):
    """What was found at a path; None for nothing."""

    path: bytes
    disk: Disk | None


class Observed(NamedTuple):
    """A scan or the watcher looked at these paths. signs: {path: what a look into the file told}, while in doubt."""

    observations: list[Observation]
    signs: dict[bytes, Sign] | None = None


class Received(NamedTuple):
    """A peer sent records. Their proofs were verified; each record's `proof` names one of `proofs`."""

    records: list[Record]
    proofs: dict[bytes, Proof]


class Applied(NamedTuple):
    """The applier brought these paths to what was planned; each observation is what it left there."""

    observations: list[Observation]


class Placed(NamedTuple):
    """Newcomers of a peer, see intake.py, were placed. Their proofs were verified."""

    placed: list[tuple[Record, Disk]]
    proofs: dict[bytes, Proof]


class Seen(NamedTuple):
    """The disk holds this, and it is no edit: nothing is published, and what is shown is needed again.

    A directory that is gone says nothing of what was below it.
    """

    observations: list[Observation]


class Settle(NamedTuple):
    """The fresh index may now publish what it found, from this key on. Answered in pieces, see Effects.resume."""

    low: bytes


class PeerCounters(NamedTuple):
    """A peer's HELLO: the highest counter it knows of each actor."""

    counters: dict[bytes, int]


class Reserve(NamedTuple):
    """Reserve counters; the driver commits durably before the next event."""


class Reconsider(NamedTuple):
    """The policy changed: think over what is needed, from this key on. Answered in pieces, see Effects.resume."""

    low: bytes


class Forget(NamedTuple):
    """The index turned out to be a copy or a restored one: take a new actor id, become fresh."""


class Started(NamedTuple):
    """A run begins. boot: names the time since the machine came up. See core/damage.py for this and the following."""

    boot: bytes


class Alive(NamedTuple):
    """The node still runs; said now and then when nothing else is."""


class Trusted(NamedTuple):
    """After an unclean stop: a peer has answered, or none came for long enough. Publishing may go on."""


class Scanned(NamedTuple):
    """The whole disk was looked at since the start."""


class Stopped(NamedTuple):
    """The run ends, with all that was done in the index and on the disk."""


class Put(NamedTuple):
    """The operator wants this version at a path. What is shown there is replaced, like by an edit."""

    path: bytes
    entry: Entry


class Dismiss(NamedTuple):
    """The operator has no use for the versions that lose at a path."""

    path: bytes


Event = (
    Observed | Received | Applied | Placed | Seen | Settle | PeerCounters | Reserve | Reconsider | Forget
    | Started | Alive | Trusted | Scanned | Stopped | Put | Dismiss
)  # fmt: skip


class Action(NamedTuple):
    """Bring a path from what the index last saw there to what the manifest shows."""

    key: bytes
    path: bytes
    expect: Disk | None
    want: Entry | None


SKIPPED: Final = "skip"  # operation of problems that are no fault: devices, sockets and FIFOs are never replicated
CROWDED: Final = "conflict"  # operation of the problem of an edit where too many versions compete already
KEPT: Final = "keep"  # operation of problems that are no fault: bytes that are in the archive only
DAMAGED: Final = "damaged"  # operation of problems that an unclean stop left, until they are healed


class Problem(NamedTuple):
    """One path's trouble, as a value."""

    path: bytes
    operation: str  # read, write, list, remove, fetch, name, index, sync, CROWDED, DAMAGED, or one that is no fault
    reason: str


class Effects(NamedTuple):
    """What follows from an event. Records in `published` are signed and stored already."""

    published: list[Record]  # own records, to be pushed to all peers
    news: list[bytes]  # keys whose state changed through `Received`
    needs: bool  # there are new or more urgent needs
    alarms: list[str]  # one line each, for the log and the status
    resume: bytes | None  # Settle, Reconsider: the key to go on from
    overtaken: list[bytes]  # keys that were needed before and of which something changed: actions for them are void
    problems: list[Problem]  # paths whose state on the disk cannot be published
    damaged: list[Problem]  # paths that an unclean stop damaged: they are needed again
