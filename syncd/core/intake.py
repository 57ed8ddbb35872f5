"""What a fresh node takes in by the shortest way: new paths on new ground, placed first and written down at once.

A need that is stored, planned and met costs a small file more than its own bytes do. Where an index that holds
everything knows nothing of a stretch of keys, and the disk has nothing there, no judgement is called for: what a record
says is what is shown. It may be placed before the index knows of it, because a fresh index settles nothing by itself:
after a crash what was placed is found, and equals what the peers say.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Final

from protocol.edit import entry_of
from protocol.limits import SMALL_FILE
from protocol.paths import to_key, to_path
from protocol.record import Kind, Record
from syncd.core.fresh import Freshness
from syncd.core.index import Index, Row
from syncd.core.planner import is_directory
from syncd.core.policy import Policy
from syncd.core.units import Units

DEEPEST: Final = 32  # levels of a path: a directory that is built holds a descriptor per level


def newcomers(
    index: Index,
    policy: Policy,
    freshness: Freshness,
    units: Units,
    records: Sequence[Record],
    contents: Collection[bytes],
) -> list[Record]:
    """Those of `records` that can simply be placed, directories first. contents: small ones that are at hand.

    None of a unit: what else is in it may come with other records, or is no small file.
    """
    by_key = {to_key(record.path): record for record in records}
    keys = sorted(by_key)
    if not keys or not freshness.holds(keys[0]) or index.span(keys[0], keys[-1] + b"\x01", 1):
        return []
    doubtful = _repeated(records) if len(keys) < len(records) else frozenset()
    grounds = _grounds(index, keys)
    chosen: list[Record] = []
    for key in keys:
        record = by_key[key]
        directory = record.kind is Kind.DIR
        if not directory and (record.content not in contents or record.kind is not Kind.FILE):
            continue
        if key.rpartition(b"\0")[0] not in grounds or key.count(b"\0") > DEEPEST or record.size > SMALL_FILE:
            continue
        if key in doubtful or policy.ignored(record.path, directory) or (not units.none and _is_part(units, record)):
            continue
        if not directory and policy.too_large(entry_of(record)):
            continue
        if directory:
            grounds.add(key)
        chosen.append(record)
    return _without_hidden(chosen, keys)


def _repeated(records: Sequence[Record]) -> set[bytes]:
    """The keys of which there are several records."""
    return {key for key, count in Counter(to_key(record.path) for record in records).items() if count > 1}


def _is_part(units: Units, record: Record) -> bool:
    unit = units.of(record.path)
    return unit is not None and (unit != record.path or record.kind == Kind.DIR)


def _grounds(index: Index, keys: list[bytes]) -> set[bytes]:
    """The directories outside of `keys` that are there, and are shown for sure."""
    above = {key.rpartition(b"\0")[0] for key in keys}.difference(keys)
    grounds = {key for key, row in index.rows(above - {b""}).items() if _is_ground(row)}
    grounds.add(b"")
    return grounds


def _is_ground(row: Row) -> bool:
    record = row.state[0] if len(row.state) == 1 else None
    there = row.disk is not None and is_directory(row.disk.entry)
    return record is not None and record.kind == Kind.DIR and there and row.need is None


def _without_hidden(chosen: list[Record], keys: list[bytes]) -> list[Record]:
    """Without files that something else in the batch lies below."""
    hidden = {to_path(key) for key, follower in pairwise(keys) if follower.startswith(key + b"\0")}
    return [record for record in chosen if record.kind is Kind.DIR or record.path not in hidden]
