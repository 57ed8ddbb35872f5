"""Strict canonical MessagePack: the only encoding of structured data in records, messages and stored objects.

Decisions, all for the reader's safety:

- Only nil, bool, int (64 bit), bin, str (valid UTF-8) and array. No maps: fields have a fixed order. No floats, no ext.
- One value has one encoding. What was read is packed again and must come out equal, which refuses long forms of
  lengths and integers; so bytes may be hashed and signed without normalising them.
- Sizes are checked before anything is allocated: no length may exceed the input's own, no array MAX_ARRAY, and the
  elements of all arrays together are counted while they are built.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgpack

from protocol import limits
from protocol.errors import CodecError, LocalError


def _refuse_map(_: dict[Any, Any]) -> None:
    raise CodecError("a map")


def _refuse_ext(_code: int, _data: bytes) -> None:
    raise CodecError("an extension type")


_pack: Final[Callable[[object], bytes]] = msgpack.Packer(use_bin_type=True).pack
# A length is never above the input's unless stated otherwise here.
_parse: Final[Callable[..., Any]] = partial(
    msgpack.unpackb, max_map_len=0, max_ext_len=0, object_hook=_refuse_map, ext_hook=_refuse_ext
)


def pack(obj: object) -> bytes:
    """The canonical bytes of nil, bool, int, bytes-like, str, or a list or tuple of these.

    A subclass is packed as its base (IntEnum as int, NamedTuple as array). Raises LocalError for what cannot be packed;
    floats and dicts are not looked for, for speed: `unpack` refuses them.
    """
    try:
        return _pack(obj)
    except (TypeError, ValueError, OverflowError) as error:
        raise LocalError(f"cannot be packed: {error}") from error


def unpack(raw: bytes | memoryview, *, max_items: int = limits.MAX_ITEMS) -> Any:
    """The value that the canonical bytes `raw` are: None, bool, int, bytes, str or lists of these.

    max_items: bound on the elements of all arrays together. Raises CodecError for anything else, trailing bytes, more
    than MAX_NESTING levels of arrays, and an encoding that is not the canonical one.
    """
    if type(raw) is not bytes:
        raw = bytes(raw)
    try:
        value = _parse(raw) if len(raw) <= limits.MAX_ARRAY else _parse_long(raw, max_items)
    except (ValueError, TypeError) as error:
        raise CodecError(f"not MessagePack within its bounds: {error}") from None
    _check(value, max_items)
    if _pack(value) != raw:
        raise CodecError("not canonical")
    return value


def unpack_leaves(raw: bytes) -> Any:
    """As `unpack`, for a caller that looks at the type of every leaf itself; so nothing is looked at twice.

    Leaves may be floats, then, and arrays may be nested as deep as the parser allows. `raw` has MAX_RECORD bytes at
    most, which bounds the elements.
    """
    try:
        value = _parse(raw)
        canonical = _pack(value) == raw  # fails for what is nested deeper than the packer goes
    except (ValueError, TypeError) as error:
        raise CodecError(f"not MessagePack within its bounds: {error}") from None
    if not canonical:
        raise CodecError("not canonical")
    return value


def _parse_long(raw: bytes, max_items: int) -> Any:
    # Every element takes a byte at least, so the elements of a short input need no counting.
    count = None if len(raw) <= max_items else _counter(max_items)
    return _parse(raw, max_array_len=limits.MAX_ARRAY, list_hook=count)


def _check(value: Any, max_items: int) -> None:
    if type(value) is float:
        raise CodecError("a float")
    level = [value] if type(value) is list else []
    depth = 0
    while level:
        below = []
        for items in level:
            max_items -= len(items)
            for item in items:
                kind = type(item)
                if kind is list:
                    below.append(item)
                elif kind is float:
                    raise CodecError("a float")
        depth += 1
        level = below
    if depth > limits.MAX_NESTING:
        raise CodecError("nested too deeply")
    if max_items < 0:
        raise CodecError("too many items")


def _counter(room: int) -> Callable[[list[Any]], list[Any]]:
    def count(items: list[Any]) -> list[Any]:
        nonlocal room
        room -= len(items)
        if room < 0:
            raise CodecError("too many items")
        return items

    return count
