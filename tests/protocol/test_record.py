import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from protocol import codec, limits
from protocol.errors import BadPath, BadRecord, CodecError, RemoteError
from protocol.record import (
    DIRECTORY_CONTENT,
    LINK_MODE,
    Kind,
    Record,
    decode_record,
    link_content,
    make_record,
)

FOLDER = bytes(range(16))
A, B, C = (bytes([n]) * 8 for n in (1, 2, 3))
TOKEN = b"\x07" * 32
PUBLIC = [slot for slot in Record.__slots__ if slot != "proof"]

ACTORS = st.binary(min_size=8, max_size=8)
COUNTERS = st.integers(1, limits.MAX_COUNTER)
DOTS = st.tuples(ACTORS, COUNTERS)
TOKENS = st.binary(min_size=32, max_size=32).filter(lambda token: token != DIRECTORY_CONTENT)
MTIMES = st.integers(-(1 << 63), (1 << 63) - 1)
MODES = st.integers(0, 0o777)


@st.composite
def records(draw):
    kind = draw(st.sampled_from(Kind))
    dot, stamp = draw(DOTS), draw(st.integers(0, limits.MAX_STAMP))
    fields = {
        "folder_id": FOLDER,
        "path": draw(st.sampled_from([b"a", b"a/b", b"\xff\n", b"x" * 255])),
        "kind": kind,
        "dot": dot,
        "context": draw(st.dictionaries(ACTORS, COUNTERS, max_size=4)),
        "spares": draw(st.frozensets(DOTS, max_size=4)),
        "stamp": stamp,
        "content_dot": dot,
        "content_stamp": stamp,
        "superseded": tuple(draw(st.lists(st.binary(min_size=32, max_size=32), max_size=limits.SUPERSEDED_KEPT))),
    }
    if kind != Kind.DELETE and draw(st.booleans()):
        fields["found"] = draw(st.booleans())
        fields["content_dot"] = draw(DOTS)
        fields["content_stamp"] = draw(st.integers(0, limits.MAX_STAMP if fields["found"] else stamp))
    if kind == Kind.FILE:
        fields |= {"content": draw(TOKENS), "size": draw(st.integers(0, limits.MAX_SIZE))}
        fields |= {"mode": draw(MODES), "mtime": draw(MTIMES)}
    elif kind == Kind.LINK:
        target = draw(st.binary(min_size=1, max_size=20).filter(lambda t: b"\0" not in t))
        fields |= {"target": target, "content": link_content(target), "mode": LINK_MODE, "mtime": draw(MTIMES)}
    elif kind == Kind.DIR:
        fields |= {"content": DIRECTORY_CONTENT, "mode": draw(MODES)}
    elif draw(st.booleans()):
        fields |= {"was_directory": True, "mode": draw(MODES)}
    return make_record(**fields)


@given(records())
def test_round_trip(record):
    again = decode_record(record.raw, FOLDER)
    assert {slot: getattr(again, slot) for slot in PUBLIC} == {slot: getattr(record, slot) for slot in PUBLIC}
    assert again == record
    assert hash(again) == hash(record)
    assert again.live == (again.kind != Kind.DELETE)
    assert type(again.kind) is Kind
    assert again.hash == blake3(record.raw).digest()
    assert again.proof == b""


@given(records(), st.data())
def test_damaged_bytes_are_another_record_or_none(record, data):
    at = data.draw(st.integers(0, len(record.raw) - 1))
    raw = record.raw[:at] + bytes([record.raw[at] ^ data.draw(st.integers(1, 255))]) + record.raw[at + 1 :]
    try:
        other = decode_record(raw, FOLDER)
    except RemoteError:
        return
    assert other != record
    assert other.raw == raw


@given(st.binary(max_size=60))
def test_noise_is_refused(raw):
    with pytest.raises(RemoteError):
        decode_record(raw, FOLDER)


def test_equality_and_repr():
    record = decode_record(codec.pack(FILE), FOLDER)
    assert record != record.raw
    assert repr(record) == "<FILE b'a/b' 010101:5>"
    assert repr(decode_record(codec.pack(changed(FILE, flags=1)), FOLDER)).endswith(" found>")


NAMES = (
    "version", "folder", "path", "kind", "actor", "counter", "context", "spares", "stamp", "mode", "mtime", "size",
    "content", "content_dot", "content_stamp", "tail", "flags",
)  # fmt: skip
FILE = [1, FOLDER, b"a/b", 0, A, 5, [[A, 4], [B, 2]], [[C, 1], [C, 2]], 100, 0o644, -7, 12, TOKEN, None, None, [b""], 0]


def changed(base, **values):
    return [values.get(name, value) for name, value in zip(NAMES, base, strict=True)]


DIR = changed(FILE, kind=1, mtime=0, size=0, content=DIRECTORY_CONTENT)
LINK = changed(FILE, kind=2, size=0, mode=LINK_MODE, content=link_content(b"to"), tail=[b"to"])
DELETE = changed(FILE, kind=3, size=0, mode=0, mtime=0, content=b"")
BIG = 1 << 62


@pytest.mark.parametrize(
    "fields",
    [
        FILE, DIR, LINK, DELETE,
        changed(FILE, tail=[b"", *[bytes([n]) * 32 for n in range(limits.SUPERSEDED_KEPT)]]),
        changed(FILE, content_dot=[B, 2], content_stamp=99),
        changed(FILE, content_dot=[B, 2], content_stamp=101, flags=1),
        changed(FILE, stamp=BIG, mode=0o777, size=BIG, counter=BIG, mtime=(1 << 63) - 1),
        changed(FILE, context=[[n.to_bytes(8, "big"), 1] for n in range(limits.MAX_CONTEXT)]),
        changed(FILE, spares=[[A, n + 1] for n in range(limits.MAX_SPARES)]),
        changed(DELETE, flags=2, mode=0o755),
        changed(LINK, content=link_content(b"t" * limits.MAX_TARGET), tail=[b"t" * limits.MAX_TARGET]),
    ],
)  # fmt: skip
def test_accepted(fields):
    assert decode_record(codec.pack(fields), FOLDER).raw == codec.pack(fields)


REFUSED = {
    "version": [0, 2, True, None, b"1"],
    "folder": [bytes(16), FOLDER[:-1], None, "x"],
    "path": [b"", b"../x", b"/a", b".syncd", "a", None, 1, [b"a"]],
    "kind": [-1, 4, True, None, 1, 2, 3],
    "actor": [b"", A[:7], A + b"x", None, 1, "12345678"],
    "counter": [0, -1, BIG + 1, True, None, b"5"],
    "context": [
        None, {}, b"", 5, [5], [[A]], [[A, 1, 1]], [[A, 0]], [[A, True]], [[b"short", 1]], [["12345678", 1]],
        [[B, 2], [A, 4]], [[A, 4], [A, 5]], [[n.to_bytes(8, "big"), 1] for n in range(limits.MAX_CONTEXT + 1)],
    ],
    "spares": [
        None, 5, [5], [[A]], [[A, 0]], [[C, 2], [C, 1]], [[C, 1], [C, 1]],
        [[A, n + 1] for n in range(limits.MAX_SPARES + 1)],
    ],
    "stamp": [-1, BIG + 1, False, None],
    "mode": [-1, 0o1000, 0o4755, True, None],
    "mtime": [1 << 63, None, True],
    "size": [-1, BIG + 1, None, False],
    "content": [b"", TOKEN[:-1], TOKEN + b"x", DIRECTORY_CONTENT, None, "x" * 32, [TOKEN]],
    "content_dot": [[A, 5], [A], [A, 0], [b"x", 1], b"", True],
    "content_stamp": [100, 101, -1, False, b""],
    "tail": [
        None, [], [b"x"], [None], ["x"], b"", [b"", b""], [b"", TOKEN[:-1]], [b"", None],
        [b"", *[TOKEN] * (limits.SUPERSEDED_KEPT + 1)],
    ],
    "flags": [-1, 2, 3, 4, True, None],
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in REFUSED.items() for value in values])
def test_refused(name, value):
    raw = codec.pack(changed(FILE, **{name: value}))
    with pytest.raises((BadRecord, BadPath, CodecError)):
        decode_record(raw, FOLDER)


@pytest.mark.parametrize(
    "fields",
    [
        changed(DIR, mtime=1), changed(DIR, size=1), changed(DIR, content=TOKEN), changed(DIR, flags=2),
        changed(DIR, content=b""), changed(DIR, tail=[b"to"]),
        changed(LINK, tail=[b""], content=link_content(b"")), changed(LINK, content=TOKEN), changed(LINK, mode=0o755),
        changed(LINK, size=2), changed(LINK, flags=2), changed(LINK, tail=[b"t\0o"], content=link_content(b"t\0o")),
        changed(LINK, content=link_content(b"t" * 4096), tail=[b"t" * 4096]),
        changed(DELETE, mode=0o755), changed(DELETE, mtime=1), changed(DELETE, size=1), changed(DELETE, content=TOKEN),
        changed(DELETE, content_dot=[B, 2]), changed(DELETE, flags=1), changed(DELETE, flags=3),
        changed(DELETE, tail=[b"x"]),
        FILE[:-1], [*FILE, 0], [], FILE[0], None, b"x",
    ],
)  # fmt: skip
def test_fields_that_do_not_fit(fields):
    with pytest.raises(BadRecord):
        decode_record(codec.pack(fields), FOLDER)


def test_size_is_checked_before_anything_else():
    with pytest.raises(BadRecord, match="65537 bytes"):
        decode_record(bytes(limits.MAX_RECORD + 1), FOLDER)


def test_non_canonical_bytes():
    raw = codec.pack(FILE)
    assert raw[-1:] == b"\x00"
    with pytest.raises(CodecError):
        decode_record(raw[:-1] + b"\xcc\x00", FOLDER)
    with pytest.raises(CodecError):
        decode_record(raw + b"\x00", FOLDER)


def test_the_greatest_record_fits():
    """What edit.py may make within its bounds is never above the size that is accepted."""
    record = make_record(
        folder_id=FOLDER, path=b"/".join([b"x" * 255] * 16)[: limits.MAX_PATH], kind=Kind.LINK, dot=(A, BIG),
        context={n.to_bytes(8, "big"): BIG for n in range(limits.MAX_CONTEXT)},
        spares=frozenset((A, BIG - n) for n in range(limits.MAX_SPARES)), stamp=BIG, content_dot=(B, BIG),
        content_stamp=BIG - 1, superseded=(TOKEN,) * limits.SUPERSEDED_KEPT, mode=LINK_MODE, mtime=-(1 << 63),
        content=link_content(b"t" * limits.MAX_TARGET), target=b"t" * limits.MAX_TARGET,
    )  # fmt: skip
    assert decode_record(record.raw, FOLDER) == record


PLAIN = make_record(
    folder_id=FOLDER, path=b"f", kind=Kind.FILE, dot=(A, 1), context={}, spares=frozenset(), stamp=2,
    content_dot=(A, 1), content_stamp=2, superseded=(), content=TOKEN,
)  # fmt: skip


@pytest.mark.parametrize("depth", [2, 8, 400, 600, 5_000])
@pytest.mark.parametrize("place", range(17))
def test_arrays_within_arrays_are_no_field(place: int, depth: int) -> None:
    fields = codec.unpack(PLAIN.raw)
    raw = b"\xdc\x00\x11" + b"".join(
        b"\x91" * depth + b"\xc0" if n == place else codec.pack(item) for n, item in enumerate(fields)
    )
    with pytest.raises((BadRecord, CodecError)):
        decode_record(raw, FOLDER)


@pytest.mark.parametrize("place", range(17))
def test_a_float_is_no_field(place: int) -> None:
    fields = codec.unpack(PLAIN.raw)
    fields[place] = 1.0
    with pytest.raises((BadRecord, CodecError)):
        decode_record(codec.pack(fields), FOLDER)
