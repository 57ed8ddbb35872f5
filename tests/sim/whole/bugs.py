"""Seeded bugs in node, net and store: each replaces something of the real code and has to be caught by the campaign."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from syncd.core.backoff import Backoff
from syncd.core.identity import Author
from syncd.core.scheduler import Scheduler
from syncd.net import endpoint, session
from syncd.node import fetcher, library, workshop
from syncd.node.dialer import Dialer
from syncd.node.identity import NodeIdentity
from syncd.node.ledger import Ledger
from syncd.node.sources import Sources
from syncd.node.workshop import Workshop
from syncd.store import changes, placing
from syncd.store.root import NONCE_SIZE, Marker


class Bug(NamedTuple):
    """config, first: where it shows soon. cases: within which it does. patches: (owner, name, replacement)."""

    config: str
    first: int
    cases: int
    patches: list[tuple[Any, str, Any]]

    def plant(self) -> None:
        """From now on the bug is in the code of this process."""
        for owner, name, wrong in self.patches:
            assert hasattr(owner, name), f"{name} is not there any more: the bug would be planted nowhere"
            setattr(owner, name, wrong)


class _Anything:
    """Equal to whatever it is compared with."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


_FOUND, _INIT = library.Library._found, Author.__init__


def count_from_the_start(self: Author, *arguments: Any, **options: Any) -> None:
    _INIT(self, *arguments, **options)
    self.counter = 0


def read_from_a_bad_disk(self: library.Library, *which: Any) -> Iterator[bytes | None]:
    for data in _FOUND(self, *which):
        yield bytes(data[:-1]) + b"?" if data else None


async def keep_once(self: Dialer, host: Any) -> None:
    await self._once(host, self._target(str(host)), Backoff())


def failed_without_a_name(self: endpoint.DialFailed, reason: str, established: Any = None) -> None:
    Exception.__init__(self, reason)
    self.established = None


def trust_the_tree(self: Workshop, node: NodeIdentity) -> bool:
    nonce = self._draw(NONCE_SIZE)
    with self.index.transaction(durable=True):
        self.index.set_meta("nonce", nonce)
        self.index.set_meta(workshop._NODE, node.node_id)
    self.root.write_marker(Marker(self._folder_id, nonce))
    return True


def has_files(self: Workshop) -> bool:
    return not self.root.tree_empty()


BUGS: dict[str, Bug] = {
    "nothing is looked at before or after it is replaced": Bug(
        "same instants", 150, 150, [(changes, "is_still", lambda *_: True), (placing, "is_moved", lambda *_: True)]
    ),
    "contents are not hashed": Bug(
        "missed events",
        0,
        50,
        [(library.Library, "_found", read_from_a_bad_disk), (fetcher, "block_id", lambda *_: _Anything())],
    ),
    "silence is not noticed": Bug("crashes", 85, 200, [(session, "SILENCE_LIMIT", 1e9)]),
    "a lost peer is not dialled again": Bug("network", 0, 50, [(Dialer, "_keep", keep_once)]),
    "whoever dialled us is dialled again": Bug(
        "no faults", 0, 50, [(endpoint.DialFailed, "__init__", failed_without_a_name)]
    ),
    "offers are not heard": Bug(
        "no faults", 20, 100, [(Scheduler, "offers", lambda *_: None), (Scheduler, "refresh", lambda *_: None)]
    ),
    "counters start again": Bug("crashes", 0, 200, [(Author, "__init__", count_from_the_start)]),
    "units come path by path": Bug("units", 0, 50, [(Sources, "_unit", lambda *_: None)]),
    "a unit is told of in pieces": Bug("units", 0, 60, [(Ledger, "_waits", lambda *_: False)]),
    "a tree is never strange": Bug("index loss", 40, 200, [(Workshop, "_recognise", trust_the_tree)]),
    "a disk that fails ends a fresh node": Bug("failing disks", 0, 60, [(Workshop, "has_files", property(has_files))]),
}
