"""Rows as the columns of the table `paths`, and back. The layout is in schema.sql."""

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgpack
from blake3 import blake3 as _hash

from protocol.edit import Entry
from protocol.merge import State, digest
from protocol.record import HASH_SIZE, Dot, Kind, Record
from syncd.core.index import Disk, Need, Row
from syncd.store.index_database import IndexDamaged

# key, state, digest, disk, need_rank, need_order, need_size
Values = tuple[bytes, bytes | None, bytes | None, bytes | None, int | None, int | None, int | None]

_RECORD: Final = struct.Struct(">I16s")  # bytes of the record, proof id
_DISK: Final = struct.Struct(">32sBHQqQq")  # content, kind, mode, size, mtime, inode, ctime
_FILE_SEEN: Final = struct.Struct(">32sBHQ")  # what _DISK begins with
_NO_PROOF: Final = bytes(16)
_FILE: Final = int(Kind.FILE)
_NO_FILE: Final = (b"", _FILE, 0, 0)
_KINDS: Final = tuple(Kind)
_NO_SPARES: Final[frozenset[Dot]] = frozenset()
_parse: Final = msgpack.unpackb


class Sealed(NamedTuple):
    """A record as it came, for whoever passes it on: canonical bytes, their hash, id of the proof that covers them."""

    raw: bytes
    hash: bytes
    proof: bytes


class Listed(NamedTuple):
    """What a peer is told of a path. content, size: of the file that was last seen there; empty and 0 without one."""

    key: bytes
    records: Sequence[Sealed | Record]
    content: bytes
    size: int


def to_values(row: Row) -> Values:
    """The columns of a row that are not derived from others."""
    state = row.state
    disk = None if row.disk is None else pack_disk(row.disk)
    need: tuple[int | None, int | None, int | None] = (None, None, None) if row.need is None else row.need
    if not state:
        return row.key, None, None, disk, *need
    return row.key, pack_state(state), digest(state), disk, *need


def to_row(values: Values) -> Row:
    """The row of these columns. Raises IndexDamaged."""
    disk = values[3]
    return Row(values[0], state_in(values), None if disk is None else unpack_disk(disk), need_in(values))


def state_in(values: Values | None) -> State:
    """The state in these columns; the empty one for no row. Raises IndexDamaged."""
    if values is None or values[1] is None:
        return ()
    try:
        state = _unpack_state(values[1])
    except (ValueError, TypeError, LookupError, struct.error) as error:
        raise IndexDamaged(f"the records of {values[0]!r} cannot be read: {error}") from error
    if digest(state) != values[2]:
        raise IndexDamaged(f"the records of {values[0]!r} are not what was stored")
    return state


def to_listed(key: bytes, packed: bytes, disk: bytes | None) -> Listed:
    """What the columns state and disk say of a path, without a look into its records. Raises IndexDamaged."""
    try:
        records, start = [], 0
        while start < len(packed):
            size, proof = _RECORD.unpack_from(packed, start)
            start += _RECORD.size
            raw = packed[start : start + size]
            records.append(Sealed(raw, _hash(raw).digest(), proof))
            start += size
        content, kind, _, size = _NO_FILE if disk is None else _FILE_SEEN.unpack_from(disk)
    except struct.error as error:
        raise IndexDamaged(f"the records of {key!r} cannot be read: {error}") from error
    return Listed(key, records, content, size) if kind == _FILE else Listed(key, records, b"", 0)


def list_row(row: Row) -> Listed:
    """The same of a row."""
    if row.disk is None or row.disk.entry.kind is not Kind.FILE:
        return Listed(row.key, row.state, b"", 0)
    return Listed(row.key, row.state, row.disk.entry.content, row.disk.entry.size)


def need_in(values: Values | None) -> Need | None:
    """The need in these columns."""
    if values is None or values[4] is None:
        return None
    return Need._make(values[4:])


def pack_state(state: State) -> bytes:
    """The bytes of a state that has members."""
    if len(state) == 1:
        return pack_record(state[0].raw, state[0].proof)
    return b"".join([pack_record(record.raw, record.proof) for record in state])


def pack_record(raw: bytes, proof: bytes) -> bytes:
    """The bytes of one member of a state. raw: canonical bytes. proof: id of its proof, or empty."""
    return _RECORD.pack(len(raw), proof or _NO_PROOF) + raw


def _unpack_state(packed: bytes) -> State:
    size, proof = _RECORD.unpack_from(packed)
    if len(packed) == _RECORD.size + size:
        return (_trusted_record(packed[_RECORD.size :], b"" if proof == _NO_PROOF else proof),)
    found, start = [], 0
    while start < len(packed):
        size, proof = _RECORD.unpack_from(packed, start)
        start += _RECORD.size
        found.append(_trusted_record(packed[start : start + size], b"" if proof == _NO_PROOF else proof))
        start += size
    return tuple(found)


def _trusted_record(raw: bytes, proof: bytes) -> Record:
    """What decode_record makes of `raw`, without its checks: they were made when the record came, and the digest of the
    state shows that these are the same bytes. They would take three times as long as all the rest of reading a row."""
    (_, _, path, kind, actor, counter, context, spares, stamp, mode, mtime, size, content, content_dot,
     content_stamp, tail, flags) = _parse(raw)  # fmt: skip
    record = Record()
    record.path, record.kind, record.dot = path, _KINDS[kind], (actor, counter)
    record.context = dict(context)
    record.spares = frozenset([(spared, count) for spared, count in spares]) if spares else _NO_SPARES
    record.stamp, record.mode, record.mtime, record.size, record.content = stamp, mode, mtime, size, content
    record.content_dot = (actor, counter) if content_dot is None else (content_dot[0], content_dot[1])
    record.content_stamp = stamp if content_stamp is None else content_stamp
    record.target, record.superseded = tail[0], tuple(tail[1:])
    record.found, record.was_directory = bool(flags & 1), bool(flags & 2)
    record.raw, record.hash, record.proof = raw, _hash(raw).digest(), proof
    return record


def pack_disk(disk: Disk) -> bytes:
    """The bytes of what was seen at a path."""
    (kind, content, size, mode, mtime, target), inode, ctime = disk
    if len(content) != HASH_SIZE:
        raise ValueError(f"content token of {len(content)} bytes")
    return _DISK.pack(content, kind, mode, size, mtime, inode, ctime) + target


def unpack_disk(packed: bytes) -> Disk:
    """What was seen at a path. Raises IndexDamaged."""
    try:
        content, kind, mode, size, mtime, inode, ctime = _DISK.unpack_from(packed)
    except struct.error as error:
        raise IndexDamaged(f"what was seen at a path cannot be read: {error}") from error
    return Disk(Entry(_KINDS[kind], content, size, mode, mtime, packed[_DISK.size :]), inode, ctime)
