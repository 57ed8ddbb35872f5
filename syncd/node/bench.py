"""`syncd bench`: the round trip to a peer, and the rate at which contents come from it, over a session like any other.

What comes is hashed as if it were wanted, and forgotten.
"""

import asyncio
from collections.abc import Iterator
from itertools import cycle
from statistics import median
from typing import Any, Final, NamedTuple

from protocol.bulk_messages import ObjectKind
from protocol.content import SegmentReader, assemble, block_id
from protocol.errors import RemoteError
from protocol.keys import FolderKeys
from protocol.limits import SMALL_FILE
from protocol.messages import PUSH, AskRecords, Cancel, Get, Message, Objects, Ping, Records
from protocol.record import Kind, Record
from syncd.node.verification import verify
from syncd.node.visit import Visit

PINGS: Final = 21
PING_SECONDS: Final = 15.0  # for each answer
RECORDS: Final = 5_000  # looked at for contents
DIFFERENT: Final = 256 << 20  # bytes of contents that are asked for, before the first ones are asked for again
UNDER_WAY: Final = 4 << 20  # bytes asked for and not there yet
REQUESTS: Final = 64  # under way: fewer than a peer lets wait
TOGETHER: Final = 512 << 10  # bytes of one request, about
IDS_TOGETHER: Final = 256
SEGMENTS_TOGETHER: Final = 8


class NothingThere(Exception):
    """The peer's folder has no contents that could be measured with."""


class _Part(NamedTuple):
    """What one request asks for. size: bytes, as far as that is known before."""

    group: bytes
    ids: tuple[bytes, ...]
    size: int


async def measure(visit: Visit, keys: FolderKeys, seconds: float) -> dict[str, Any]:
    """For JSON. seconds: for which contents come. Raises NothingThere, SessionEnded, RemoteError, TimeoutError."""
    trips = await _round_trips(visit)
    bench = _Bench(visit, keys)
    parts = await bench.parts()
    received, took = await bench.run(parts, seconds)
    return {
        "peer": visit.hello.name,
        "address": visit.session.address,
        "round_trip_seconds": {"median": median(trips), "least": min(trips), "most": max(trips)},
        "bytes": received,
        "seconds": took,
        "bytes_per_second": received / took,
        "different_bytes": sum(part.size for part in parts),
    }


async def _round_trips(visit: Visit) -> list[float]:
    """Seconds of each."""
    loop = asyncio.get_running_loop()
    came = asyncio.Event()
    visit.session.on_pong = lambda _token: came.set()
    trips = []
    for number in range(PINGS):
        came.clear()
        began = loop.time()
        visit.session.post(Ping(number))
        async with asyncio.timeout(PING_SECONDS):
            await came.wait()
        trips.append(loop.time() - began)
    return trips


class _Bench:
    def __init__(self, visit: Visit, keys: FolderKeys) -> None:
        assert keys.block_key is not None
        self._session = visit.session
        self._keys, self._block_key = keys, keys.block_key
        self._last = 0

    def _id(self) -> int:
        self._last += 1
        return self._last

    # ---- what there is to ask for

    async def parts(self) -> list[_Part]:
        """Requests for up to DIFFERENT bytes."""
        parts: list[_Part] = []
        small: dict[bytes, int] = {}
        size = 0
        for record in await self._records():
            if size >= DIFFERENT:
                break
            if record.size > SMALL_FILE:
                found = await self._blocks(record)
                parts += found
                size += sum(part.size for part in found)
            elif record.content not in small:
                small[record.content] = record.size
                size += record.size
        parts += _cut(b"", list(small.items()))
        if not size:
            raise NothingThere
        return parts

    async def _records(self) -> list[Record]:
        """Of files that have bytes, the largest first."""
        found: list[Record] = []
        following: bytes | None = b""
        while following is not None and len(found) < RECORDS:
            request = self._id()
            self._session.post(AskRecords(request, following, None, ()))
            while True:
                message = await self._next(Records)
                assert isinstance(message, Records)
                if message.id == PUSH:
                    continue
                if message.id != request or (message.next is not None and message.next <= following):
                    raise RemoteError("an answer that makes no sense")
                records, _ = verify([message], self._keys)
                found += [record for record in records if record.kind is Kind.FILE and record.size]
                if message.last:
                    following = message.next
                    break
        return sorted(found, key=lambda record: record.size, reverse=True)

    async def _blocks(self, record: Record) -> list[_Part]:
        """Of a file of several blocks."""
        reader, segments = SegmentReader(self._block_key, record.content, record.size), dict[bytes, bytes]()
        while not reader.done:
            request = self._id()
            asked, last = reader.wanted(SEGMENTS_TOGETHER), False
            self._session.post(Get(request, ObjectKind.SEGMENT, b"", tuple(asked)))
            while not last:
                message = await self._next(Objects)
                assert isinstance(message, Objects)
                if message.id != request:
                    raise RemoteError("objects that nobody asked for")
                for id_, data in zip(asked, message.objects, strict=False):
                    if data is None:  # the peer does not have it itself
                        return []
                    reader.feed(id_, data)
                    segments[id_] = bytes(data)
                asked, last = asked[len(message.objects) :], message.last
        blocks = assemble(record.content, segments.get, record.size)
        return list(_cut(record.content, [(block.id, block.length) for block in blocks if block.id is not None]))

    # ---- asking

    async def run(self, parts: list[_Part], seconds: float) -> tuple[int, float]:
        """(bytes that came, seconds that it took)."""
        loop = asyncio.get_running_loop()
        waiting: dict[int, tuple[_Part, int]] = {}  # by request: what was asked for, and how many of it came
        again = cycle(parts)
        received = under_way = 0
        began = loop.time()
        while (now := loop.time()) < began + seconds:
            while under_way < UNDER_WAY and len(waiting) < REQUESTS:
                part = next(again)
                request = self._id()
                waiting[request] = part, 0
                under_way += part.size
                self._session.post(Get(request, ObjectKind.BLOCK, part.group, part.ids))
            async with asyncio.timeout(max(began + seconds - now, PING_SECONDS)):
                message = await self._next(Objects)
            assert isinstance(message, Objects)
            if message.id not in waiting:
                raise RemoteError("objects that nobody asked for")
            part, place = waiting.pop(message.id)
            received += self._checked(part.ids[place:], message)
            if message.last:
                under_way -= part.size
            else:
                waiting[message.id] = part, place + len(message.objects)
            if not received and not waiting:
                raise NothingThere
        self._session.post(Cancel(tuple(waiting)))
        return received, loop.time() - began

    def _checked(self, ids: tuple[bytes, ...], message: Objects) -> int:
        size = 0
        for id_, data in zip(ids, message.objects, strict=False):
            if data is not None:
                if block_id(self._block_key, data) != id_:
                    raise RemoteError("an object that is not what was asked for")
                size += len(data)
        return size

    async def _next(self, kind: type[Message]) -> Message:
        """The next message of a kind; the peer may go on talking of other things."""
        while not isinstance(message := await self._session.next_message(), kind):
            pass
        return message


def _cut(group: bytes, wanted: list[tuple[bytes, int]]) -> Iterator[_Part]:
    """Requests of TOGETHER bytes each, or one object more."""
    ids: list[bytes] = []
    size = 0
    for id_, length in wanted:
        ids.append(id_)
        size += length
        if size >= TOGETHER or len(ids) >= IDS_TOGETHER:
            yield _Part(group, tuple(ids), size)
            ids, size = [], 0
    if ids:
        yield _Part(group, tuple(ids), size)
