"""What happened in a folder, told as events: what was done, and how it stands compared with how it stood."""

from collections.abc import Callable
from typing import Any, Final

from protocol.paths import display, to_path
from protocol.record import Kind, Record
from syncd.core.events import Problem
from syncd.core.index import Disk
from syncd.node.authors import node_of
from syncd.node.events import Events, Fields
from syncd.node.findings import Report
from syncd.node.hands import Hands
from syncd.node.ledger import Ledger
from syncd.node.peers import Peer
from syncd.node.standing import Standing
from syncd.store.applier import Outcome

TOLD_AT_ONCE: Final = 100  # problems, or conflicts, that are told one by one; of more only the number
CONFLICTS_KNOWN: Final = 1_000  # whose paths are remembered
_KINDS: Final = {Kind.FILE: "file", Kind.DIR: "directory", Kind.LINK: "link", Kind.DELETE: "removal"}


class Chronicle:
    """name_of(node id): what a node calls itself, or nothing. Used in the event loop."""

    def __init__(
        self, events: Events, directory: str, ledger: Ledger, hands: Hands, name_of: Callable[[bytes], str]
    ) -> None:
        self.events = events
        self._directory = directory
        self._ledger = ledger
        self._hands = hands
        self._name_of = name_of
        self._state = ""
        self._held = ""
        self._ready: dict[str, bool] = {}
        self._problems: set[tuple[bytes, str]] = set()
        self._conflicts: set[bytes] = set()
        self._conflict_count = 0
        ledger.wants_authors = lambda: events.wants_authors

    def tell(self, event: str, **fields: Any) -> None:
        """Something happened to the folder."""
        self.events.put(event, self._directory, **fields)

    def connected(self, peer: Peer) -> None:
        """A session begins."""
        self.tell("connected", **_who(peer), tier=peer.tier.name.lower().replace("_", "-"))

    def disconnected(self, peer: Peer, reason: str) -> None:
        """A session is over."""
        self.tell("disconnected", **_who(peer), reason=reason)

    def took(self, report: Report) -> None:
        """What somebody had the ledger do."""
        records = [push.record for push in report.pushes]  # without the bytes
        self.events.put_all("published", self._directory, records, _recorded)
        self.events.put_all("applied", self._directory, report.planted, self._planted)
        done = [(result.path, result.disk) for result in report.results if result.outcome == Outcome.DONE]
        authors = report.authors
        self.events.put_all("applied", self._directory, done, lambda item: self._applied(item, authors))
        for alarm in report.alarms:
            self.tell("alarm", text=alarm)
        for problem in report.damaged:
            self.tell("damaged", path=display(problem.path), reason=problem.reason)

    def _planted(self, item: tuple[Record, bytes]) -> Fields:
        record, certificate = item
        return {**_recorded(record), **self._author(node_of(certificate))}

    def _applied(self, item: tuple[bytes, Disk | None], authors: dict[bytes, bytes]) -> Fields:
        path, disk = item
        kind = disk.entry.kind if disk is not None else Kind.DELETE
        size = disk.entry.size if disk is not None else 0
        return {"path": display(path), "kind": _KINDS[kind], "bytes": size, **self._author(authors.get(path, b""))}

    def _author(self, node: bytes) -> Fields:
        return {"author": self._name_of(node), "author_id": node.hex()} if node else {}

    # ---- how the folder stands

    async def look(self, standing: Standing, peers: list[Peer]) -> None:
        """How it stands now, with these peers."""
        state, reason = standing.state(peers), standing.held_reason(self._directory)
        if state != self._state:
            self.tell("state", state=state, before=self._state)
            self._state = state
        self._look_at_held(standing, reason)
        for name, verdict in standing.verdicts.items():
            if self._ready.get(name, False) != verdict.ready:
                self.tell("ready" if verdict.ready else "not-ready", **{"class": name}, reason=verdict.reason)
        self._ready = {name: verdict.ready for name, verdict in standing.verdicts.items()}
        self._look_at_problems(standing.problems)
        if standing.facts.totals.conflicts != self._conflict_count:
            self._conflict_count = standing.facts.totals.conflicts
            await self._look_at_conflicts()

    def _look_at_held(self, standing: Standing, reason: str) -> None:
        if reason and not self._held:
            held = standing.facts.held
            counts = {"deletions": held.deletions, "reverts": held.reverts, "rewrites": held.rewrites}
            self.tell("held", **counts, reason=reason)
        elif self._held and not reason:
            self.tell("released")
        self._held = reason

    def _look_at_problems(self, problems: list[Problem]) -> None:
        now = {(problem.path, problem.operation): problem for problem in problems}
        news = [problem for key, problem in now.items() if key not in self._problems]
        over = [key for key in self._problems if key not in now]
        for problem in news[:TOLD_AT_ONCE]:
            self.tell("problem", path=display(problem.path), operation=problem.operation, reason=problem.reason)
        if len(news) > TOLD_AT_ONCE:
            self.tell("problems", more=len(news) - TOLD_AT_ONCE)
        for path, operation in over[:TOLD_AT_ONCE]:
            self.tell("solved", path=display(path), operation=operation)
        self._problems = set(now)

    async def _look_at_conflicts(self) -> None:
        ledger = self._ledger
        keys = await self._hands.run(lambda: ledger.read(lambda: ledger.index.losing(b"", CONFLICTS_KNOWN)))
        for key in sorted(set(keys) - self._conflicts)[:TOLD_AT_ONCE]:
            self.tell("conflict", path=display(to_path(key)), conflicts=self._conflict_count)
        for key in sorted(self._conflicts - set(keys))[:TOLD_AT_ONCE]:
            self.tell("settled", path=display(to_path(key)), conflicts=self._conflict_count)
        self._conflicts = set(keys)


def _who(peer: Peer) -> Fields:
    return {"peer": peer.name, "peer_id": peer.node_id.hex(), "address": peer.session.address}


def _recorded(record: Record) -> Fields:
    return {"path": display(record.path), "kind": _KINDS[record.kind], "bytes": record.size}
