"""Signs what this node publishes, with a writer key per index and a certificate per actor."""

from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol import limits
from protocol.batches import Proof, proof_id, sign_batch
from protocol.certificate import Certificate, issue
from protocol.keys import FolderKeys
from protocol.record import Record


class WriterSigner:
    """writer_seed: Ed25519 seed, 32 bytes. node_key: our Noise static public key."""

    def __init__(self, keys: FolderKeys, node_key: bytes, writer_seed: bytes) -> None:
        assert keys.folder_signing is not None
        self._keys = keys
        self._folder_signing = keys.folder_signing
        self._node_key = node_key
        self.writer_seed = writer_seed
        self._writer_key = Ed25519PrivateKey.from_private_bytes(writer_seed).public_key().public_bytes_raw()
        self._certificate: Certificate | None = None

    def certificate(self, actor: bytes) -> Certificate:
        """The certificate that lets this node's writer key speak as `actor`."""
        if self._certificate is None or self._certificate.actor != actor:
            self._certificate = issue(
                self._folder_signing, self._keys.folder_id, self._node_key, self._writer_key, actor
            )
        return self._certificate

    def sign(self, actor: bytes, records: Sequence[Record]) -> dict[bytes, Proof]:
        """See syncd.core.identity.Signer."""
        certificate = self.certificate(actor).encode()
        proofs: dict[bytes, Proof] = {}
        for first in range(0, len(records), limits.MAX_BATCH):
            batch = records[first : first + limits.MAX_BATCH]
            proof = sign_batch([record.hash for record in batch], self.writer_seed, certificate)
            id_ = proof_id(proof)
            proofs[id_] = proof
            for record in batch:
                record.proof = id_
        return proofs


class ReaderSigner:
    """Stands where a read-only node would sign; such a node publishes nothing, so this is never asked."""

    def sign(self, actor: bytes, records: Sequence[Record]) -> dict[bytes, Proof]:
        """Refuses."""
        raise AssertionError("a read-only node does not publish")
