"""Messages that move file contents: objects are asked for by hash, and only so."""

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Final, Self

from protocol import codec, limits
from protocol.errors import MessageError
from protocol.fields import HASH_SIZE, Priority, array, exact, flag, hashes, integer, take

_MISSING: Final = -1
_PREFIX: Final = 4  # bytes of the length before the header of Objects


class ObjectKind(IntEnum):
    """What a hash names."""

    BLOCK = 0
    SEGMENT = 1


_KINDS: Final = tuple(ObjectKind)  # by number; to look one up in the enumeration takes ten times as long


def _request(value: object) -> int:
    return integer(value, 1, limits.MAX_INTEGER, "request id")


def _kind(value: object) -> ObjectKind:
    return _KINDS[integer(value, 0, len(_KINDS) - 1, "kind of object")]


@dataclass(frozen=True, slots=True)
class Get:
    """Asks for objects. kind: an ObjectKind. group: content id they belong to, or empty: a hint where to look.
    ids: 32 bytes each.
    """

    TYPE: ClassVar[int] = 0x20
    PRIORITY: ClassVar[Priority] = Priority.CONTROL

    id: int
    kind: int
    group: bytes
    ids: tuple[bytes, ...]

    def encode(self) -> list[bytes]:
        """The parts of the body."""
        return [codec.pack([self.id, int(self.kind), self.group, self.ids])]

    @classmethod
    def decode(cls, body: bytes | memoryview) -> Self:
        """The message of a body. Raises MessageError or CodecError."""
        request, kind, group, ids = take(body, 4)
        return cls(
            id=_request(request),
            kind=_kind(kind),
            group=group if group == b"" else exact(group, HASH_SIZE, "group"),
            ids=hashes(ids, limits.MAX_IDS_PER_GET, "object ids"),
        )


@dataclass(frozen=True, slots=True)
class Objects:
    """Answers the next run of a Get's ids. kind: as there. objects: the bytes of each, None where the sender has it
    not. last: that was all of the Get.

    The body is a u32 big-endian length, a header of so many bytes (id, kind, size of each object or -1, last), and the
    objects one after the other.
    """

    TYPE: ClassVar[int] = 0x21
    PRIORITY: ClassVar[Priority] = Priority.BULK

    id: int
    kind: int
    objects: tuple[bytes | memoryview | None, ...]
    last: bool

    def encode(self) -> list[bytes | memoryview]:
        """The parts of the body; the objects are not copied."""
        sizes = [_MISSING if item is None else len(item) for item in self.objects]
        header = codec.pack([self.id, int(self.kind), sizes, self.last])
        return [len(header).to_bytes(_PREFIX, "big") + header, *[item for item in self.objects if item is not None]]

    @classmethod
    def decode(cls, body: bytes | memoryview) -> Self:
        """The message of a body; its objects are views into it. Raises MessageError or CodecError."""
        view = memoryview(body)
        start = _PREFIX + int.from_bytes(view[:_PREFIX], "big")
        if len(view) < start:
            raise MessageError("the header is longer than the message")
        request, kind, sizes, last = take(view[_PREFIX:start], 4)
        objects: list[memoryview | None] = []
        for size in array(sizes, limits.MAX_IDS_PER_GET, "sizes"):
            if integer(size, _MISSING, limits.MAX_BLOCK, "size of an object") == _MISSING:
                objects.append(None)
            else:
                objects.append(view[start : start + size])
                start += size
        if start != len(view):
            raise MessageError("the sizes of the objects do not add up")
        return cls(_request(request), _kind(kind), tuple(objects), flag(last, "last"))


@dataclass(frozen=True, slots=True)
class Have:
    """Announces contents that the sender now has durably. contents: content ids of 32 bytes."""

    TYPE: ClassVar[int] = 0x22
    PRIORITY: ClassVar[Priority] = Priority.CONTROL

    contents: tuple[bytes, ...]

    def encode(self) -> list[bytes]:
        """The parts of the body."""
        return [codec.pack([self.contents])]

    @classmethod
    def decode(cls, body: bytes | memoryview) -> Self:
        """The message of a body. Raises MessageError or CodecError."""
        return cls(hashes(take(body, 1)[0], limits.MAX_HAVE, "content ids"))


@dataclass(frozen=True, slots=True)
class Cancel:
    """Withdraws Gets by their ids; what is on its way may still arrive."""

    TYPE: ClassVar[int] = 0x23
    PRIORITY: ClassVar[Priority] = Priority.CONTROL

    ids: tuple[int, ...]

    def encode(self) -> list[bytes]:
        """The parts of the body."""
        return [codec.pack([self.ids])]

    @classmethod
    def decode(cls, body: bytes | memoryview) -> Self:
        """The message of a body. Raises MessageError or CodecError."""
        return cls(tuple([_request(item) for item in array(take(body, 1)[0], limits.MAX_CANCELLED, "request ids")]))
