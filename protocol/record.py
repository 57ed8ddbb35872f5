"""Records: one statement about one path, as canonical bytes.

A record is a MessagePack array in a fixed order of fields; its BLAKE3 hash is its identity. What records mean to each
other is in merge.py.
"""

from enum import IntEnum
from typing import Any, Final

from blake3 import blake3

from protocol import codec, limits
from protocol.errors import BadRecord
from protocol.paths import check_path

Dot = tuple[bytes, int]  # (actor, counter): names the event that made a record

ACTOR_SIZE: Final = 8
HASH_SIZE: Final = 32
DIRECTORY_CONTENT: Final = bytes(32)
PERMISSIONS: Final = 0o777
LINK_MODE: Final = 0o777
_FLAG_FOUND: Final = 1
_FLAG_WAS_DIRECTORY: Final = 2
_FIELDS: Final = 17
_FIRST: Final = -(1 << 63)  # ns
_LAST: Final = (1 << 63) - 1  # ns
_NO_SPARES: Final[frozenset[Dot]] = frozenset()
_NO_TAIL: Final = [b""]  # no target, nothing superseded


class Kind(IntEnum):
    """What a record says a path is."""

    FILE = 0
    DIR = 1
    LINK = 2
    DELETE = 3


_KINDS: Final = tuple(Kind)


class Record:
    """One statement about one path. Immutable but for `proof`, which is not part of the canonical bytes.

    path: bytes. dot: who said it, as which of its events. context: {actor: counter} the author knew at the path.
    spares: dots of contents it knew and does not cover. stamp, content_stamp: hybrid clock, ns. mode: permission bits.
    mtime: ns, 0 for DIR and DELETE. size: bytes. content: 32 bytes (FILE: content id, LINK: hash of the target, DIR:
    zeros) or empty (DELETE). content_dot: the dot whose bytes these are. superseded: contents that this one replaced,
    oldest first. found: published from a fresh index. was_directory: a DELETE that removed a directory. raw: canonical
    bytes. hash: BLAKE3 of raw. proof: id of the signature proof that covers the record, or empty.
    """

    __slots__ = (
        "content", "content_dot", "content_stamp", "context", "dot", "found", "hash", "kind", "mode", "mtime",
        "path", "proof", "raw", "size", "spares", "stamp", "superseded", "target", "was_directory",
    )  # fmt: skip

    path: bytes
    kind: Kind
    dot: Dot
    context: dict[bytes, int]
    spares: frozenset[Dot]
    stamp: int
    mode: int
    mtime: int
    size: int
    content: bytes
    content_dot: Dot
    content_stamp: int
    target: bytes
    superseded: tuple[bytes, ...]
    found: bool
    was_directory: bool
    raw: bytes
    hash: bytes
    proof: bytes

    @property
    def live(self) -> bool:
        """Whether the record says that something is at the path."""
        return self.kind != Kind.DELETE

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and self.hash == other.hash

    def __hash__(self) -> int:
        return hash(self.hash)

    def __repr__(self) -> str:
        return f"<{self.kind.name} {self.path!r} {self.dot[0].hex()[:6]}:{self.dot[1]}{' found' if self.found else ''}>"


def link_content(target: bytes) -> bytes:
    """The content token of a symbolic link with this target."""
    return blake3(b"syncd/1 link\0" + target).digest()


def make_record(
    *,
    folder_id: bytes,
    path: bytes,
    kind: Kind,
    dot: Dot,
    context: dict[bytes, int],
    spares: frozenset[Dot],
    stamp: int,
    content_dot: Dot,
    content_stamp: int,
    superseded: tuple[bytes, ...],
    mode: int = 0,
    mtime: int = 0,
    size: int = 0,
    content: bytes = b"",
    target: bytes = b"",
    found: bool = False,
    was_directory: bool = False,
) -> Record:
    """A new record with its canonical bytes and hash."""
    flags = (_FLAG_FOUND if found else 0) | (_FLAG_WAS_DIRECTORY if was_directory else 0)
    fields = [
        limits.RECORD_VERSION, folder_id, path, int(kind), dot[0], dot[1],
        [[actor, context[actor]] for actor in sorted(context)], [[*spare] for spare in sorted(spares)],
        stamp, mode, mtime, size, content, None if content_dot == dot else [*content_dot],
        None if content_stamp == stamp else content_stamp, [target, *superseded], flags,
    ]  # fmt: skip
    record = Record()
    record.path, record.kind, record.dot = path, kind, dot
    record.context, record.spares, record.stamp = context, spares, stamp
    record.mode, record.mtime, record.size, record.content = mode, mtime, size, content
    record.content_dot, record.content_stamp = content_dot, content_stamp
    record.target, record.superseded, record.found, record.was_directory = target, superseded, found, was_directory
    record.raw = codec.pack(fields)
    record.hash = blake3(record.raw).digest()
    record.proof = b""
    return record


def decode_record(raw: bytes, folder_id: bytes) -> Record:
    """The record that the canonical bytes `raw` are. Raises BadRecord, BadPath or CodecError for anything else."""
    if len(raw) > limits.MAX_RECORD:
        raise BadRecord(f"record of {len(raw)} bytes")
    fields = codec.unpack_leaves(raw)
    if type(fields) is not list or len(fields) != _FIELDS:
        raise BadRecord("not a record")
    record = _checked(fields, folder_id)
    record.raw = raw
    record.hash = blake3(raw).digest()
    record.proof = b""
    return record


def _checked(fields: list[Any], folder_id: bytes) -> Record:
    """Written out, because every record of a first sync passes here. Most have no context, spares nor defaults."""
    (version, folder, path, kind, actor, counter, context, spares, stamp, mode, mtime, size, content, content_dot,
     content_stamp, tail, flags) = fields  # fmt: skip
    if type(version) is not int or version != limits.RECORD_VERSION:
        raise BadRecord("version out of range")
    if type(folder) is not bytes or folder != folder_id:
        raise BadRecord("record of another folder")
    if type(path) is not bytes:
        raise BadRecord("path is not bytes")
    check_path(path)
    if type(kind) is not int or not 0 <= kind <= 3:
        raise BadRecord("kind out of range")
    if type(actor) is not bytes or len(actor) != ACTOR_SIZE:
        raise BadRecord("not a dot")
    if type(counter) is not int or not 1 <= counter <= limits.MAX_COUNTER:
        raise BadRecord("counter out of range")
    if type(stamp) is not int or not 0 <= stamp <= limits.MAX_STAMP:
        raise BadRecord("stamp out of range")
    if type(mode) is not int or not 0 <= mode <= PERMISSIONS:
        raise BadRecord("mode out of range")
    if type(mtime) is not int or not _FIRST <= mtime <= _LAST:
        raise BadRecord("mtime out of range")
    if type(size) is not int or not 0 <= size <= limits.MAX_SIZE:
        raise BadRecord("size out of range")
    if type(flags) is not int or not 0 <= flags <= 3:
        raise BadRecord("flags out of range")
    record = Record()
    record.path, record.kind, record.dot = path, _KINDS[kind], (actor, counter)
    record.context = {} if context == [] else _context(context)
    record.spares = _NO_SPARES if spares == [] else _spares(spares)
    record.stamp, record.mode, record.mtime, record.size, record.content = stamp, mode, mtime, size, content
    record.found, record.was_directory = bool(flags & _FLAG_FOUND), bool(flags & _FLAG_WAS_DIRECTORY)
    record.content_dot, record.content_stamp = record.dot, stamp
    if content_dot is not None or content_stamp is not None:
        record.content_dot, record.content_stamp = _origin(record, content_dot, content_stamp)
    record.target, record.superseded = (b"", ()) if tail == _NO_TAIL else _tail(tail)
    is_plain_file = kind == 0 and flags < _FLAG_WAS_DIRECTORY and tail == _NO_TAIL and type(content) is bytes
    if not is_plain_file or len(content) != HASH_SIZE or content == DIRECTORY_CONTENT:
        _check_kind(record)
    return record


def _origin(record: Record, content_dot: Any, content_stamp: Any) -> tuple[Dot, int]:
    """Whose bytes these are, if the record says that they are not its own, or when they came."""
    dot = record.dot if content_dot is None else _dot(content_dot)
    stamp = record.stamp if content_stamp is None else _integer(content_stamp, 0, limits.MAX_STAMP, "content stamp")
    if (content_dot is not None and dot == record.dot) or (content_stamp is not None and stamp == record.stamp):
        raise BadRecord("a default is spelled out")
    if stamp > record.stamp and not record.found:  # stamps of FOUND records advance no clock
        raise BadRecord("content is younger than its record")
    return dot, stamp


def _check_kind(record: Record) -> None:
    content, kind = record.content, record.kind
    if type(content) is not bytes:
        raise BadRecord("content is not bytes")
    if kind != Kind.LINK and record.target:
        raise BadRecord("only a link has a target")
    if kind != Kind.FILE and record.size:
        raise BadRecord("only a file has a size")
    if kind == Kind.FILE:
        fits = len(content) == HASH_SIZE and content != DIRECTORY_CONTENT
    elif kind == Kind.LINK:
        fits = bool(record.target) and content == link_content(record.target) and record.mode == LINK_MODE
    elif kind == Kind.DIR:
        fits = content == DIRECTORY_CONTENT and record.mtime == 0
    else:
        fits = content == b"" and record.mtime == 0 and (record.was_directory or record.mode == 0)
        fits = fits and record.content_dot == record.dot and not record.found
    if not fits or (record.was_directory and kind != Kind.DELETE):
        raise BadRecord(f"fields do not fit a {kind.name}")


def _integer(value: Any, low: int, high: int, what: str) -> int:
    if type(value) is not int or not low <= value <= high:
        raise BadRecord(f"{what} out of range")
    return value


def _dot(value: Any) -> Dot:
    if type(value) is not list or len(value) != 2 or type(value[0]) is not bytes or len(value[0]) != ACTOR_SIZE:
        raise BadRecord("not a dot")
    return value[0], _integer(value[1], 1, limits.MAX_COUNTER, "counter")


def _context(value: Any) -> dict[bytes, int]:
    if type(value) is not list or len(value) > limits.MAX_CONTEXT:
        raise BadRecord("context is too long")
    dots = [_dot(item) for item in value]
    if any(dots[n - 1][0] >= dots[n][0] for n in range(1, len(dots))):
        raise BadRecord("context is not sorted")
    return dict(dots)


def _spares(value: Any) -> frozenset[Dot]:
    if type(value) is not list or len(value) > limits.MAX_SPARES:
        raise BadRecord("too many spares")
    dots = [_dot(item) for item in value]
    if any(dots[n - 1] >= dots[n] for n in range(1, len(dots))):
        raise BadRecord("spares are not sorted")
    return frozenset(dots)


def _tail(value: Any) -> tuple[bytes, tuple[bytes, ...]]:
    if type(value) is not list or not 1 <= len(value) <= 1 + limits.SUPERSEDED_KEPT:
        raise BadRecord("target and superseded contents do not fit")
    target, *superseded = value
    if type(target) is not bytes or len(target) > limits.MAX_TARGET or b"\0" in target:
        raise BadRecord("bad link target")
    if any(type(token) is not bytes or len(token) != HASH_SIZE for token in superseded):
        raise BadRecord("bad superseded content")
    return target, tuple(superseded)
