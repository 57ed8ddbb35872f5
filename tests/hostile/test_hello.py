"""Who has a secret and lies about itself in HELLO."""

import os
from dataclasses import replace

import pytest

from protocol.frames import FrameWriter
from protocol.handshake import Initiator
from protocol.keys import Tier
from protocol.messages import BY_TYPE, AskPages, Goodbye, Hello, Pages, Status
from protocol.transport import Sealer
from tests.hostile.peer import Change, dial
from tests.hostile.target import MIB, Target
from tests.lab.cluster import await_condition, await_file

MANY = {bytes([1, 2, 3, 4, 5, 6, number >> 8, number & 255]): 1 for number in range(1_024)}
LIES: dict[str, Change] = {
    "another node's id": lambda hello: replace(hello, node_id=os.urandom(16)),
    "a proof of nothing": lambda hello: replace(hello, proof=bytes(64)),
    "a short proof": lambda hello: replace(hello, proof=b""),
    "no certificate": lambda hello: replace(hello, certificate=b""),
    "a cut certificate": lambda hello: replace(hello, certificate=hello.certificate[:-1]),
    "a changed certificate": lambda hello: replace(hello, certificate=b"\1" + hello.certificate[1:]),
    "a tier without its proof": lambda hello: replace(hello, tier=Tier.READ_ONLY),
    "less than it is, with a writer's proof": lambda hello: replace(hello, tier=Tier.READ_ONLY, certificate=b""),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_about_oneself_ends_it(target: Target, name: str) -> None:
    before = {peer["name"] for peer in target.victim.status()["peers"]}
    target.hello(LIES[name])
    assert {peer["name"] for peer in target.victim.status()["peers"]} == before


def test_nobody_is_who_another_node_is(target: Target) -> None:
    """The node id is that of the key: the honest peer's cannot be taken, and its session stays."""
    honest = bytes.fromhex(target.victim.peer("honest")["id"])
    target.hello(lambda hello: replace(hello, node_id=honest))
    assert target.victim.peer("honest")["connected"]
    assert target.victim.peer("rogue") == {}
    target.check()


def test_a_certificate_of_ones_own_making_is_worth_nothing(target: Target) -> None:
    """A reader who claims to be a writer."""
    reader = target.reader()
    forger = replace(reader.with_own_certificate(), keys=replace(reader.keys, tier=Tier.READ_WRITE))
    with target.unmoved():
        target.hello(lambda hello: hello, forger)
    assert target.victim.peer("rogue") == {}


def test_a_certificate_of_another_node_is_worth_nothing(target: Target) -> None:
    stolen = target.writer().certificate
    with target.unmoved():
        target.hello(lambda hello: hello, replace(target.writer(), certificate=stolen))
    assert target.victim.peer("rogue") == {}


def test_a_relay_gets_nothing(target: Target) -> None:
    """The lowest tier needs no proof; this version serves it not at all."""
    relay = target.reader()
    relay = replace(relay, keys=replace(relay.keys, tier=Tier.RELAY))
    with target.rogue(relay) as rogue:
        assert "relay" in rogue.ended()
        assert rogue.inbox == []


def test_a_second_hello_ends_it(target: Target) -> None:
    persona = target.writer()
    with target.unmoved(), target.rogue(persona) as rogue:
        rogue.send_frame(Hello.TYPE, b"".join(persona.hello(rogue.peer.result).encode()))
        rogue.ended()


def test_nothing_is_heard_before_hello(target: Target) -> None:
    persona = target.writer()
    message = persona.message(persona.file(b"uploads/early", 1, b"early"))
    with target.unmoved(), dial(target.address, target.source()) as sock:
        initiator = Initiator(persona.keys, persona.static_private, os.urandom(32))
        sock.sendall(initiator.start())
        third = initiator.receive(sock.recv(1_024))
        sealer = Sealer(initiator.result.send)
        frames = FrameWriter().frame(message.TYPE, message.encode())
        sock.sendall(third + b"".join(sealer.seal(frames)))
        while sock.recv(65_536):
            pass


def test_a_later_minor_version_is_understood(target: Target) -> None:
    """More fields than we know, optional types that we do not know, padding: all passed over."""
    with target.rogue(change=lambda hello: replace(hello, minor=65_535, features=("a", "later"))) as rogue:
        rogue.send_fields(AskPages.TYPE, [1, 0, b"", None, "a field of a later version", [1, [2]]])
        assert rogue.expect(Pages).id == 1
        rogue.send_frame(0x80, os.urandom(300))
        rogue.send_frame(0xFF, b"")
        rogue.send_frame(0x00, bytes(1_000))
        rogue.send_frame(0xC3, bytes(MIB * 3), flags=0xFF)
        rogue.ping(2)


@pytest.mark.parametrize("kind", sorted(set(range(1, 0x80, 9)) - BY_TYPE.keys()))
def test_an_unknown_type_that_is_not_optional_ends_it(target: Target, kind: int) -> None:
    with target.rogue() as rogue:
        rogue.send_frame(kind, b"")
        rogue.ended()


def test_a_reader_cannot_make_a_writer_start_anew(target: Target) -> None:
    """It says that it has seen events that the victim never made: as if the victim's index had been rolled back."""
    with target.rogue() as witness:
        counters = dict.fromkeys(witness.peer.hello.counters, 1 << 62)
    assert counters
    with (
        target.unmoved(),
        target.rogue(target.reader(), change=lambda hello: replace(hello, counters=counters)) as rogue,
    ):
        rogue.barrier()
        assert target.victim.status()["settled"]
        assert not any("rolled back" in alarm for alarm in target.victim.status()["alarms"])


def test_a_writer_who_does_so_loses_nobody_anything(target: Target) -> None:
    """A holder of the read-write secret could sign such events, so it is believed: the index goes on as a fresh one,
    under another actor, until a settled peer was heard.
    """
    with target.rogue() as witness:
        counters = dict.fromkeys(witness.peer.hello.counters, 1 << 62)
    before = {path.name: path.read_bytes() for path in (target.victim.tree / "uploads").iterdir()}
    with target.rogue(change=lambda hello: replace(hello, counters=counters, settled=False)) as rogue:
        rogue.barrier()
    await_condition(lambda: bool(target.victim.status()["settled"]), "it does not settle again")
    target.check()
    for name, content in before.items():
        await_file(target.honest.tree / "uploads" / name, content)
        await_file(target.victim.tree / "uploads" / name, content)


def test_a_thousand_counters_do_no_harm(target: Target) -> None:
    with target.unmoved(), target.rogue(change=lambda hello: replace(hello, counters=MANY)) as rogue:
        rogue.barrier()


def test_status_may_say_anything(target: Target) -> None:
    with target.unmoved(), target.rogue() as rogue:
        for root in (bytes(32), b"\xff" * 32, rogue.expect(Status).root):
            for need in (0, 1, (1 << 63) - 1):
                rogue.send(Status(7, root, False, need, need, ("x" * 255,) * 64, False, "\x1b[2J" * 60, True))
        rogue.barrier()
        peer = target.victim.peer("rogue")
        assert not peer["in_sync"]


def test_nothing_follows_a_goodbye(target: Target) -> None:
    persona = target.writer()
    with target.unmoved(), target.rogue(persona) as rogue:
        frames = rogue.connection._writer
        parts = [*frames.frame(Goodbye.TYPE, Goodbye("so long \x1b[31m\n").encode())]
        message = persona.message(persona.file(b"uploads/late", 1, b"late"))
        parts += frames.frame(message.TYPE, message.encode())
        rogue.send_plain(b"".join(bytes(part) for part in parts))
        rogue.ended()
    assert all(line.isprintable() for line in target.victim.log_text().split("\n"))
