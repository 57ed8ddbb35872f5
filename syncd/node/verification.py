"""Records of peers, before they are merged: signatures checked, and cut into transactions."""

from collections.abc import Iterator, Sequence
from typing import Final

from protocol.batches import Proof, VerifiedProof, proof_id, read_wire, verify_proof
from protocol.errors import BadProof
from protocol.keys import FolderKeys
from protocol.messages import Records
from protocol.paths import parent
from protocol.record import Record, decode_record

# A record has all directories above it looked at, and paths may have thousands of these: a message of a megabyte would
# otherwise become a transaction of a gigabyte, and others would wait for it.
MERGE_BYTES: Final = 4 << 20  # bytes of paths, and of those of the directories above them, merged in one transaction


def verify(messages: Sequence[Records], keys: FolderKeys) -> tuple[list[Record], dict[bytes, Proof]]:
    """The records of all messages, and the proofs that cover them. Raises RemoteError."""
    proofs: dict[bytes, Proof] = {}
    records: list[Record] = []
    for message in messages:
        records += _verified(message, keys, proofs)
    return records, proofs


def _verified(message: Records, keys: FolderKeys, proofs: dict[bytes, Proof]) -> list[Record]:
    if len({number for _, number in message.records}) != len(message.proofs):
        raise BadProof("a proof without a record, or a record without a proof")
    verified: dict[bytes, VerifiedProof] = {}
    owners = []
    for wire in message.proofs:
        proof = read_wire(wire)
        id_ = proof_id(proof)
        if id_ not in verified:  # parts of one batch that were pruned apart may have become equal
            proofs[id_] = proof
            verified[id_] = verify_proof(proof, keys.folder_public, keys.folder_id)
        owners.append(id_)
    return [_record(raw, owners[number], verified, keys.folder_id) for raw, number in message.records]


def _record(raw: bytes, owner: bytes, verified: dict[bytes, VerifiedProof], folder_id: bytes) -> Record:
    record = decode_record(raw, folder_id)
    record.proof = owner
    if record.hash not in verified[owner].hashes or record.dot[0] != verified[owner].actor:
        raise BadProof("a record that its proof does not cover")
    return record


def parts(records: list[Record]) -> Iterator[list[Record]]:
    """Cut into runs of which each is merged in one transaction."""
    part: list[Record] = []
    above: set[bytes] = set()
    size = 0
    for record in records:
        part.append(record)
        size += len(record.path)
        directory = parent(record.path)
        if directory not in above:
            above.add(directory)
            size += len(directory) * (1 + directory.count(b"/"))
        if size >= MERGE_BYTES:
            yield part
            part, above, size = [], set(), 0
    if part:
        yield part
