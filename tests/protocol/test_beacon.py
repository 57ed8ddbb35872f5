"""Beacons: what is sealed opens, what was changed does not, and the tables stay small."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.beacon import Beacon, BeaconKeys, Hearing, Instances, looks_like_beacon, tag_of
from protocol.errors import LocalError
from protocol.keys import generate_secret, parse_secret
from protocol.limits import BEACON_INSTANCES, BEACON_SIZE, BEACON_WINDOW

KEYS = BeaconKeys(parse_secret(generate_secret(bytes(range(32)))))
OTHERS = BeaconKeys(parse_secret(generate_secret(bytes(range(1, 33)))))
NOW = 1_700_006_400_000
NONCE = bytes(12)
OWN = b"o" * 16
BEACON = Beacon(b"i" * 16, 1, NOW, 55_555, b"n" * 16, 0, b"r" * 32)


def opened(datagram: bytes, now: int = NOW, keys: BeaconKeys = KEYS) -> Beacon | None:
    """As a receiver does it."""
    hour = keys.tags(now).get(tag_of(datagram))
    return keys.open(datagram, hour, now) if hour is not None else None


@given(
    st.builds(
        Beacon,
        instance=st.binary(min_size=16, max_size=16),
        seq=st.integers(0, (1 << 64) - 1),
        unix_ms=st.integers(NOW - BEACON_WINDOW, NOW + BEACON_WINDOW),
        tcp_port=st.integers(0, 65_535),
        node_id=st.binary(min_size=16, max_size=16),
        minor=st.integers(0, 65_535),
        root=st.binary(min_size=32, max_size=32),
    ),
    st.binary(min_size=12, max_size=12),
)
def test_what_is_sealed_opens(beacon: Beacon, nonce: bytes) -> None:
    datagram = KEYS.seal(beacon, nonce)
    assert len(datagram) == BEACON_SIZE
    assert looks_like_beacon(datagram)
    assert opened(datagram) == beacon
    assert opened(datagram, keys=OTHERS) is None


@given(st.integers(0, BEACON_SIZE - 1), st.integers(0, 7))
def test_a_changed_bit_is_noticed(place: int, bit: int) -> None:
    datagram = bytearray(KEYS.seal(BEACON, NONCE))
    datagram[place] ^= 1 << bit
    assert opened(bytes(datagram)) is None


@given(st.binary(max_size=BEACON_SIZE + 8))
def test_noise_is_nothing(noise: bytes) -> None:
    assert opened(noise) is None
    assert KEYS.open(noise, NOW // 3_600_000, NOW) is None


@pytest.mark.parametrize(
    "wrong",
    [{"instance": b"short"}, {"root": bytes(31)}, {"tcp_port": 65_536}, {"seq": -1}, {"node_id": bytes(17)}],
    ids=str,
)
def test_fields_that_do_not_fit_are_a_bug_of_ours(wrong: dict[str, object]) -> None:
    with pytest.raises(LocalError):
        KEYS.seal(replace(BEACON, **wrong), NONCE)  # type: ignore[arg-type]


def test_tags_of_two_hours_have_nothing_in_common() -> None:
    hour = NOW // 3_600_000
    tags = {KEYS.tag(hour + n) for n in range(48)} | {OTHERS.tag(hour + n) for n in range(48)}
    assert len(tags) == 96
    assert set(KEYS.tags(NOW)) == {KEYS.tag(hour + n) for n in (-1, 0, 1)}


@pytest.mark.parametrize("years", [-1, 1])
def test_a_clock_that_is_a_year_off_is_not_even_recognised(years: int) -> None:
    assert opened(KEYS.seal(replace(BEACON, unix_ms=NOW + years * 31_536_000_000), NONCE)) is None


@pytest.mark.parametrize("off", [-BEACON_WINDOW - 1, BEACON_WINDOW + 1])
def test_a_clock_that_is_a_little_off_is_noticed(off: int) -> None:
    beacon = opened(KEYS.seal(replace(BEACON, unix_ms=NOW + off), NONCE))
    assert beacon is not None
    instances = Instances(OWN)
    assert instances.hear(beacon, NOW) is Hearing.SKEWED
    assert len(instances) == 0


def test_numbers_only_grow() -> None:
    instances = Instances(OWN)
    heard = [instances.hear(replace(BEACON, seq=seq), NOW) for seq in (5, 5, 4, 6, 5, 1 << 63, 7)]
    names = "accepted repeated repeated accepted repeated accepted repeated"
    assert [each.value for each in heard] == names.split()
    assert instances.hear(replace(BEACON, instance=OWN, seq=9), NOW) is Hearing.OWN


def test_only_so_many_instances_are_remembered() -> None:
    """The one that was heard least recently is forgotten first."""
    instances = Instances(OWN)
    runs = [number.to_bytes(16, "big") for number in range(BEACON_INSTANCES)]
    for run in runs:
        assert instances.hear(replace(BEACON, instance=run), NOW) is Hearing.ACCEPTED
    assert instances.hear(replace(BEACON, instance=runs[0], seq=2), NOW) is Hearing.ACCEPTED
    assert instances.hear(replace(BEACON, instance=b"a new one of 16!"), NOW) is Hearing.ACCEPTED
    assert len(instances) == BEACON_INSTANCES
    assert instances.hear(replace(BEACON, instance=runs[0], seq=2), NOW) is Hearing.REPEATED
    assert instances.hear(replace(BEACON, instance=runs[1]), NOW) is Hearing.ACCEPTED
