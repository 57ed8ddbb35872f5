"""The audit log: who did what, when and where, as JSON lines in a file that is rotated by its size.

It follows the events of the node. If the file cannot be written, that is a problem in the status, and nothing waits for
it; what the events have forgotten by then is counted in a line of its own.
"""

import asyncio
import json
import os
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from syncd.config.settings import Audit as AuditSettings
from syncd.node.events import KEPT_FOR_AUDIT, Events

TYPES: Final = frozenset(
    {
        "started", "stopping", "connected", "disconnected", "published", "applied", "conflict", "settled", "held",
        "released", "approved", "rejected", "restored", "dismissed", "prioritized", "verifying", "verified", "damaged",
        "alarm", "reloaded", "drained", "undrained",
    }
)  # fmt: skip
AT_ONCE: Final = 2_000  # events that are written in one call
RETRY: Final = 5.0  # seconds until a file that could not be written is tried again
LAST_WRITE: Final = 2.0  # seconds that the end of the node waits for the last lines

_log = structlog.get_logger()


class Audit:
    """A context in which the log is written. node: name and id of this one, which each line says."""

    def __init__(self, settings: AuditSettings, events: Events, node: dict[str, str]) -> None:
        self._settings = settings
        self._events = events
        self._node = node
        self._after = 0
        self._writing: asyncio.Task[None]
        self.problem = ""  # why it cannot be written
        self.missed = 0  # events that were forgotten before they could be written
        events.kept = KEPT_FOR_AUDIT
        events.audited = True

    def document(self) -> dict[str, Any]:
        """For the status."""
        return {"file": self._settings.file, "problem": self.problem, "missed": self.missed}

    async def __aenter__(self) -> "Audit":
        self._writing = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *error: object) -> None:
        """The events were closed: what is left is written, for a moment."""
        await asyncio.wait([self._writing], timeout=LAST_WRITE)
        self._writing.cancel()

    async def _run(self) -> None:
        while await self._events.wait(self._after):
            if not await self._write_some():
                await asyncio.sleep(RETRY)

    async def _write_some(self) -> bool:
        missed, found = self._events.read(self._after, AT_ONCE)
        lines = [self._line({"event": "missed", "count": missed})] if missed else []
        lines += [self._line(item) for item in found if item["event"] in TYPES]
        if lines:
            try:
                await asyncio.to_thread(append, self._settings, "".join(lines).encode())
            except OSError as error:
                self._tell(error.strerror or str(error))
                return False
        self._tell("")
        self.missed += missed
        self._after += missed + len(found)
        return True

    def _line(self, item: dict[str, Any]) -> str:
        when = item.pop("time_ns", None)
        time = {} if when is None else {"time": datetime.fromtimestamp(when / 1e9, UTC).isoformat()}
        return json.dumps({**time, **self._node, **item}) + "\n"

    def _tell(self, problem: str) -> None:
        if problem and problem != self.problem:
            _log.error("the audit log cannot be written", file=self._settings.file, reason=problem)
        elif self.problem and not problem:
            _log.info("the audit log is written again", file=self._settings.file)
        self.problem = problem


def append(settings: AuditSettings, data: bytes) -> None:
    """Add whole lines, all of them or none, to a file that stays below its size. Raises OSError.

    The file is opened each time: others may move it away.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    fd = os.open(settings.file, flags, 0o600)
    try:
        size = os.fstat(fd).st_size
        if size and size + len(data) > settings.max_bytes:
            os.close(fd)
            fd = -1
            _rotate(settings)
            fd, size = os.open(settings.file, flags, 0o600), 0
        _write_all(fd, size, data)
    finally:
        if fd >= 0:
            os.close(fd)


def _write_all(fd: int, size: int, data: bytes) -> None:
    left = memoryview(data)
    try:
        while left:
            left = left[os.write(fd, left) :]
    except OSError:
        if len(left) < len(data):
            os.ftruncate(fd, size)  # half a line would spoil the next one
        raise


def _rotate(settings: AuditSettings) -> None:
    """FILE becomes FILE.1, FILE.1 becomes FILE.2; the last one is replaced."""
    for number in range(settings.files - 1, 0, -1):
        source = settings.file if number == 1 else f"{settings.file}.{number - 1}"
        try:
            os.replace(source, f"{settings.file}.{number}")
        except FileNotFoundError:
            pass
    if settings.files == 1:
        os.truncate(settings.file, 0)
