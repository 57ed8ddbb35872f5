"""Who recorded a session and has all long-term keys later, secret and static keys of both sides, reads nothing of it.

The decryptor is written from the Noise specification and shares no code with the package. It is shown to work: with one
ephemeral key more it reads everything.
"""

import hashlib
import hmac
import struct

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from protocol.messages import Ping
from tests.protocol.pair import READ_WRITE, Pair, seed

Recording = tuple[bytes, bytes]  # what went from left to right, and back
PREFACE = b"SYNC" + bytes([1, 1, 0, 0])


def record_session() -> Recording:
    """A handshake, both HELLOs, and a message each way."""
    pair = Pair()
    wires = [b"", b""]

    def carry() -> None:
        while pair.left.outbox or pair.right.outbox:
            for number, (sender, receiver) in enumerate(((pair.left, pair.right), (pair.right, pair.left))):
                data = sender.take()
                wires[number] += data
                receiver.receive(data)

    carry()
    pair.left.send(Ping(1))
    carry()
    assert pair.left.events
    assert pair.right.events
    return wires[0], wires[1]


def private(key: bytes) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(key)


def shared(key: bytes, public: bytes) -> bytes:
    return private(key).exchange(X25519PublicKey.from_public_bytes(public))


def messages(wire: bytes) -> list[bytes]:
    found = []
    while wire:
        end = 2 + int.from_bytes(wire[:2], "big")
        found.append(wire[2:end])
        wire = wire[end:]
    return found


class Decryptor:
    """Noise_XXpsk0_25519_AESGCM_SHA256 as an onlooker. ee: the one secret that no long-term key gives."""

    def __init__(self) -> None:
        name = b"Noise_XXpsk0_25519_AESGCM_SHA256"
        self.hash = self.chaining = name.ljust(32, b"\0") if len(name) <= 32 else hashlib.sha256(name).digest()
        self.key, self.nonce = b"", 0
        self.mix_hash(PREFACE + READ_WRITE.folder_id)

    def mix_hash(self, data: bytes) -> None:
        self.hash = hashlib.sha256(self.hash + data).digest()

    def expand(self, material: bytes, outputs: int) -> list[bytes]:
        root = hmac.digest(self.chaining, material, "sha256")
        found = [b""]
        for number in range(1, outputs + 1):
            found.append(hmac.digest(root, found[-1] + bytes([number]), "sha256"))
        return found[1:]

    def mix_key(self, material: bytes) -> None:
        self.chaining, self.key = self.expand(material, 2)
        self.nonce = 0

    def decrypt(self, data: bytes) -> bytes:
        plain = AESGCM(self.key).decrypt(struct.pack(">IQ", 0, self.nonce), data, self.hash)
        self.nonce += 1
        self.mix_hash(data)
        return plain

    def read(self, recording: Recording, ee: bytes | None) -> tuple[bytes, bytes]:
        """The two streams in clear. ee: the shared secret of the ephemeral keys, if it is known."""
        there, back = messages(recording[0].removeprefix(PREFACE)), messages(recording[1])
        mine, theirs = seed("static", 1), seed("static", 2)
        self.chaining, mixed, self.key = self.expand(READ_WRITE.psk, 3)
        self.mix_hash(mixed)
        e_left = there[0][:32]
        self.mix_hash(e_left)
        self.mix_key(e_left)
        self.decrypt(there[0][32:])
        e_right = back[0][:32]
        self.mix_hash(e_right)
        self.mix_key(e_right)
        self.mix_key(ee if ee is not None else shared(mine, private(theirs).public_key().public_bytes_raw()))
        assert self.decrypt(back[0][32:80]) == private(theirs).public_key().public_bytes_raw()
        self.mix_key(shared(theirs, e_left))
        self.decrypt(back[0][80:])
        assert self.decrypt(there[1][:48]) == private(mine).public_key().public_bytes_raw()
        self.mix_key(shared(mine, e_right))
        self.decrypt(there[1][48:])
        first, second = self.expand(b"", 2)
        return stream(first, there[2:]), stream(second, back[1:])


def stream(key: bytes, sealed: list[bytes]) -> bytes:
    return b"".join(AESGCM(key).decrypt(struct.pack(">IQ", 0, n), data, None) for n, data in enumerate(sealed))


def test_the_decryptor_works_with_an_ephemeral_key() -> None:
    recording = record_session()
    e_right = private(seed("ephemeral", 2)).public_key().public_bytes_raw()
    there, back = Decryptor().read(recording, shared(seed("ephemeral", 1), e_right))
    assert b"node 1" in there
    assert b"node 2" in back


def test_all_long_term_keys_read_nothing() -> None:
    recording = record_session()
    with pytest.raises(InvalidTag):
        Decryptor().read(recording, None)


@pytest.mark.parametrize("label", ["static", "ephemeral"])
def test_no_product_of_known_keys_takes_the_place_of_the_ephemeral_one(label: str) -> None:
    """All that can be computed of both static keys and of what was seen on the wire."""
    recording = record_session()
    publics = [private(seed(label, number)).public_key().public_bytes_raw() for number in (1, 2)]
    for secret in (seed("static", 1), seed("static", 2)):
        for public in publics:
            with pytest.raises(InvalidTag):
                Decryptor().read(recording, shared(secret, public))
