"""A holder of the secret that says too much, or listens too little: bounded, and others are served meanwhile."""

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from protocol import limits
from protocol.batches import to_wire
from protocol.chunking import cut
from protocol.messages import (
    AskLeaves,
    AskPages,
    AskRecords,
    Cancel,
    Get,
    Have,
    Message,
    ObjectKind,
    Objects,
    Pages,
    Peers,
    Ping,
    Records,
    Status,
)
from syncd.net.doorman import COST_BURST, COST_RATE, OFFENCE_COST, SESSIONS_LIMIT, SESSIONS_PER_SOURCE
from syncd.net.session import INBOX_HIGH
from syncd.node.exchange import SERVE_BYTES
from syncd.node.logs import LINES_PER_WINDOW, WINDOW
from tests.hostile.peer import Closed, Persona, Rogue, dial
from tests.hostile.target import MIB, Target
from tests.lab.cluster import await_condition, await_file

SLACK = 32 * MIB  # that the memory of a victim may vary by
QUEUES = INBOX_HIGH + SERVE_BYTES + 2 * SLACK  # what one peer can fill at a time, and what the allocator keeps of it
LOG_RATE = LINES_PER_WINDOW / WINDOW  # lines per second and cause
CROWD = 64 * MIB  # that as many sessions as are let in may take


@contextmanager
def deaf(target: Target, persona: Persona | None = None) -> Iterator[Rogue]:
    """A peer that never reads again, with a window that is soon full."""
    with target.rogue(persona, buffer=4_096) as rogue:
        rogue.socket.settimeout(0.5)
        yield rogue


def pour(rogue: Rogue, messages: Iterable[Message], bunch: int = 100) -> int:
    """Send without reading until the victim reads no further, or closes; how many were sent."""
    sent = 0
    waiting: list[Message] = []
    for message in messages:
        waiting.append(message)
        if len(waiting) < bunch:
            continue
        try:
            rogue.socket.sendall(b"".join(rogue.connection.send(*waiting)))
        except (TimeoutError, BrokenPipeError, ConnectionResetError):
            return sent
        sent += len(waiting)
        waiting.clear()
    return sent


def large_blocks(target: Target, reader: Rogue) -> tuple[bytes, ...]:
    """Ids of the blocks of the victim's large file."""
    data = (target.victim.tree / "uploads/large").read_bytes()
    ids, start = [], 0
    for length in cut(data, True):
        ids.append(reader.persona.content_id(data[start : start + length]))
        start += length
    return tuple(ids)


# ---- who never reads


def test_blocks_by_the_thousand_that_nobody_takes(target: Target) -> None:
    with target.unmoved(growth=SLACK), deaf(target, target.reader()) as rogue:
        ids = large_blocks(target, rogue)
        sent = pour(rogue, (Get(n + 1, 0, b"", ids * 10) for n in range(2_000)), 10)
        assert sent < 2_000, "they are all taken in"


def test_manifests_that_nobody_takes(target: Target) -> None:
    persona = target.writer()
    records = [persona.directory(b"uploads/m%d/%s" % (n, b"n" * 200), n + 1) for n in range(500)]
    with target.rogue(persona) as rogue:
        rogue.push(*records[:250])
        rogue.push(*records[250:])
        rogue.barrier()
    asks: list[Callable[[int], Message]] = [
        lambda n: AskPages(n, 0, b"", None),
        lambda n: AskLeaves(n, b"", None),
        lambda n: AskRecords(n, b"", None, ()),
    ]
    for ask in asks:
        with target.unmoved(growth=SLACK), deaf(target, target.reader()) as rogue:
            pour(rogue, (ask(n + 1) for n in range(20_000)))


def test_pings_whose_answers_nobody_takes(target: Target) -> None:
    with target.unmoved(growth=SLACK), deaf(target) as rogue:
        pour(rogue, (Ping(n) for n in range(200_000)), 2_000)


def test_pushes_that_nobody_takes(target: Target) -> None:
    """What honest users do meanwhile must not pile up for it."""
    with target.unmoved_memory(SLACK), deaf(target, target.reader()) as rogue:
        for n in range(400):
            (target.victim.tree / f"uploads/p{n}").write_bytes(os.urandom(60_000))
        for n in (0, 200, 399):
            await_file(
                target.honest.tree / f"uploads/p{n}", (target.victim.tree / f"uploads/p{n}").read_bytes(), deadline=30
            )
        assert rogue.peer is not None
    target.check()


# ---- who says too much


def test_requests_without_end(target: Target) -> None:
    """Faster than they can be served: dropped, by name, before they fill the memory."""
    missing = tuple(os.urandom(32) for _ in range(limits.MAX_IDS_PER_GET))
    with target.unmoved(growth=QUEUES), target.rogue(target.reader()) as rogue:
        pour(rogue, (Get(n + 1, 0, b"", missing) for n in range(2_000)), 20)
        assert "too many requests" in rogue.ended()


def test_long_requests_without_end(target: Target) -> None:
    """Few, but each as large as may be."""
    keys = tuple(sorted(os.urandom(4_000) for _ in range(200)))
    with target.unmoved(growth=QUEUES), target.rogue(target.reader()) as rogue:
        pour(rogue, (AskRecords(n + 1, b"", None, keys) for n in range(200)), 1)
        assert rogue.ended() in ("too many requests wait to be served", "")


def test_what_a_peer_can_make_us_remember_is_bounded(target: Target) -> None:
    """Cancelled requests, announced contents, contents that we lacked, addresses of others."""
    with target.unmoved(growth=SLACK), target.rogue(target.reader()) as rogue:
        for first in range(0, 400_000, limits.MAX_CANCELLED):
            rogue.send(Cancel(tuple(range(first + 1, first + 1 + limits.MAX_CANCELLED))))
        for _ in range(300):
            rogue.send(Have(tuple(os.urandom(32) for _ in range(limits.MAX_HAVE))))
        for _ in range(100):
            rogue.send(Peers(tuple((os.urandom(16), f"203.0.113.1:{n}") for n in range(256))))
        for n in range(60):
            rogue.send(Get(n + 1, 0, os.urandom(32), tuple(os.urandom(32) for _ in range(limits.MAX_IDS_PER_GET))))
            rogue.expect(Objects)
        rogue.barrier()


def test_statuses_without_end(target: Target) -> None:
    """Each with another root, so each is a reason to compare; others are told and served meanwhile."""
    with target.unmoved(growth=SLACK), target.rogue(target.reader()) as rogue:
        for n in range(3_000):
            rogue.send(Status(n % 8, os.urandom(32), True, n, n, ("x",) * 60, True, "in-sync", False))
            if n % 100 == 0:
                answer_pulls(rogue)
        rogue.barrier(30)


def answer_pulls(rogue: Rogue) -> None:
    """Say that there is nothing, to whatever is asked."""
    while rogue.read(0.0):
        pass
    asked, rogue.inbox = rogue.inbox, []
    for ask in asked:
        if isinstance(ask, AskPages):
            rogue.send(Pages(ask.id, ask.level, (), None))
        elif isinstance(ask, AskRecords):
            rogue.send(Records(ask.id, (), (), (), None, True))


def test_objects_that_nobody_asked_for(target: Target) -> None:
    """Under numbers that were never given: the first one ends it."""
    with target.unmoved(growth=SLACK), target.rogue(target.reader()) as rogue:
        pour(rogue, (Objects(1 << 40, ObjectKind.BLOCK, (bytes(200_000),), False) for _ in range(200)), 1)
        assert "nobody asked for" in rogue.ended()


def test_records_known_already_without_end(target: Target) -> None:
    """Replays of what everybody has: nothing is written, nothing passed on."""
    with target.unmoved(growth=SLACK), target.rogue(target.reader()) as rogue:
        rogue.send(AskRecords(1, b"uploads\0large", b"uploads\0large\1", (b"uploads\0large",)))
        heard = rogue.expect(Records)
        before = target.honest.status()["bytes_in"]
        for _ in range(300):
            rogue.send(Records(0, heard.proofs, heard.records, (), None, True))
        rogue.barrier(30)
        assert target.honest.status()["bytes_in"] - before < 10_000


# ---- too many of them


def test_sessions_of_one_source_are_counted(target: Target) -> None:
    """And nothing is left of those that end: threads, descriptors, memory."""
    threads, sockets = target.threads, target.sockets
    source = target.source()
    rogues: list[Rogue] = []
    pinged = time.monotonic()
    with target.unmoved(growth=64 * MIB):
        refused = 0
        try:
            for _ in range(150):
                try:
                    rogues.append(Rogue(target.reader(), target.address, source=source))
                    rogues[-1].ping()
                    if time.monotonic() - pinged > 3.0:  # who is silent for long is closed, and counts no more
                        for rogue in rogues:
                            rogue.ping()
                        pinged = time.monotonic()
                except Closed:
                    refused += 1
            assert refused >= 150 - 128
            assert target.threads <= threads + 2
            with target.rogue() as other:
                other.ping()
        finally:
            for rogue in rogues:
                rogue.socket.close()
        await_condition(lambda: target.sockets <= sockets + 2, "sockets are kept")


def test_a_thousand_connections_with_requests(target: Target) -> None:
    """From so many addresses that none has too many: in all there are no more than the doorman lets in."""
    threads, sockets = target.threads, target.sockets
    held: list[Rogue] = []
    with target.unmoved_memory(CROWD), contextlib.ExitStack() as stack:
        for number in range(1_000):
            source = target.source() if number % 100 == 0 else held[-1].socket.getsockname()[0]
            rogue = Rogue(target.reader(), target.address, source=source, establish=False)
            held.append(stack.enter_context(rogue))
            try:
                rogue.establish()
                rogue.send(*[AskPages(n + 1, 0, b"", None) for n in range(5)])
                rogue.expect(Pages)
            except Closed:
                assert number >= SESSIONS_PER_SOURCE, "there was room"
            if number % 50 == 49:  # of those that are let in, the first ones may have been silent for too long
                assert target.sockets <= sockets + SESSIONS_LIMIT + 1
                assert target.threads <= threads + 2
        target.check()
    await_condition(lambda: target.sockets <= sockets + 2, "sockets are kept")


def test_offenders_are_listened_to_less_and_logged_seldom(target: Target) -> None:
    """One that comes back at once, again and again, to break a rule."""
    source = target.source()
    size = target.victim.log.stat().st_size
    began = time.monotonic()
    heard = 0
    with target.unmoved(growth=SLACK):
        for _ in range(300):
            try:
                with Rogue(target.reader(), target.address, source=source) as rogue:
                    rogue.send_frame(0x7F, b"")
                    rogue.ended()
                    heard += 1
            except (Closed, ConnectionResetError):
                continue
    assert 0 < heard <= (COST_BURST + COST_RATE * (time.monotonic() - began)) / OFFENCE_COST + 1
    for _ in range(60):  # from many addresses
        with target.rogue(target.reader()) as rogue:
            rogue.send_frame(0x7F, b"")
            rogue.ended()
    seconds = time.monotonic() - began
    lines = target.victim.log.read_text()[size:].splitlines()
    for cause in ("peer dropped", "connected", "handshake"):
        count = sum(cause in line for line in lines)
        assert count <= LOG_RATE * (seconds + 2), f"{count} lines of {cause!r} in {seconds:.1f} s"


def test_strangers_are_logged_seldom(target: Target) -> None:
    size = target.victim.log.stat().st_size
    began = time.monotonic()
    for _ in range(300):
        with dial(target.address, target.source()) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
    lines = target.victim.log.read_text()[size:].splitlines()
    assert len(lines) <= LOG_RATE * (time.monotonic() - began + 1)
    target.check()


def test_repeated_proof_of_work_for_us_leaves_time_for_others(target: Target) -> None:
    """Messages of the costliest kind, records with a proof of their own each, while an honest change comes."""
    persona = target.writer()
    records = [persona.directory(b"uploads/costly/%d" % n, n + 1) for n in range(200)]
    proofs = tuple(to_wire(persona.sign([record])) for record in records)
    message = Records(0, proofs, tuple((record.raw, n) for n, record in enumerate(records)), (), None, True)
    with target.rogue(persona) as rogue:
        for _ in range(30):
            rogue.send(message)
        (target.honest.tree / "uploads/quick").write_bytes(b"quick")
        await_file(target.victim.tree / "uploads/quick", b"quick")
        rogue.barrier(30)
    target.check()
