"""Whether two folders of a node have each other's secret: then a peer has in one what is called like the other here.

What a folder is called travels as a hash under a key of the folder, as a feature in HELLO: whoever has the secret can
find out whether a name is the one that was meant, and nobody else anything.
"""

from collections.abc import Iterable
from typing import Final

from blake3 import blake3

from protocol.limits import MAX_FEATURES

_FEATURE: Final = "called="
_PARTS: Final = 2  # of the path, from its end: what is above differs from host to host
_DIGITS: Final = 16


def name_feature(key: bytes, directory: str) -> str:
    """What HELLO says of a folder's directory. key: 32 bytes that only those know who have the folder's secret."""
    name = "/".join(list(filter(None, directory.split("/")))[-_PARTS:])
    said = blake3(b"what a folder is called\0" + name.encode("utf-8", "surrogateescape"), key=key)
    return f"{_FEATURE}{said.hexdigest()[:_DIGITS]}"


def with_name(features: tuple[str, ...], key: bytes, directory: str) -> tuple[str, ...]:
    """These features, and what the folder is called if there is room for that."""
    return (*features, name_feature(key, directory)) if len(features) < MAX_FEATURES else features


def confused_with(told: Iterable[str], key: bytes, directory: str, others: Iterable[str]) -> str | None:
    """That one of the `others`, directories of folders with other secrets, which a peer has under this secret.

    told: the peer's features. None if it tells nothing, or has the folder itself, or what none is called like here.
    """
    names = {feature for feature in told if feature.startswith(_FEATURE)}
    if not names or name_feature(key, directory) in names:
        return None
    return next((other for other in others if name_feature(key, other) in names), None)
