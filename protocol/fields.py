"""What messages are made of: checks of decoded fields.

Each check returns the value with its type, or raises MessageError.
"""

from collections.abc import Sequence
from enum import IntEnum
from itertools import pairwise
from typing import Any, Final

from protocol import codec, limits
from protocol.errors import MessageError

HASH_SIZE: Final = 32
NODE_ID_SIZE: Final = 16


class Priority(IntEnum):
    """Order of messages in a send queue: a lower one overtakes a higher one."""

    CONTROL = 0  # small, or asks for something
    MANIFEST = 1
    BULK = 2


def take(body: bytes | memoryview, count: int) -> list[Any]:
    """The first `count` fields of a message body. Further ones are a later minor version's, and ignored."""
    return _first(codec.unpack(body), count, "message")


def rows(value: Any, high: int, width: int, what: str) -> list[list[Any]]:
    """At most `high` arrays, each cut to its first `width` elements."""
    return [_first(row, width, what) for row in array(value, high, what)]


def _first(value: Any, count: int, what: str) -> list[Any]:
    if type(value) is not list or len(value) < count:
        raise MessageError(f"{what} is not an array of {count}")
    return value if len(value) == count else value[:count]


def integer(value: Any, low: int, high: int, what: str) -> int:
    """An integer in low..high."""
    if type(value) is not int or not low <= value <= high:
        raise MessageError(f"{what} is not an integer in range")
    return value


def flag(value: Any, what: str) -> bool:
    """A boolean."""
    if type(value) is not bool:
        raise MessageError(f"{what} is not a boolean")
    return value


def text(value: Any, high: int, what: str) -> str:
    """Text of at most `high` bytes in UTF-8."""
    if type(value) is not str or len(value) > high or len(value.encode()) > high:
        raise MessageError(f"{what} is not a text of at most {high} bytes")
    return value


def data(value: Any, high: int, what: str) -> bytes:
    """At most `high` bytes."""
    if type(value) is not bytes or len(value) > high:
        raise MessageError(f"{what} is not at most {high} bytes")
    return value


def exact(value: Any, size: int, what: str) -> bytes:
    """Exactly `size` bytes."""
    if type(value) is not bytes or len(value) != size:
        raise MessageError(f"{what} is not {size} bytes")
    return value


def array(value: Any, high: int, what: str) -> list[Any]:
    """An array of at most `high` elements."""
    if type(value) is not list or len(value) > high:
        raise MessageError(f"{what} is not an array of at most {high}")
    return value


def texts(value: Any, high: int, what: str) -> tuple[str, ...]:
    """At most `high` texts, each of at most MAX_NAME_FIELD bytes."""
    return tuple([text(item, limits.MAX_NAME_FIELD, what) for item in array(value, high, what)])


def hashes(value: Any, high: int, what: str) -> tuple[bytes, ...]:
    """At most `high` hashes of 32 bytes each."""
    return tuple([exact(item, HASH_SIZE, what) for item in array(value, high, what)])


def key_range(lo: Any, hi: Any) -> tuple[bytes, bytes | None]:
    """A half-open range of keys that is not empty; `hi` None means to the end."""
    low = data(lo, limits.MAX_KEY_BOUND, "start of a key range")
    if hi is None:
        return low, None
    high = data(hi, limits.MAX_KEY_BOUND, "end of a key range")
    if low >= high:
        raise MessageError("an empty key range")
    return low, high


def ascending(keys: Sequence[bytes], what: str) -> None:
    """Check that `keys` are sorted without repetition."""
    for first, second in pairwise(keys):
        if first >= second:
            raise MessageError(f"{what} are not sorted")
