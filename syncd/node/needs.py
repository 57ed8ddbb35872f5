"""What is still missing, path by path, in the order in which it is wanted. Runs in the folder's worker thread."""

from collections.abc import Sequence
from itertools import chain, islice
from typing import Final, NamedTuple

from protocol.paths import to_path
from protocol.record import Kind
from syncd.core.index import Need
from syncd.node.front import COUNTED, Front, needs
from syncd.node.ledger import Ledger

LISTED: Final = 10_000  # paths in one list
_KINDS: Final = {Kind.FILE: "file", Kind.DIR: "directory", Kind.LINK: "link"}


class Missing(NamedTuple):
    """A path whose disk does not hold what it has to. kind: of what has to be there, or "removal". size: bytes."""

    path: bytes
    rank: int
    kind: str
    size: int


def missing(ledger: Ledger, front: Front | None, ranks: Sequence[int], limit: int) -> list[Missing]:
    """Up to `limit` needed paths of the classes `ranks`, in the order in which they are asked for."""
    return ledger.read(lambda: _missing(ledger, front, ranks, limit))


def _missing(ledger: Ledger, front: Front | None, ranks: Sequence[int], limit: int) -> list[Missing]:
    first: list[tuple[bytes, Need]] = []
    if front is not None:
        looked = islice(needs(ledger.index, ranks), COUNTED)
        first = list(islice((item for item in looked if front.selects(item[0])), limit))
    rest = (item for item in needs(ledger.index, ranks) if front is None or not front.selects(item[0]))
    return [_item(ledger, *item) for item in islice(chain(first, rest), limit)]


def _item(ledger: Ledger, key: bytes, need: Need) -> Missing:
    want, _ = ledger.replica.versions(key)
    return Missing(to_path(key), need.rank, "removal" if want is None else _KINDS[want.kind], need.size)
