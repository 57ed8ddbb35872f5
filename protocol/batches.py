"""Signed batches: one signature over many records, and paths that keep it checkable when few of them are left.

A batch is the Merkle tree of RFC 6962 section 2.1 with BLAKE3 for SHA-256: a leaf is H(0x00 || record hash), a node
H(0x01 || left || right), and a tree of n leaves splits at the largest power of two below n. The author signs the hash
of its certificate, the number of leaves and the root. A proof carries the record hashes it still vouches for, and the
hashes of the subtrees in between.
"""

from collections.abc import Collection, Container, Iterator, Sequence, Set
from functools import lru_cache
from typing import Any, Final, NamedTuple

from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protocol import limits
from protocol.certificate import CERTIFICATE_SIZE, Certificate
from protocol.errors import BadProof, LocalError

HASH_SIZE: Final = 32
SIGNATURE_SIZE: Final = 64
PROOF_ID_SIZE: Final = 16
_CERTIFICATES_KEPT: Final = 256  # verified certificates remembered: more writers than a folder has
_WIRE_FIELDS: Final = 5

Node = tuple[int, int, bytes]  # first leaf, leaves below, hash


class Proof(NamedTuple):
    """Evidence that a writer signed some records.

    certificate: its encoded bytes. count: leaves of the signed tree. nodes: what covers the leaves 0..count in order; a
    node of width 1 carries the record's own hash, a wider one the hash of that subtree.
    """

    certificate: bytes
    signature: bytes
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody calls
    nodes: tuple[Node, ...]


class VerifiedProof(NamedTuple):
    """What a proof was found to say: these record hashes were signed by the writer of this actor."""

    actor: bytes
    hashes: frozenset[bytes]


def sign_batch(hashes: Sequence[bytes], writer_seed: bytes, certificate: bytes) -> Proof:
    """The full proof over 1 to MAX_BATCH record hashes. writer_seed: Ed25519 seed. certificate: encoded bytes.

    Raises LocalError for an empty or too long batch.
    """
    if not 1 <= len(hashes) <= limits.MAX_BATCH:
        raise LocalError(f"a batch of {len(hashes)} records")
    statement = _statement(certificate, len(hashes), _root([_leaf(item) for item in hashes]))
    signature = Ed25519PrivateKey.from_private_bytes(writer_seed).sign(statement)
    return Proof(certificate, signature, len(hashes), tuple((place, 1, item) for place, item in enumerate(hashes)))


def verify_proof(proof: Proof, folder_public: bytes, folder_id: bytes) -> VerifiedProof:
    """Check the certificate, the shape and the signature. Raises BadProof.

    The caller still compares each record's actor with `actor` and looks its hash up in `hashes`.
    """
    _check_sizes(proof)
    actor, writer = _writer(proof.certificate, folder_public, folder_id)
    kept = [digest for _, width, digest in proof.nodes if width == 1]
    if len(kept) == proof.count and all(place == node[0] for place, node in enumerate(proof.nodes)):
        root = _root([_leaf(digest) for digest in kept])
    else:
        root = _Cover(proof).root()
    try:
        writer.verify(proof.signature, _statement(proof.certificate, proof.count, root))
    except InvalidSignature:
        raise BadProof("the signature does not fit the batch") from None
    return VerifiedProof(actor, frozenset(kept))


def prune(proof: Proof, keep: Container[bytes]) -> Proof:
    """The same proof for those record hashes only that are in `keep`. Raises BadProof if its nodes fit no tree."""
    _check_sizes(proof)
    return proof._replace(nodes=_Cover(proof).without_others(keep))


class Pruner:
    """Prunes one proof several times. What is cut off of a whole one is hashed once, and not at every time."""

    def __init__(self, proof: Proof) -> None:
        self._proof = proof
        self._places = {digest: place for place, _, digest in proof.nodes}
        self._whole = len(self._places) == len(proof.nodes) == proof.count
        self._hashes: dict[tuple[int, int], bytes] = {}  # of subtrees by (first leaf, leaves)

    def covers(self, hashes: Set[bytes]) -> bool:
        """Whether the proof vouches for all of these record hashes."""
        return self._places.keys() >= hashes

    def prune(self, keep: Collection[bytes]) -> Proof:
        """As the function of that name."""
        if not self._whole:
            return prune(self._proof, keep)
        _check_sizes(self._proof)
        kept = 0  # a bit for each leaf
        for digest in keep:
            place = self._places.get(digest)
            if place is not None:
                kept |= 1 << place
        nodes: list[Node] = []
        self._cut(0, self._proof.count, kept, nodes)
        return self._proof._replace(nodes=tuple(nodes))

    def _cut(self, start: int, width: int, kept: int, nodes: list[Node]) -> None:
        """Append the nodes of a subtree. kept: a bit for each of its leaves, the first one lowest."""
        if kept == (1 << width) - 1 or width == 1:
            nodes += self._proof.nodes[start : start + width]
        elif not kept:
            nodes.append((start, width, self._hash(start, width)))
        else:
            left = _split(width)
            self._cut(start, left, kept & ((1 << left) - 1), nodes)
            self._cut(start + left, width - left, kept >> left, nodes)

    def _hash(self, start: int, width: int) -> bytes:
        known = self._hashes.get((start, width))
        if known is None:
            if width == 1:
                known = _leaf(self._proof.nodes[start][2])
            else:
                left = _split(width)
                known = _inner(self._hash(start, left), self._hash(start + left, width - left))
            self._hashes[start, width] = known
        return known


def proof_id(proof: Proof) -> bytes:
    """16 bytes that name exactly this proof; a pruned one has another id."""
    hasher = blake3(b"syncd/1 proof\0")
    hasher.update(len(proof.certificate).to_bytes(4, "big") + proof.certificate + proof.signature)
    hasher.update(proof.count.to_bytes(4, "big") + _widths(proof) + b"".join([node[2] for node in proof.nodes]))
    return hasher.digest(PROOF_ID_SIZE)


def to_wire(proof: Proof) -> list[Any]:
    """[certificate, signature, count, widths less one as bytes, hashes joined]: the first leaves follow from these."""
    hashes = b"".join([node[2] for node in proof.nodes])
    return [proof.certificate, proof.signature, proof.count, _widths(proof), hashes]


def from_wire(value: object) -> Proof:
    """The proof that `to_wire` made `value` of. Raises BadProof; the signature is for `verify_proof` to check."""
    proof = read_wire(value)
    if len(proof.nodes) != proof.count or any(width > 1 for _, width, _ in proof.nodes):  # else it is a full batch
        _Cover(proof).check()
    return proof


def read_wire(value: object) -> Proof:
    """As `from_wire`, without a look whether the nodes fit the tree: `verify_proof` has to be next. Raises BadProof."""
    if type(value) is not list or len(value) != _WIRE_FIELDS:
        raise BadProof("not a proof")
    certificate, signature, count, widths, hashes = value
    if type(count) is not int or any(type(item) is not bytes for item in (certificate, signature, widths, hashes)):
        raise BadProof("not a proof")
    if len(widths) > limits.MAX_BATCH or len(hashes) != len(widths) * HASH_SIZE:
        raise BadProof("a proof's hashes do not fit its widths")
    nodes, start = [], 0
    for place, less_one in enumerate(widths):
        nodes.append((start, less_one + 1, hashes[place * HASH_SIZE : (place + 1) * HASH_SIZE]))
        start += less_one + 1
    proof = Proof(certificate, signature, count, tuple(nodes))
    _check_sizes(proof)
    return proof


def _check_sizes(proof: Proof) -> None:
    if not 1 <= proof.count <= limits.MAX_BATCH or len(proof.nodes) > proof.count:
        raise BadProof("a proof over too few or too many records")
    if len(proof.certificate) != CERTIFICATE_SIZE or len(proof.signature) != SIGNATURE_SIZE:
        raise BadProof("a proof's certificate or signature has a wrong size")


@lru_cache(_CERTIFICATES_KEPT)
def _writer(certificate: bytes, folder_public: bytes, folder_id: bytes) -> tuple[bytes, Ed25519PublicKey]:
    """(actor, writer key) of a certificate; remembered, because few writers sign many batches."""
    verified = Certificate.decode(certificate)
    verified.verify(folder_public, folder_id)
    return verified.actor, Ed25519PublicKey.from_public_bytes(verified.writer_key)


def _statement(certificate: bytes, count: int, root: bytes) -> bytes:
    return b"syncd/1 batch\0" + blake3(certificate).digest() + count.to_bytes(4, "big") + root


def _leaf(record_hash: bytes) -> bytes:
    return blake3(b"\x00" + record_hash).digest()


def _inner(left: bytes, right: bytes) -> bytes:
    return blake3(b"\x01" + left + right).digest()


def _root(level: list[bytes]) -> bytes:
    """The root over leaf hashes. Pairing neighbours and carrying a last odd one up gives the splits of RFC 6962."""
    while len(level) > 1:
        above = [_inner(level[place], level[place + 1]) for place in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            above.append(level[-1])
        level = above
    return level[0]


def _split(width: int) -> int:
    """The largest power of two below `width`."""
    return 1 << (width - 1).bit_length() - 1


def _widths(proof: Proof) -> bytes:
    return bytes([width - 1 for _, width, _ in proof.nodes])


class _Cover:
    """Walks the nodes of a proof along the splits of its tree. Every walk raises BadProof if they do not fit."""

    def __init__(self, proof: Proof) -> None:
        self._proof = proof
        self._nodes: Iterator[Node] = iter(proof.nodes)
        self._next: Node | None = None

    def check(self) -> None:
        """Only whether the nodes fit."""
        self._begin()
        self._check(0, self._proof.count)
        self._end()

    def root(self) -> bytes:
        """The hash of the whole tree."""
        self._begin()
        root = self._hash(0, self._proof.count)
        self._end()
        return root

    def without_others(self, keep: Container[bytes]) -> tuple[Node, ...]:
        """The nodes after every subtree without a leaf in `keep` became one node."""
        self._begin()
        kept: list[Node] = []
        self._prune(0, self._proof.count, keep, kept)
        self._end()
        return tuple(kept)

    def _begin(self) -> None:
        self._next = next(self._nodes, None)

    def _end(self) -> None:
        if self._next is not None:
            raise BadProof("a proof's nodes go on behind the tree")

    def _take(self, start: int, width: int) -> Node | None:
        """The next node if it is this subtree; None if it must be looked for in the subtree's halves."""
        node = self._next
        if node is None or node[0] != start or not 1 <= node[1] <= width:
            raise BadProof("a proof's nodes do not fit the tree")
        if node[1] != width:
            return None
        self._next = next(self._nodes, None)
        return node

    def _check(self, start: int, width: int) -> None:
        if self._take(start, width) is None:
            left = _split(width)
            self._check(start, left)
            self._check(start + left, width - left)

    def _hash(self, start: int, width: int) -> bytes:
        node = self._take(start, width)
        if node is not None:
            return node[2] if width > 1 else _leaf(node[2])
        left = _split(width)
        return _inner(self._hash(start, left), self._hash(start + left, width - left))

    def _prune(self, start: int, width: int, keep: Container[bytes], kept: list[Node]) -> bool:
        """Append what is left of the subtree to `kept`; return whether it holds a leaf of `keep`."""
        node = self._take(start, width)
        if node is not None:
            kept.append(node)
            return width == 1 and node[2] in keep
        left = _split(width)
        before = len(kept)
        first = self._prune(start, left, keep, kept)
        second = self._prune(start + left, width - left, keep, kept)
        if first or second:
            return True
        # Neither half holds one, so each of them has become a single node.
        halves = [digest if size > 1 else _leaf(digest) for _, size, digest in kept[before:]]
        kept[before:] = [(start, width, _inner(*halves))]
        return False
