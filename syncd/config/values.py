"""Texts that mean a number: permission bits and amounts of disk space."""

import re
from typing import NamedTuple

_UNITS = {"": 1, "k": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4}
_UNITS |= {f"{unit}i": 1024**power for power, unit in enumerate("kMGT", 1)}
_AMOUNT = re.compile(r"(?P<number>[0-9]{1,15}(?:\.[0-9]{1,6})?) *(?:(?P<percent>%)|(?P<unit>[kKMGT]i?)?B?)")


class Amount(NamedTuple):
    """Disk space: a share of the file system in percent, or a number of bytes; the other one is None."""

    percent: float | None
    bytes: int | None

    def of(self, total: int) -> int:
        """The amount in bytes on a file system of `total` bytes."""
        return self.bytes if self.bytes is not None else int(total * (self.percent or 0) / 100)


def parse_amount(text: str) -> Amount:
    """`5%`, `10 GB`, `500MiB`. Raises ValueError with the reason."""
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        raise ValueError('expected a share of the file system such as "5%", or a size such as "10 GB"')
    number = float(match["number"])
    if match["percent"]:
        if number > 100:
            raise ValueError("a share of the file system is at most 100%")
        return Amount(number, None)
    unit = (match["unit"] or "").replace("K", "k")
    return Amount(None, int(number * _UNITS[unit]))


def parse_size(text: str) -> int:
    """`10 GB`, `500MiB`, `4096` in bytes. Raises ValueError with the reason."""
    match = _AMOUNT.fullmatch(text.strip())
    size = None if match is None or match["percent"] else parse_amount(text).bytes
    if not size:
        raise ValueError('expected a size of one byte at least, such as "10 GB" or "500 MiB"')
    return size


def parse_percent(text: str) -> float:
    """`5%`. Raises ValueError with the reason."""
    match = _AMOUNT.fullmatch(text.strip())
    if match is None or not match["percent"] or float(match["number"]) > 100:
        raise ValueError('expected a share such as "5%", at most "100%"')
    return float(match["number"])


def parse_mode(text: str) -> int:
    """Permission bits in octal, `0644`. Raises ValueError with the reason."""
    if not re.fullmatch(r"0?[0-7]{3}", text):
        raise ValueError('expected permission bits in octal such as "0644"; setuid, setgid and sticky never travel')
    return int(text, 8)
