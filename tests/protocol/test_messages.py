from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import codec, limits, messages
from protocol.errors import LocalError, MessageError, RemoteError
from protocol.fields import Priority
from protocol.keys import Tier
from protocol.messages import (
    AskLeaves,
    AskPages,
    AskRecords,
    Cancel,
    Get,
    Goodbye,
    Have,
    Hello,
    Leaves,
    Message,
    ObjectKind,
    Objects,
    Pages,
    Peers,
    Ping,
    Pong,
    Records,
    Status,
)
from protocol.pages import Leaf, Page

ID, HASH, NODE, ACTOR = 7, b"h" * 32, b"n" * 16, b"actor..1"
KEY = b"wp-content\0themes"

HELLO = Hello(
    minor=1, node_id=NODE, name="web1", nonce=b"o" * 16, settled=True, read_only=False, counters={ACTOR: 5},
    features=("x",), limits=(1,), clock=1 << 60, epoch=2, tier=Tier.READ_ONLY, proof=b"p" * 32, certificate=b"",
    advertise="10.0.0.1:55555", service="", agent="syncd 0.1",
)  # fmt: skip

SAMPLES: list[Message] = [
    HELLO,
    Status(2, HASH, True, 3, 4, ("themes",), True, "in-sync", False),
    AskPages(ID, 1, b"", None),
    Pages(ID, 1, (Page(b"", HASH, 64), Page(KEY, HASH, 70)), KEY + b"x"),
    AskLeaves(ID, KEY, KEY + b"\1"),
    Leaves(ID, (Leaf(KEY, HASH, 200),), None),
    AskRecords(ID, b"a", b"c", (b"a", b"b")),
    Records(ID, ([b"certificate", 1],), ((b"record", 0), (b"other", 0)), (b"content", b""), b"next", False),
    Get(ID, ObjectKind.BLOCK, b"", (HASH,)),
    Objects(ID, ObjectKind.SEGMENT, (b"abc", None, b""), True),
    Have((HASH,)),
    Cancel((ID,)),
    Ping(1),
    Pong(1),
    Goodbye("restart"),
    Peers(((NODE, "10.0.0.2:55555"),)),
]

# The bodies of some of the samples, written by hand from the MessagePack specification.
LAYOUT: dict[type[Message], str] = {
    Status: "99 02 c420" + "68" * 32 + "c3 03 04 91a67468656d6573 c3 a7696e2d73796e63 c2",
    AskPages: "94 07 01 c400 c0",
    Pages: f"94 07 01 92 93c400c420{HASH.hex()}40 93c411{KEY.hex()}c420{HASH.hex()}46 c412{KEY.hex()}78",
    AskRecords: "95 07 c40161 c40163 92c40161c40162 c2",
    Records: "96 07 9192c40b636572746966696361746501 9292c4067265636f72640092c4056f7468657200 92c407636f6e74656e74c400"
    "c4046e657874 c2",
    Get: "94 07 00 c400 91c420" + "68" * 32,
    Objects: "00000008 94 07 01 9303ff00 c3 616263",
    Ping: "91 01",
    Goodbye: "91 a772657374617274",
    Peers: "91 91 92 c410" + "6e" * 16 + "ae31302e302e302e323a3535353535",
}  # fmt: skip

TYPES: dict[type[Message], int] = {
    Hello: 0x01, Status: 0x02, AskPages: 0x10, Pages: 0x11, AskLeaves: 0x12, Leaves: 0x13, AskRecords: 0x14,
    Records: 0x15, Get: 0x20, Objects: 0x21, Have: 0x22, Cancel: 0x23, Ping: 0x30, Pong: 0x31, Goodbye: 0x3F,
    Peers: 0x40,
}  # fmt: skip


def body_of(message: Message) -> bytes:
    return b"".join(messages.encode(message))


def name(message: Message) -> str:
    return type(message).__name__


ids = st.integers(1, limits.MAX_INTEGER)
levels = st.integers(0, limits.MAX_LEVELS)
keys = st.binary(max_size=30)
later_keys = st.none() | st.binary(max_size=30).map(lambda key: b"\xff" * 31 + key)
hashes = st.binary(min_size=32, max_size=32)
nodes = st.binary(min_size=16, max_size=16)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
counts = st.integers(0, limits.MAX_INTEGER)
flags = st.booleans()


def tuples(items: st.SearchStrategy[Any], size: int = 6) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(items, max_size=size).map(tuple)


def entries(cls: type[Page] | type[Leaf], numbers: st.SearchStrategy[int]) -> st.SearchStrategy[tuple[Any, ...]]:
    found = st.dictionaries(keys, st.tuples(hashes, numbers), max_size=6)
    return found.map(lambda drawn: tuple(cls(key, *drawn[key]) for key in sorted(drawn)))


def records(count: int) -> st.SearchStrategy[Records]:
    proofs = st.just(()) if not count else st.lists(st.lists(counts, max_size=3), min_size=1, max_size=count).map(tuple)
    return proofs.flatmap(
        lambda proofs: st.builds(
            Records,
            st.integers(0, limits.MAX_INTEGER),
            st.just(proofs),
            st.lists(
                st.tuples(st.binary(max_size=40), st.integers(0, max(0, len(proofs) - 1))),
                min_size=count,
                max_size=count,
            ).map(tuple),
            tuples(st.binary(max_size=40), count),
            st.none() | keys,
            flags,
        )
    )


kinds = st.sampled_from(ObjectKind)
ALL: dict[type[Message], st.SearchStrategy[Any]] = {
    Hello: st.builds(
        Hello, st.integers(0, 0xFFFF), nodes, texts, nodes, flags, flags,
        st.dictionaries(st.binary(min_size=8, max_size=8), st.integers(0, limits.MAX_COUNTER), max_size=6),
        tuples(texts), tuples(counts), st.integers(0, limits.MAX_STAMP), counts, st.sampled_from(Tier),
        st.binary(max_size=64), st.binary(max_size=216), texts, texts, texts,
    ),
    Status: st.builds(Status, levels, hashes, flags, counts, counts, tuples(texts), flags, texts, flags),
    AskPages: st.builds(AskPages, ids, levels, keys, later_keys),
    Pages: st.builds(Pages, ids, levels, entries(Page, counts), later_keys),
    AskLeaves: st.builds(AskLeaves, ids, keys, later_keys),
    Leaves: st.builds(Leaves, ids, entries(Leaf, st.integers(0, limits.MAX_ENTRY)), later_keys),
    AskRecords: st.builds(
        AskRecords, ids, st.just(b""), later_keys, st.sets(keys, max_size=6).map(lambda found: tuple(sorted(found))),
        st.booleans(),
    ),
    Records: st.integers(0, 5).flatmap(records),
    Get: st.builds(Get, ids, kinds, st.just(b"") | hashes, tuples(hashes)),
    Objects: st.builds(Objects, ids, kinds, tuples(st.none() | st.binary(max_size=40)), flags),
    Have: st.builds(Have, tuples(hashes)),
    Cancel: st.builds(Cancel, tuples(ids)),
    Ping: st.builds(Ping, counts),
    Pong: st.builds(Pong, counts),
    Goodbye: st.builds(Goodbye, texts),
    Peers: st.builds(Peers, tuples(st.tuples(nodes, texts))),
}  # fmt: skip
ANY = st.one_of(*ALL.values())


def test_every_type_is_in_every_table() -> None:
    assert {cls.TYPE: cls for cls in TYPES} == messages.BY_TYPE
    assert {cls: cls.TYPE for cls in ALL} == TYPES
    assert [type(sample) for sample in SAMPLES] == list(TYPES)


def test_only_answers_wait_in_the_queue() -> None:
    waiting = {cls: cls.PRIORITY for cls in TYPES if cls.PRIORITY != Priority.CONTROL}
    assert waiting == {
        Pages: Priority.MANIFEST, Leaves: Priority.MANIFEST, Records: Priority.MANIFEST, Objects: Priority.BULK
    }  # fmt: skip


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
@given(data=st.data())
def test_round_trip(cls: type[Message], data: st.DataObject) -> None:
    message = data.draw(ALL[cls])
    body = body_of(message)
    assert messages.decode(cls.TYPE, body) == message
    assert messages.decode(cls.TYPE, memoryview(body)) == message


@pytest.mark.parametrize("message", [sample for sample in SAMPLES if type(sample) in LAYOUT], ids=name)
def test_layout(message: Message) -> None:
    assert body_of(message) == bytes.fromhex(LAYOUT[type(message)])


def test_answers_hold_what_the_manifest_is_made_of() -> None:
    for message, cls in ((sample(Pages), Page), (sample(Leaves), Leaf)):
        decoded = messages.decode(message.TYPE, body_of(message))
        held = decoded.pages if isinstance(decoded, Pages) else decoded.leaves if isinstance(decoded, Leaves) else ()
        assert {type(entry) for entry in held} == {cls}


def test_layout_of_hello() -> None:
    assert codec.unpack(body_of(HELLO)) == [
        1, NODE, "web1", b"o" * 16, True, False, [[ACTOR, 5]], ["x"], [1], 1 << 60, 2, 1, b"p" * 32, b"",
        "10.0.0.1:55555", "", "syncd 0.1",
    ]  # fmt: skip


def test_counters_are_written_sorted() -> None:
    hello = replace(HELLO, counters={b"b" * 8: 1, b"a" * 8: 2})
    assert codec.unpack(body_of(hello))[6] == [[b"a" * 8, 2], [b"b" * 8, 1]]


def rebuilt(message: Message, change: Callable[[list[Any]], Any]) -> bytes:
    """The body of a message with its array, the header's of Objects, changed."""
    body = body_of(message)
    start, end = (4, 4 + body[3]) if isinstance(message, Objects) else (0, len(body))
    array = codec.unpack(body[start:end])
    changed = change(array)
    packed = codec.pack(array if changed is None else changed)
    length = len(packed).to_bytes(4, "big") if start else b""
    return length + packed + body[end:]


@pytest.mark.parametrize("message", SAMPLES, ids=name)
def test_more_fields_are_ignored_and_less_are_refused(message: Message) -> None:
    longer = rebuilt(message, lambda array: array.extend([None, [[1]]]))
    assert messages.decode(message.TYPE, longer) == message
    shorter = rebuilt(message, lambda array: array[:-1])
    with pytest.raises(MessageError):
        messages.decode(message.TYPE, shorter)
    with pytest.raises(MessageError):
        messages.decode(message.TYPE, rebuilt(message, lambda _: 5))


def test_more_fields_in_a_row_are_ignored() -> None:
    pages = SAMPLES[3]
    assert Pages.decode(rebuilt(pages, lambda array: array[2][0].append("new"))) == pages


@pytest.mark.parametrize("message", SAMPLES, ids=name)
def test_values_of_another_type_are_refused(message: Message) -> None:
    body = body_of(message)
    values: list[Any] = [None, True, -2, 1 << 63, "text" * 200, bytes(5_000), [[]], [None]]
    for place in range(len(fields(message))):
        for value in values:
            changed = rebuilt(message, at(place, value=value))
            try:
                decoded = messages.decode(message.TYPE, changed)
            except MessageError:
                continue
            # Only what has the field's type may pass; [[]] is a list of one proof, which others check.
            assert body_of(decoded) == changed
            assert value in (None, True, [[]]), (place, value)
    assert messages.decode(message.TYPE, body) == message


def at(*path: int, value: Any) -> Callable[[list[Any]], None]:
    def change(array: list[Any]) -> None:
        for place in path[:-1]:
            array = array[place]
        array[path[-1]] = value

    return change


def sample(cls: type[Message]) -> Message:
    return next(message for message in SAMPLES if type(message) is cls)


LONG = "ä" * 128  # 256 bytes
REFUSED: list[tuple[type[Message], str, Callable[[list[Any]], Any]]] = [
    (Hello, "minor", at(0, value=1 << 16)),
    (Hello, "node id", at(1, value=NODE + b"x")),
    (Hello, "name", at(2, value=LONG)),
    (Hello, "nonce", at(3, value=b"")),
    (Hello, "settled", at(4, value=1)),
    (Hello, "actor", at(6, 0, 0, value=b"short")),
    (Hello, "counter", at(6, 0, 1, value=limits.MAX_COUNTER + 1)),
    (Hello, "unsorted counters", at(6, value=[[b"b" * 8, 1], [b"a" * 8, 1]])),
    (Hello, "repeated counters", at(6, value=[[ACTOR, 1], [ACTOR, 1]])),
    (Hello, "half a counter", at(6, value=[[ACTOR]])),
    (Hello, "counters", at(6, value=[[n.to_bytes(8, "big"), 1] for n in range(limits.MAX_COUNTERS + 1)])),
    (Hello, "features", at(7, value=["x"] * (limits.MAX_FEATURES + 1))),
    (Hello, "feature", at(7, value=[LONG])),
    (Hello, "limits", at(8, value=[1] * (limits.MAX_ANNOUNCED + 1))),
    (Hello, "limit", at(8, value=[-1])),
    (Hello, "clock", at(9, value=limits.MAX_STAMP + 1)),
    (Hello, "epoch", at(10, value=-1)),
    (Hello, "tier", at(11, value=3)),
    (Hello, "boolean tier", at(11, value=True)),
    (Hello, "proof", at(12, value=bytes(65))),
    (Hello, "certificate", at(13, value=bytes(limits.MAX_CERTIFICATE + 1))),
    (Hello, "advertise", at(14, value="x" * (limits.MAX_ADDRESS + 1))),
    (Hello, "service", at(15, value="x" * (limits.MAX_ADDRESS + 1))),
    (Hello, "agent", at(16, value=LONG)),
    (Status, "level", at(0, value=limits.MAX_LEVELS + 1)),
    (Status, "root", at(1, value=HASH[1:])),
    (Status, "need", at(3, value=-1)),
    (Status, "class", at(5, value=[LONG])),
    (Status, "classes", at(5, value=["x"] * (limits.MAX_CLASSES + 1))),
    (Status, "state", at(7, value=LONG)),
    (AskPages, "id", at(0, value=0)),
    (AskPages, "level", at(1, value=limits.MAX_LEVELS + 1)),
    (AskPages, "empty range", lambda array: [1, 1, b"b", b"b"]),
    (AskPages, "inverted range", lambda array: [1, 1, b"b", b"a"]),
    (AskPages, "range up to nothing", at(3, value=b"")),
    (AskPages, "lo", at(2, value=bytes(limits.MAX_KEY_BOUND + 1))),
    (AskPages, "hi", at(3, value=b"\1" * (limits.MAX_KEY_BOUND + 1))),
    (Pages, "id", at(0, value=0)),
    (Pages, "level", at(1, value=limits.MAX_LEVELS + 1)),
    (Pages, "first", at(2, 1, 0, value=b"\1" * (limits.MAX_KEY_BOUND + 1))),
    (Pages, "hash", at(2, 1, 1, value=b"")),
    (Pages, "count", at(2, 1, 2, value=-1)),
    (Pages, "boolean count", at(2, 1, 2, value=True)),
    (Pages, "unsorted", at(2, value=[[b"b", HASH, 1], [b"a", HASH, 1]])),
    (Pages, "repeated", at(2, value=[[b"a", HASH, 1], [b"a", HASH, 1]])),
    (Pages, "too many", at(2, value=[[b"%6d" % n, HASH, 1] for n in range(limits.MAX_PAGES_PER_ANSWER + 1)])),
    (Pages, "next inside", at(3, value=KEY)),
    (Pages, "next", at(3, value=b"\xff" * (limits.MAX_KEY_BOUND + 1))),
    (AskLeaves, "inverted range", at(2, value=b"")),
    (Leaves, "key", at(1, 0, 0, value=b"\1" * (limits.MAX_PATH + 1))),
    (Leaves, "weight", at(1, 0, 2, value=limits.MAX_WEIGHT + 1)),
    (Leaves, "too many", at(1, value=[[b"%6d" % n, HASH, 1] for n in range(limits.MAX_LEAVES_PER_ANSWER + 1)])),
    (AskRecords, "key before range", at(3, value=[b"A"])),
    (AskRecords, "key behind range", at(3, value=[b"c"])),
    (AskRecords, "small", at(4, value=1)),
    (AskRecords, "unsorted", at(3, value=[b"b", b"a"])),
    (AskRecords, "too many", at(3, value=[b"b%6d" % n for n in range(limits.MAX_KEYS_PER_ASK + 1)])),
    (AskRecords, "key", at(3, value=[b"b" * (limits.MAX_PATH + 1)])),
    (Records, "id", at(0, value=-1)),
    (Records, "proof index", at(2, 0, 1, value=1)),
    (Records, "record without proof", at(1, value=[])),
    (Records, "more proofs than records", at(1, value=[[1], [2], [3]])),
    (Records, "a proof with an array in it", at(1, value=[[1, []]])),
    (Records, "proof", at(1, value=[b"proof"])),
    (Records, "record", at(2, 0, 0, value=bytes(limits.MAX_RECORD + 1))),
    (Records, "too many", at(2, value=[[b"", 0]] * (limits.MAX_RECORDS_PER_MESSAGE + 1))),
    (Records, "more contents than records", at(3, value=[b""] * 3)),
    (Records, "large content", at(3, value=[bytes(limits.SMALL_FILE + 1)])),
    (
        Records,
        "contents",
        lambda array: [1, [[]], [[b"", 0]] * 9, [bytes(limits.SMALL_FILE)] * 8 + [b"x"], None, True],
    ),
    (Records, "next", at(4, value=bytes(limits.MAX_KEY_BOUND + 1))),
    (Get, "id", at(0, value=0)),
    (Get, "kind", at(1, value=2)),
    (Get, "group", at(2, value=HASH[1:])),
    (Get, "object id", at(3, value=[HASH, b""])),
    (Get, "object ids", at(3, value=[HASH] * (limits.MAX_IDS_PER_GET + 1))),
    (Objects, "id", at(0, value=0)),
    (Objects, "kind", at(1, value=-1)),
    (Objects, "too little", at(2, value=[2])),
    (Objects, "too much", at(2, value=[4])),
    (Objects, "size", at(2, 1, value=-2)),
    (Objects, "too many", at(2, value=[3] + [-1] * limits.MAX_IDS_PER_GET)),
    (Have, "too many", at(0, value=[HASH] * (limits.MAX_HAVE + 1))),
    (Have, "content", at(0, value=[b""])),
    (Cancel, "id", at(0, value=[0])),
    (Cancel, "too many", at(0, value=[1] * (limits.MAX_CANCELLED + 1))),
    (Ping, "token", at(0, value=1 << 63)),
    (Pong, "token", at(0, value=-1)),
    (Goodbye, "reason", at(0, value="x" * (limits.MAX_REASON + 1))),
    (Peers, "node", at(0, 0, 0, value=b"")),
    (Peers, "address", at(0, 0, 1, value="x" * (limits.MAX_ADDRESS + 1))),
    (Peers, "too many", at(0, value=[[NODE, ""]] * (limits.MAX_PEERS_PER_MESSAGE + 1))),
]


@pytest.mark.parametrize(
    ("cls", "change"), [pytest.param(cls, change, id=f"{cls.__name__}: {what}") for cls, what, change in REFUSED]
)
def test_out_of_bounds(cls: type[Message], change: Callable[[list[Any]], Any]) -> None:
    body = rebuilt(sample(cls), change)
    with pytest.raises(MessageError):
        messages.decode(cls.TYPE, body)


def test_at_the_bounds() -> None:
    blobs = (bytes(limits.SMALL_FILE),) * 8
    largest: list[Message] = [
        Records(
            0, ([],), ((bytes(limits.MAX_RECORD), 0),) + ((b"", 0),) * 7, blobs, b"\xff" * limits.MAX_KEY_BOUND, True
        ),
        Records(1, (), (), (), None, True),
        Get(limits.MAX_INTEGER, ObjectKind.BLOCK, HASH, (HASH,) * limits.MAX_IDS_PER_GET),
        Objects(1, ObjectKind.BLOCK, (bytes(limits.MAX_BLOCK),) * 3 + (None,) * (limits.MAX_IDS_PER_GET - 3), False),
        Goodbye("ä" * limits.MAX_REASON),
        replace(HELLO, name="ä" * 127, counters={n.to_bytes(8, "big"): n for n in range(limits.MAX_COUNTERS)}),
    ]
    for message in largest:
        assert messages.decode(message.TYPE, body_of(message)) == message


@pytest.mark.parametrize(
    "raw", ["", "00", "00000000", "00000001", "ffffffff 94", "00000005 94070090", "00000005 94070090c2 00"]
)
def test_objects_that_are_cut(raw: str) -> None:
    with pytest.raises(RemoteError):
        Objects.decode(bytes.fromhex(raw))


def test_objects_are_views_into_the_body() -> None:
    body = body_of(Objects(1, ObjectKind.BLOCK, (b"abc", None, b"de"), True))
    first, missing, second = Objects.decode(body).objects
    assert missing is None
    for view, expected in ((first, b"abc"), (second, b"de")):
        assert isinstance(view, memoryview)
        assert view.obj is body
        assert view == expected


def test_objects_are_not_copied_into_their_parts() -> None:
    block = bytes(limits.MAX_BLOCK)
    assert messages.encode(Objects(1, ObjectKind.BLOCK, (None, block), True))[1] is block


def test_goodbye_always_fits() -> None:
    for reason in ("x" * 1_000, "\ud800" * 1_000, "ä" * 1_000):
        decoded = Goodbye.decode(body_of(Goodbye(reason)))
        assert len(decoded.reason) == limits.MAX_REASON


def test_control_messages_that_a_peer_would_refuse_are_not_written() -> None:
    refused: list[Message] = [
        Peers(((NODE, "x" * 301),)),
        replace(HELLO, name=LONG),
        AskLeaves(1, b"b", b"a"),
        Ping(1 << 64),
        Have((b"",)),
    ]
    for message in refused:
        with pytest.raises(LocalError):
            messages.encode(message)


def test_unknown_type() -> None:
    with pytest.raises(MessageError):
        messages.decode(0x7E, b"\x90")


@given(st.sampled_from(sorted(messages.BY_TYPE)), st.binary(max_size=60))
def test_random_bytes(kind: int, body: bytes) -> None:
    try:
        messages.decode(kind, body)
    except RemoteError:
        pass


@given(ANY, st.data())
def test_changed_bodies(message: Message, data: st.DataObject) -> None:
    body = bytearray(body_of(message))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(min_size=1, max_size=2))
    try:
        messages.decode(message.TYPE, bytes(body))
    except RemoteError:
        pass


VALUES = st.recursive(
    st.none() | flags | st.integers(-(1 << 63), (1 << 64) - 1) | st.binary(max_size=34) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@given(ANY, st.data())
def test_changed_fields(message: Message, data: st.DataObject) -> None:
    def change(array: list[Any]) -> None:
        place = data.draw(st.integers(0, len(array) - 1))
        if isinstance(array[place], list) and array[place] and data.draw(flags):
            change(array[place])
        else:
            array[place] = data.draw(VALUES)

    try:
        body = rebuilt(message, change)
        decoded = messages.decode(message.TYPE, body)
    except RemoteError:
        return
    assert messages.decode(message.TYPE, body_of(decoded)) == decoded
