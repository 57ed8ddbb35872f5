"""Secrets: the key schedule's check values, the strings, and what is said about a wrong one."""

import base64
import dataclasses
import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import LocalError, SecretError
from protocol.keys import FolderKeys, Tier, derive_read_only, generate_secret, is_version_1, parse_secret

S_RW = bytes(range(32))
S_RO = bytes.fromhex("4f3191ee84a3ea591265e9cd0396fd61e8efa96c063ea1c38df3ff23ecb445ad")
S_RELAY = bytes.fromhex("d9279d21271aa4f0e98b2f01ae9b9eed09e82f30aca224c802ac72fff42ef5d9")
FPK = bytes.fromhex("e2e3b5f8da7dc22a02d83e472c9695c6955bd4c58eae88b7bc61452f8c9bfb08")
PSK = bytes.fromhex("c747a9a726e0a45737abf5a6a667472ca8ca6f36c0110df3eef8373d2408ebe0")
BEACON_KEY = bytes.fromhex("14c0dc31b0d81ece56b3a2dc880eec761d970ab8fe3b5f09cdcf0325381b1b62")
BLOCK_KEY = bytes.fromhex("d8fa225b21e12c8e61b606649e99257a2d020f0b1ef4ecacf9075c38e312d96a")
FOLDER_ID = bytes.fromhex("ad97e75a56fbf78b3fb0b038bb18fa49")

RW = "syncd-rw1-aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dypt4gkhyq"
RO = (
    "syncd-ro1-j4yzd3ueupvfsetf5hgqhfx5mhuo7klmay7kdq4n6p7sh3fuiww6fy5v7dnh3qrkalmd4rzms2k4nfk32tcy5luiw66gcrjprsn7wcbo"
    "b24to"
)


def written(prefix: str, payload: bytes) -> str:
    checksum = hashlib.sha256(prefix.encode() + payload).digest()[:4]
    return prefix + base64.b32encode(payload + checksum).decode().rstrip("=").lower()


RELAY = written("syncd-relay1-", S_RELAY + FPK)
SECRETS = [RW, RO, RELAY]


def expanded(salt: bytes, secret: bytes, label: bytes, size: int = 32) -> bytes:
    return HKDF(SHA256(), size, salt, label).derive(secret)


def test_the_strings_are_pinned() -> None:
    assert generate_secret(S_RW) == RW == written("syncd-rw1-", S_RW)
    assert derive_read_only(RW) == RO == written("syncd-ro1-", S_RO + FPK)
    assert derive_read_only(RO.upper()) == RO


@pytest.mark.parametrize("text", SECRETS)
def test_check_values_hold_at_every_tier(text: str) -> None:
    keys = parse_secret(text)
    assert keys.folder_public == FPK
    assert keys.psk == PSK
    assert keys.beacon_key == BEACON_KEY
    assert keys.folder_id == FOLDER_ID
    assert keys.tag_key == expanded(b"syncd/1 relay" + FPK, S_RELAY, b"folder-tag")
    assert keys.fingerprint == "3l4qqr"


def test_keys_of_the_read_only_tier() -> None:
    salt = b"syncd/1 ro" + FPK
    keys = parse_secret(RO)
    assert keys.tier == Tier.READ_ONLY
    assert keys.block_key == BLOCK_KEY
    assert keys.ro_proof == expanded(salt, S_RO, b"ro-proof")
    assert keys.page_seed == int.from_bytes(expanded(salt, S_RO, b"page-seed", 8), "big")
    assert keys.folder_signing is None


def test_read_write_is_read_only_with_the_signing_key() -> None:
    keys = parse_secret(RW)
    assert keys.folder_signing == expanded(b"syncd/1 rw", S_RW, b"folder-sign")
    assert dataclasses.replace(keys, tier=Tier.READ_ONLY, folder_signing=None) == parse_secret(RO)


def test_relay_has_no_key_that_reads() -> None:
    keys = parse_secret(RELAY)
    assert keys.tier == Tier.RELAY
    assert (keys.block_key, keys.ro_proof, keys.page_seed, keys.folder_signing) == (None,) * 4


def test_no_key_is_another() -> None:
    keys = parse_secret(RW)
    values = [value for value in dataclasses.astuple(keys) if isinstance(value, bytes)]
    assert len(values) == len(set(values)) == 8


def test_repr_tells_nothing() -> None:
    keys = parse_secret(RW)
    assert repr(keys) == f"<FolderKeys READ_WRITE {keys.fingerprint}>"
    assert str(keys) == repr(keys)


def test_fingerprint_comes_from_the_folder_id_alone() -> None:
    expected = base64.b32encode(hashlib.sha256(b"syncd/1 fingerprint\0" + FOLDER_ID).digest()).decode().lower()[:6]
    assert parse_secret(RELAY).fingerprint == expected
    assert dataclasses.replace(parse_secret(RW), psk=bytes(32)).fingerprint == expected


@settings(deadline=None)
@given(random=st.binary(min_size=32, max_size=32))
def test_every_secret_survives_its_text(random: bytes) -> None:
    text = generate_secret(random)
    keys = parse_secret(text)
    assert keys.tier == Tier.READ_WRITE
    assert parse_secret(f"\t {text.upper()}\r\n") == keys
    assert parse_secret(derive_read_only(text)).psk == keys.psk


@pytest.mark.parametrize("size", [0, 20, 31, 33, 64])
def test_only_32_bytes_make_a_secret(size: int) -> None:
    with pytest.raises(LocalError, match="32 random bytes"):
        generate_secret(bytes(size))


def test_a_relay_secret_gives_no_read_only_one() -> None:
    with pytest.raises(SecretError, match="relay secret cannot give"):
        derive_read_only(RELAY)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("correct horse battery staple", "passphrases are refused"),
        ("sync-rw1-" + RW[10:], "a secret begins with 'syncd-rw1-'"),
        (RW[10:], "a secret begins with 'syncd-rw1-'"),
        ("A" + "B2" * 16 + "C", "of BitTorrent Sync 1.x only the read-write one"),
        ("a" + "b2" * 16, "a secret begins with"),
        ("BAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAE", "BitTorrent Sync 1.x"),
        (RW.replace("rw1", "rw2"), "unknown prefix.*newer version"),
        (RW.replace("rw1-", "rw-"), "unknown prefix"),
        (RW.replace("aaaq", "a0aq"), "character 12 of the secret, '0', cannot be"),
        (RW.replace("aaaq", "a aq"), "character 12 of the secret, ' ', cannot be"),
        (RW.replace("kh", "\u212ah"), r"character 65 of the secret, '\\u212a', cannot be"),
        (RW[:-1], "cut off: 58 characters follow 'syncd-rw1-', here 57 do"),
        (RW + "a", "too long: 58 characters follow 'syncd-rw1-', here 59 do"),
        ("syncd-rw1-", "cut off"),
        (RO[:-40], "cut off: 109 characters follow 'syncd-ro1-', here 69 do"),
        (RO.replace("ro1", "rw1"), "too long"),
        (RW.replace("rw1", "ro1"), "cut off"),
        (RO.replace("ro1", "relay1"), "checksum.*typing error"),
        (RELAY.replace("relay1", "ro1"), "checksum.*typing error"),
    ],
)
def test_what_is_said_of_a_wrong_secret(text: str, reason: str) -> None:
    with pytest.raises(SecretError, match=reason):
        parse_secret(text)
    with pytest.raises(SecretError, match=reason):
        derive_read_only(text)


@settings(deadline=None)
@given(
    text=st.sampled_from(SECRETS),
    place=st.integers(min_value=0, max_value=200),
    character=st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"),
)
def test_any_one_wrong_character_is_found(text: str, place: int, character: str) -> None:
    start = text.rindex("-") + 1
    place = start + place % (len(text) - start)
    wrong = text[:place] + character + text[place + 1 :]
    if wrong == text:
        assert isinstance(parse_secret(wrong), FolderKeys)
        return
    with pytest.raises(SecretError, match="typing error"):
        parse_secret(wrong)


@pytest.mark.parametrize("text", [RW, RO])
def test_spare_bits_of_the_last_character_must_be_zero(text: str) -> None:
    """Two texts that decode to the same bytes would be two names of one secret."""
    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    wrong = text[:-1] + alphabet[alphabet.index(text[-1]) + 1]
    with pytest.raises(SecretError, match="typing error"):
        parse_secret(wrong)


@settings(deadline=None)
@given(text=st.text(max_size=80) | st.text(max_size=80).map("syncd-rw1-".__add__))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(SecretError):
        parse_secret(text)


@pytest.mark.parametrize("text", [RW[:-2], RW + "aa", RW.replace("eaye", "eeye"), RW[7:], RW.replace("rw1", "xx1")])
def test_the_secret_is_not_repeated(text: str) -> None:
    with pytest.raises(SecretError) as caught:
        parse_secret(text)
    assert text[14:24] not in str(caught.value)


def test_a_read_write_secret_of_bittorrent_sync_is_material_of_160_bits() -> None:
    old = "A7BUSFHTZ2SG4HQKSQPI7VIWOZ7ND2KIW"
    keys = parse_secret(f" {old}\n")
    material = base64.b32decode(old[1:])
    assert len(material) == 20
    same = generate_secret(hmac.digest(b"syncd/1 bittorrent-sync-1 rw", material, "sha256"))
    assert keys == parse_secret(same)
    assert keys.folder_id.hex() == "735fe315191d6cd62f4e3c1a6594198d"
    assert parse_secret(derive_read_only(old)).folder_id == keys.folder_id
    assert is_version_1(old + " ")
    assert not is_version_1(same)
