"""Who wrote what was applied: the node that signed the record."""

from collections.abc import Sequence
from typing import Final

from protocol.paths import to_key, to_path
from protocol.record import Kind, Record
from syncd.core.index import Disk, Index
from syncd.node.identity import node_id_of
from syncd.store.applier import Outcome, Result

_STATIC_KEY: Final = slice(16, 48)  # behind the folder id


def node_of(certificate: bytes) -> bytes:
    """The id of the node that a writer certificate, encoded, belongs to."""
    return node_id_of(certificate[_STATIC_KEY])


def authors(index: Index, results: Sequence[Result]) -> dict[bytes, bytes]:
    """{path: node id} of what was done, as far as the manifest still has the record."""
    done = {to_key(result.path): result.disk for result in results if result.outcome == Outcome.DONE}
    records = {}
    for key, row in index.rows(done).items():
        record = _record(row.state, done[key])
        if record is not None:
            records[to_path(key)] = record
    proofs = index.proofs({record.proof for record in records.values()})
    return {
        path: node_of(proofs[record.proof].certificate) for path, record in records.items() if record.proof in proofs
    }


def _record(state: Sequence[Record], disk: Disk | None) -> Record | None:
    """The newest of those that say what the disk holds now."""
    kind = disk.entry.kind if disk is not None else Kind.DELETE
    content = disk.entry.content if disk is not None and kind is not Kind.DIR else None
    said = [record for record in state if record.kind == kind and content in (None, record.content)]
    return max(said, key=lambda record: record.stamp, default=None)
