"""Contents that are not what they are called, do not add up, come slowly or not at all: trouble of their own paths, and
of nobody else's.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from protocol import codec, limits
from protocol.content import build_segments, segment_id
from protocol.keys import derive_read_only, generate_secret
from protocol.messages import AskPages, AskRecords, Get, ObjectKind, Objects, Pages, Ping, Records, Status
from protocol.record import decode_record
from syncd.core import scheduler
from syncd.node import missing
from syncd.node.fetcher import HELD_JOBS
from tests.hostile.guest import Guest
from tests.hostile.peer import Persona, Rogue
from tests.hostile.target import MIB, Target
from tests.lab.cluster import await_condition, await_file
from tests.lab.inside import Inside

Answer = Callable[[Get], list[bytes | None] | None]


def block_key(persona: Persona) -> bytes:
    assert persona.keys.block_key is not None
    return persona.keys.block_key


class Giver:
    """Answers the victim's GETs by `answer` (None: not at all) while it is entered, in a thread; PINGs now and then."""

    def __init__(self, rogue: Rogue, answer: Answer) -> None:
        self.rogue, self.answer = rogue, answer
        self.asked: list[Get] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Giver":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set() and not self.rogue.closed:
            if not self.rogue.read(0.1):
                self.rogue.send(Ping(1))
            for message in self.rogue.inbox:
                self._take(message)
            self.rogue.inbox.clear()

    def _take(self, message: object) -> None:
        if isinstance(message, AskPages):
            self.rogue.send(Pages(message.id, message.level, (), None))
        elif isinstance(message, AskRecords):
            self.rogue.send(Records(message.id, (), (), (), None, True))
        elif isinstance(message, Get):
            self.asked.append(message)
            objects = self.answer(message)
            if objects is not None:
                self.rogue.send(Objects(message.id, message.kind, tuple(objects), True))


def from_store(objects: dict[bytes, bytes]) -> Answer:
    return lambda get: [objects.get(id_) for id_ in get.ids]


def publish(target: Target, persona: Persona, *records: Any, blobs: tuple[bytes, ...] = ()) -> None:
    with target.rogue(persona) as rogue:
        rogue.push(*records, blobs=blobs)
        rogue.barrier()


# ---- objects that are not what was asked for


def wrong_bytes(get: Get) -> Objects:
    return Objects(get.id, get.kind, tuple(b"wrong" for _ in get.ids), True)


def cut_bytes(get: Get) -> Objects:
    return Objects(get.id, get.kind, tuple(b"hell" for _ in get.ids), True)


def too_many(get: Get) -> Objects:
    return Objects(get.id, get.kind, (b"hello", b"hello", b"hello"), True)


def as_a_segment(get: Get) -> Objects:
    return Objects(get.id, ObjectKind.SEGMENT, tuple(b"hello" for _ in get.ids), True)


@pytest.mark.parametrize("lie", [wrong_bytes, cut_bytes, too_many, as_a_segment])
def test_objects_that_are_not_what_was_asked_for(target: Target, lie: Callable[[Get], Objects]) -> None:
    persona = target.writer()
    name = f"uploads/{lie.__name__}"
    with target.rogue(persona) as rogue:
        rogue.push(persona.file(name.encode(), 1, b"hello"))
        rogue.send(lie(rogue.expect(Get)))
        assert rogue.ended()
    assert not (target.victim.tree / name).exists()
    target.check()


def test_an_answer_that_ends_early_leaves_the_rest_to_others(target: Target) -> None:
    persona = target.writer()
    with target.rogue(persona) as rogue:
        given = {persona.content_id(b"given by another"): b"given by another"}

        def asks(get: Get) -> bool:  # and not for what another test has left without an answer
            return not given.keys().isdisjoint(get.ids)

        rogue.push(persona.file(b"uploads/early-end", 1, b"given by another"))
        get = rogue.expect(Get, where=asks)
        rogue.send(Objects(get.id, get.kind, (), True))
        with target.rogue(target.writer()) as other:
            get = other.expect(Get, where=asks)
            other.send(Objects(get.id, get.kind, tuple(map(given.get, get.ids)), True))
            await_file(target.victim.tree / "uploads/early-end", b"given by another")
    target.check()


# ---- block lists


def blocks_of(persona: Persona, *parts: bytes) -> list[tuple[bytes | None, int]]:
    return [(persona.content_id(part), len(part)) for part in parts]


def raw_list(persona: Persona, kind: int, rows: list[Any]) -> tuple[bytes, dict[bytes, bytes]]:
    """A segment that no honest writer makes, under its right name."""
    raw = codec.pack([kind, rows])
    return segment_id(block_key(persona), raw), {segment_id(block_key(persona), raw): raw}


PARTS = [bytes([n]) * 20_000 for n in range(6)]  # 120 000 bytes


def short_of_size(p: Persona) -> tuple[bytes, int, dict[bytes, bytes]]:
    content, segments = build_segments(block_key(p), blocks_of(p, *PARTS))
    return content, 120_001, segments


def beyond_size(p: Persona) -> tuple[bytes, int, dict[bytes, bytes]]:
    content, segments = build_segments(block_key(p), blocks_of(p, *PARTS))
    return content, 100_000, segments


def wrong_lengths(p: Persona) -> tuple[bytes, int, dict[bytes, bytes]]:
    rows = [[p.content_id(part), 20_001] for part in PARTS]
    content, segments = raw_list(p, 0, rows)
    return content, 120_006, segments


def tiny_blocks(p: Persona) -> tuple[bytes, int, dict[bytes, bytes]]:
    content, segments = raw_list(p, 0, [[p.content_id(b"x"), 1]] * 4_096)
    return content, 70_000, segments


def huge_blocks(p: Persona) -> tuple[bytes, int, dict[bytes, bytes]]:
    content, segments = raw_list(p, 0, [[p.content_id(b"x"), 1 << 31]])
    return content, 1 << 31, segments


def holes_side_by_side(p: Persona) -> tuple[bytes, int, dict[bytes, bytes]]:
    content, segments = raw_list(p, 0, [[None, 50_000], [None, 50_000]])
    return content, 100_000, segments


def overflowing(p: Persona) -> tuple[bytes, int, dict[bytes, bytes]]:
    content, segments = raw_list(p, 0, [[None, 1 << 62], [p.content_id(b"x"), 8_192], [None, 1 << 62]])
    return content, limits.MAX_SIZE, segments


def nested_for_ever(p: Persona) -> tuple[bytes, int, dict[bytes, bytes]]:
    segments: dict[bytes, bytes] = {}
    below, found = raw_list(p, 0, [[p.content_id(PARTS[0]), 20_000]] * 5)
    segments.update(found)
    for _ in range(12):
        below, found = raw_list(p, 1, [[below, 100_000]])
        segments.update(found)
    return below, 100_000, segments


def no_list(p: Persona) -> tuple[bytes, int, dict[bytes, bytes]]:
    raw = os.urandom(300)
    return segment_id(block_key(p), raw), 100_000, {segment_id(block_key(p), raw): raw}


def as_large_as_can_be(p: Persona) -> tuple[bytes, int, dict[bytes, bytes]]:
    rows = [[p.content_id(b"x"), 8_192], [None, (1 << 62) - 8_192]]
    content, segments = raw_list(p, 0, rows)
    return content, 1 << 62, segments


LISTS = [
    short_of_size, beyond_size, wrong_lengths, tiny_blocks, huge_blocks, holes_side_by_side, overflowing,
    nested_for_ever, no_list, as_large_as_can_be,
]  # fmt: skip


@pytest.mark.parametrize("along", [False, True])
def test_block_lists_that_do_not_add_up(target: Target, along: bool) -> None:
    """Each is a problem of its path, with a reason; whoever passed the list on stays connected.

    along: the lists come with the records, as far as they may.
    """
    persona = target.writer()
    objects = {persona.content_id(part): part for part in (*PARTS, b"x")}
    records, tops = [], []
    for n, make in enumerate(LISTS):
        content, size, segments = make(persona)
        objects.update(segments)
        if along and len(segments[content]) <= limits.SMALL_FILE:
            tops.append(segments[content])
        records.append(persona.record(f"uploads/{make.__name__}".encode(), n + 1, size=size, content=content))
    with target.rogue(persona) as rogue, Giver(rogue, from_store(objects)):
        rogue.push(*records, blobs=tops)
        for make in LISTS:
            name = f"uploads/{make.__name__}"
            await_condition(lambda name=name: target.victim.problem(name) is not None, f"{name} is no problem")
            assert not (target.victim.tree / name).exists()
        assert target.victim.peer("rogue")["connected"]
        assert target.victim.peer("honest")["connected"], "who only passed the records on is not to blame"
        assert target.victim.status()["state"] != "in-sync"
        gone = [persona.delete(record.path, 100 + n, context={persona.actor: 50}) for n, record in enumerate(records)]
        rogue.push(*gone)
        for make in LISTS:
            name = f"uploads/{make.__name__}"
            await_condition(lambda name=name: target.victim.problem(name) is None, f"{name} stays a problem")
    assert not any(make.__name__ in name for make in LISTS for name in os.listdir(target.victim.tree / "uploads"))
    target.check()


@pytest.mark.parametrize("name", ["uploads/large", "uploads/small"])
def test_a_known_content_under_another_size(target: Target, name: str) -> None:
    """The honest peer, which gives the true list of it, is not to blame."""
    persona = target.writer()
    key = name.encode().replace(b"/", b"\0")
    with target.rogue(persona) as rogue:
        rogue.send(AskRecords(1, key, key + b"\1", (key,)))
        raw, _ = rogue.expect(Records, where=lambda records: records.id == 1).records[0]
        honest = decode_record(raw, persona.keys.folder_id)
        sizes = [honest.size + 1, honest.size * 2, max(1, honest.size // 2), 1, 100_000_000]
        records = [
            persona.record(f"{name}-{size}".encode(), n + 1, size=size, content=honest.content)
            for n, size in enumerate(sizes)
        ]
        rogue.push(*records)
        rogue.barrier()
    for daemon in (target.victim, target.honest):
        for size in sizes:
            await_condition(
                lambda daemon=daemon, size=size: (
                    daemon.problem(f"{name}-{size}") is not None or daemon.status()["need_files"] > 0
                ),
                "what cannot be is taken for done",
            )
            assert not (daemon.tree / f"{name}-{size}").exists()
    assert target.victim.peer("honest")["connected"]
    with target.rogue(persona) as rogue:
        rogue.push(*[persona.delete(r.path, 20 + n, context={persona.actor: 10}) for n, r in enumerate(records)])
        rogue.barrier()
    target.check()


# ---- contents that nobody has


@contextmanager
def unobtainable(target: Target, count: int, size: int, path: bytes) -> Iterator[None]:
    """Records of files whose contents do not exist, until the end, when they are deleted."""
    persona = target.writer()
    needed = target.victim.status()["need_files"]
    with target.rogue(persona) as rogue, Giver(rogue, lambda get: [None] * len(get.ids)):
        for first in range(0, count, 250):
            rogue.push(*[
                persona.record(path + b"%d" % n, n + 1, size=size, content=os.urandom(32))
                for n in range(first, min(count, first + 250))
            ])  # fmt: skip
        yield
        for first in range(0, count, 250):
            rogue.push(*[
                persona.delete(path + b"%d" % n, count + n + 1, context={persona.actor: count})
                for n in range(first, min(count, first + 250))
            ])  # fmt: skip
        await_condition(lambda: target.victim.status()["need_files"] <= needed, "the needs stay")


@pytest.mark.parametrize(("count", "size"), [(1_500, 65_536), (100, 10 * MIB), (HELD_JOBS + 100, 10)])
def test_contents_that_nobody_has_do_not_keep_others_waiting(target: Target, count: int, size: int) -> None:
    """More of them than may be under way at a time."""
    content = os.urandom(300_000)
    with unobtainable(target, count, size, b"uploads/absent/"):
        await_condition(lambda: target.victim.status()["need_files"] >= count, "they are not needed")
        (target.honest.tree / "uploads/after").write_bytes(content)
        await_file(target.victim.tree / "uploads/after", content)
        (target.honest.tree / "uploads/after").unlink()
    target.check()


# ---- who is slow, or pretends to be


async def test_a_peer_that_never_answers_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it was asked for goes to another one at the deadline, though nothing else happens then."""
    monkeypatch.setattr(scheduler, "ANSWER_DEADLINE", 3.0)
    secret = generate_secret(os.urandom(32))
    holder, victim = (Inside(tmp_path / name, secret) for name in ("holder", "victim"))
    content = os.urandom(limits.SMALL_FILE)
    (holder.tree / "stalled").write_bytes(content)
    (victim.tree / "own").write_bytes(b"so that contents are asked for one by one")
    async with holder.running(), victim.running(settled=False):
        mute = Guest(victim, Persona.of(derive_read_only(secret)))
        await victim.join(holder)
        await victim.reach((victim.tree / "stalled").exists)
        assert any(isinstance(message, Get) for message in mute.heard())
    assert (victim.tree / "stalled").read_bytes() == content


async def test_what_nobody_has_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missing, "PATIENCE", 0.0)
    secret = generate_secret(os.urandom(32))
    victim, persona = Inside(tmp_path, secret), Persona.of(secret)
    async with victim.running(settled=False):
        guest = Guest(victim, persona)
        guest.say(persona.message(persona.record(b"absent", 1, size=10, content=os.urandom(32))))

        def told() -> bool:
            for get in guest.heard():
                if isinstance(get, Get):
                    guest.say(Objects(get.id, get.kind, (None,) * len(get.ids), True))
            return any(problem.path == b"absent" for problem in victim.folder.standing.problems)

        await victim.reach(told)
        (problem,) = victim.folder.standing.problems
        assert problem.reason == missing.NOBODY
        assert victim.folder.standing.state(victim.folder.peers.all()) == "error"


def test_a_peer_that_has_everything_by_its_word_and_nothing_in_fact(target: Target) -> None:
    """It says so again after every answer, so that it is asked again."""
    with target.rogue(target.reader()) as rogue:
        status = rogue.expect(Status)

        def nothing(get: Get) -> list[bytes | None]:
            rogue.send(replace(status, need_files=0, root=os.urandom(32)))
            return [None] * len(get.ids)

        with Giver(rogue, nothing):
            for n in range(3):
                content = os.urandom(MIB)
                (target.honest.tree / f"uploads/barren{n}").write_bytes(content)
                await_file(target.victim.tree / f"uploads/barren{n}", content)
    target.check()
