"""What a peer may: writer certificates and the proofs of a tier inside an authenticated connection.

A certificate says that a node may author records as one actor; the folder key signs it. A tier proof is bound to one
side of one handshake, so it can be neither replayed nor reflected.
"""

import hmac
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protocol.errors import BadProof, LocalError
from protocol.keys import FOLDER_ID_SIZE, FolderKeys, Tier
from protocol.noise import HASH_SIZE
from protocol.record import ACTOR_SIZE

_KEY_SIZE: Final = 32
_SIGNATURE_SIZE: Final = 64
_SIZES: Final = (FOLDER_ID_SIZE, _KEY_SIZE, _KEY_SIZE, ACTOR_SIZE)
_BODY_SIZE: Final = sum(_SIZES)
CERTIFICATE_SIZE: Final = _BODY_SIZE + _SIGNATURE_SIZE
_CERTIFICATE_LABEL: Final = b"syncd/1 certificate\0"
_READ_ONLY_LABEL: Final = b"syncd/1 ro-proof"
_READ_WRITE_LABEL: Final = b"syncd/1 rw-proof\0"


@dataclass(frozen=True, slots=True)
class Certificate:
    """That a node may author records.

    folder_id: 16 bytes. node_key: the node's Noise static public key, 32 bytes. writer_key: Ed25519 public key that
    signs its batches, 32 bytes. actor: 8 bytes, whose dots it may use. signature: 64 bytes, of the folder key.
    """

    folder_id: bytes
    node_key: bytes
    writer_key: bytes
    actor: bytes
    signature: bytes

    def encode(self) -> bytes:
        """CERTIFICATE_SIZE bytes: the fields in their order."""
        return self.folder_id + self.node_key + self.writer_key + self.actor + self.signature

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """The certificate that encode() gave, not yet verified. Raises BadProof."""
        if len(raw) != CERTIFICATE_SIZE:
            raise BadProof(f"a certificate of {len(raw)} bytes")
        node, writer, actor, signature = accumulate(_SIZES)
        return cls(raw[:node], raw[node:writer], raw[writer:actor], raw[actor:signature], raw[signature:])

    def verify(self, folder_public: bytes, folder_id: bytes) -> None:
        """Raises BadProof unless the folder's key (32 bytes) signed this for this folder."""
        if self.folder_id != folder_id:
            raise BadProof("a certificate for another folder")
        _verify(folder_public, self.signature, _CERTIFICATE_LABEL + self.encode()[:_BODY_SIZE], "certificate")


def issue(
    folder_signing_seed: bytes, folder_id: bytes, node_key: bytes, writer_key: bytes, actor: bytes
) -> Certificate:
    """A certificate signed with the folder's Ed25519 seed (32 bytes). Raises LocalError for a field of wrong size."""
    fields = (folder_id, node_key, writer_key, actor)
    if tuple(map(len, fields)) != _SIZES:
        raise LocalError("a field of the certificate has the wrong size")
    signature = Ed25519PrivateKey.from_private_bytes(folder_signing_seed).sign(_CERTIFICATE_LABEL + b"".join(fields))
    return Certificate(*fields, signature=signature)


def tier_proof_ro(keys: FolderKeys, initiator: bool, handshake_hash: bytes) -> bytes:
    """32 bytes that prove the read-only tier. initiator: the prover's side. Raises LocalError for keys of a relay."""
    if keys.ro_proof is None:
        raise LocalError("a relay secret cannot prove the read-only tier")
    return hmac.digest(keys.ro_proof, _bound(_READ_ONLY_LABEL, initiator, handshake_hash), "sha256")


def tier_proof_rw(writer_private_seed: bytes, initiator: bool, handshake_hash: bytes) -> bytes:
    """64 bytes that prove the read-write tier to who has the writer's certificate. initiator: the prover's side."""
    key = Ed25519PrivateKey.from_private_bytes(writer_private_seed)
    return key.sign(_bound(_READ_WRITE_LABEL, initiator, handshake_hash))


def check_tier_proof_ro(keys: FolderKeys, initiator: bool, handshake_hash: bytes, proof: bytes) -> None:
    """Raises BadProof unless `proof` is tier_proof_ro of a peer on that side; LocalError for keys of a relay."""
    if not hmac.compare_digest(tier_proof_ro(keys, initiator, handshake_hash), proof):
        raise BadProof("the proof of the read-only tier does not hold")


def check_tier_proof_rw(
    keys: FolderKeys, initiator: bool, handshake_hash: bytes, proof: bytes, certificate: bytes, remote_static: bytes
) -> Certificate:
    """The peer's certificate. Raises BadProof unless it holds, is for the peer's Noise key, and its writer signed."""
    decoded = Certificate.decode(certificate)
    decoded.verify(keys.folder_public, keys.folder_id)
    if decoded.node_key != remote_static:
        raise BadProof("a certificate of another node")
    bound = _bound(_READ_WRITE_LABEL, initiator, handshake_hash)
    _verify(decoded.writer_key, proof, bound, "proof of the read-write tier")
    return decoded


def check_tier_proof(
    keys: FolderKeys,
    claimed: Tier,
    initiator: bool,
    handshake_hash: bytes,
    proof: bytes,
    certificate: bytes,
    remote_static: bytes,
) -> tuple[Tier, Certificate | None]:
    """The tier that a peer has proven, and the certificate of a writer.

    initiator: the peer's side. proof, certificate: empty below the tier that needs them. A relay cannot check the
    read-only tier and takes such a peer for a relay. Raises BadProof for a claim that does not hold.
    """
    if claimed == Tier.READ_WRITE:
        return claimed, check_tier_proof_rw(keys, initiator, handshake_hash, proof, certificate, remote_static)
    if claimed == Tier.RELAY or keys.ro_proof is None:
        return Tier.RELAY, None
    check_tier_proof_ro(keys, initiator, handshake_hash, proof)
    return claimed, None


def _bound(label: bytes, initiator: bool, handshake_hash: bytes) -> bytes:
    if len(handshake_hash) != HASH_SIZE:
        raise LocalError(f"a handshake hash of {len(handshake_hash)} bytes")
    return label + (b"\0" if initiator else b"\x01") + handshake_hash


def _verify(public: bytes, signature: bytes, message: bytes, what: str) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise BadProof(f"the {what} is not signed by its key") from None
