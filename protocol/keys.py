"""Secrets and the keys that hang off them.

A folder's secrets form a one-way chain: read-write gives read-only, read-only gives relay, never back. Every key has
one use and its own HKDF-SHA256 label (RFC 5869). What all tiers share hangs off the lowest.
"""

import base64
import dataclasses
import hashlib
import hmac
import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from protocol.errors import LocalError, SecretError

KEY_SIZE: Final = 32
FOLDER_ID_SIZE: Final = 16
_PAGE_SEED_SIZE: Final = 8
_CHECKSUM_SIZE: Final = 4
_FINGERPRINT_LENGTH: Final = 6
_FINGERPRINT_LABEL: Final = b"syncd/1 fingerprint\0"
_ALPHABET: Final = frozenset("abcdefghijklmnopqrstuvwxyz234567")
_VERSION_1_READ_WRITE: Final = re.compile(r"A[A-Z2-7]{32}")  # 160 bits
_VERSION_1_SECRET: Final = re.compile(r"[A-F][A-Z2-7]{32,64}")
_VERSION_1_LABEL: Final = b"syncd/1 bittorrent-sync-1 rw"
_MAKE_ONE: Final = "make a secret with `syncd generate-secret`"


class Tier(IntEnum):
    """What a secret lets its holder do; each tier can do all that the lower ones can."""

    RELAY = 0
    READ_ONLY = 1
    READ_WRITE = 2


_PREFIXES: Final = {Tier.READ_WRITE: "syncd-rw1-", Tier.READ_ONLY: "syncd-ro1-", Tier.RELAY: "syncd-relay1-"}


@dataclass(frozen=True, slots=True, repr=False)
class FolderKeys:
    """All keys that one secret gives; None where its tier is too low. `repr` shows none of them.

    tier: of the secret. folder_id: 16 bytes, names the folder. psk: 32 bytes, for Noise only. beacon_key, tag_key: 32
    bytes, for beacons. folder_public: 32 bytes Ed25519, checks certificates. ro_proof: 32 bytes, proves the read-only
    tier. block_key: 32 bytes, keys the block hash. page_seed: u64, seeds the page boundaries. folder_signing: 32 bytes,
    Ed25519 seed that issues certificates, read-write only.
    """

    tier: Tier
    folder_id: bytes
    psk: bytes
    beacon_key: bytes
    tag_key: bytes
    folder_public: bytes
    ro_proof: bytes | None
    block_key: bytes | None
    page_seed: int | None
    folder_signing: bytes | None

    @property
    def fingerprint(self) -> str:
        """Six base32 characters by which people tell folders apart in a log; the same for every tier."""
        return _base32(hashlib.sha256(_FINGERPRINT_LABEL + self.folder_id).digest())[:_FINGERPRINT_LENGTH]

    def __repr__(self) -> str:
        return f"<FolderKeys {self.tier.name} {self.fingerprint}>"


def generate_secret(random: bytes) -> str:
    """A read-write secret from 32 random bytes. Raises LocalError for any other number of bytes."""
    if len(random) != KEY_SIZE:
        raise LocalError(f"a secret is made from {KEY_SIZE} random bytes, not {len(random)}")
    return _encode(Tier.READ_WRITE, random)


def is_version_1(text: str) -> bool:
    """Whether this is a read-write secret of BitTorrent Sync 1.x: 160 bits, taken as material for the keys here."""
    return _VERSION_1_READ_WRITE.fullmatch(text.strip()) is not None


def derive_read_only(text: str) -> str:
    """The read-only secret of the folder of a read-write or read-only secret.

    Raises SecretError for a relay secret and for what parse_secret refuses.
    """
    tier, payload = _decode(text)
    if tier == Tier.RELAY:
        raise SecretError("a relay secret cannot give a read-only secret: take it from the read-write secret")
    if tier == Tier.READ_WRITE:
        _, folder_public, payload = _read_write_chain(payload)
        payload += folder_public
    return _encode(Tier.READ_ONLY, payload)


def parse_secret(text: str) -> FolderKeys:
    """The keys of a secret of any tier, in either case, with or without white space around it.

    Raises SecretError, whose message says what is wrong and what to do, and never repeats the secret.
    """
    tier, payload = _decode(text)
    if tier == Tier.READ_WRITE:
        seed, folder_public, read_only_secret = _read_write_chain(payload)
        keys = _read_only_keys(read_only_secret, folder_public)
        return dataclasses.replace(keys, tier=tier, folder_signing=seed)
    secret, folder_public = payload[:KEY_SIZE], payload[KEY_SIZE:]
    return _read_only_keys(secret, folder_public) if tier == Tier.READ_ONLY else _relay_keys(secret, folder_public)


def _read_write_chain(secret: bytes) -> tuple[bytes, bytes, bytes]:
    """(folder signing seed, folder public key, read-only secret)"""
    root = _extract(b"syncd/1 rw", secret)
    seed = _expand(root, b"folder-sign")
    folder_public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return seed, folder_public, _expand(root, b"ro-secret")


def _read_only_keys(secret: bytes, folder_public: bytes) -> FolderKeys:
    root = _extract(b"syncd/1 ro" + folder_public, secret)
    return dataclasses.replace(
        _relay_keys(_expand(root, b"relay-secret"), folder_public),
        tier=Tier.READ_ONLY,
        ro_proof=_expand(root, b"ro-proof"),
        block_key=_expand(root, b"block-id"),
        page_seed=int.from_bytes(_expand(root, b"page-seed", _PAGE_SEED_SIZE), "big"),
    )


def _relay_keys(secret: bytes, folder_public: bytes) -> FolderKeys:
    root = _extract(b"syncd/1 relay" + folder_public, secret)
    return FolderKeys(
        tier=Tier.RELAY,
        folder_id=_expand(root, b"folder-id", FOLDER_ID_SIZE),
        psk=_expand(root, b"noise-psk"),
        beacon_key=_expand(root, b"beacon"),
        tag_key=_expand(root, b"folder-tag"),
        folder_public=folder_public,
        ro_proof=None,
        block_key=None,
        page_seed=None,
        folder_signing=None,
    )


def _extract(salt: bytes, secret: bytes) -> bytes:
    return hmac.digest(salt, secret, "sha256")


def _expand(root: bytes, label: bytes, size: int = KEY_SIZE) -> bytes:
    return HKDFExpand(SHA256(), size, label).derive(root)


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode("ascii").rstrip("=").lower()


def _encode(tier: Tier, payload: bytes) -> str:
    return _PREFIXES[tier] + _base32(payload + _checksum(tier, payload))


def _checksum(tier: Tier, payload: bytes) -> bytes:
    """Covers the prefix, so that a read-only secret whose prefix was edited is no relay secret."""
    return hashlib.sha256(_PREFIXES[tier].encode("ascii") + payload).digest()[:_CHECKSUM_SIZE]


def _decode(text: str) -> tuple[Tier, bytes]:
    stripped = text.strip()
    for tier, prefix in _PREFIXES.items():
        if stripped[: len(prefix)].lower() == prefix:
            return tier, _decode_body(tier, stripped[len(prefix) :])
    if is_version_1(stripped):
        return Tier.READ_WRITE, _extract(_VERSION_1_LABEL, base64.b32decode(stripped[1:]))
    raise SecretError(_why_unknown(stripped))


def _decode_body(tier: Tier, body: str) -> bytes:
    prefix = _PREFIXES[tier]
    lower = body.lower() if body.isascii() else body
    for place, character in enumerate(lower, start=len(prefix) + 1):
        if character not in _ALPHABET:
            raise SecretError(
                f"character {place} of the secret, {character!a}, cannot be in a secret: only a-z and 2-7 can"
            )
    size = KEY_SIZE if tier == Tier.READ_WRITE else 2 * KEY_SIZE
    length = -(-(size + _CHECKSUM_SIZE) * 8 // 5)
    if len(lower) != length:
        what = "cut off" if len(lower) < length else "too long"
        raise SecretError(f"the secret is {what}: {length} characters follow {prefix!r}, here {len(lower)} do")
    data = base64.b32decode(lower.upper() + "=" * (-length % 8))
    payload = data[:size]
    if _base32(data) != lower or data[size:] != _checksum(tier, payload):
        raise SecretError("the checksum of the secret does not match: it has a typing error, copy it again")
    return payload


def _why_unknown(text: str) -> str:
    known = ", ".join(repr(prefix) for prefix in _PREFIXES.values())
    if not text:
        return f"the secret is empty: {_MAKE_ONE}"
    if text[:6].lower() == "syncd-":
        return f"the secret has an unknown prefix: {known} are known here; it is mistyped or made by a newer version"
    if _VERSION_1_SECRET.fullmatch(text):
        return (
            "of the secrets of BitTorrent Sync 1.x only the read-write one (A and 32 characters) can be used: from "
            "that one `syncd derive-secret --read-only` makes a read-only one; or make a new secret with "
            "`syncd generate-secret`"
        )
    return (
        f"a secret begins with {known}; passphrases are refused, because whoever records one packet of this network "
        f"could guess them without being noticed: {_MAKE_ONE}"
    )
