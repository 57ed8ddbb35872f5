"""The webhook: events of the node, told to one address of the operator's by HTTP. Nothing waits for it.

What is to be told waits in a queue that forgets its oldest entries, so an address that does not answer costs memory for
a thousand events, and hears the latest ones when it answers again. The address itself is taken for a secret: the status
and the log name its host only.
"""

import asyncio
import json
import os
import socket
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import structlog

from syncd.config.settings import Webhook as WebhookSettings
from syncd.node.events import Events, Fields

WAITING: Final = 1_000  # events that wait to be told
AT_ONCE: Final = 100  # events in one request
QUIET: Final = 2.0  # seconds that events are gathered for one request
FIRST_PAUSE: Final = 1.0  # seconds before it is tried again; doubled for each further time
LONGEST_PAUSE: Final = 60.0
LAST_TRY: Final = 2.0  # seconds that the end of the node waits for the last events to be told
_LATER: Final = frozenset({408, 425, 429})  # of the statuses below 500 those that ask to come again

_log = structlog.get_logger()


class Webhook:
    """A context in which events are told. node: name and id of this one."""

    def __init__(self, settings: WebhookSettings, events: Events, node: dict[str, str]) -> None:
        self._settings = settings
        self._events = events
        self._node = node
        self._types = frozenset(settings.events)
        self._after = 0
        self._queue: deque[Fields] = deque()
        self._news = asyncio.Event()
        self._over = asyncio.Event()  # there are no more events
        self._tasks: list[asyncio.Task[None]] = []
        self.host = urlsplit(settings.url).hostname or ""
        self.problem = ""  # why the latest events could not be told
        self.lost = 0  # events that were forgotten or refused

    def document(self) -> dict[str, Any]:
        """For the status."""
        return {"host": self.host, "waiting": len(self._queue), "lost": self.lost, "problem": self.problem}

    async def __aenter__(self) -> "Webhook":
        self._tasks = [asyncio.create_task(self._gather()), asyncio.create_task(self._tell())]
        return self

    async def __aexit__(self, *error: object) -> None:
        """The events were closed: what waits is told, if that takes no longer than a moment."""
        await asyncio.wait(self._tasks, timeout=LAST_TRY)
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    # ---- what is to be told

    async def _gather(self) -> None:
        while await self._events.wait(self._after):
            self._after, found = self._events.select(self._after, self._types)
            self._queue.extend(found)
            while len(self._queue) > WAITING:
                self._queue.popleft()
                self.lost += 1
            if found:
                self._news.set()
        self._over.set()
        self._news.set()

    async def _tell(self) -> None:
        while True:
            while not self._queue:
                if self._over.is_set():
                    return
                self._news.clear()
                await self._news.wait()
            await self._pause(QUIET)
            batch = [self._queue.popleft() for _ in range(min(AT_ONCE, len(self._queue)))]
            if told := condensed(batch):
                await self._deliver(self._body(told), len(told))

    async def _pause(self, seconds: float) -> None:
        """Ends with the node."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()

    def _body(self, events: Iterable[Fields]) -> bytes:
        return json.dumps({**self._node, "events": [_dated(event) for event in events]}).encode()

    # ---- telling it

    async def _deliver(self, body: bytes, number: int) -> None:
        pause = FIRST_PAUSE
        while True:
            reason, final = await self._post(body)
            self._say(reason)
            if not reason:
                return
            if final or self._over.is_set():
                self.lost += number
                return
            await self._pause(pause)
            pause = min(LONGEST_PAUSE, 2 * pause)

    async def _post(self, body: bytes) -> tuple[str, bool]:
        """Why it was not taken, or nothing; and whether there is no use in trying again."""
        import aiohttp

        limit = aiohttp.ClientTimeout(total=self._settings.timeout)
        headers = {"User-Agent": "syncd", "Content-Type": "application/json"}
        try:
            async with (
                aiohttp.ClientSession(timeout=limit, headers=headers, trust_env=False) as client,
                client.post(self._settings.url, data=body, allow_redirects=False) as answer,
            ):
                status = answer.status
        except TimeoutError:
            return f"no answer within {self._settings.timeout:g} s", False
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _why(error), False
        if 200 <= status < 300:
            return "", False
        if 300 <= status < 400:
            return f"status {status}: redirections are not followed", True
        return f"status {status}", status < 500 and status not in _LATER

    def _say(self, reason: str) -> None:
        if reason and reason != self.problem:
            _log.warning("the webhook cannot be told", host=self.host, reason=reason)
        elif self.problem and not reason:
            _log.info("the webhook is told again", host=self.host)
        self.problem = reason


def _why(error: Exception) -> str:
    """Without the address that was asked, as far as the error has it."""
    if isinstance(getattr(error, "os_error", None), socket.gaierror):
        return "its name is not found"
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else type(error).__name__


def condensed(events: Iterable[Fields]) -> list[Fields]:
    """Of the states of a folder in a row, none but the last one, with the one before the first; none if they are equal.

    A folder that was syncing for a moment is not worth a message.
    """
    told: list[Fields] = []
    latest: dict[str, Fields] = {}  # states by folder
    for event in events:
        if event["event"] == "state":
            earlier = latest.get(event["folder"])
            if earlier is not None:
                told = [other for other in told if other is not earlier]
                event = {**event, "before": earlier["before"]}
            latest[event["folder"]] = event
        told.append(event)
    return [event for event in told if event["event"] != "state" or event["state"] != event["before"]]


def _dated(event: Fields) -> Fields:
    with suppress(OverflowError, ValueError, KeyError):
        return {**event, "time": datetime.fromtimestamp(event["time_ns"] / 1e9, UTC).isoformat()}
    return event
