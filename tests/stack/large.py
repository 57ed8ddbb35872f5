"""600 MB more on the host, in large files and small ones."""

import os
from typing import Final

from tests.stack.site import Site

FILES: Final = 600
SIZE: Final = 1_000_000  # bytes of each
SMALL: Final = 4_000
PLACE: Final = "uploads/large"
LAST: Final = f"{PLACE}/small-{(SMALL - 1) % 40}/{SMALL - 1}.txt"  # the one that is written last


def fill(site: Site) -> None:
    """Write them."""
    place = site.on_host(PLACE)
    for number in range(FILES):
        directory = place / f"{number % 20}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{number}.bin").write_bytes(os.urandom(SIZE))
    for number in range(SMALL):
        directory = place / f"small-{number % 40}"
        directory.mkdir(exist_ok=True)
        (directory / f"{number}.txt").write_bytes(os.urandom(1_500))
    site.own(place)
