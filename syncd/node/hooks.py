"""Commands of the operator's that run when files were applied: once per quiet batch, never through a shell."""

import asyncio
import hashlib
import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import structlog

from protocol import codec
from protocol.paths import display
from syncd.config.settings import Hook as HookSettings
from syncd.core.batch import Paths, Quiet
from syncd.core.events import Problem
from syncd.core.patterns import Patterns
from syncd.node.hands import Hands
from syncd.node.ledger import Ledger

FIRST_PAUSE: Final = 1.0  # seconds before the first retry; doubled for each further one
LONGEST_PAUSE: Final = 60.0  # seconds
OUTPUT_KEPT: Final = 2_000  # bytes of what a command says that are logged if it fails
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_log = structlog.get_logger()


class Hooks:
    """All hooks of a folder. directory: the folder."""

    def __init__(self, settings: Sequence[HookSettings], directory: str, ledger: Ledger, hands: Hands) -> None:
        self._hooks = [Hook(item, directory, ledger, hands) for item in settings]
        if self._hooks:
            ledger.note_applied = self._note

    def _note(self, paths: list[bytes]) -> None:
        for hook in self._hooks:
            hook.note(paths)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for hook in self._hooks:
                tasks.create_task(hook.run())

    def status(self) -> list[dict[str, Any]]:
        """For the status document."""
        return [hook.status() for hook in self._hooks]

    def problems(self) -> list[Problem]:
        """Those that failed, and not since succeeded."""
        return [hook.problem for hook in self._hooks if hook.problem is not None]


class Told(NamedTuple):
    """What a command is told. many: more than are listed."""

    paths: list[bytes]
    many: bool


class Hook:
    """One command. What it has to be told is stored in the transaction in which it was applied, until it was told."""

    def __init__(self, settings: HookSettings, directory: str, ledger: Ledger, hands: Hands) -> None:
        self._settings = settings
        self._directory = directory
        self._ledger = ledger
        self._hands = hands
        self._loop = asyncio.get_running_loop()
        self._patterns = Patterns(settings.match)
        named = codec.pack([list(settings.match), list(settings.command)])
        self._name = f"hook.{hashlib.blake2s(named, digest_size=8).hexdigest()}"
        self._quiet = Quiet(settings.quiet)
        self._noted = asyncio.Event()
        # These two belong to the folder's worker thread.
        self._pending = Paths()  # not told yet, as in the index
        self._since = Paths()  # of these, what came after the run under way had begun
        self._last: dict[str, Any] = {}
        self.problem: Problem | None = None
        stored = ledger.index.meta(self._name)
        if stored is not None:
            many, paths = codec.unpack(stored)
            self._pending = Paths(paths, bool(many))
            self._quiet.note(self._loop.time())

    def note(self, paths: list[bytes]) -> None:
        """These were applied. In the folder's worker thread, inside the transaction."""
        own = [path for path in paths if self._patterns.match(path, False)]
        if not own:
            return
        self._since.add(own)
        if self._pending.add(own):
            self._store()
        self._loop.call_soon_threadsafe(self._note)

    async def run(self) -> None:
        """Work until cancelled. A batch that fails is told together with the next one, or after a restart."""
        while True:
            await self._wait_until_due()
            self._quiet.begin()
            told = await self._hands.run(self._begin)
            if await self._tell_until_done(told):
                await self._hands.run(self._ledger.steadily, self._forget)

    def status(self) -> dict[str, Any]:
        """For the status document."""
        pending = self._pending
        return {
            "command": " ".join(self._settings.command),
            "pending": None if pending.many else len(pending.listed),
            "last": dict(self._last) or None,
        }

    # ---- what is pending

    def _begin(self) -> Told:
        self._since = Paths()
        return Told(sorted(self._pending.listed), self._pending.many)

    def _forget(self) -> None:
        """What was told is pending no more, unless it was applied once more since."""
        self._pending, self._since = self._since, Paths()
        self._store()

    def _store(self) -> None:
        pending = self._pending
        value = codec.pack([pending.many, sorted(pending.listed)]) if pending else None
        self._ledger.index.set_meta(self._name, value)

    def _note(self) -> None:
        self._quiet.note(self._loop.time())
        self._noted.set()

    async def _wait_until_due(self) -> None:
        while (due := self._quiet.due) is None or due > self._loop.time():
            self._noted.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._noted.wait()

    # ---- the command

    async def _tell_until_done(self, told: Told) -> bool:
        pause = FIRST_PAUSE
        for attempt in range(self._settings.retries + 1):
            if attempt:
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE, 2 * pause)
            began = self._loop.time()
            reason = await self._run_once(told)
            self._last = {
                "at": round(time.time(), 3),
                "seconds": round(self._loop.time() - began, 3),
                "paths": None if told.many else len(told.paths),
                "reason": reason or "",
            }
            if reason is None:
                self.problem = None
                return True
            self.problem = Problem(os.fsencode(self._settings.command[0]), "hook", reason)
            _log.error("hook failed", dir=self._directory, command=self._settings.command[0], reason=reason)
        return False

    async def _run_once(self, told: Told) -> str | None:
        """One run; why it failed, or None."""
        listed = "many" if told.many else "listed"
        try:
            process = await asyncio.create_subprocess_exec(
                *self._settings.command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                cwd="/",
                env={"PATH": _PATH, "LANG": "C.UTF-8", "SYNCD_FOLDER": self._directory, "SYNCD_PATHS": listed},
                start_new_session=True,
            )
        except OSError as error:
            return error.strerror or str(error)
        said = bytearray()
        try:
            async with asyncio.timeout(self._settings.timeout):
                await asyncio.gather(_give(process, told.paths), _hear(process, said))
                code = await process.wait()
        except TimeoutError:
            return f"did not end within {self._settings.timeout:g} s and was killed{_quoted(said)}"
        finally:
            if process.returncode is None:
                _kill_group(process)
        return None if code == 0 else f"exit code {code}{_quoted(said)}"


async def _give(process: asyncio.subprocess.Process, paths: Sequence[bytes]) -> None:
    assert process.stdin is not None
    with suppress(ConnectionError):  # it does not read them: its own business
        process.stdin.write(b"".join(path + b"\0" for path in paths))
        await process.stdin.drain()
    process.stdin.close()


async def _hear(process: asyncio.subprocess.Process, said: bytearray) -> None:
    assert process.stdout is not None
    while part := await process.stdout.read(65_536):
        said += part[: max(0, OUTPUT_KEPT - len(said))]


def _quoted(said: bytearray) -> str:
    return f": {display(bytes(said).strip())}" if said.strip() else ""


def _kill_group(process: asyncio.subprocess.Process) -> None:
    """What is left of it and of what it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
