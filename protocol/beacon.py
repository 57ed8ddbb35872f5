"""Beacons: sealed datagrams by which nodes of a folder notice each other. They are never answered."""

import hmac
from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from protocol.errors import LocalError
from protocol.fields import HASH_SIZE, NODE_ID_SIZE
from protocol.keys import KEY_SIZE, FolderKeys
from protocol.limits import BEACON_INSTANCES, BEACON_SIZE, BEACON_WINDOW

NONCE_SIZE: Final = 12
TAG_SIZE: Final = 8
INSTANCE_SIZE: Final = 16
_HEAD: Final = b"SYB1\x01\0\0\0"  # magic, version, flags, two zero bytes
_TAG_END: Final = len(_HEAD) + TAG_SIZE
_SEALED_AT: Final = _TAG_END + NONCE_SIZE
_PADDING: Final = 16  # zero bytes at the end of the payload
_HOUR: Final = 3_600_000  # ms
_HOURS_PER_DAY: Final = 24
_U32: Final = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Beacon:
    """What a node says in a beacon.

    instance: 16 bytes, drawn at every start of the program, the nonce of its HELLO. seq: grows with every beacon of the
    instance. unix_ms: the sender's clock. tcp_port: where it listens. node_id: 16 bytes. minor: as in HELLO. root: of
    its manifest, 32 bytes.
    """

    instance: bytes
    seq: int
    unix_ms: int
    tcp_port: int
    node_id: bytes
    minor: int
    root: bytes


class Hearing(Enum):
    """What becomes of a beacon that opened."""

    ACCEPTED = "accepted"
    OWN = "own"  # the receiver sent it
    SKEWED = "skewed"  # its time is not within the window: one of two clocks is wrong, or it was kept
    REPEATED = "repeated"  # its instance was heard with that number or a higher one


class BeaconKeys:
    """Seals and opens the beacons of a folder. The keys of hours and days are derived once."""

    def __init__(self, keys: FolderKeys) -> None:
        self._tag_key = keys.tag_key
        self._beacon_key = keys.beacon_key
        self._ciphers: dict[int, AESGCM] = {}

    def tag(self, hour: int) -> bytes:
        """What marks the folder's beacons of an hour, counted from 1970; no stranger can tell two tags to be of one."""
        return hmac.digest(self._tag_key, (hour & _U32).to_bytes(4, "big"), "sha256")[:TAG_SIZE]

    def tags(self, now_ms: int) -> dict[bytes, int]:
        """The tags that are accepted now, with the hour of each: of the last hour, of this and of the next one."""
        hour = now_ms // _HOUR
        return {self.tag(each): each for each in (hour, hour - 1, hour + 1) if each >= 0}

    def seal(self, beacon: Beacon, nonce: bytes) -> bytes:
        """The datagram. nonce: 12 random bytes. Raises LocalError for fields that do not fit."""
        payload = _pack(beacon)
        if len(nonce) != NONCE_SIZE or len(payload) != BEACON_SIZE - _SEALED_AT - 16:
            raise LocalError("a beacon with fields of other sizes")
        hour = beacon.unix_ms // _HOUR
        head = _HEAD + self.tag(hour) + nonce
        return head + self._cipher(hour // _HOURS_PER_DAY).encrypt(nonce, payload, head)

    def open(self, datagram: bytes, hour: int, now_ms: int) -> Beacon | None:
        """The beacon in a datagram that carries the tag of `hour`; None if it is none of this folder.

        The sender took tag and key from one clock, so the day of the tag is tried first.
        """
        if not looks_like_beacon(datagram):
            return None
        head, nonce, sealed = datagram[:_SEALED_AT], datagram[_TAG_END:_SEALED_AT], datagram[_SEALED_AT:]
        today = now_ms // _HOUR // _HOURS_PER_DAY
        for day in dict.fromkeys((hour // _HOURS_PER_DAY, today, today - 1, today + 1)):
            if abs(day - today) <= 1:
                try:
                    return _unpack(self._cipher(day).decrypt(nonce, sealed, head))
                except InvalidTag:
                    continue
        return None

    def _cipher(self, day: int) -> AESGCM:
        cipher = self._ciphers.get(day)
        if cipher is None:
            if len(self._ciphers) > 3:  # those of the days before
                self._ciphers.clear()
            info = b"day" + (day & _U32).to_bytes(4, "big")
            cipher = self._ciphers[day] = AESGCM(HKDFExpand(SHA256(), KEY_SIZE, info).derive(self._beacon_key))
        return cipher


def looks_like_beacon(datagram: bytes) -> bool:
    """Whether a datagram has the form of a beacon: what can be told without any key."""
    return len(datagram) == BEACON_SIZE and datagram.startswith(_HEAD)


def tag_of(datagram: bytes) -> bytes:
    """The tag of a datagram that looks like a beacon."""
    return datagram[len(_HEAD) : _TAG_END]


class Instances:
    """The beacons heard so far: the highest number of each instance, of the 1 024 that were heard last. own: ours."""

    def __init__(self, own: bytes) -> None:
        self._own = own
        self._last: OrderedDict[bytes, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._last)

    def hear(self, beacon: Beacon, now_ms: int) -> Hearing:
        """Judge a beacon that opened, and remember it if it is accepted."""
        if beacon.instance == self._own:
            return Hearing.OWN
        if abs(beacon.unix_ms - now_ms) > BEACON_WINDOW:
            return Hearing.SKEWED
        if beacon.seq <= self._last.get(beacon.instance, -1):
            return Hearing.REPEATED
        self._last[beacon.instance] = beacon.seq
        self._last.move_to_end(beacon.instance)
        if len(self._last) > BEACON_INSTANCES:
            self._last.popitem(last=False)
        return Hearing.ACCEPTED


def _pack(beacon: Beacon) -> bytes:
    try:
        return b"".join((
            beacon.instance, beacon.seq.to_bytes(8, "big"), beacon.unix_ms.to_bytes(8, "big"),
            beacon.tcp_port.to_bytes(2, "big"), beacon.node_id, beacon.minor.to_bytes(2, "big"), beacon.root,
            bytes(_PADDING),
        ))  # fmt: skip
    except OverflowError:
        raise LocalError("a beacon with a number that does not fit") from None


def _unpack(payload: bytes) -> Beacon:
    at = 0

    def take(size: int) -> bytes:
        nonlocal at
        at += size
        return payload[at - size : at]

    def number(size: int) -> int:
        return int.from_bytes(take(size), "big")

    return Beacon(
        instance=take(INSTANCE_SIZE),
        seq=number(8),
        unix_ms=number(8),
        tcp_port=number(2),
        node_id=take(NODE_ID_SIZE),
        minor=number(2),
        root=take(HASH_SIZE),
    )
