"""The webhook: told of what it asks for, once; what does not answer delays nothing and costs little."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest
from aiohttp import web

from syncd.config.settings import Webhook as Settings
from syncd.node import webhook
from syncd.node.events import Events
from syncd.node.webhook import Webhook, condensed

NODE = {"node": "web1", "node_id": "00"}
SECRET = "a-token-in-the-path"


class Receiver:
    """An address that is told. answers: what it says, the last one for ever: a status, or None for nothing at all."""

    def __init__(self, *answers: int | None) -> None:
        self.answers = list(answers) or [200]
        self.told: list[dict[str, Any]] = []
        self.asked = 0
        self.elsewhere = 0
        self.happened = asyncio.Event()
        self.url = ""

    async def hear(self, request: web.Request) -> web.Response:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is not None and 200 <= answer < 300:
            self.told.append(await request.json())
        self.happened.set()
        if answer is None:
            await asyncio.Event().wait()
        return web.Response(status=answer or 500, headers={"Location": "/elsewhere"})

    async def visit(self, request: web.Request) -> web.Response:
        self.elsewhere += 1
        return web.Response()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Receiver"]:
        app = web.Application()
        app.add_routes([web.post(f"/{SECRET}", self.hear), web.route("*", "/elsewhere", self.visit)])
        runner = web.AppRunner(app, shutdown_timeout=0.01)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/{SECRET}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def reach(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not reached():
                self.happened.clear()
                await self.happened.wait()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "QUIET", 0.05)
    monkeypatch.setattr(webhook, "FIRST_PAUSE", 0.01)


@pytest.fixture
def events() -> Events:
    return Events(count(10**18).__next__)


def settings(url: str, *types: str, timeout: float = 30.0) -> Settings:
    return Settings(url, types or ("state", "held"), timeout)


async def test_what_is_asked_for_is_told_once(events: Events) -> None:
    async with Receiver().listening() as receiver:
        async with Webhook(settings(receiver.url), events, NODE) as hook:
            events.put("held", "/srv", deletions=7, reason="why")
            events.put("applied", "/srv", path="a")
            events.put("state", "/srv", state="held", before="in-sync")
            await receiver.reach(lambda: bool(receiver.told))
            events.put("held", "/srv", deletions=8, reason="again")
            await receiver.reach(lambda: len(receiver.told) == 2)
            assert hook.document() == {"host": "127.0.0.1", "waiting": 0, "lost": 0, "problem": ""}
            events.close()
        first, second = receiver.told
        assert {key: first[key] for key in NODE} == NODE
        assert [(event["event"], event["folder"]) for event in first["events"]] == [("held", "/srv"), ("state", "/srv")]
        assert first["events"][0]["time"].startswith("2001-09-09T01:46:40")
        assert [event["deletions"] for event in second["events"]] == [8]
        assert receiver.asked == 2


async def test_an_address_that_fails_is_told_when_it_works_again(events: Events) -> None:
    async with Receiver(503, 429, 200).listening() as receiver, Webhook(settings(receiver.url), events, NODE) as hook:
        events.put("held", "/srv", deletions=7)
        await receiver.reach(lambda: bool(receiver.told))
        assert receiver.asked == 3
        assert hook.lost == 0
        events.close()


@pytest.mark.parametrize("status", [302, 307, 400, 404])
async def test_what_is_refused_is_not_told_again(events: Events, status: int) -> None:
    async with Receiver(status, 200).listening() as receiver:
        async with Webhook(settings(receiver.url), events, NODE) as hook:
            events.put("held", "/srv", deletions=7)
            await receiver.reach(lambda: receiver.asked == 1)
            events.put("held", "/srv", deletions=8)
            await receiver.reach(lambda: bool(receiver.told))
            assert [event["deletions"] for event in receiver.told[0]["events"]] == [8]
            assert hook.lost == 1
            events.close()
        assert receiver.elsewhere == 0, "a redirection was followed"


async def test_nobody_there_and_the_end_of_the_node(events: Events, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for it: neither those who tell events nor, for more than a moment, the end."""
    monkeypatch.setattr(webhook, "LAST_TRY", 0.1)
    monkeypatch.setattr(webhook, "WAITING", 20)
    async with Receiver(None).listening() as receiver, Webhook(settings(receiver.url), events, NODE) as hook:
        events.put("held", "/srv", deletions=0)
        await receiver.reach(lambda: receiver.asked == 1)
        for number in range(50):
            events.put("held", "/srv", deletions=number)
        events.close()
    assert hook.document() == {"host": "127.0.0.1", "waiting": 20, "lost": 30, "problem": ""}
    hook = Webhook(settings("http://127.0.0.1:1/secret"), events, NODE)
    reason, final = await hook._post(b"")
    assert reason
    assert not final
    assert reason == "Connection refused"


def test_a_name_that_is_not_found() -> None:
    error = OSError()
    error.os_error = socket.gaierror(-2, "Name or service not known: secret.example.org")  # type: ignore[attr-defined]
    assert webhook._why(error) == "its name is not found"


async def test_the_last_events_are_told(events: Events) -> None:
    async with Receiver().listening() as receiver:
        async with Webhook(settings(receiver.url, "stopping"), events, NODE):
            events.put("stopping")
            events.close()
        assert [event["event"] for event in receiver.told[0]["events"]] == ["stopping"]


async def test_what_was_forgotten_is_told(events: Events) -> None:
    events.kept = 10
    for number in range(30):
        events.put("held" if number % 2 else "applied", "/srv", deletions=number)
    last, found = events.select(0, {"held"})
    assert last == 30
    assert found[0]["event"] == "missed"
    assert [event["deletions"] for event in found[1:]] == list(range(found[0]["count"] + 1, 30, 2))
    assert [event["seq"] for event in found[1:]] == [event["deletions"] + 1 for event in found[1:]]
    assert events.select(30, {"held"}) == (30, [])


def test_a_batch_of_events_is_taken_apart(events: Events) -> None:
    events.put_all("alarm", "/srv", ["a", "b", "c"], lambda text: {"text": text})
    assert [event["text"] for event in events.select(1, {"alarm"})[1]] == ["b", "c"]


def state(before: str, now: str, folder: str = "/a") -> dict[str, Any]:
    return {"event": "state", "folder": folder, "state": now, "before": before}


def test_states_that_passed_are_not_worth_a_message() -> None:
    held = {"event": "held", "folder": "/a"}
    assert condensed([state("in-sync", "syncing"), state("syncing", "in-sync")]) == []
    assert condensed([state("a", "b"), held, state("b", "c"), state("x", "y", "/b")]) == [
        held, state("a", "c"), state("x", "y", "/b"),
    ]  # fmt: skip
