"""Signature proofs beside the rows, counted by the records that refer to them."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from protocol import codec
from protocol.batches import Proof, from_wire, to_wire
from protocol.errors import ProtocolError
from syncd.store.index_database import Database, IndexDamaged

_FIND: Final = "SELECT raw FROM proofs WHERE id = ?"
_KEEP: Final = "INSERT INTO proofs (id, raw) VALUES (?, ?) ON CONFLICT (id) DO NOTHING"
_KNOW: Final = "INSERT INTO proof_uses (id, uses) VALUES (?, 0) ON CONFLICT (id) DO NOTHING"
_COUNT: Final = (
    "INSERT INTO proof_uses (id, uses) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET uses = uses + excluded.uses"
)
_UNUSED: Final = "SELECT id FROM proof_uses INDEXED BY proof_uses_none WHERE uses = 0 LIMIT ?"


class ProofTable:
    """The part of an Index that keeps proofs."""

    database: Database

    def proofs(self, ids: Iterable[bytes]) -> dict[bytes, Proof]:
        """Those of these proofs that are here."""
        found = {}
        for name in ids:
            row = self.database.one(_FIND, (name,))
            if row is not None:
                found[name] = _proof(name, row[0])
        return found

    def store_proofs(self, proofs: dict[bytes, Proof]) -> None:
        """Keep proofs; `collect_proofs` drops those that no record refers to."""
        self.database.run_many(_KEEP, [(name, codec.pack(to_wire(proof))) for name, proof in proofs.items()])
        self.database.run_many(_KNOW, [(name,) for name in proofs])

    def collect_proofs(self, limit: int) -> int:
        """Drop up to `limit` proofs that no record refers to. Returns how many. Not between storing proofs and rows."""
        names = self.database.query(_UNUSED, (limit,))
        self.database.run_many("DELETE FROM proofs WHERE id = ?", names)
        self.database.run_many("DELETE FROM proof_uses WHERE id = ?", names)
        return len(names)

    def _count_proofs(self, uses: "Counter[bytes]") -> None:
        """Add to the numbers of records that refer to each proof."""
        self.database.run_many(_COUNT, [(name, number) for name, number in uses.items() if number])


def _proof(name: bytes, raw: bytes) -> Proof:
    try:
        return from_wire(codec.unpack(raw))
    except ProtocolError as error:
        raise IndexDamaged(f"proof {name.hex()} cannot be read: {error}") from error
