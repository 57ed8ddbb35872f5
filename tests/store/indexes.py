"""Rows to put into an index, and what an index holds afterwards."""

import shutil
from collections import Counter
from pathlib import Path

from blake3 import blake3

from protocol import limits
from protocol.batches import Proof, proof_id, sign_batch
from protocol.certificate import CERTIFICATE_SIZE
from protocol.edit import Entry
from protocol.merge import digest, liveness
from protocol.pages import Leaf, Page
from protocol.paths import to_key
from protocol.record import DIRECTORY_CONTENT, LINK_MODE, Kind, Record, link_content, make_record
from syncd.core.index import Disk, Need, Row
from syncd.store.index import SqliteIndex
from tests.fakes.memory_index import MemoryIndex
from tests.fakes.memory_pages import MemoryPages

FOLDER = bytes(range(16))
SEED = 0x0123_4567_89AB_CDEF
ACTOR = b"\1" * 8


def token(name: object) -> bytes:
    return blake3(repr(name).encode()).digest()


def record(path: bytes, counter: int = 1, kind: Kind = Kind.FILE, proof: bytes = b"", **fields) -> Record:
    """A record without context: any two of a path stand beside each other."""
    dot = (ACTOR, counter)
    by_kind = {
        Kind.FILE: {"content": token((path, counter)), "size": 10 * counter, "mode": 0o644, "mtime": counter},
        Kind.DIR: {"content": DIRECTORY_CONTENT, "mode": 0o755},
        Kind.LINK: {"target": b"to", "content": link_content(b"to"), "mode": LINK_MODE, "mtime": counter},
        Kind.DELETE: {},
    }[kind]
    common = {
        "folder_id": FOLDER, "path": path, "kind": kind, "dot": dot, "context": {}, "spares": frozenset(),
        "stamp": counter, "content_dot": dot, "content_stamp": counter, "superseded": (),
    }  # fmt: skip
    made = make_record(**{**common, **by_kind, **fields})
    made.proof = proof
    return made


def disk(content: bytes = token("seen"), size: int = 3, inode: int = 7, ctime: int = 9, **fields) -> Disk:
    entry = Entry(Kind.FILE, content, size, 0o600, 5, b"")
    return Disk(entry._replace(**fields), inode, ctime)


def row(path: bytes, *records: Record, seen: Disk | None = None, need: Need | None = None) -> Row:
    return Row(to_key(path), tuple(sorted(records, key=lambda item: item.hash)), seen, need)


def store(index: SqliteIndex, *rows: Row) -> None:
    index.begin()
    index.store(rows)
    index.commit()


def everything(index: SqliteIndex) -> list[Row]:
    return index.span(b"", None, 1 << 40)


def shape(index: SqliteIndex) -> dict[int, list[Page]]:
    found = {level: index.pages(level, b"", None) for level in range(limits.MAX_LEVELS)}
    return {level: pages for level, pages in found.items() if pages}


def built_from_scratch(rows: list[Row]) -> MemoryPages:
    pages = MemoryPages(SEED)
    weight = {row.key: len(row.key) + sum(len(record.raw) for record in row.state) for row in rows}
    pages.put([Leaf(row.key, digest(row.state), weight[row.key]) for row in rows if row.state])
    return pages


def assert_consistent(index: SqliteIndex) -> None:
    """What is derived from rows is what it would be if it were computed now."""
    rows = everything(index)
    pages = built_from_scratch(rows)
    assert list(index.leaves(b"", None)) == pages.leaves(b"", None)
    assert shape(index) == pages.shape()
    assert index.root() == pages.root()
    computed = MemoryIndex()
    computed.store(rows)
    assert index.totals() == computed.totals()
    uses = Counter(record.proof for row in rows for record in row.state if record.proof)
    assert dict(index.database.query("SELECT id, uses FROM proof_uses WHERE uses > 0")) == uses
    columns = index.database.query("SELECT key, live, weight FROM paths")
    weights = {leaf.key: leaf.weight for leaf in pages.leaves(b"", None)}
    lives = {row.key: int(liveness(row.state)) if row.state else None for row in rows}
    assert columns == [(row.key, lives[row.key], weights.get(row.key)) for row in rows]


def copied(path: Path, to: Path) -> Path:
    """The database as a killed process leaves it to the next one."""
    for suffix in ("", "-wal"):
        if Path(f"{path}{suffix}").exists():
            shutil.copy(f"{path}{suffix}", f"{to}{suffix}")
    return to


def signed(*names: bytes) -> tuple[bytes, Proof]:
    proof = sign_batch([token(name) for name in names], b"s" * 32, b"c" * CERTIFICATE_SIZE)
    return proof_id(proof), proof
