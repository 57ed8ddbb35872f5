"""Messages by which two nodes compare their manifests and pass on records.

Key ranges are half-open, [lo, hi), and `hi` None means to the end. Every answer may cover a part of what was asked:
`next` is then the key from which the rest is to be asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

from protocol import codec, limits
from protocol.errors import MessageError
from protocol.fields import (
    HASH_SIZE,
    Priority,
    array,
    ascending,
    data,
    flag,
    integer,
    key_range,
    rows,
    take,
)
from protocol.pages import Leaf, Page

PUSH: Final = 0  # request id of records that nobody asked for


def _request(value: object) -> int:
    return integer(value, 1, limits.MAX_INTEGER, "request id")


def _level(value: object) -> int:
    return integer(value, 0, limits.MAX_LEVELS, "level")


def _entries(value: object, high: int, key_size: int, highest: int, what: str) -> list[list[Any]]:
    """At most `high` times (key, hash, number), by ascending key; keys of at most `key_size` bytes, numbers of at most
    `highest`. Written out, because there may be thousands in a message.
    """
    entries = rows(value, high, 3, what)
    before = None
    for key, digest, number in entries:
        if (
            type(key) is not bytes
            or len(key) > key_size
            or type(digest) is not bytes
            or len(digest) != HASH_SIZE
            or type(number) is not int
            or not 0 <= number <= highest
        ):
            raise MessageError(f"{what} hold something else")
        if before is not None and key <= before:
            raise MessageError(f"{what} are not sorted")
        before = key
    return entries


def _resume(value: object, answered: Sequence[Sequence[Any]] = ()) -> bytes | None:
    """Where an answer's continuation starts: None, or a key behind all those that were answered."""
    if value is None:
        return None
    key = data(value, limits.MAX_KEY_BOUND, "next key")
    if answered and key <= answered[-1][0]:
        raise MessageError("the next key is not behind the answer")
    return key


@dataclass(frozen=True, slots=True)
class AskPages:
    """Asks for the pages of a level whose span meets a key range."""

    TYPE: ClassVar[int] = 0x10
    PRIORITY: ClassVar[Priority] = Priority.CONTROL

    id: int
    level: int
    lo: bytes
    hi: bytes | None

    def encode(self) -> list[bytes]:
        """The parts of the body."""
        return [codec.pack([self.id, self.level, self.lo, self.hi])]

    @classmethod
    def decode(cls, body: bytes | memoryview) -> Self:
        """The message of a body. Raises MessageError or CodecError."""
        request, level, lo, hi = take(body, 4)
        return cls(_request(request), _level(level), *key_range(lo, hi))


@dataclass(frozen=True, slots=True)
class Pages:
    """Answers AskPages. pages: by ascending first key."""

    TYPE: ClassVar[int] = 0x11
    PRIORITY: ClassVar[Priority] = Priority.MANIFEST

    id: int
    level: int
    pages: tuple[Page, ...]
    next: bytes | None

    def encode(self) -> list[bytes]:
        """The parts of the body."""
        return [codec.pack([self.id, self.level, self.pages, self.next])]

    @classmethod
    def decode(cls, body: bytes | memoryview) -> Self:
        """The message of a body. Raises MessageError or CodecError."""
        request, level, found, following = take(body, 4)
        entries = _entries(found, limits.MAX_PAGES_PER_ANSWER, limits.MAX_KEY_BOUND, limits.MAX_INTEGER, "pages")
        pages = tuple([Page(*entry) for entry in entries])
        return cls(_request(request), _level(level), pages, _resume(following, entries))


@dataclass(frozen=True, slots=True)
class AskLeaves:
    """Asks for the digests of the paths in a key range."""

    TYPE: ClassVar[int] = 0x12
    PRIORITY: ClassVar[Priority] = Priority.CONTROL

    id: int
    lo: bytes
    hi: bytes | None

    def encode(self) -> list[bytes]:
        """The parts of the body."""
        return [codec.pack([self.id, self.lo, self.hi])]

    @classmethod
    def decode(cls, body: bytes | memoryview) -> Self:
        """The message of a body. Raises MessageError or CodecError."""
        request, lo, hi = take(body, 3)
        return cls(_request(request), *key_range(lo, hi))


@dataclass(frozen=True, slots=True)
class Leaves:
    """Answers AskLeaves. leaves: by ascending key."""

    TYPE: ClassVar[int] = 0x13
    PRIORITY: ClassVar[Priority] = Priority.MANIFEST

    id: int
    leaves: tuple[Leaf, ...]
    next: bytes | None

    def encode(self) -> list[bytes]:
        """The parts of the body."""
        return [codec.pack([self.id, self.leaves, self.next])]

    @classmethod
    def decode(cls, body: bytes | memoryview) -> Self:
        """The message of a body. Raises MessageError or CodecError."""
        request, found, following = take(body, 3)
        entries = _entries(found, limits.MAX_LEAVES_PER_ANSWER, limits.MAX_PATH, limits.MAX_WEIGHT, "leaves")
        leaves = tuple([Leaf(*entry) for entry in entries])
        return cls(_request(request), leaves, _resume(following, entries))


@dataclass(frozen=True, slots=True)
class AskRecords:
    """Asks for the records of a key range: those at `keys`, which ascend within it, or all if there are none.

    small: contents of small files are welcome with the records, because the asker has nothing in the range.
    """

    TYPE: ClassVar[int] = 0x14
    PRIORITY: ClassVar[Priority] = Priority.CONTROL

    id: int
    lo: bytes
    hi: bytes | None
    keys: tuple[bytes, ...]
    small: bool = False

    def encode(self) -> list[bytes]:
        """The parts of the body."""
        return [codec.pack([self.id, self.lo, self.hi, self.keys, self.small])]

    @classmethod
    def decode(cls, body: bytes | memoryview) -> Self:
        """The message of a body. Raises MessageError or CodecError."""
        request, lo, hi, asked, small = take(body, 5)
        keys = tuple([data(key, limits.MAX_PATH, "key") for key in array(asked, limits.MAX_KEYS_PER_ASK, "keys")])
        ascending(keys, "keys")
        low, high = key_range(lo, hi)
        if keys and (keys[0] < low or (high is not None and keys[-1] >= high)):
            raise MessageError("a key outside its range")
        return cls(_request(request), low, high, keys, flag(small, "small"))


@dataclass(frozen=True, slots=True)
class Records:
    """Answers AskRecords, or (id PUSH) announces what is new.

    proofs: signature proofs, for batches.from_wire, which checks all but their outer shape. records: (canonical bytes,
    index of the proof that covers them). blobs: contents of small files among them, and of longer ones the segments at
    the top of their block lists, in any order. last: nothing follows under this id.
    """

    TYPE: ClassVar[int] = 0x15
    PRIORITY: ClassVar[Priority] = Priority.MANIFEST

    id: int
    proofs: tuple[list[Any], ...]
    records: tuple[tuple[bytes, int], ...]
    blobs: tuple[bytes, ...]
    next: bytes | None
    last: bool

    def encode(self) -> list[bytes]:
        """The parts of the body."""
        return [codec.pack([self.id, self.proofs, self.records, self.blobs, self.next, self.last])]

    @classmethod
    def decode(cls, body: bytes | memoryview) -> Self:
        """The message of a body. Raises MessageError or CodecError."""
        request, proofs, found, blobs, following, last = take(body, 6)
        records = rows(found, limits.MAX_RECORDS_PER_MESSAGE, 2, "records")
        array(proofs, len(records), "proofs")
        # Arrays within them would take many times the memory of their bytes while the message waits.
        if any(type(proof) is not list or any(type(part) is list for part in proof) for proof in proofs):
            raise MessageError("a proof is not an array of plain values")
        highest = len(proofs) - 1
        return cls(
            id=integer(request, PUSH, limits.MAX_INTEGER, "request id"),
            proofs=tuple(proofs),
            records=tuple([
                (data(raw, limits.MAX_RECORD, "record"), integer(proof, 0, highest, "proof")) for raw, proof in records
            ]),
            blobs=_blobs(blobs, len(records)),
            next=_resume(following),
            last=flag(last, "last"),
        )  # fmt: skip


def _blobs(value: object, count: int) -> tuple[bytes, ...]:
    blobs = tuple([data(blob, limits.SMALL_FILE, "small content") for blob in array(value, count, "small contents")])
    if sum(map(len, blobs)) > limits.MAX_INLINE:
        raise MessageError("too many bytes of small contents")
    return blobs
