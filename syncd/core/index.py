"""What the judgement needs of an index: a synchronous store of rows, read and written inside one transaction."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from protocol.batches import Proof
from protocol.edit import Entry
from protocol.merge import Liveness, State
from protocol.record import Record


class Disk(NamedTuple):
    """What the index last saw at a path: the entry, and the identity by which a change is noticed."""

    entry: Entry
    inode: int
    ctime: int  # ns


class Need(NamedTuple):
    """A path whose disk does not yet hold what the manifest shows there."""

    rank: int  # number of its priority class, 0 first
    order: int  # place within the class, smallest first
    size: int  # bytes that are still to be fetched for it at most


class Row(NamedTuple):
    """All that the index holds about one path. A row with neither state nor disk is not stored."""

    key: bytes
    state: State
    disk: Disk | None
    need: Need | None


class Totals(NamedTuple):
    """Sums over the index."""

    files: int  # live FILE winners
    bytes: int  # their sizes
    needs: dict[int, tuple[int, int]]  # {rank: (paths, bytes)}
    conflicts: int = 0  # versions that `mark_losing` was told of, equal ones of a path counted once
    unpublished: int = 0  # paths that are in no manifest: seen on the disk only


class Index(Protocol):
    """Rows by key. `store` keeps all that is derived from rows (liveness, pages, totals) in step."""

    def rows(self, keys: Iterable[bytes]) -> dict[bytes, Row]:
        """The rows of those of `keys` that have one."""

    def store(self, rows: Sequence[Row]) -> None:
        """Insert or replace rows. A row that is neither known, seen nor needed is removed."""

    def add(self, rows: Sequence[Row]) -> None:
        """Insert rows that are known, each with one record, and need nothing, at keys that have none."""

    def mark_losing(self, losing: Mapping[bytes, Collection[Record]], others: Collection[bytes]) -> None:
        """Remember the live records that are not shown at the keys of `losing`, and that there are none at `others`."""

    def liveness_below(self, key: bytes) -> Liveness:
        """The strongest liveness among the strict descendants of `key`."""

    def found_below(self, key: bytes) -> list[bytes]:
        """Keys of the strict descendants of `key` whose winner is live and FOUND."""

    def span(self, low: bytes, high: bytes | None, limit: int) -> list[Row]:
        """Up to `limit` rows with low <= key < high, in order of keys."""

    def seen_below(self, key: bytes) -> list[bytes]:
        """Keys of the strict descendants of `key` that have something on the disk, in order."""

    def needs(self, rank: int, after: tuple[int, bytes], limit: int) -> list[Row]:
        """Up to `limit` needed rows of a class in order of (order, key), those above `after` only."""

    def archived(self, content: bytes) -> bool:
        """Whether the archive of this node has a content, as far as the index knows."""

    def totals(self) -> Totals:
        """Sums that are kept, not computed."""

    def meta(self, name: str) -> bytes | None:
        """A small named value."""

    def set_meta(self, name: str, value: bytes | None) -> None:
        """Set or remove a small named value."""

    def proofs(self, ids: Iterable[bytes]) -> dict[bytes, Proof]:
        """Signature proofs by id."""

    def store_proofs(self, proofs: dict[bytes, Proof]) -> None:
        """Keep proofs; those that no record of any row refers to are dropped in time."""
