"""Records that nobody may publish: refused whole, with nothing of their message kept; and records that a holder of the
secret may publish and that hurt nobody all the same.
"""

import itertools
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from protocol import codec, limits
from protocol.batches import Proof, to_wire
from protocol.keys import generate_secret
from protocol.messages import AskRecords, Records
from protocol.record import Kind, Record
from syncd.node import ledger
from tests.hostile.guest import Guest
from tests.hostile.peer import Persona
from tests.hostile.target import MIB, Target
from tests.lab.cluster import await_condition, await_file
from tests.lab.inside import Inside

PATHS = {
    "above": b"../escape",
    "above inside": b"uploads/../../escape",
    "here": b"./escape",
    "empty": b"",
    "absolute": b"/etc/escape",
    "double slash": b"uploads//escape",
    "slash at the end": b"uploads/",
    "nul": b"uploads/a\0b",
    "staging": b".syncd/staging/x",
    "marker": b".syncd",
    "long component": b"n" * 256,
    "long path": b"/".join([b"n" * 200] * 21),
    "depth of 5000": b"/".join([b"d"] * 5_000),
    "not bytes": "uploads/text",
    "a number": 7,
}
BOMB = 1_500  # directories
# Fields of a record by position, and what none of them may be.
WRONG_FIELDS: dict[str, tuple[int, Any]] = {
    "another version": (0, 2),
    "another folder": (1, bytes(16)),
    "no kind": (3, 4),
    "a boolean for a kind": (3, True),
    "a short actor": (4, bytes(7)),
    "counter 0": (5, 0),
    "counter 2^62 + 1": (5, (1 << 62) + 1),
    "context not sorted": (6, [[b"b" * 8, 1], [b"a" * 8, 1]]),
    "context twice": (6, [[b"a" * 8, 1], [b"a" * 8, 2]]),
    "context of 1025": (6, [[n.to_bytes(8, "big"), 1] for n in range(1_025)]),
    "spares of 1025": (7, [[n.to_bytes(8, "big"), 1] for n in range(1_025)]),
    "stamp beyond its range": (8, (1 << 62) + 1),
    "stamp below zero": (8, -1),
    "setuid": (9, 0o4755),
    "mtime of 2^103": (10, (1 << 64) - 1),
    "size of 2^63 - 1": (11, (1 << 63) - 1),
    "negative size": (11, -1),
    "short content": (12, bytes(31)),
    "content of a directory": (12, bytes(32)),
    "content younger than its record": (14, 1 << 61),
    "a target": (15, [b"/etc"]),
    "nine superseded contents": (15, [b"", *[bytes([n]) * 32 for n in range(9)]]),
    "unknown flag": (16, 4),
    "both flags": (16, 3),
}


def packed(persona: Persona, *fields: list[Any]) -> Records:
    """Records as any bytes, under a true signature."""
    raws = [codec.pack(item) for item in fields]
    proof = to_wire(persona.sign_hashes([blake3(raw).digest() for raw in raws]))
    return Records(0, (proof,), tuple((raw, 0) for raw in raws), (), None, True)


def good(persona: Persona, name: bytes = b"uploads/fine") -> Record:
    return persona.file(name, 1, b"hello")


def dropped(target: Target, persona: Persona, *messages: Records) -> list[str]:
    """The reasons for which the victim drops who says this, once for each message."""
    reasons = []
    with target.unmoved():
        for message in messages:
            with target.rogue(persona) as rogue:
                rogue.send(message)
                reasons.append(rogue.ended())
            assert any(persona.node_id.hex() in alarm for alarm in target.victim.status()["alarms"]), "nobody is named"
    return reasons


def with_field(persona: Persona, place: int, value: Any) -> Records:
    """A good record, and one that is good but for a field."""
    fields = codec.unpack(good(persona).raw)
    changed = [*fields[:place], value, *fields[place + 1 :]]
    return packed(persona, fields, changed)


# ---- what no record may be


def test_paths_that_lead_elsewhere(target: Target) -> None:
    persona = target.writer()
    reasons = dropped(target, persona, *[with_field(persona, 2, path) for path in PATHS.values()])
    assert all("path" in reason for reason in reasons), dict(zip(PATHS, reasons, strict=True))
    assert not (target.cluster.base / "escape").exists()
    assert not (target.victim.base / "escape").exists()


def test_fields_out_of_range(target: Target) -> None:
    persona = target.writer()
    dropped(target, persona, *[with_field(persona, place, value) for place, value in WRONG_FIELDS.values()])


def test_links_whose_target_cannot_be_one(target: Target) -> None:
    persona = target.writer()
    fields = codec.unpack(persona.link(b"uploads/link", 2, b"x").raw)
    messages = [packed(persona, [*fields[:15], [text], fields[16]]) for text in (b"", b"t" * 4_096, b"a\0b")]
    longest = messages[0].records[0][0].ljust(MIB // 2, b"\0")
    dropped(target, persona, *messages, replace(messages[0], records=((longest, 0),)))


def test_bytes_that_are_no_record(target: Target) -> None:
    persona = target.writer()
    raws = [b"", b"\x90", b"\xc0", b"\xdd\xff\xff\xff\xff", bytes(65_535), b"\x91" * 5_000]
    proofs = [to_wire(persona.sign_hashes([blake3(raw).digest()])) for raw in raws]
    dropped(
        target,
        persona,
        *[Records(0, (proof,), ((raw, 0),), (), None, True) for raw, proof in zip(raws, proofs, strict=True)],
    )


# ---- who signed it


def test_a_reader_publishes_nothing(target: Target) -> None:
    """With a certificate of its own making, with a writer's, or with none. The refusal names it."""
    reader, writer = target.reader(), target.writer()
    records = reader.file(b"uploads/readers", 1, b"hello"), reader.delete(b"uploads/small", 2)
    for persona in (
        reader.with_own_certificate(),
        replace(reader, certificate=writer.certificate),
        replace(reader, certificate=bytes(len(writer.certificate))),
    ):
        dropped(target, persona, *[persona.message(record) for record in records])


def test_a_writer_speaks_only_as_its_own_actor(target: Target) -> None:
    one, other = target.writer(), target.writer()
    stolen = one.record(b"uploads/stolen", 1, dot=(other.actor, 1), content_dot=(other.actor, 1))
    assert "proof" in dropped(target, one, one.message(stolen))[0]


def test_a_proof_covers_its_own_records_only(target: Target) -> None:
    persona = target.writer()
    mine, others = good(persona), good(persona, b"uploads/other")
    proof = to_wire(persona.sign([mine]))
    dropped(
        target,
        persona,
        Records(0, (proof,), ((others.raw, 0),), (), None, True),
        Records(0, (proof,), ((mine.raw, 0), (others.raw, 0)), (), None, True),
        Records(0, (proof, to_wire(persona.sign([others]))), ((mine.raw, 0),) * 2, (), None, True),
    )


def test_records_of_others_cannot_be_replayed_with_changes(target: Target) -> None:
    """By a reader, who has every record with its proof: not one bit of them can be another."""
    reader = target.reader()
    with target.rogue(reader) as rogue:
        rogue.send(AskRecords(1, b"", None, ()))
        heard = rogue.expect(Records)
    with target.unmoved(), target.rogue(reader) as rogue:
        rogue.send(replace(heard, id=0))
        rogue.barrier()
    raw, number = heard.records[0]
    wire: list[Any] = list(heard.proofs[number])
    messages = []
    for place in (0, 20, len(raw) // 2, len(raw) - 1):
        changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        messages.append(Records(0, (wire,), ((changed, 0),), (), None, True))
    for field in range(5):
        forged = list(wire)
        forged[field] = wire[2] + 1 if field == 2 else bytes([wire[field][0] ^ 1]) + wire[field][1:]
        messages.append(Records(0, (forged,), ((raw, 0),), (), None, True))
    dropped(target, reader, *messages)


MISSHAPEN: list[Callable[[Proof], Proof]] = [
    lambda proof: proof._replace(count=0),
    lambda proof: proof._replace(count=257),
    lambda proof: proof._replace(count=1 << 31),
    lambda proof: proof._replace(nodes=()),
    lambda proof: proof._replace(nodes=proof.nodes * 200),
    lambda proof: proof._replace(nodes=((0, 256, bytes(32)),), count=256),
    lambda proof: proof._replace(signature=b""),
    lambda proof: proof._replace(certificate=proof.certificate * 3),
]


def test_proofs_of_no_shape(target: Target) -> None:
    persona = target.writer()
    record = good(persona)
    messages = []
    for change in MISSHAPEN:
        proof = change(persona.sign([record]))
        widths = bytes(max(0, min(255, width - 1)) for _, width, _ in proof.nodes)
        wire = [proof.certificate, proof.signature, proof.count, widths, b"".join(node[2] for node in proof.nodes)]
        messages.append(Records(0, (wire,), ((record.raw, 0),), (), None, True))
    dropped(target, persona, *messages)


# ---- what a holder of the secret may say


@pytest.fixture
def writer(target: Target) -> Persona:
    return target.writer()


def arrives(path: Path, content: bytes) -> None:
    """Wait for a file in a directory that may not be there yet."""
    await_condition(lambda: path.is_file() and path.read_bytes() == content, f"{path} does not arrive")


def publish(target: Target, persona: Persona, *records: Record, blobs: tuple[bytes, ...] = ()) -> None:
    with target.rogue(persona) as rogue:
        rogue.push(*records, blobs=blobs)
        rogue.barrier()


def test_one_dot_for_two_records_keeps_both_and_says_so(target: Target, writer: Persona) -> None:
    name = f"twice-{writer.actor.hex()}"  # others may have been at a path with this target before
    path = f"uploads/{name}".encode()
    one = writer.file(path, 7, b"one")
    two = writer.file(path, 7, b"two")
    with target.rogue(writer) as rogue:
        rogue.push(one, blobs=[b"one"])
        rogue.push(two, blobs=[b"two"])
        rogue.barrier()
        key = f"uploads\0{name}".encode()
        rogue.send(AskRecords(1, key, key + b"\1", (key,)))
        kept = {raw for raw, _ in rogue.expect(Records, where=lambda message: message.id == 1).records}
    assert kept == {one.raw, two.raw}
    status = target.victim.status()
    assert any(writer.actor.hex() in alarm and "both are kept" in alarm for alarm in status["alarms"])
    placed = target.victim.tree / "uploads" / name
    await_condition(placed.is_file, f"{name} does not arrive")  # it is placed a moment after its record was merged
    assert placed.read_bytes() in (b"one", b"two")
    target.check()


def test_a_link_that_leads_out_is_never_followed(target: Target, writer: Persona) -> None:
    """`uploads/out` leads to a directory outside; then something is to be written below it."""
    outside = target.cluster.base / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "passwd").write_bytes(b"untouched")
    os.symlink(outside, target.victim.tree / "uploads/out")
    await_condition(lambda: (target.honest.tree / "uploads/out").is_symlink(), "the link does not arrive")
    publish(
        target, writer, writer.file(b"uploads/out/passwd", 3, b"owned"), writer.file(b"uploads/out/new", 4, b"owned")
    )
    publish(target, writer, writer.file(b"uploads/out/pushed", 5, b"owned"), blobs=(b"owned",))
    arrives(target.victim.tree / "uploads/out/pushed", b"owned")
    target.check()
    assert sorted(os.listdir(outside)) == ["passwd"]
    assert (outside / "passwd").read_bytes() == b"untouched"
    assert not (target.victim.tree / "uploads/out").is_symlink()


def test_a_link_of_a_peer_is_text_only(target: Target, writer: Persona) -> None:
    """Absolute, relative and very long targets arrive as they are, and nothing is written through them."""
    targets = {
        b"uploads/absolute": b"/etc",
        b"uploads/relative": b"../../..",
        b"uploads/long": b"/".join([b"t" * 100] * 40),
    }
    records = [writer.link(path, 10 + n, text) for n, (path, text) in enumerate(targets.items())]
    below = [
        writer.file(b"uploads/relative/escape", 20, b"owned"),
        writer.file(b"uploads/absolute/escape", 21, b"owned"),
    ]
    publish(target, writer, *records)
    await_condition(
        lambda: all((target.victim.tree / path.decode()).is_symlink() for path in targets), "the links do not arrive"
    )
    for path, text in targets.items():
        assert os.readlink(target.victim.tree / path.decode()).encode() == text
    publish(target, writer, *below, blobs=(b"owned",))
    arrives(target.victim.tree / "uploads/relative/escape", b"owned")
    assert not Path("/etc/escape").exists()
    assert not (target.cluster.base / "escape").exists()
    target.check()


def test_special_bits_never_arrive(target: Target, writer: Persona) -> None:
    publish(target, writer, writer.file(b"uploads/mode", 30, b"mode", mode=0o777), blobs=(b"mode",))
    await_file(target.victim.tree / "uploads/mode", b"mode")
    assert stat.S_IMODE((target.victim.tree / "uploads/mode").stat().st_mode) == 0o777


def test_a_stamp_at_the_end_of_time_stops_nobody(target: Target, writer: Persona) -> None:
    """Stamps of a forger drive every clock to its end; edits still win over what they replace, on all nodes. (Edits of
    both sides at once are then ordered by who made them, not by when; the loser is kept as ever.)
    """
    last = writer.file(b"uploads/last", 40, b"last", stamp=limits.MAX_STAMP)
    publish(target, writer, last, blobs=(b"last",))
    await_file(target.honest.tree / "uploads/last", b"last")
    for number in range(3):
        for source, sink in ((target.honest, target.victim), (target.victim, target.honest)):
            content = f"edit {number} of {source.base.name}".encode()
            (source.tree / "uploads/last").write_bytes(content)
            await_file(sink.tree / "uploads/last", content)
            sink.rescan()  # it knows now that its disk has it: the next edit there is one of this content
    target.check()


def test_any_mtime_is_taken_or_reported(target: Target, writer: Persona) -> None:
    mtimes = [-1, 0, -(1 << 63), (1 << 63) - 1, 1 << 62, 1_600_000_000_123_456_789]
    names = [f"uploads/mtime{mtime}" for mtime in mtimes]
    records = [writer.file(name.encode(), 50 + n, b"when", mtime=mtimes[n]) for n, name in enumerate(names)]
    publish(target, writer, *records, blobs=(b"when",))
    for daemon in (target.victim, target.honest):
        for name in names:
            await_condition(
                lambda daemon=daemon, name=name: (daemon.tree / name).exists() or daemon.problem(name) is not None,
                "it neither arrives nor is reported",
            )
    target.check()


@pytest.mark.parametrize("siblings", [60, 80])
def test_a_crowded_path_hurts_no_other(target: Target, siblings: int) -> None:
    """Up to 64 siblings it can be edited; beyond, the edit stays where it was made, and its node says so."""
    name = f"uploads/crowd{siblings}"
    for n in range(siblings):
        other = target.writer()
        publish(target, other, other.file(name.encode(), 1, b"%d" % n), blobs=(b"%d" % n,))
    await_condition((target.honest.tree / name).exists, "one of them wins")
    (target.victim.tree / name).write_bytes(b"decided")
    if siblings < limits.MAX_SIBLINGS:
        await_file(target.honest.tree / name, b"decided")
    else:
        await_condition(
            lambda: any("siblings" in alarm and name in alarm for alarm in target.victim.status()["alarms"]), "no alarm"
        )
        assert (target.victim.tree / name).read_bytes() == b"decided"
    target.check()


def test_a_path_with_the_longest_context_can_be_edited(target: Target, writer: Persona) -> None:
    """Once: so it is edited in one step, since a look between truncation and writing would be an edit of its own."""
    actors = {n.to_bytes(8, "big"): 1 for n in range(1, 1_024)}
    publish(target, writer, writer.file(b"uploads/heavy", 60, b"heavy", context=actors), blobs=(b"heavy",))
    await_file(target.honest.tree / "uploads/heavy", b"heavy")
    (target.honest.base / "lighter").write_bytes(b"lighter")
    (target.honest.base / "lighter").rename(target.honest.tree / "uploads/heavy")
    await_file(target.victim.tree / "uploads/heavy", b"lighter")
    target.check()


def test_many_edits_with_long_contexts_are_told_in_pieces(target: Target, writer: Persona) -> None:
    """Own records inherit the contexts that others made long: together they are more than a message holds."""
    actors = {n.to_bytes(8, "big"): 1 for n in range(1, 1_020)}
    records = [writer.file(b"uploads/c%d" % n, 100 + n, b"%d" % n, context=actors) for n in range(100)]
    with target.rogue(writer) as rogue:
        for first in range(0, 100, 25):
            part = records[first : first + 25]
            rogue.push(*part, blobs=[b"%d" % n for n in range(first, first + 25)])
        rogue.barrier()
    await_file(target.victim.tree / "uploads/c99", b"99")
    for n in range(100):
        (target.victim.tree / f"uploads/c{n}").write_bytes(b"edited %d" % n)
    target.victim.rescan()
    await_file(target.honest.tree / "uploads/c99", b"edited 99")
    await_file(target.honest.tree / "uploads/c0", b"edited 0")
    target.check()


def test_a_file_where_a_directory_is_hides_nothing(target: Target, writer: Persona) -> None:
    (target.victim.tree / "uploads/dir").mkdir()
    (target.victim.tree / "uploads/dir/kept").write_bytes(b"kept")
    arrives(target.honest.tree / "uploads/dir/kept", b"kept")
    publish(target, writer, writer.file(b"uploads/dir", 70, b"file"), blobs=(b"file",))
    target.check()
    assert (target.victim.tree / "uploads/dir/kept").read_bytes() == b"kept"
    assert (target.honest.tree / "uploads/dir/kept").read_bytes() == b"kept"


def test_a_delete_of_everything_can_be_undone_from_the_archive(target: Target, writer: Persona) -> None:
    """A writer may delete; no byte is destroyed by it."""
    content = os.urandom(5_000)
    (target.victim.tree / "uploads/victim").write_bytes(content)
    await_file(target.honest.tree / "uploads/victim", content)
    with target.rogue(writer) as rogue:
        key = b"uploads\0victim"
        rogue.send(AskRecords(1, key, key + b"\1", (key,)))
        heard = rogue.expect(Records, where=lambda message: message.id == 1)
        fields = codec.unpack(heard.records[0][0])
        rogue.push(
            writer.delete(
                b"uploads/victim", 80, context={fields[4]: fields[5]}, stamp=min(fields[8] + 1, limits.MAX_STAMP)
            )
        )
        rogue.barrier()
    for daemon in (target.victim, target.honest):
        await_file(daemon.tree / "uploads/victim", None)
        assert any(path.is_file() and path.read_bytes() == content for path in daemon.archive)


def test_an_edit_by_somebody_else_is_no_delete(target: Target) -> None:
    """A record of a kind that does not fit its fields is none."""
    persona = target.writer()
    fields = codec.unpack(persona.delete(b"uploads/small", 2).raw)
    fields[3] = int(Kind.DIR)
    dropped(target, persona, packed(persona, fields))
    assert (target.victim.tree / "uploads/small").read_bytes() == b"small"


def test_thousands_of_records_are_taken_at_a_bounded_price(target: Target, writer: Persona) -> None:
    """An index bomb, scaled down: memory stays, an honest change gets through meanwhile."""
    before = target.rss
    target.reset_peak()
    with target.rogue(writer) as rogue:
        for first in range(0, BOMB, 250):
            records = [writer.directory(b"bomb/%d" % n, 1_000 + n) for n in range(first, first + 250)]
            rogue.send(writer.message(*records), compress=True)
        (target.honest.tree / "uploads/meanwhile").write_bytes(b"meanwhile")
        await_file(target.victim.tree / "uploads/meanwhile", b"meanwhile")
        rogue.barrier(30)
    for daemon in (target.victim, target.honest):
        arrived = daemon.tree / "bomb"
        await_condition(lambda arrived=arrived: arrived.is_dir() and len(os.listdir(arrived)) == BOMB, "not made")
    assert target.peak - before < 32 * MIB
    target.check()


async def test_long_deep_paths_are_merged_in_pieces(tmp_path: Path) -> None:
    """Each has two thousand directories above it: a message of them must not become a transaction of gigabytes, and
    others get their turn between.
    """
    secret = generate_secret(os.urandom(32))
    inside, writer = Inside(tmp_path, secret), Persona.of(secret)
    try:
        records = [writer.directory(b"%d/" % n + b"/".join([b"d"] * 2_000), n + 1) for n in range(4)]
        shallow = [writer.directory(b"%d" % n, n + 10) for n in range(200)]
        reports = list(inside.shop.ledger.receive(writer.message(*records, *shallow)))
    finally:
        inside.shop.close()
    assert [len(report.news) for report in reports] == [1, 1, 1, 1, 200]


async def test_a_flood_of_records_stops_at_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index bomb: the index grows no further, the status says so, and what is known goes on both ways."""
    monkeypatch.setattr(ledger, "INDEX_BYTES", 2 * MIB)
    monkeypatch.setattr(ledger, "INDEX_BYTES_KNOWN", 4 * MIB)
    secret = generate_secret(os.urandom(32))
    one, two = (Inside(tmp_path / name, secret) for name in ("one", "two"))
    (one.tree / "known").write_bytes(b"before")
    async with one.running(), two.running(settled=False):
        await two.join(one)
        await two.reach(lambda: two.in_sync)
        writer = Persona.of(secret)
        guest = Guest(one, writer)
        numbers = itertools.count(1)

        async def flood(messages: int) -> None:
            for _ in range(messages):
                paths = [(b"bomb-%d-" % n).ljust(200, b"b") for n in itertools.islice(numbers, 200)]
                records = [writer.delete(path, next(numbers)) for path in paths]
                guest.say(writer.message(*records))
                await guest.barrier()

        while ledger.FULL not in one.folder.troubles.alarms:
            await flood(1)
        assert one.shop.index.size < 3 * MIB
        paths = one.shop.index.root().count
        await flood(5)
        assert one.shop.index.root().count == paths
        for source, sink, content in ((one, two, b"after"), (two, one, b"after that")):
            (source.tree / "known").write_bytes(content)
            await source.folder.watching.rescan()
            await sink.reach(lambda sink=sink, content=content: (sink.tree / "known").read_bytes() == content)
        monkeypatch.setattr(ledger, "INDEX_BYTES_KNOWN", 2 * MIB)
        guest.say(writer.message(writer.file(b"known", 10_000_000, b"more"), blobs=[b"more"]))
        await guest.barrier()
        assert (one.tree / "known").read_bytes() == b"after that"
