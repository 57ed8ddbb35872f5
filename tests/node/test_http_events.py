"""Events over the control socket: a stream that is followed, and one that is not read."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from syncd.config.location import MAX_SOCKET_PATH, control_socket
from syncd.node.admission import Admission
from syncd.node.draining import Drain
from syncd.node.events import Events
from syncd.node.http import Face
from syncd.node.http_events import READERS

MANY = 30_000  # events, of some hundred bytes each: more than all buffers hold


class Socket:
    def __init__(self, path: str, events: Events) -> None:
        self.path, self.events = path, events

    def session(self) -> aiohttp.ClientSession:
        timeout = aiohttp.ClientTimeout(total=60)
        return aiohttp.ClientSession(connector=aiohttp.UnixConnector(self.path, limit=0), timeout=timeout)


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[Socket]:
    events, drain = Events(lambda: 0), Drain()
    face = Face(dict, [], Admission([], drain), drain, events)
    path = str(tmp_path / "control.sock")
    await face.open_control(path)
    try:
        yield Socket(path, events)
    finally:
        events.close()
        await face.close()


async def test_a_path_as_long_as_an_address_of_a_socket(tmp_path: Path) -> None:
    drain, events = Drain(), Events(lambda: 0)
    directory = tmp_path / ("d" * (MAX_SOCKET_PATH - len(control_socket(str(tmp_path / "d"))) + 1))
    directory.mkdir()
    path = control_socket(str(directory))
    assert len(path) == MAX_SOCKET_PATH
    face = Face(dict, [], Admission([], drain), drain, events)
    await face.open_control(path)
    async with Socket(path, events).session() as session:
        assert (await session.get("http://node/livez")).status == 200
    await face.close()


async def line(response: aiohttp.ClientResponse) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await response.content.readline())
    return found


async def test_those_that_are_kept(control: Socket) -> None:
    control.events.put("started")
    control.events.put("connected", "/srv/site", peer="web2")
    async with control.session() as session:
        answer = await session.get("http://node/v1/events")
        assert [json.loads(text)["event"] for text in (await answer.text()).splitlines()] == ["started", "connected"]
        answer = await session.get("http://node/v1/events", params={"since": "1"})
        assert [json.loads(text)["seq"] for text in (await answer.text()).splitlines()] == [2]
        answer = await session.get("http://node/v1/events", params={"types": "started,applied"})
        assert [json.loads(text)["event"] for text in (await answer.text()).splitlines()] == ["started"]


async def test_a_reader_follows_to_the_end(control: Socket) -> None:
    control.events.put("before")
    async with control.session() as session, session.get("http://node/v1/events", params={"follow": "1"}) as answer:
        assert control.events.wants_authors
        control.events.put("after", path="a")
        assert (await line(answer))["event"] == "after"
        control.events.put("last")
        assert (await line(answer))["seq"] == 3
        control.events.close()
        assert await answer.content.read() == b""
    while control.events.readers:  # noqa: ASYNC110 - the server gets there
        await asyncio.sleep(0)
    assert not control.events.wants_authors


async def test_a_slow_reader_is_told_how_many_it_missed(control: Socket) -> None:
    async with control.session() as session, session.get("http://node/v1/events?follow=1") as answer:
        for number in range(MANY):
            control.events.put("applied", path="x" * 300, number=number)
            if number % 100 == 0:
                await asyncio.sleep(0)
        control.events.put("end")
        told, missed = 0, 0
        while (item := await line(answer))["event"] != "end":
            if item["event"] == "missed":
                missed += item["count"]
            else:
                told += 1
                assert item["number"] + 1 == told + missed, "nothing is left out without a word"
        assert missed > 0
        assert told + missed == MANY


async def test_readers_are_few(control: Socket) -> None:
    async with control.session() as session:
        answers = [await session.get("http://node/v1/events?follow=1") for _ in range(READERS)]
        refused = await session.get("http://node/v1/events?follow=1")
        assert refused.status == 503
        assert "follow the events already" in (await refused.json())["error"]
        control.events.put("news")
        assert [(await line(answer))["event"] for answer in answers] == ["news"] * READERS


@pytest.mark.parametrize("query", ["since=soon", "since=-1", "follow=perhaps", "since=" + "9" * 30])
async def test_bad_parameters(control: Socket, query: str) -> None:
    async with control.session() as session:
        answer = await session.get(f"http://node/v1/events?{query}")
        assert answer.status == 400
        assert query.split("=")[0] in (await answer.json())["error"]
