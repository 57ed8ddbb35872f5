"""How a folder stands: what the status, the readiness and the peers are told, computed from one snapshot of facts."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from protocol import limits
from protocol.messages import Status
from protocol.pages import Root
from protocol.paths import ancestors, display
from syncd.config.settings import Ready
from syncd.core.events import KEPT, SKIPPED, Problem
from syncd.core.guard import BURST_SHARE
from syncd.core.index import Totals
from syncd.core.priority import Priority
from syncd.core.readiness import ClassFacts, FolderFacts, Verdict, judge
from syncd.core.room import Space
from syncd.node.findings import UNLISTED, Report
from syncd.node.peers import Peer
from syncd.node.sieve import Holding

PROBLEMS_KEPT = 1_000  # problems that are listed; more are only counted


class Facts(NamedTuple):
    """A snapshot of the index."""

    root: Root
    totals: Totals
    holds: tuple[bool, ...]  # per class: whether it has a live record
    fresh: bool
    held: Holding  # changes that wait for the operator's word
    durable: bool = True  # whether what was applied would survive a power cut: only then are peers told of it
    sync: Problem | None = None  # why it would not
    space: Space = Space(0, 0)  # of the folder's file system
    shortage: Problem | None = None  # nothing is fetched, for lack of room there
    published: int = 0  # own records since the start


class Problems:
    """Trouble that looking at the disk brought, by path. A full scan forgets what it did not meet again."""

    def __init__(self) -> None:
        self._found: dict[bytes, tuple[Problem, int]] = {}
        self._scan = 0

    def take(self, report: Report) -> None:
        """Learn from a report."""
        for path in report.fine:
            self._found.pop(path, None)
        for path in report.directories:
            if path in self._found and self._found[path][0].operation != UNLISTED:
                del self._found[path]
        if report.gone and self._found:
            gone = set(report.gone)
            self._found = {
                path: item
                for path, item in self._found.items()
                if path not in gone and gone.isdisjoint(ancestors(path))
            }
        for problem in report.problems:
            self._found[problem.path] = problem, self._scan

    def scan_begins(self) -> None:
        """A full scan begins."""
        self._scan += 1

    def scan_ends(self) -> None:
        """The full scan is over."""
        self._found = {path: item for path, item in self._found.items() if item[1] >= self._scan}

    def all(self) -> list[Problem]:
        """The problems, in order of paths."""
        return [self._found[path][0] for path in sorted(self._found)]


class Readiness:
    """What is remembered of each class. names: of the classes, in order."""

    def __init__(self, priority: Priority, remembered: Sequence[str]) -> None:
        self._names = priority.names
        self._classes = priority.classes
        self._ranges = priority.ranges()
        self._was_ready = {name for name in remembered if name in self._names}
        self._merged_ranges: set[int] = set()
        self._everything = False
        self._behind: dict[int, float] = {}  # since when each rank needs something

    def merged(self, numbers: Sequence[int]) -> None:
        """These key ranges were merged in full from a settled peer."""
        self._merged_ranges |= set(numbers)

    def merged_everything(self) -> None:
        """The whole manifest of a settled peer was merged."""
        self._everything = True

    def reconciled(self, rank: int) -> bool:
        """Whether the class was compared with a settled peer."""
        own = [number for number, item in enumerate(self._ranges) if item[2] == rank]
        return self._everything or (bool(own) and self._merged_ranges.issuperset(own))

    def pass_on(self, other: "Readiness") -> None:
        """To one for other classes: what was compared is compared; a class that is the same as before stays known."""
        same = {item.name for item in self._classes} & {item.name for item in other._classes if item in self._classes}
        other._was_ready = self._was_ready & same
        other._everything = self._everything

    def judge(self, facts: Facts, folder: FolderFacts, now: float, alone: bool) -> dict[str, Verdict]:
        """Whether each class is ready. now: seconds. alone: no peer is connected, that is, nobody to lag behind.

        Lack of room is no lag either: what is here serves as well as it did, and only the operator can end it.
        """
        ranks = () if alone or facts.shortage is not None else facts.totals.needs
        self._behind = {rank: self._behind.get(rank, now) for rank in ranks}
        return {name: self._judge(rank, name, facts, folder, now) for rank, name in enumerate(self._names)}

    def _judge(self, rank: int, name: str, facts: Facts, folder: FolderFacts, now: float) -> Verdict:
        since = self._behind.get(rank)
        of_class = ClassFacts(
            reconciled=self.reconciled(rank),
            needs=facts.totals.needs.get(rank, (0, 0))[0],
            holds_records=facts.holds[rank],
            was_ready=name in self._was_ready,
            lag=None if since is None else now - since,
        )
        return judge(name, of_class, folder)

    def remember(self, ready: Sequence[str]) -> list[str] | None:
        """Classes that are ready stay so over a restart; the new list to store if it changed."""
        if self._was_ready.issuperset(ready):
            return None
        self._was_ready |= set(ready)
        return sorted(self._was_ready)

    def forget(self) -> None:
        """The index became fresh: nothing of before counts."""
        self._was_ready.clear()
        self._merged_ranges.clear()
        self._everything = False


@dataclass(slots=True)
class Standing:
    """The folder as of the last refresh."""

    facts: Facts
    problems: list[Problem] = field(default_factory=list)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    scanning: bool = False
    scanned_once: bool = False
    distrusted: str | None = None  # why the tree is not looked at
    gathering: bool = False  # what was found is not published yet: it may be a part of something large
    pulling: bool = False
    resting: int = 0  # needs that had a problem and wait for their next try
    stuck: bool = False  # the index cannot be used: all of this is as it was when that began

    @property
    def need_files(self) -> int:
        """Paths that the disk does not hold yet."""
        return sum(files for files, _ in self.facts.totals.needs.values())

    @property
    def need_bytes(self) -> int:
        """Bytes that are still to come at most."""
        return sum(size for _, size in self.facts.totals.needs.values())

    @property
    def filling(self) -> bool:
        """Whether a peer fills the tree of a node that publishes nothing yet."""
        return self.facts.fresh and self.pulling

    @property
    def starved(self) -> bool:
        """Whether files wait for room on the disk."""
        return self.facts.shortage is not None and self.need_files > 0

    @property
    def held(self) -> bool:
        """Whether something waits for the operator's word."""
        return self.distrusted is not None or self.facts.held.paths > 0

    def held_reason(self, where: str) -> str:
        """What waits for the operator's word, and the commands for it; empty if nothing does. where: the folder."""
        if self.distrusted is not None:
            return self.distrusted
        if not self.facts.held.paths:
            return ""
        named = shlex.quote(where)
        return (
            f"{self.facts.held.text}; nothing of this is published. `syncd approve {named}` if it is meant, "
            f"`syncd reject {named}` if not: that restores the files from the archive and from peers"
        )

    @property
    def site_held(self) -> bool:
        """Whether so much is held that the folder is not what it was."""
        gone = self.facts.held.deletions
        return self.distrusted is not None or (gone > 0 and gone * BURST_SHARE >= self.facts.totals.files)

    @property
    def faults(self) -> list[Problem]:
        """Problems that keep the folder from being in sync."""
        return [problem for problem in self.problems if problem.operation not in (SKIPPED, KEPT)]

    def ready(self, classes: Sequence[str]) -> tuple[bool, str]:
        """Whether all of these classes are ready, and why the first of them is not."""
        for name in classes:
            verdict = self.verdicts.get(name, Verdict(False, f"there is no class {name}"))
            if not verdict.ready:
                return False, f"{name}: {verdict.reason}" if name not in verdict.reason else verdict.reason
        return True, "ready"

    def state(self, peers: Sequence[Peer]) -> str:
        """One word, honest: "in-sync" only if a connected peer has the same manifest and nothing is missing."""
        if self.stuck:
            return "error"
        if self.held:
            return "held"
        if not self.scanned_once:
            return "scanning" if self.scanning else "starting"
        if self.facts.fresh and not self.pulling and not self.need_files:
            return "waiting"
        if self.starved:
            return "error"
        settling = self.gathering or (not self.facts.durable and self.facts.sync is None)
        if self.need_files > self.resting or self.pulling or settling:
            return "syncing"
        if self.faults or self.need_files:
            return "error"
        if not peers or self.facts.fresh or not self.facts.root.count:  # empty nodes have nothing to agree about
            return "waiting"
        same = any(peer.status is not None and peer.status.root == self.facts.root.hash for peer in peers)
        return "in-sync" if same else "syncing"

    def message(self, names: Sequence[str], peers: Sequence[Peer], drain: bool) -> Status:
        """What peers are told. drain: the node wants no new traffic."""
        needs = self.facts.totals.needs
        complete = tuple(
            name
            for rank, name in enumerate(names)
            if not needs.get(rank, (0, 0))[0] and name in self.verdicts and self.verdicts[name].ready
        )
        return Status(
            level=self.facts.root.level,
            root=self.facts.root.hash,
            in_sync=not (self.need_files or self.faults or self.facts.fresh or self.held),
            need_files=self.need_files,
            need_bytes=min(self.need_bytes, limits.MAX_INTEGER),  # sizes are what authors say
            complete=complete,
            settled=not self.facts.fresh,
            state=self.state(peers),
            drain=drain,
        )


def index_problem(reason: str) -> Problem:
    """For the status. reason: the index's path, a colon and what is wrong."""
    path, _, what = reason.partition(": ")
    text = f"{what}; make room there or repair the disk: syncd goes on by itself"
    return Problem(os.fsencode(path), "index", text)


def space_problem(facts: Facts) -> list[Problem]:
    """For the status: files wait for room on the disk."""
    if facts.shortage is None or not any(files for files, _ in facts.totals.needs.values()):
        return []
    return [facts.shortage]


def problem_rows(problems: Sequence[Problem]) -> list[dict[str, str]]:
    """For the status."""
    return [
        {"path": display(problem.path), "operation": problem.operation, "reason": problem.reason}
        for problem in problems[:PROBLEMS_KEPT]
    ]


def folder_facts(facts: Facts, tree_matches: bool, held: bool, ready: Ready, alone_for: float | None) -> FolderFacts:
    """What readiness asks of the folder."""
    return FolderFacts(
        fresh=facts.fresh,
        tree_matches=tree_matches,
        held=held,
        allow_empty=ready.allow_empty,
        alone_for=alone_for,
        alone_after=ready.alone_after,
        files=facts.totals.files,
        max_need=ready.max_need,
        max_lag=ready.max_lag,
    )
