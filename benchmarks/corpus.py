"""What is replicated in the benchmarks, made from a seed."""

import os
import random
from itertools import pairwise
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

SEED: Final = 1
_PORTION: Final = 8 << 20  # bytes of a large file that are made at a time
_IN_A_DIRECTORY: Final = 100  # small files


def small(tree: Path, count: int = 20_000, size: int = 4_096) -> None:
    """`count` files of `size` bytes, a hundred in each directory."""
    chance = random.Random(SEED)
    for number in range(count):
        directory = tree / f"d{number // _IN_A_DIRECTORY:05d}"
        if number % _IN_A_DIRECTORY == 0:
            directory.mkdir(parents=True)
        (directory / f"f{number:07d}").write_bytes(chance.randbytes(size))


def wordpress(tree: Path, part: int = 1) -> None:
    """A wp-content of 7 600 files and 634 MB: themes 25 MB, plugins 60 MB of text, the rest pictures.

    part: only every so many of the files.
    """
    chance = random.Random(SEED)
    words = b"".join(b"$%x = get_option( 'key_%x' );\n" % (n * 7919, n) for n in range(60_000))
    for top, files, low, high in (("themes", 1_100, 1_000, 45_000), ("plugins", 4_500, 500, 26_000)):
        for number in range(0, files, part):
            start = chance.randrange(len(words) - high)
            name = tree / top / f"{top[:-1]}-{number // 300}" / f"inc{number % 300 // 30}" / f"file-{number}.php"
            _write(name, b"<?php // %d\n" % number + words[start : start + chance.randint(low, high)])
    for number in range(0, 2_000, part):
        name = tree / "uploads" / f"{2015 + number // 200}" / f"{number % 12 + 1:02d}" / f"image-{number}.jpg"
        _write(name, _noise(number, chance.randint(60_000, 490_000)))


def big(tree: Path, size: int = 2 << 30) -> None:
    """One file that does not compress and holds no block twice."""
    with (tree / "big").open("wb") as file:
        for start in range(0, size, _PORTION):
            file.write(_noise(start, min(_PORTION, size - start)))


def insert(path: Path, places: tuple[float, ...], size: int = 100) -> None:
    """Insert `size` bytes at each of `places` (0 to 1 of the file), and save it under the same name."""
    data = path.read_bytes()
    chance = random.Random(SEED + 1)
    cuts = [0, *(int(place * len(data)) for place in sorted(places)), len(data)]
    with path.open("wb") as file:
        for start, end in pairwise(cuts):
            file.write(data[start:end])
            if end != len(data):
                file.write(chance.randbytes(size))


def _noise(number: int, size: int) -> bytes:
    """Bytes that no other number gives: a keystream, many times faster than `random`."""
    return Cipher(AES(bytes(16)), CTR(number.to_bytes(8, "big") + bytes(8))).encryptor().update(bytes(size))


def _write(name: Path, data: bytes) -> None:
    os.makedirs(name.parent, exist_ok=True)
    name.write_bytes(data)
