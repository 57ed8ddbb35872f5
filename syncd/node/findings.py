"""What a look at the disk brings: observations, the contents that belong to them, and the trouble on the way."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from protocol.batches import Proof
from protocol.content import Block
from protocol.record import Kind, Record
from syncd.core.events import Effects, Observation, Problem
from syncd.store.applier import Result
from syncd.store.hasher import FileChanged, Hasher
from syncd.store.look import Stat

UNLISTED: Final = "list"  # operation of the problem of a directory that cannot be listed
# Bytes of the top of a block list up to which it goes along with a push: most lists are no more than that.
TOP_BYTES: Final = 4096
YOUNG: Final = 2_000_000_000  # ns: a file changed so lately may change again without a visible difference


class Push(NamedTuple):
    """An own record to be sent to all peers at once. blob: its bytes if they are few, else the top of its list."""

    record: Record
    blob: bytes | None


class StoredContent(NamedTuple):
    """The block list of a content of more than one block."""

    content: bytes
    size: int  # bytes
    segments: dict[bytes, bytes]
    blocks: list[Block]


@dataclass(slots=True)
class Report:
    """What came of one call of the ledger."""

    pushes: list[Push] = field(default_factory=list)
    proofs: dict[bytes, Proof] = field(default_factory=dict)  # of the records in pushes
    news: list[bytes] = field(default_factory=list)  # keys whose state a peer changed
    overtaken: list[bytes] = field(default_factory=list)  # keys whose needs changed: actions for them are void
    needs: bool = False  # there are new or more urgent needs
    alarms: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    fine: list[bytes] = field(default_factory=list)  # paths that were looked at and have no trouble
    gone: list[bytes] = field(default_factory=list)  # paths where nothing is any more
    directories: list[bytes] = field(default_factory=list)  # that are there; not each of them can be listed
    young: list[bytes] = field(default_factory=list)  # files to be hashed once more when they are older
    results: list[Result] = field(default_factory=list)
    authors: dict[bytes, bytes] = field(default_factory=dict)  # path -> node id of who wrote what was applied
    planted: list[tuple[Record, bytes]] = field(default_factory=list)  # that came with contents; writers' certificates
    damaged: list[Problem] = field(default_factory=list)  # what an unclean stop left, and is needed again
    kept: list[bytes] = field(default_factory=list)  # contents that the archive has now
    units: set[bytes] = field(default_factory=set)  # in which something was found that is looked at with all of them
    resume: bytes | None = None
    entries: int = 0  # looked at
    placed: int = 0  # bytes of contents that came with their records and are in place

    def take(self, effects: Effects, blobs: dict[bytes, bytes]) -> None:
        """Add the effects of an event. blobs: {path: bytes} of what is at hand to go along."""
        self.pushes += [Push(record, blobs.get(record.path)) for record in effects.published]
        self.news += effects.news
        self.overtaken += effects.overtaken
        self.needs |= effects.needs
        self.alarms += effects.alarms
        self.damaged += effects.damaged
        self.problems += effects.problems
        self.resume = effects.resume


class Findings:
    """Collects what is found until there is enough for a transaction. now: wall clock, ns."""

    def __init__(self, hasher: Hasher, now: int) -> None:
        self._hasher = hasher
        self._now = now
        self.observations: list[Observation] = []
        self.conceded: list[Observation] = []  # no edits, whatever else
        self.blobs: dict[bytes, bytes] = {}
        self.contents: list[StoredContent] = []
        self.hashed = 0  # bytes
        self.changing = False  # whether a file changed while it was read
        self.report = Report()

    def gone(self, path: bytes) -> None:
        """Nothing is at the path any more."""
        self.observations.append(Observation(path, None))
        self.missing(path)

    def there(self, stat: Stat) -> None:
        """Something is at the path, and looking at it brought no trouble so far."""
        (self.report.directories if stat.kind == Kind.DIR else self.report.fine).append(stat.path)

    def missing(self, path: bytes) -> None:
        """Nothing is at the path, and nothing was."""
        self.report.gone.append(path)

    def trouble(self, problem: Problem) -> None:
        """The path could not be looked at."""
        self.report.problems.append(problem)

    def examine(self, stat: Stat, only: bytes | None = None) -> None:
        """Something is at the path; a file is hashed. only: a file with another content is passed over."""
        if stat.kind != Kind.FILE:
            self.observations.append(Observation(stat.path, stat.disk()))
            self.there(stat)
            return
        try:
            hashed = self._hasher.hash(stat.path, stat)
        except FileNotFoundError:
            self.missing(stat.path)
            return
        except FileChanged:
            self.changing = True
            self.report.young.append(stat.path)
            self.trouble(Problem(stat.path, "read", "changes while it is read; it is tried again"))
            return
        except OSError as error:
            self.trouble(Problem(stat.path, "read", error.strerror or str(error)))
            return
        size = hashed.disk.entry.size
        self.hashed += size
        if only not in (None, hashed.content):
            return
        if hashed.small is not None:
            self.blobs[stat.path] = hashed.small
        else:
            self.contents.append(StoredContent(hashed.content, size, hashed.segments, hashed.blocks))
            if len(top := hashed.segments[hashed.content]) <= TOP_BYTES:
                self.blobs[stat.path] = top
        self.observations.append(Observation(stat.path, hashed.disk))
        self.report.fine.append(stat.path)
        if self._now - hashed.disk.ctime < YOUNG:
            self.report.young.append(stat.path)
