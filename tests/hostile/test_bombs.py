"""Few bytes that claim to be many, or that would become many: refused before anything is allocated for them."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from protocol import codec, limits
from protocol.batches import Proof, VerifiedProof, to_wire, verify_proof
from protocol.frames import FrameWriter
from protocol.keys import generate_secret
from protocol.messages import (
    AskRecords,
    Cancel,
    Get,
    Have,
    Hello,
    Leaves,
    Objects,
    Pages,
    Peers,
    Records,
    Status,
)
from protocol.transport import Sealer
from syncd.node import verification
from tests.hostile.peer import Persona, Rogue
from tests.hostile.target import MIB, Target
from tests.lab.inside import Inside

SLACK = 24 * MIB  # that the memory of a victim may vary by


def zstd(data: bytes, claimed: int | None = None) -> bytes:
    """A compressed body. claimed: its size by its own word."""
    return struct.pack(">I", len(data) if claimed is None else claimed) + zstandard.compress(data, 19)


def each(target: Target, frames: Iterator[tuple[int, bytes, int, int | None]], growth: int = SLACK) -> list[str]:
    """Send each (type, body, flags, length) over a session of its own; the reasons why each was refused."""
    reasons = []
    with target.unmoved(growth=growth):
        for kind, body, flags, length in frames:
            with target.rogue() as rogue:
                rogue.send_frame(kind, body, flags, length)
                reasons.append(rogue.ended())
    return reasons


def test_lengths_beyond_the_limit(target: Target) -> None:
    """The header alone ends it: nobody waits for the body, let alone makes room for it."""
    lengths = (limits.MAX_MESSAGE + 1, 1 << 23, (1 << 24) - 1)
    each(target, ((kind, b"", 0, length) for length in lengths for kind in (Status.TYPE, Records.TYPE, Objects.TYPE)))


def test_a_body_that_never_comes(target: Target) -> None:
    """A hundred sessions that each promise a megabyte and send a part."""
    with target.unmoved(growth=SLACK):
        rogues = [Rogue(target.writer(), target.address, source=target.source()) for _ in range(100)]
        for rogue in rogues:
            rogue.send_frame(Records.TYPE, bytes(1_000), 0, limits.MAX_MESSAGE)
            rogue.socket.close()


def test_compressed_bodies_that_lie(target: Target) -> None:
    mega, nothing = bytes(MIB), b""
    bodies = [
        zstd(mega),  # a thousandfold
        zstd(bytes(64 * MIB), MIB),
        zstd(bytes(64 * MIB), 64 * MIB),
        zstd(mega, 100),
        zstd(b"x" * 1_000, 1_001),
        zstd(b"x" * 1_000, 999),
        zstd(nothing, 0),
        zstd(os.urandom(100), (1 << 32) - 1),
        struct.pack(">I", 1_000) + b"\x28\xb5\x2f\xfd" + os.urandom(500),
        struct.pack(">I", 1_000) + bytes(500),
        b"",
        b"\0\0",
        struct.pack(">I", 600) + zstandard.ZstdCompressor(write_content_size=False).compress(b"x" * 600),
        struct.pack(">I", MIB) + zstandard.ZstdCompressor(
            compression_params=zstandard.ZstdCompressionParameters(window_log=27)
        ).compress(os.urandom(MIB // 16))
    ]  # fmt: skip
    each(target, ((Status.TYPE, body, 1, None) for body in bodies))


def test_a_read_full_of_compressed_messages(target: Target) -> None:
    """A quarter of a megabyte that becomes sixteen, over and over."""
    body = codec.pack([1, 0, [[b"%05d" % n, bytes(32), 1] for n in range(4_000)], None])
    packed = struct.pack(">I", len(body)) + zstandard.compress(body, 19)
    packed = packed.ljust(-(-len(body) // limits.MAX_EXPANSION), b"\0")
    frame = bytes((Pages.TYPE, 1)) + len(packed).to_bytes(3, "big") + packed
    with target.unmoved(growth=64 * MIB), target.rogue() as rogue:
        rogue.send_plain(frame * (MIB // len(frame)))
        rogue.ended()


def test_structures_that_lie_about_their_size(target: Target) -> None:
    nested = b"\x91" * 200_000 + b"\xc0"
    bodies = [
        b"\xdd\xff\xff\xff\xff",
        b"\xdc\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdb\x7f\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        nested,
        b"\xdd\x00\x01\x00\x00" + b"\xc0" * 65_536,
        b"\x9f" * 9 + b"\xc0" * 200,
        b"\xdc\x20\x00" * 1_000,
        (b"\xdd\x00\x00\x20\x00" * 1_024).ljust(MIB, b"\x90"),
        codec.pack([[[]] * 8_000] * 8),
    ]
    kinds = (Status.TYPE, Records.TYPE, Leaves.TYPE)
    # The parser reserves room for arrays as it meets their headers: 64 MiB in the worst case, for a moment.
    each(target, ((kind, body, 0, None) for body in bodies for kind in kinds), growth=64 * MIB + SLACK)


def test_lists_longer_than_allowed(target: Target) -> None:
    ids = [bytes(32)] * (limits.MAX_IDS_PER_GET + 1)
    keys = [b"%05d" % n for n in range(limits.MAX_LEAVES_PER_ANSWER + 1)]
    fields: list[tuple[int, list[object]]] = [
        (Get.TYPE, [1, 0, b"", ids]),
        (Have.TYPE, [ids]),
        (Cancel.TYPE, [[1] * (limits.MAX_CANCELLED + 1)]),
        (Peers.TYPE, [[[bytes(16), "127.0.0.1:1"]] * (limits.MAX_PEERS_PER_MESSAGE + 1)]),
        (Leaves.TYPE, [1, [[key, bytes(32), 1] for key in keys], None]),
        (Pages.TYPE, [1, 0, [[key, bytes(32), 1] for key in keys], None]),
        (AskRecords.TYPE, [1, b"", None, keys[: limits.MAX_KEYS_PER_ASK + 1]]),
        (Records.TYPE, [0, [], [[b"", 0]] * (limits.MAX_RECORDS_PER_MESSAGE + 1), [], None, True]),
        (Records.TYPE, [0, [[]] * 2, [[b"", 0]], [], None, True]),
        (Records.TYPE, [0, [[]], [[b"", 0]], [b"", b""], None, True]),
        (Records.TYPE, [0, [[]], [[b"", 0]] * 9, [bytes(limits.SMALL_FILE)] * 9, None, True]),
        (Records.TYPE, [0, [[[[[]]] * 8_000]], [[b"", 0]], [], None, True]),
        (Status.TYPE, [0, bytes(32), True, 0, 0, ["x"] * (limits.MAX_CLASSES + 1), True, "x", False]),
        (Status.TYPE, [limits.MAX_LEVELS, bytes(32), True, 0, 0, [], True, "x", False]),
    ]  # fmt: skip
    each(target, ((kind, codec.pack(body), 0, None) for kind, body in fields))


def test_a_hello_of_too_much(target: Target) -> None:
    many = {n.to_bytes(8, "big"): 1 for n in range(limits.MAX_COUNTERS + 1)}
    persona = target.writer()
    with target.unmoved(growth=SLACK):
        for changes in ({"counters": many}, {"features": ("x",) * 65}, {"limits": (1,) * 65}, {"name": "n" * 256}):
            with Rogue(persona, target.address, source=target.source(), establish=False) as rogue:
                say_hello(rogue, changes)
                rogue.ended()


def say_hello(rogue: Rogue, changes: dict[str, object]) -> None:
    """The handshake, and a HELLO with fields that it would refuse to be made with."""
    handshake = rogue.connection._handshake
    rogue.socket.sendall(handshake.start())
    third = handshake.receive(rogue.socket.recv(1_024))
    hello = rogue.persona.hello(handshake.result)
    for name, value in changes.items():
        object.__setattr__(hello, name, value)
    frame = FrameWriter().frame(Hello.TYPE, [b"".join(hello.encode())])
    rogue.socket.sendall(third + b"".join(Sealer(handshake.result.send).seal(frame)))


async def test_proofs_by_the_hundred_cost_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same proof, again and again, each with a record: verified once."""
    secret = generate_secret(os.urandom(32))
    inside, persona = Inside(tmp_path, secret), Persona.of(secret)
    verified: list[Proof] = []

    def verify(proof: Proof, *keys: bytes) -> VerifiedProof:
        verified.append(proof)
        return verify_proof(proof, *keys)

    monkeypatch.setattr(verification, "verify_proof", verify)
    records = [persona.directory(b"%d" % n, n + 1) for n in range(100)]
    proof = to_wire(persona.sign(records))
    message = Records(0, (proof,) * 100, tuple((record.raw, n) for n, record in enumerate(records)), (), None, True)
    try:
        reports = list(inside.shop.ledger.receive(message))
    finally:
        inside.shop.close()
    assert sum(len(report.news) for report in reports) == 100
    assert len(verified) == 1


def test_records_repeated_within_a_message(target: Target) -> None:
    persona = target.writer()
    record = persona.directory(b"uploads/again", 1)
    proof = to_wire(persona.sign([record]))
    with target.rogue(persona) as rogue:
        rogue.push(record)
        rogue.barrier()
    with target.unmoved(growth=SLACK), target.rogue(persona) as rogue:
        rogue.send(Records(0, (proof,), ((record.raw, 0),) * limits.MAX_RECORDS_PER_MESSAGE, (), None, True))
        rogue.barrier()


def test_small_contents_that_nobody_needs_are_not_hoarded(target: Target) -> None:
    """Ten times what may be kept, in the smallest pieces."""
    persona = target.writer()
    record = persona.directory(b"uploads/blobs", 1)
    proof = to_wire(persona.sign([record]))
    with target.rogue(persona) as rogue:
        rogue.push(record)
        rogue.barrier()
    with target.unmoved(growth=48 * MIB), target.rogue(persona) as rogue:
        for first in range(0, 100_000, 1_000):
            blobs = tuple(b"%06d" % n for n in range(first, first + 1_000))
            rogue.send(Records(0, (proof,), ((record.raw, 0),) * 1_000, blobs, None, True))
        rogue.barrier(30)


def test_large_contents_that_nobody_needs_are_not_hoarded(target: Target) -> None:
    persona = Persona.of(target.cluster.secret)
    record = persona.directory(b"uploads/blobs2", 1)
    proof = to_wire(persona.sign([record]))
    with target.rogue(persona) as rogue:
        rogue.push(record)
        rogue.barrier()
    with target.unmoved(growth=48 * MIB), target.rogue(persona) as rogue:
        for _ in range(80):
            blobs = tuple(os.urandom(limits.SMALL_FILE) for _ in range(8))
            rogue.send(Records(0, (proof,), ((record.raw, 0),) * 8, blobs, None, True))
        rogue.barrier(30)
