"""A made-up wp-content: some thousand small files, a few larger ones and a very large one, the same for every seed."""

import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

PRIORITY: Final = (
    {"class": "themes", "match": ["/themes/", "/mu-plugins/"]},
    {"class": "plugins", "match": ["/plugins/", "/languages/"]},
    {"class": "uploads", "match": ["*"], "order": "newest"},
)
BIG_FILE: Final = "uploads/2024/11/interview.mp4"
BIG_SIZE: Final = 64_000_000  # bytes
OLD_YEAR: Final = "uploads/2021"
SAVED_IN: Final = "themes/aurora"

_THEMES: Final = ("aurora", "basalt", "cedar", "delta")
_PLUGINS: Final = ("shop", "forms", "cache-tools", "gallery", "seo", "security", "events", "mail", "maps", "search")
_YEARS: Final = (2021, 2022, 2023, 2024)
_EPOCH: Final = 1_700_000_000 * 10**9  # ns: about when the files were last changed
_YEAR: Final = 365 * 86_400 * 10**9
_POOL: Final = 1 << 20  # bytes of text that the text files are cut from


@dataclass
class Site:
    """What was made, by class."""

    files: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)


class _Author:
    def __init__(self, tree: str, seed: int) -> None:
        self.tree = tree
        self.chance = random.Random(seed)  # noqa: S311 - the same site each time, no secret
        words = ["".join(self.chance.choices("abcdefghijklmnopqrstuvwxyz_$", k=size)) for size in range(2, 12)] * 20
        pool = " ".join(self.chance.choices(words, k=_POOL // 6))
        self._pool = pool.encode()
        self.site = Site()

    def text(self, path: str, least: int, most: int) -> None:
        """A source file, as compressible as such files are."""
        size = self.chance.randint(least, most)
        start = self.chance.randrange(len(self._pool) - size)
        self._write(path, f"<?php /* {path} */\n".encode() + self._pool[start : start + size])

    def media(self, path: str, least: int, most: int) -> None:
        """A picture or the like: bytes that do not compress."""
        self._write(path, self.chance.randbytes(self.chance.randint(least, most)))

    def _write(self, path: str, data: bytes) -> None:
        name = os.path.join(self.tree, path)
        os.makedirs(os.path.dirname(name), exist_ok=True)
        with open(name, "wb") as file:
            file.write(data)
        os.chmod(name, self.chance.choice((0o644, 0o644, 0o644, 0o664, 0o600)))
        changed = _EPOCH + self.chance.randrange(_YEAR)
        os.utime(name, ns=(changed, changed))
        top = path.partition("/")[0]
        name_of_class = {"themes": "themes", "uploads": "uploads"}.get(top, "plugins")
        self.site.files[name_of_class] += 1
        self.site.bytes[name_of_class] += len(data)


def make_site(tree: str, seed: int) -> Site:
    """Fill the empty directory `tree`; what it holds then."""
    author = _Author(tree, seed)
    for theme in _THEMES:
        _make_theme(author, f"themes/{theme}")
    for plugin in _PLUGINS:
        _make_plugin(author, f"plugins/{plugin}")
    for number in range(40):
        author.text(f"languages/site-{number:02d}.po", 20_000, 60_000)
    for year, month in _months():
        for number in range(30):
            author.media(f"uploads/{year}/{month:02d}/photo-{number:03d}.jpg", 10_000, 80_000)
        author.text(f"uploads/{year}/{month:02d}/index.html", 50, 200)
    for number, size in enumerate((5_000_000, 6_500_000, 8_000_000)):
        author.media(f"uploads/2023/0{number + 1}/catalogue.pdf", size, size)
    author.media(BIG_FILE, BIG_SIZE, BIG_SIZE)
    os.symlink("2024", os.path.join(tree, "uploads/latest"))
    return author.site


def _months() -> Iterator[tuple[int, int]]:
    return ((year, month) for year in _YEARS for month in range(1, 13))


def _make_theme(author: _Author, below: str) -> None:
    author.text(f"{below}/style.css", 20_000, 60_000)
    for number in range(60):
        author.text(f"{below}/templates/part-{number:02d}.php", 500, 20_000)
    for number in range(40):
        author.text(f"{below}/assets/js/module-{number:02d}.js", 1_000, 40_000)
    for number in range(20):
        author.media(f"{below}/assets/images/tile-{number:02d}.webp", 10_000, 90_000)


def _make_plugin(author: _Author, below: str) -> None:
    author.text(f"{below}/plugin.php", 2_000, 9_000)
    for number in range(120):
        author.text(f"{below}/includes/{number % 8}/class-{number:03d}.php", 500, 24_000)
    for number in range(10):
        author.media(f"{below}/assets/icon-{number:02d}.png", 1_000, 30_000)
