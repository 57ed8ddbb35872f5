"""Who has no secret, or only pretends to be somebody: gets no byte, costs little, and shuts nobody out."""

import os
import secrets
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import pytest

from protocol.errors import HandshakeError
from protocol.handshake import PREFACE, Initiator, Responder
from protocol.keys import generate_secret
from protocol.messages import Ping
from protocol.noise import XX_PSK0, HandshakeState, KeyPair
from tests.hostile.peer import Persona, Rogue, dial
from tests.hostile.target import MIB, Target
from tests.lab.cluster import await_condition
from tests.lab.proxy import Proxy

DEADLINE = 5.0  # seconds that a connection may take to authenticate
PATIENCE = 10.0  # seconds more, on a machine that is busy
FLOOD = 2_000
SMALL_ORDER = [
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),  # p: zero, not canonical
    bytes.fromhex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),  # p + 1
]
CLIENT_HELLO = (
    bytes.fromhex("16030100c8010000c40303") + bytes(32) + b"\x20" + bytes(32) + bytes.fromhex("0024130113021303")
)
STRANGERS = {
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "tls": CLIENT_HELLO,
    "random": bytes(range(7, 250)) * 3,
    "nul": bytes(64),
    "newlines": b"\r\n\r\n",
    "smb": bytes.fromhex("000000a4ff534d4272000000000801c8"),
    "dns over tcp": bytes.fromhex("000c0000100000000000000000000000"),
    "rtsp": b"OPTIONS / RTSP/1.0\r\n\r\n",
    "rpc": bytes.fromhex("80000028724e43ad0000000000000002000186a0"),
    "ssh": b"SSH-2.0-OpenSSH_9.0\r\n",
    "other major version": PREFACE[:4] + b"\x02\x01\0\0" + bytes(50),
    "other suite": PREFACE[:4] + b"\x01\x02\0\0" + bytes(50),
    "reserved bytes": PREFACE[:6] + b"\0\x01" + bytes(50),
    "empty first message": PREFACE + b"\0\0",
    "short first message": PREFACE + b"\0\x2f" + bytes(47),
    "long first message": PREFACE + b"\xff\xff" + bytes(65_535),
    "no key": PREFACE + b"\0\x30" + bytes(48),
    "half of it": PREFACE[:5],
}


def answer(target: Target, payload: bytes, source: str = "", hold: bool = False) -> bytes:
    """All that comes back for these bytes. hold: keep our side open until the daemon closes."""
    with dial(target.address, source or target.source()) as sock:
        try:
            sock.sendall(payload)
            if not hold:
                sock.shutdown(socket.SHUT_WR)
            received = b""
            while data := sock.recv(65_536):
                received += data
        except (ConnectionResetError, BrokenPipeError):
            received = b""
        return received


@contextmanager
def in_doubt(target: Target) -> Iterator[None]:
    """Around an attack by strangers."""
    with target.unmoved(growth=16 * MIB):
        yield


@pytest.mark.parametrize("name", STRANGERS)
def test_a_stranger_gets_no_byte(target: Target, name: str) -> None:
    assert answer(target, STRANGERS[name]) == b""


def test_a_wrong_secret_gets_no_byte(target: Target) -> None:
    with in_doubt(target):
        for _ in range(50):
            wrong = Persona.of(generate_secret(secrets.token_bytes(32)))
            first = Initiator(wrong.keys, wrong.static_private, secrets.token_bytes(32)).start()
            assert answer(target, first, hold=True) == b""


def test_no_time_tells_a_wrong_secret_from_noise() -> None:
    """Both take the very same steps to be refused, call by call, so how long that takes says nothing."""
    right, wrong = (Persona.of(generate_secret(secrets.token_bytes(32))) for _ in range(2))
    first = Initiator(wrong.keys, wrong.static_private, secrets.token_bytes(32)).start()
    noise = PREFACE + b"\0\x30" + secrets.token_bytes(48)
    assert len(first) == len(noise)
    assert steps_to_refuse(right, first) == steps_to_refuse(right, noise)


def steps_to_refuse(persona: Persona, first: bytes) -> list[str]:
    """All functions that are called for a first message that does not open, in order."""
    steps: list[str] = []
    responder = Responder([persona.keys], persona.static_private, secrets.token_bytes(32))

    def note(frame: FrameType, event: str, called: object) -> None:
        if event in ("call", "c_call"):
            steps.append(frame.f_code.co_qualname if event == "call" else repr(called).partition(" at 0x")[0])

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        with pytest.raises(HandshakeError):
            responder.receive(first)
    finally:
        sys.setprofile(before)
    assert len(steps) > 10
    return steps


def test_a_changed_preface_fails(target: Target) -> None:
    """The version and the suite are bound into the handshake: no byte of them can be changed on the way."""
    persona = target.writer()
    for place in range(len(PREFACE)):
        first = bytearray(Initiator(persona.keys, persona.static_private, secrets.token_bytes(32)).start())
        first[place] ^= 1
        assert answer(target, bytes(first)) == b""


@pytest.mark.parametrize("point", SMALL_ORDER, ids=lambda point: point.hex()[:8])
def test_points_of_small_order_are_refused(target: Target, point: bytes) -> None:
    """By a holder of the secret, who can authenticate any ephemeral key."""
    persona = target.writer()
    pair = KeyPair(secrets.token_bytes(32))
    pair.__dict__["public"] = point
    state = HandshakeState(
        XX_PSK0,
        initiator=True,
        prologue=PREFACE + persona.keys.folder_id,
        s=KeyPair(persona.static_private),
        e=pair,
        psk=persona.keys.psk,
    )
    message = state.write_message(b"")
    assert answer(target, PREFACE + len(message).to_bytes(2, "big") + message, hold=True) == b""


# ---- replays and changes on the way


class Recorder(Rogue):
    """Remembers what it wrote and read."""

    def send_bytes(self, data: bytes) -> None:
        self.__dict__.setdefault("written", bytearray()).extend(data)
        super().send_bytes(data)


def test_a_replayed_session_dies_at_its_third_message(target: Target) -> None:
    persona = target.writer()
    initiator_bytes = bytearray()
    with Recorder(persona, target.address, source=target.source(), establish=False) as rogue:
        rogue.send_bytes(rogue.connection.start())
        rogue._until(lambda: rogue.peer is not None)
        rogue.push(persona.file(b"uploads/replayed", 1, b"hello"), blobs=[b"hello"])
        rogue.barrier()
        initiator_bytes += rogue.__dict__["written"]
        # What was said is undone, so that a replay would show.
        gone = persona.delete(b"uploads/replayed", 2, context={persona.actor: 1})
        rogue.push(gone)
        rogue.barrier()
    with in_doubt(target):
        reply = answer(target, bytes(initiator_bytes), hold=True)
        assert len(reply) < 300  # the second message of the handshake, at most, and no HELLO
    assert not (target.victim.tree / "uploads/replayed").exists()


def test_replays_of_a_first_message_are_answered_once_each_and_seldom(target: Target) -> None:
    persona = target.writer()
    first = Initiator(persona.keys, persona.static_private, secrets.token_bytes(32)).start()
    source = target.source()
    answered = 0
    with in_doubt(target):
        sockets = target.sockets
        for _ in range(FLOOD):
            with impatient(target, source, first) as sock:
                try:
                    reply = sock.recv(65_536)
                except ConnectionResetError:
                    continue
                assert len(reply) < 300
                answered += bool(reply)
    assert 0 < answered < FLOOD // 2, "one source may not keep us busy"
    await_condition(lambda: target.sockets <= sockets + 2, "connections are kept")


@contextmanager
def impatient(target: Target, source: str, payload: bytes) -> Iterator[socket.socket]:
    """A connection that is reset instead of closed, so that a flood does not run out of ports."""
    with dial(target.address, source) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            sock.sendall(payload)
        except (ConnectionResetError, BrokenPipeError):
            pass
        yield sock


def test_a_flood_of_handshakes_lets_others_in(target: Target) -> None:
    """FLOOD first messages that look valid, of which only as many are looked at as the doorman allows."""
    source = target.source()
    payload = PREFACE + b"\0\x30" + os.urandom(48)
    with in_doubt(target):
        for number in range(FLOOD):
            with impatient(target, source, payload) as sock:
                try:
                    assert sock.recv(1) == b""
                except ConnectionResetError:
                    pass
            if number % 400 == 399:
                with target.rogue() as honest:
                    honest.ping()


def swapped(records: list[bytes]) -> list[bytes]:
    return [records[1], records[0], *records[2:]]


def doubled(records: list[bytes]) -> list[bytes]:
    return [records[0], *records]


def dropped(records: list[bytes]) -> list[bytes]:
    return records[1:]


def flipped(records: list[bytes]) -> list[bytes]:
    return [bytes([*records[0][:-1], records[0][-1] ^ 1]), *records[1:]]


def emptied(records: list[bytes]) -> list[bytes]:
    return [b"\0\0", *records]


@pytest.mark.parametrize("change", [swapped, doubled, dropped, flipped, emptied])
def test_transport_records_cannot_be_changed(target: Target, change: Callable[[list[bytes]], list[bytes]]) -> None:
    persona = target.writer()
    with target.rogue(persona) as rogue:
        root = target.root
        records = [b"".join(rogue.connection.send(Ping(number))) for number in range(3)]
        records.append(b"".join(rogue.connection.send(persona.message(persona.file(b"uploads/no", 1, b"no")))))
        rogue.send_bytes(b"".join(change(records)))
        rogue.ended()
        assert target.root == root


def test_a_stream_cut_at_every_byte_means_the_same(target: Target) -> None:
    """And one that ends anywhere leaves nothing behind."""
    persona = target.writer()
    with target.rogue(persona) as rogue:
        sealed = b"".join(rogue.connection.send(Ping(1), Ping(2)))
        for place in range(len(sealed)):
            rogue.send_bytes(sealed[place : place + 1])
        rogue.ping(3)
    with in_doubt(target):
        for end in (1, 2, 17, 100):
            with target.rogue() as rogue:
                message = persona.message(persona.file(b"uploads/cut", 1, b"cut"))
                rogue.send_bytes(b"".join(rogue.connection.send(message))[:-end])


# ---- connections that do nothing


def test_whoever_dawdles_is_closed_in_time(target: Target) -> None:
    """Before the preface, in its middle, behind the first message, behind the handshake: never later than 5 s."""
    persona = target.writer()
    first = Initiator(persona.keys, persona.static_private, secrets.token_bytes(32)).start()
    with Rogue(persona, target.address, source=target.source(), establish=False) as mute:
        socks = [dial(target.address, target.source()) for _ in range(4)]
        began = time.monotonic()
        for sock, payload in zip(socks[1:], (PREFACE[:3], first[:30], first), strict=True):
            sock.sendall(payload)
        trickle = dial(target.address, target.source())
        mute.socket.sendall(mute.connection.start())
        mute.connection.receive(mute.socket.recv(65_536))
        mute.socket.sendall(mute.connection.pending()[:66])  # the third message without the HELLO behind it
        sent = 0
        while time.monotonic() - began < DEADLINE + PATIENCE and trickle is not None:
            trickle.settimeout(0.5)
            try:
                trickle.sendall(first[sent : sent + 1])
                sent += 1
                if trickle.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        else:
            raise AssertionError("who sends two bytes a second is kept")
        for sock in [*socks, mute.socket]:
            sock.settimeout(max(0.01, began + DEADLINE + PATIENCE - time.monotonic()))
            try:
                while sock.recv(65_536):
                    pass
            except ConnectionResetError:
                pass
            sock.close()
        trickle.close()
    target.check()


def test_open_connections_of_one_source_do_not_shut_others_out(target: Target) -> None:
    """Nor another peer behind the same address."""
    source = target.source()
    with in_doubt(target):
        held = [dial(target.address, source) for _ in range(200)]
        more = [dial(target.address, target.source()) for _ in range(200)]
        try:
            with target.rogue() as honest:
                honest.ping()
            with target.rogue(source=source) as neighbour:
                neighbour.ping()
        finally:
            for sock in held + more:
                sock.close()


# ---- ourselves


def test_a_node_that_meets_itself_lets_go(target: Target) -> None:
    """Its own address, behind a relay so that it cannot be known by its look."""
    node = target.cluster.add("self")
    with Proxy(node.endpoint) as proxy:
        node.known_hosts = [proxy.endpoint, target.victim.endpoint]
        node.start()
        node.wait(state="in-sync")
        await_condition(lambda: all(peer["connected"] for peer in node.status()["peers"]), "it does not know itself")
        assert {peer["name"] for peer in node.status()["peers"]} == {"victim"}
        assert node.stop() == 0
    target.cluster.daemons.remove(node)
