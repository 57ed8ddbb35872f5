"""The Noise protocol framework, revision 34, for Noise_XX and Noise_XXpsk0 with 25519, AESGCM and SHA256.

Objects and methods have the names of the specification (https://noiseprotocol.org/noise.html, section 5). Ephemeral
private keys are arguments: nothing here draws a random number.
"""

import hashlib
import hmac
import struct
from enum import Enum
from functools import cached_property
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from protocol import limits
from protocol.errors import HandshakeError, LocalError

DH_SIZE: Final = 32
HASH_SIZE: Final = 32
KEY_SIZE: Final = 32
TAG_SIZE: Final = 16
_MAX_NONCE: Final = (1 << 64) - 1  # reserved for rekey()
_ZEROS: Final = bytes(32)
_nonce = struct.Struct(">4xQ").pack


class Token(Enum):
    """One step of a handshake message: a key sent, a Diffie-Hellman of two keys (the initiator's first), or the PSK."""

    E = "e"
    S = "s"
    EE = "ee"
    ES = "es"
    SE = "se"
    PSK = "psk"


class Pattern(NamedTuple):
    """A handshake pattern: its name and the tokens of each message, the initiator's first."""

    name: str
    messages: tuple[tuple[Token, ...], ...]


_SECOND: Final = (Token.E, Token.EE, Token.S, Token.ES)
_THIRD: Final = (Token.S, Token.SE)
XX: Final = Pattern("XX", ((Token.E,), _SECOND, _THIRD))
XX_PSK0: Final = Pattern("XXpsk0", ((Token.PSK, Token.E), _SECOND, _THIRD))


def _native_encrypt(aead: AESGCM, nonce: bytes, plaintext: bytes | memoryview, out: memoryview) -> None:
    aead.encrypt_into(nonce, plaintext, None, out)


def _native_decrypt(aead: AESGCM, nonce: bytes, ciphertext: bytes | memoryview, out: memoryview) -> None:
    aead.decrypt_into(nonce, ciphertext, None, out)


def _copying_encrypt(aead: AESGCM, nonce: bytes, plaintext: bytes | memoryview, out: memoryview) -> None:
    out[:] = aead.encrypt(nonce, plaintext, None)


def _copying_decrypt(aead: AESGCM, nonce: bytes, ciphertext: bytes | memoryview, out: memoryview) -> None:
    out[:] = aead.decrypt(nonce, ciphertext, None)


_IN_PLACE: Final = hasattr(AESGCM, "encrypt_into")
_encrypt_into = _native_encrypt if _IN_PLACE else _copying_encrypt
_decrypt_into = _native_decrypt if _IN_PLACE else _copying_decrypt


class KeyPair:
    """An X25519 key pair from 32 private bytes.

    The curve is touched when the pair is first used, not before: a stranger's first message must not cost us that.
    """

    def __init__(self, private: bytes) -> None:
        if len(private) != DH_SIZE:
            raise LocalError(f"an X25519 private key has {DH_SIZE} bytes, not {len(private)}")
        self._private = private

    @cached_property
    def _key(self) -> X25519PrivateKey:
        return X25519PrivateKey.from_private_bytes(self._private)

    @cached_property
    def public(self) -> bytes:
        """32 bytes."""
        return self._key.public_key().public_bytes_raw()

    def dh(self, public: bytes) -> bytes:
        """32 bytes shared with the owner of `public`. Raises HandshakeError if zero: a point of small order."""
        try:
            shared = self._key.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError:
            shared = _ZEROS
        if shared == _ZEROS:
            raise HandshakeError("the peer sent a public key of small order")
        return shared


class CipherState:
    """A key and a counter: one direction of a connection, or the cipher inside a handshake."""

    __slots__ = ("_aead", "_n")

    def __init__(self) -> None:
        self._aead: AESGCM | None = None
        self._n = 0

    def initialize_key(self, key: bytes) -> None:
        """Take a key of 32 bytes and start counting at zero."""
        self._aead = AESGCM(key)
        self._n = 0

    def has_key(self) -> bool:
        """Whether there is a key; without one everything passes in clear."""
        return self._aead is not None

    def set_nonce(self, nonce: int) -> None:
        """Go on counting at `nonce`."""
        self._n = nonce

    def encrypt_with_ad(self, ad: bytes, plaintext: bytes) -> bytes:
        """The ciphertext with its tag of 16 bytes, or the plaintext if there is no key."""
        return plaintext if self._aead is None else self._aead.encrypt(self._next(), plaintext, ad)

    def decrypt_with_ad(self, ad: bytes, ciphertext: bytes) -> bytes:
        """The plaintext. Raises InvalidTag, and does not count, if it was not encrypted so."""
        if self._aead is None:
            return ciphertext
        nonce = self._next()
        try:
            return self._aead.decrypt(nonce, ciphertext, ad)
        except InvalidTag:
            self._n -= 1
            raise

    def encrypt_into(self, plaintext: bytes | memoryview, out: memoryview) -> None:
        """encrypt_with_ad with empty associated data, into `out`, which has room for exactly the tag more."""
        _encrypt_into(self._keyed(), self._next(), plaintext, out)

    def decrypt_into(self, ciphertext: bytes | memoryview, out: memoryview) -> None:
        """decrypt_with_ad with empty associated data, into `out`. After InvalidTag the state is of no more use."""
        _decrypt_into(self._keyed(), self._next(), ciphertext, out)

    def rekey(self) -> None:
        """Replace the key by a one-way function of it; the counter goes on (sections 4.2 and 11.3)."""
        self._aead = AESGCM(self._keyed().encrypt(_nonce(_MAX_NONCE), _ZEROS, b"")[:KEY_SIZE])

    def _keyed(self) -> AESGCM:
        if self._aead is None:
            raise LocalError("a cipher without a key")
        return self._aead

    def _next(self) -> bytes:
        n = self._n
        if n >= _MAX_NONCE:
            raise LocalError("the nonces of this key are used up")
        self._n = n + 1
        return _nonce(n)


class SymmetricState:
    """The running hash and chaining key of a handshake."""

    __slots__ = ("_chaining_key", "_cipher", "_hash")

    def __init__(self, protocol_name: bytes) -> None:
        """InitializeSymmetric(protocol_name)."""
        long = len(protocol_name) > HASH_SIZE
        self._hash = hashlib.sha256(protocol_name).digest() if long else protocol_name.ljust(HASH_SIZE, b"\0")
        self._chaining_key = self._hash
        self._cipher = CipherState()

    def mix_key(self, material: bytes) -> None:
        """Take secret material into the chaining key and draw a new cipher key from it."""
        self._chaining_key, key = hkdf(self._chaining_key, material, 2)
        self._cipher.initialize_key(key)

    def mix_hash(self, data: bytes) -> None:
        """Take data into the running hash."""
        self._hash = hashlib.sha256(self._hash + data).digest()

    def mix_key_and_hash(self, material: bytes) -> None:
        """mix_key and mix_hash for a pre-shared key."""
        self._chaining_key, mixed, key = hkdf(self._chaining_key, material, 3)
        self.mix_hash(mixed)
        self._cipher.initialize_key(key)

    def get_handshake_hash(self) -> bytes:
        """32 bytes that both sides share and no other handshake has (channel binding), once it is over."""
        return self._hash

    def has_key(self) -> bool:
        """Whether what is encrypted now carries a tag."""
        return self._cipher.has_key()

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        """The ciphertext, bound to all that went before."""
        ciphertext = self._cipher.encrypt_with_ad(self._hash, plaintext)
        self.mix_hash(ciphertext)
        return ciphertext

    def decrypt_and_hash(self, ciphertext: bytes) -> bytes:
        """The plaintext. Raises InvalidTag."""
        plaintext = self._cipher.decrypt_with_ad(self._hash, ciphertext)
        self.mix_hash(ciphertext)
        return plaintext

    def split(self) -> tuple[CipherState, CipherState]:
        """The ciphers for (initiator to responder, responder to initiator)."""
        first, second = CipherState(), CipherState()
        for cipher, key in zip((first, second), hkdf(self._chaining_key, b"", 2), strict=True):
            cipher.initialize_key(key)
        return first, second


class HandshakeState:
    """One side of one handshake. After any error it must be thrown away."""

    def __init__(
        self, pattern: Pattern, *, initiator: bool, prologue: bytes, s: KeyPair, e: KeyPair, psk: bytes | None = None
    ) -> None:
        """s, e: own static and ephemeral pair. psk: 32 bytes, for a pattern that has it. Raises LocalError."""
        self._psk_mode = any(Token.PSK in tokens for tokens in pattern.messages)
        if self._psk_mode != (psk is not None) or (psk is not None and len(psk) != KEY_SIZE):
            raise LocalError(f"pattern {pattern.name} and the pre-shared key do not fit")
        self._initiator = initiator
        self._s, self._e, self._psk = s, e, psk or b""
        self._rs, self._re = b"", b""
        self._messages = list(pattern.messages)
        self._my_turn = initiator
        self._symmetric = SymmetricState(b"Noise_%s_25519_AESGCM_SHA256" % pattern.name.encode("ascii"))
        self._symmetric.mix_hash(prologue)

    @property
    def remote_static(self) -> bytes:
        """The peer's static public key, 32 bytes; empty before it was received."""
        return self._rs

    @property
    def remote_ephemeral(self) -> bytes:
        """The peer's ephemeral public key, 32 bytes; empty before it was received."""
        return self._re

    @property
    def finished(self) -> bool:
        """Whether all messages went over; then split() is due."""
        return not self._messages

    def write_message(self, payload: bytes) -> bytes:
        """The next message. Raises LocalError out of turn, HandshakeError if the peer's keys are unusable."""
        parts = []
        for token in self._take_turn(mine=True):
            if token is Token.E:
                parts.append(self._e.public)
                self._mix_ephemeral(self._e.public)
            elif token is Token.S:
                parts.append(self._symmetric.encrypt_and_hash(self._s.public))
            else:
                self._mix_secret(token)
        parts.append(self._symmetric.encrypt_and_hash(payload))
        message = b"".join(parts)
        if len(message) > limits.MAX_TRANSPORT_RECORD:
            raise LocalError(f"a payload of {len(payload)} bytes is too long for a message")
        return message

    def read_message(self, message: bytes) -> bytes:
        """The payload of the peer's next message. Raises HandshakeError if it does not authenticate."""
        if len(message) > limits.MAX_TRANSPORT_RECORD:
            raise HandshakeError(f"a handshake message of {len(message)} bytes")
        place = 0
        try:
            for token in self._take_turn(mine=False):
                if token in (Token.E, Token.S):
                    size = DH_SIZE + (TAG_SIZE if token is Token.S and self._symmetric.has_key() else 0)
                    self._take_key(token, message[place : place + size], size)
                    place += size
                else:
                    self._mix_secret(token)
            return self._symmetric.decrypt_and_hash(message[place:])
        except InvalidTag:
            raise HandshakeError("a handshake message does not authenticate") from None

    def get_handshake_hash(self) -> bytes:
        """32 bytes that bind what follows to this handshake."""
        return self._symmetric.get_handshake_hash()

    def split(self) -> tuple[CipherState, CipherState]:
        """The ciphers for (initiator to responder, responder to initiator). Raises LocalError before the end."""
        if not self.finished:
            raise LocalError("the handshake is not finished")
        return self._symmetric.split()

    def _take_turn(self, *, mine: bool) -> tuple[Token, ...]:
        if self.finished or self._my_turn != mine:
            raise LocalError("a handshake message out of turn")
        self._my_turn = not mine
        return self._messages.pop(0)

    def _take_key(self, token: Token, data: bytes, size: int) -> None:
        if len(data) != size:
            raise HandshakeError("a handshake message is cut off")
        if token is Token.E:
            self._re = data
            self._mix_ephemeral(data)
        else:
            self._rs = self._symmetric.decrypt_and_hash(data)

    def _mix_ephemeral(self, public: bytes) -> None:
        self._symmetric.mix_hash(public)
        if self._psk_mode:
            self._symmetric.mix_key(public)

    def _mix_secret(self, token: Token) -> None:
        if token is Token.PSK:
            self._symmetric.mix_key_and_hash(self._psk)
            return
        initiators, responders = token.value[0], token.value[1]
        mine, theirs = (initiators, responders) if self._initiator else (responders, initiators)
        own = self._e if mine == Token.E.value else self._s
        self._symmetric.mix_key(own.dh(self._re if theirs == Token.E.value else self._rs))


def hkdf(chaining_key: bytes, material: bytes, outputs: int) -> list[bytes]:
    """HKDF of section 4.3: two or three outputs of 32 bytes."""
    root = hmac.digest(chaining_key, material, "sha256")
    keys = [hmac.digest(root, b"\x01", "sha256")]
    while len(keys) < outputs:
        keys.append(hmac.digest(root, keys[-1] + bytes([len(keys) + 1]), "sha256"))
    return keys
