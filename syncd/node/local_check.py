"""Whether the node's own page answers: asked again and again, before visitors are sent here."""

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from syncd.config.settings import LocalCheck as Settings
from syncd.core.readiness import Verdict

if TYPE_CHECKING:
    from aiohttp import StreamReader

MAX_BODY: Final = 65_536  # bytes of the answer that are looked at: a title is at the top of a page

_log = structlog.get_logger()


class LocalCheck:
    """Asks as long as it is entered."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._task: asyncio.Task[None] | None = None
        self.verdict = Verdict(False, "its own page was not asked yet")

    async def __aenter__(self) -> "LocalCheck":
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            reason = await self._ask()
            now = Verdict(True, "ready") if reason is None else Verdict(False, f"its own page: {reason}")
            if now.ready != self.verdict.ready:
                _log.info("the page of this node answers" if now.ready else "no page here", reason=reason or "")
            self.verdict = now
            await asyncio.sleep(self._settings.interval)

    async def _ask(self) -> str | None:
        """What is wrong with the page, or None."""
        import aiohttp

        limit = aiohttp.ClientTimeout(total=self._settings.timeout)
        headers = {"User-Agent": "syncd-check"} | ({"Host": self._settings.host} if self._settings.host else {})
        try:
            async with (
                aiohttp.ClientSession(timeout=limit, headers=headers, trust_env=False) as client,
                client.get(self._settings.url, allow_redirects=False) as answer,
            ):
                if answer.status != 200:
                    return f"status {answer.status}"
                body = await _beginning(answer.content)
        except TimeoutError:
            return f"no answer within {self._settings.timeout:g} s"
        except (aiohttp.ClientError, OSError) as error:
            return type(error).__name__ if not isinstance(error, OSError) else error.strerror or "no connection"
        if self._settings.expect.encode() not in body:
            return f"{self._settings.expect!r} is not in it"
        return None


async def _beginning(content: "StreamReader") -> bytes:
    body = bytearray()
    while len(body) < MAX_BODY:
        part = await content.read(MAX_BODY - len(body))
        if not part:
            break
        body += part
    return bytes(body)
