"""`syncd verify`: reads all contents once more, in a thread of its own, and has what decayed fetched again."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import structlog

from protocol.paths import display, to_key, to_path
from protocol.record import Kind
from syncd.core.index import Disk
from syncd.node.condemn import condemn
from syncd.node.findings import Report
from syncd.node.hands import Hands
from syncd.node.ledger import Ledger
from syncd.store.hasher import Hashed
from syncd.store.index import IndexFailed
from syncd.store.reread import Reread, Rereader, Verdict

ROWS_AT_ONCE: Final = 200
LISTED: Final = 1_000  # files that are named; more are only counted
_COUNTED: Final = {Verdict.DAMAGED: "damaged", Verdict.UNSURE: "unsure", Verdict.UNREADABLE: "unreadable"}

_log = structlog.get_logger()


class Known(NamedTuple):
    """A file, as it was last seen."""

    path: bytes
    disk: Disk


class Scrub:
    """One pass over a folder. below: a path, or b"" for all. heal: what cannot be told from damage counts as such.

    rereader: used up by this. on_report(report): takes what the ledger brought.
    """

    def __init__(
        self,
        ledger: Ledger,
        hands: Hands,
        rereader: Rereader,
        below: bytes,
        heal: bool,
        on_report: Callable[[Report], None],
    ) -> None:
        self._ledger = ledger
        self._hands = hands
        self._rereader = rereader
        self._below = below
        self._heal = heal
        self._on_report = on_report
        self._counts = dict.fromkeys(Verdict, 0)
        self._found: list[dict[str, str]] = []
        self._path = b""
        self.active = True
        self.stopped = False
        self.failure = ""

    def stop(self) -> None:
        """End early."""
        self.stopped = True
        self._rereader.stop()

    async def run(self) -> None:
        """Work to the end."""
        thread = Hands("verifier")
        try:
            after = b""
            while not self.stopped and (batch := await self._hands.run(self._next, after)):
                for item in batch:
                    if self.stopped:
                        break
                    self._path = item.path
                    await self._judge(item, await thread.run(self._rereader.look, item.path, item.disk))
                after = to_key(batch[-1].path)
        except (OSError, IndexFailed) as error:
            self.failure = getattr(error, "strerror", None) or str(error)
        finally:
            self._rereader.stop()
            thread.close()
            self._rereader.close()
            self.active = False
        _log.info("verified", **{name: self._counts[verdict] for verdict, name in _COUNTED.items()})

    def _next(self, after: bytes) -> list[Known]:
        """The next files behind a key; the keys of other entries are passed over."""
        low, high = _range(self._below)
        start = max(low, after + b"\0") if after else low
        while True:
            rows = self._ledger.read(lambda: self._ledger.index.span(start, high, ROWS_AT_ONCE))  # noqa: B023
            found = [
                Known(to_path(row.key), row.disk)
                for row in rows
                if row.disk is not None and row.disk.entry.kind == Kind.FILE
            ]
            if found or len(rows) < ROWS_AT_ONCE:
                return found
            start = rows[-1].key + b"\0"

    async def _judge(self, item: Known, seen: Reread) -> None:
        self._counts[seen.verdict] += 1
        if seen.verdict not in _COUNTED:
            return
        condemned = seen.verdict == Verdict.DAMAGED or (self._heal and seen.verdict == Verdict.UNSURE)
        healing = False
        if condemned and seen.found is not None:
            healing = await self._condemn(item, seen.found, seen.reason)
        where = display(item.path)
        _log.warning("verify", path=where, verdict=seen.verdict.value, reason=seen.reason, healing=healing)
        if len(self._found) < LISTED:
            fate = "healing" if healing else "left as it is"
            self._found.append({"path": where, "verdict": seen.verdict.value, "reason": seen.reason, "fate": fate})

    async def _condemn(self, item: Known, found: Hashed, reason: str) -> bool:
        reports, healing = await self._hands.run(condemn, self._ledger, item.path, item.disk, found, reason)
        for report in reports:
            self._on_report(report)
        return healing

    def progress(self) -> dict[str, Any]:
        """How far it is, or how it ended, for the status."""
        return {
            "active": self.active,
            "stopped": self.stopped,
            "failure": self.failure,
            "path": display(self._path),
            "files": sum(self._counts.values()),
            "bytes": self._rereader.read,
            "changed": self._counts[Verdict.CHANGED],
            **{name: self._counts[verdict] for verdict, name in _COUNTED.items()},
        }

    def document(self) -> dict[str, Any]:
        """Progress and findings, for the face."""
        return {**self.progress(), "found": self._found}


def _range(below: bytes) -> tuple[bytes, bytes | None]:
    """The keys of a path and of all below it."""
    return (to_key(below), to_key(below) + b"\x01") if below else (b"", None)
