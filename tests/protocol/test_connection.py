from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.connection import Connection, Ended, Established, Received
from protocol.errors import BadProof, FrameError, HandshakeError, LocalError, MessageError, RemoteError, TransportError
from protocol.frames import Data, FrameWriter
from protocol.handshake import HandshakeResult, Initiator, Responder
from protocol.keys import FolderKeys, Tier
from protocol.messages import (
    AskPages,
    Cancel,
    Get,
    Goodbye,
    Have,
    Hello,
    Message,
    ObjectKind,
    Objects,
    Ping,
    Pong,
    Records,
)
from protocol.noise import KeyPair
from protocol.transport import Sealer
from tests.protocol.pair import (
    READ_ONLY,
    READ_WRITE,
    RELAY,
    STRANGER,
    End,
    Pair,
    bytewise,
    established,
    make_hello,
    seed,
    whole,
)

TEXT = b"a line of text that repeats itself, as text does, in nearly the same words\n" * 2_000
BLOCKS = Objects(3, ObjectKind.BLOCK, (TEXT, None, bytes(range(256)) * 900), True)
MESSAGES: list[Message] = [
    Ping(1),
    AskPages(1, 0, b"", None),
    Records(0, ([],), ((b"record", 0),), (b"content",), None, True),
    BLOCKS,
    Get(2, ObjectKind.SEGMENT, b"", (bytes(32),)),
    Have((bytes(32),)),
    Cancel((2,)),
]

TIERS = {"relay": RELAY, "read-only": READ_ONLY, "read-write": READ_WRITE}
PROVEN = [(left, right) for left in TIERS for right in TIERS]


def established_event(end: End) -> Established:
    (event,) = end.events
    assert isinstance(event, Established)
    return event


def messages_of(end: End) -> list[Message]:
    return [event.message for event in end.events if isinstance(event, Received)]


def in_small_pieces(data: bytes) -> Iterator[bytes]:
    for place in range(0, len(data), 997):
        yield data[place : place + 997]


def fresh_result(end: End) -> HandshakeResult:
    """The result of a handshake that `end` has just finished, to seal by hand what a Connection never would."""
    result = end.connection._handshake.result
    assert result is not None
    return result


# --- greeting


@pytest.mark.parametrize(("left", "right"), PROVEN)
@pytest.mark.parametrize("cut", [whole, bytewise])
def test_both_are_told_who_the_other_is(left: str, right: str, cut: Callable[[bytes], Iterator[bytes]]) -> None:
    pair = Pair(TIERS[left], TIERS[right])
    pair.exchange(cut)
    for end, own, peer, number in ((pair.left, left, right, 2), (pair.right, right, left, 1)):
        event = established_event(end)
        assert event.hello == make_hello(TIERS[peer], number, peer_result(event.result))
        assert event.result.remote_static == KeyPair(seed("static", number)).public
        unverifiable = TIERS[own].tier == Tier.RELAY and TIERS[peer].tier == Tier.READ_ONLY
        assert event.tier == (Tier.RELAY if unverifiable else TIERS[peer].tier)
        if event.tier == Tier.READ_WRITE:
            assert event.certificate is not None
            assert event.certificate.actor == bytes(7) + bytes([number])
        else:
            assert event.certificate is None
        assert end.connection.open


def peer_result(result: HandshakeResult) -> HandshakeResult:
    return replace(result, initiator=not result.initiator)


def test_a_responder_speaks_second() -> None:
    pair = Pair()
    assert pair.left.outbox
    assert not pair.right.outbox
    assert not pair.left.connection.open


def test_hello_leaves_with_the_end_of_the_handshake() -> None:
    pair = Pair()
    pair.right.receive(pair.left.take())
    second = len(pair.right.outbox)
    pair.left.receive(pair.right.take())
    assert len(pair.left.outbox) > 300  # third message and HELLO with certificate, in one write
    pair.right.receive(pair.left.take())
    assert isinstance(pair.right.events[0], Established)
    assert second < 150
    assert pair.left.connection.pending() == b""


def test_what_is_pending_goes_before_what_is_sent() -> None:
    pair = Pair()
    pair.right.receive(pair.left.take())
    pair.left.receive(pair.right.take())
    right = pair.right.connection
    assert isinstance(right.receive(pair.left.take())[0], Established)
    first, *rest = right.send(Ping(5))
    assert right.pending() == b""
    pair.left.receive(bytes(first) + b"".join(rest))
    assert isinstance(pair.left.events[0], Established)
    assert messages_of(pair.left) == [Ping(5)]


# --- claims that do not hold

FORGED: list[tuple[str, FolderKeys, Callable[[Hello], Hello]]] = [
    ("read-only proof", READ_ONLY, lambda hello: replace(hello, proof=bytes(32))),
    ("no read-only proof", READ_ONLY, lambda hello: replace(hello, proof=b"")),
    ("read-only claims read-write", READ_ONLY, lambda hello: replace(hello, tier=Tier.READ_WRITE)),
    ("relay claims read-only", RELAY, lambda hello: replace(hello, tier=Tier.READ_ONLY)),
    ("signature", READ_WRITE, lambda hello: replace(hello, proof=bytes(64))),
    ("no certificate", READ_WRITE, lambda hello: replace(hello, certificate=b"")),
    ("changed certificate", READ_WRITE, lambda hello: replace(hello, certificate=hello.certificate[:-1] + b"x")),
]


@pytest.mark.parametrize(("keys", "change"), [pytest.param(*rest, id=name) for name, *rest in FORGED])
@pytest.mark.parametrize("judge", [READ_ONLY, READ_WRITE])
def test_a_claim_that_does_not_hold(keys: FolderKeys, change: Callable[[Hello], Hello], judge: FolderKeys) -> None:
    with pytest.raises(BadProof):
        Pair(keys, judge, change=change).exchange()
    with pytest.raises(BadProof):
        Pair(judge, keys, right_change=change).exchange()


def test_certificate_and_proof_of_another_node() -> None:
    stolen: list[Hello] = []

    def steal(hello: Hello) -> Hello:
        stolen.append(hello)
        return hello

    Pair(change=steal).exchange()
    for change in (
        lambda hello: replace(hello, certificate=stolen[0].certificate),
        lambda hello: replace(hello, proof=stolen[0].proof),
        lambda hello: replace(hello, certificate=stolen[0].certificate, proof=stolen[0].proof),
    ):
        pair = Pair(right_change=change)
        with pytest.raises(BadProof):
            pair.exchange()


def test_a_proof_cannot_be_reflected() -> None:
    pair = Pair(READ_ONLY, READ_ONLY)
    pair.right.receive(pair.left.take())
    pair.left.receive(pair.right.take())
    own = make_hello(READ_ONLY, 1, fresh_result(pair.left))
    mirror = Pair(READ_ONLY, READ_ONLY, right_change=lambda hello: replace(hello, proof=own.proof))
    with pytest.raises(BadProof):
        mirror.exchange()


def test_a_higher_tier_that_is_not_claimed_is_not_given() -> None:
    pair = Pair(change=lambda hello: replace(hello, tier=Tier.RELAY))
    pair.exchange()
    event = established_event(pair.right)
    assert (event.tier, event.certificate) == (Tier.RELAY, None)


@pytest.mark.parametrize("secret", [STRANGER, replace(READ_WRITE, psk=bytes(32))])
def test_wrong_secret(secret: FolderKeys) -> None:
    pair = Pair(left=secret) if secret is not STRANGER else Pair(left=secret, right=replace(READ_WRITE, psk=bytes(32)))
    pair.right.connection = Connection(
        Responder([READ_WRITE], seed("static", 2), seed("ephemeral", 2)), lambda result: make_hello(secret, 2, result)
    )
    with pytest.raises(HandshakeError):
        pair.exchange()
    assert pair.right.connection.pending() == b""


# --- messages


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("cut", [whole, in_small_pieces])
def test_messages_arrive_in_order(cut: Callable[[bytes], Iterator[bytes]], compress: bool) -> None:
    pair = established()
    for end in (pair.left, pair.right):
        end.send(*MESSAGES, compress=compress)
        end.send(Pong(9))
    assert (len(pair.left.outbox) < 100_000) == compress
    pair.exchange(cut)
    assert messages_of(pair.left) == messages_of(pair.right) == [*MESSAGES, Pong(9)]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(MESSAGES), max_size=5), st.lists(st.integers(1, 40_000), min_size=1, max_size=9))
def test_any_cuts(sent: list[Message], sizes: list[int]) -> None:
    def cut(data: bytes) -> Iterator[bytes]:
        turn = 0
        while data:
            size = sizes[turn % len(sizes)]
            turn += 1
            yield data[:size]
            data = data[size:]

    pair = Pair()
    pair.exchange(cut)
    for message in sent:
        pair.left.send(message)
    pair.left.send(Goodbye("done"))
    pair.exchange(cut)
    first, *rest = pair.right.events
    assert isinstance(first, Established)
    assert rest == [*map(Received, sent), Ended("done")]


def test_messages_of_one_call_share_a_transport_record() -> None:
    pair = established()
    together = sum(map(len, pair.left.connection.send(Ping(1), Ping(2), Ping(3))))
    alone = sum(map(len, pair.left.connection.send(Ping(1))))
    assert together < 3 * alone
    assert b"".join(pair.left.connection.send()) == b""


# --- the end


def test_goodbye() -> None:
    pair = established()
    pair.left.send(Ping(1), Goodbye("restart"))
    assert not pair.left.connection.open
    pair.right.send(Ping(2))
    pair.exchange()
    assert pair.right.events == [Received(Ping(1)), Ended("restart")]
    assert pair.left.events == [Received(Ping(2))]  # what was on its way
    assert not pair.right.connection.open
    pair.left.connection.eof()
    pair.right.connection.eof()
    assert pair.left.connection.receive(b"anything") == pair.right.connection.receive(b"anything") == []
    with pytest.raises(LocalError):
        pair.left.connection.send(Ping(3))


def test_an_answer_to_what_came_with_a_goodbye_can_be_sent() -> None:
    pair = established()
    pair.left.send(Ping(1), Goodbye("restart"))
    pair.exchange()
    pair.right.send(Pong(1), Goodbye("so be it"))
    pair.exchange()
    assert pair.left.events == [Received(Pong(1)), Ended("so be it")]


def test_goodbye_both_ways() -> None:
    pair = established()
    pair.left.send(Goodbye("left"))
    pair.right.send(Goodbye("right"))
    pair.exchange()
    assert (pair.left.events, pair.right.events) == ([Ended("right")], [Ended("left")])


def test_nothing_after_a_goodbye_is_sent_or_heard() -> None:
    pair = established()
    with pytest.raises(LocalError):
        pair.left.connection.send(Goodbye("early"), Ping(1))
    assert pair.left.connection.open
    inject(pair.left, *FrameWriter().frame(Goodbye.TYPE, Goodbye("now").encode()), b"\x02 not a frame")
    pair.exchange()
    assert pair.right.events == [Ended("now")]


def inject(end: End, *plaintext: Data) -> None:
    """Send what the connection would not."""
    link = end.connection._link
    assert link is not None
    end.outbox += b"".join(link.sealer.seal(plaintext))


@pytest.mark.parametrize("size", [0, 10, 60])
def test_eof_during_the_handshake(size: int) -> None:
    pair = Pair()
    pair.right.receive(pair.left.take()[:size])
    for end in (pair.left, pair.right):
        with pytest.raises(HandshakeError):
            end.connection.eof()


def test_eof_before_hello() -> None:
    pair = Pair()
    pair.right.receive(pair.left.take())
    pair.left.receive(pair.right.take())
    with pytest.raises(TransportError):
        pair.left.connection.eof()
    with pytest.raises(LocalError):
        pair.left.connection.send(Ping(1))


@pytest.mark.parametrize("complete", [True, False])
def test_a_stream_that_is_cut_off(complete: bool) -> None:
    pair = established()
    pair.left.send(BLOCKS, Goodbye("never heard"))
    data = pair.left.take()
    pair.right.receive(b"" if complete else data[:-1])
    assert Ended("never heard") not in pair.right.events
    with pytest.raises(TransportError):
        pair.right.connection.eof()
    assert not pair.right.connection.open


# --- breaking the rules


def test_nothing_can_be_sent_before_the_peers_hello() -> None:
    pair = Pair()
    for _ in range(2):
        with pytest.raises(LocalError):
            pair.left.connection.send(Ping(1))
        pair.right.receive(pair.left.take())
        pair.left.receive(pair.right.take())
    pair.right.receive(pair.left.take())
    pair.right.connection.send(Ping(1))


def test_hello_cannot_be_sent_again() -> None:
    pair = established()
    hello = make_hello(READ_WRITE, 1, fresh_result(pair.left))
    with pytest.raises(LocalError):
        pair.left.connection.send(hello)
    inject(pair.left, *FrameWriter().frame(Hello.TYPE, hello.encode()))
    with pytest.raises(MessageError):
        pair.exchange()


@pytest.mark.parametrize("message", [Ping(1), Goodbye("at once")])
def test_a_message_before_hello(message: Message) -> None:
    pair = Pair()
    handshake = Initiator(READ_WRITE, seed("static", 1), seed("ephemeral", 1))
    pair.right.receive(handshake.start())
    third = handshake.receive(pair.right.take())
    assert handshake.result is not None
    frame = FrameWriter().frame(message.TYPE, message.encode())
    pair.right.receive(third)
    with pytest.raises(MessageError):
        pair.right.receive(b"".join(Sealer(handshake.result.send).seal(frame)))
    assert pair.right.events == []


def test_a_hello_that_cannot_be_sent() -> None:
    pair = Pair(change=lambda hello: replace(hello, name="x" * 300))
    pair.right.receive(pair.left.take())
    with pytest.raises(LocalError):
        pair.left.receive(pair.right.take())
    with pytest.raises(TransportError):
        pair.left.connection.receive(b"")


def test_replayed_bytes() -> None:
    pair = established()
    pair.left.send(Ping(1))
    data = pair.left.take()
    pair.right.receive(data)
    with pytest.raises(TransportError):
        pair.right.receive(data)
    assert messages_of(pair.right) == [Ping(1)]
    assert_dead(pair.right)


def test_a_recorded_connection_cannot_be_replayed() -> None:
    pair = Pair()
    recorded = [pair.left.take()]
    pair.right.receive(recorded[0])
    pair.left.receive(pair.right.take())
    recorded.append(pair.left.take())
    again = End(
        Connection(
            Responder([READ_WRITE], seed("static", 2), seed("ephemeral", 3)),
            lambda result: make_hello(READ_WRITE, 2, result),
        )
    )
    again.receive(recorded[0])
    with pytest.raises(HandshakeError):
        again.receive(recorded[1])
    assert again.events == []


def assert_dead(end: End) -> None:
    assert not end.connection.open
    with pytest.raises(TransportError):
        end.connection.receive(b"")
    with pytest.raises(LocalError):
        end.connection.send(Ping(1))
    end.connection.eof()


def bomb() -> list[Data]:
    packed = (1 << 20).to_bytes(4, "big") + zstandard.ZstdCompressor().compress(bytes(64 << 20))
    return [bytes([Objects.TYPE, 1]) + len(packed).to_bytes(3, "big") + packed]


@pytest.mark.parametrize(
    ("plaintext", "error"),
    [
        pytest.param([b"\x05\0\0\0\0"], FrameError, id="unknown type"),
        pytest.param(bomb(), FrameError, id="compression bomb"),
        pytest.param(FrameWriter().frame(Ping.TYPE, [b"\x91\xff"]), MessageError, id="field"),
        pytest.param(FrameWriter().frame(Ping.TYPE, [b"\x91\xcc\x01"]), RemoteError, id="not canonical"),
    ],
)
def test_nonsense_ends_the_connection_and_nothing_is_delivered(plaintext: list[Data], error: type[Exception]) -> None:
    pair = established()
    inject(pair.left, *FrameWriter().frame(Ping.TYPE, Ping(1).encode()), *plaintext)
    with pytest.raises(error):
        pair.exchange()
    assert pair.right.events == []
    assert_dead(pair.right)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_changed_bytes(data: st.DataObject) -> None:
    """Whoever changes bytes on the way gains an error or silence, never an event that was not sent."""
    pair = Pair()

    def cut(stream: bytes) -> Iterator[bytes]:
        if stream and data.draw(st.booleans()):
            place = data.draw(st.integers(0, len(stream) - 1))
            stream = stream[:place] + bytes([data.draw(st.integers(0, 255))]) + stream[place + 1 :]
        yield stream

    try:
        pair.exchange(cut)
        pair.left.send(Ping(1), BLOCKS)
        pair.exchange(cut)
    except (RemoteError, LocalError):
        pass
    assert messages_of(pair.right) in ([], [Ping(1), BLOCKS])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=4))
def test_random_plaintext_from_a_member(plaintexts: list[bytes]) -> None:
    pair = established()
    try:
        for plaintext in plaintexts:
            inject(pair.left, plaintext)
            pair.exchange()
    except RemoteError:
        assert_dead(pair.right)
