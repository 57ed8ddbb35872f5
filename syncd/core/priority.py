"""Order: which paths come up first, and what takes no part at all.

The classes of a node stand in order, and a path belongs to the first one that selects it. Within a class directories
come first, so that files have somewhere to go, and deletions last, so that what replaces them is there before.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from xxhash import xxh3_64_intdigest

from protocol.edit import Entry, same_content
from protocol.limits import MAX_CLASSES, RESERVED_NAME
from protocol.paths import ancestors, to_key
from protocol.record import Kind
from syncd.core import sizes
from syncd.core.links import RULES, Refusal
from syncd.core.patterns import Patterns

REST: Final = "rest"  # the class of paths that no class selects
DIRECTORY_ORDER: Final = -(1 << 63)
_FILE_ORDERS: Final = 1 << 62  # places of files lie within +-this
_LAST_ORDER: Final = (1 << 63) - 1

Range = tuple[bytes, bytes | None, int | None]  # (first key, key after the last or None for the end, rank or None)

_ORDERS: Final[dict[str, Callable[[bytes, Entry], int]]] = {
    "name": lambda _path, _want: 0,
    "newest": lambda _path, want: -want.mtime,
    "oldest": lambda _path, want: want.mtime,
    "smallest": lambda _path, want: want.size,
    "largest": lambda _path, want: -want.size,
    "random": lambda path, _want: xxh3_64_intdigest(path) >> 2,
}
ORDERS: Final = tuple(_ORDERS)


class PriorityClass(NamedTuple):
    """A class: its name, the lines of patterns that select its paths, and the order of its files (one of ORDERS)."""

    name: str
    patterns: Sequence[str]
    order: str = "name"


class Priority:
    """The classes of a node, first one first. The last one is named "rest" unless some class selects everything."""

    def __init__(self, classes: Sequence[PriorityClass] = ()) -> None:
        """Raises PatternError for a pattern, ValueError naming the class for anything else that is wrong."""
        compiled = [Patterns(item.patterns) for item in classes]
        for item, patterns in zip(classes, compiled, strict=True):
            if patterns.selects_nothing:
                raise ValueError(f"class {item.name!r} has no pattern that selects anything")
            if item.order not in _ORDERS:
                raise ValueError(f"class {item.name!r} has the order {item.order!r}; known: {', '.join(ORDERS)}")
        if not any(patterns.selects_everything for patterns in compiled):
            classes = [*classes, PriorityClass(REST, ["*"])]
            compiled.append(Patterns(["*"]))
        if len(classes) > MAX_CLASSES:
            raise ValueError(f"{len(classes)} classes; {MAX_CLASSES} are supported")
        names = [item.name for item in classes]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two classes are named {min(twice)!r} ({REST!r} holds what no class selects)")
        self.classes: tuple[PriorityClass, ...] = tuple(classes)
        self._patterns = compiled
        self._order = [_ORDERS[item.order] for item in classes]
        self._leading: dict[bytes, int] = {}
        for rank, patterns in enumerate(compiled):
            for prefix in patterns.literal_prefixes():
                for above in ancestors(prefix):
                    self._leading.setdefault(above, rank)

    @property
    def names(self) -> list[str]:
        """The names of the classes, in order."""
        return [item.name for item in self.classes]

    def rank(self, path: bytes, directory: bool) -> int:
        """The number of the first class that selects the path."""
        rank = 0
        while not self._patterns[rank].match(path, directory):
            rank += 1
        return rank

    def place(self, path: bytes, want: Entry | None) -> tuple[int, int]:
        """(rank, order) of a path that shall become `want`; the order is a signed 64-bit number, smallest first.

        Directories have the smallest and deletions (None) the largest ones, the deeper of these before the shallower. A
        directory on the way to a class's literal prefix has the rank of that class if its own one is later.
        """
        if want is None:
            return self.rank(path, True), _LAST_ORDER - path.count(b"/")
        if want.kind == Kind.DIR:
            rank = self.rank(path, True)
            return min(rank, self._leading.get(path, rank)), DIRECTORY_ORDER
        rank = self.rank(path, False)
        return rank, max(-_FILE_ORDERS, min(self._order[rank](path, want), _FILE_ORDERS))

    def prefixes(self, rank: int) -> list[bytes] | None:
        """The literal paths at or below which the whole class lies; None if it is complete only with the manifest."""
        patterns = self._patterns[rank]
        return patterns.literal_prefixes() if patterns.confined else None

    def ranges(self) -> list[Range]:
        """Key ranges in the order in which a manifest is to be fetched; the last one is all of it.

        A class that `prefixes` knows is complete when all ranges with its rank are. Ranges without a rank (that of
        everything, and those of classes that also lie elsewhere) complete none.
        """
        found: list[Range] = []
        for rank, patterns in enumerate(self._patterns):
            owner = rank if patterns.confined else None
            prefixes = patterns.literal_prefixes()
            above = {directory: None for prefix in prefixes for directory in ancestors(prefix)}
            spans = [(to_key(path), to_key(path) + b"\0") for path in above]
            spans += [(to_key(path), to_key(path) + b"\x01") for path in prefixes]
            found += [(low, high, owner) for low, high in _without_contained(spans)]
        return [*found, (b"", None, None)]

    def ranks_by_name(self) -> list[int | None]:
        """Of each of `ranges`, the class to which all its files belong if these are wanted in order of their names."""
        scattered = [rank for rank, patterns in enumerate(self._patterns) if not patterns.confined]
        owners = [owner for _, _, owner in self.ranges()[:-1]] + [scattered[0] if len(scattered) == 1 else None]
        return [rank if rank is not None and self.classes[rank].order == "name" else None for rank in owners]


def _without_contained(spans: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [a for a in spans if not any(b is not a and b[0] <= a[0] and a[1] <= b[1] for b in spans)]


class FolderPolicy:
    """What the operator decided about the paths of one folder; implements Policy.

    file_mode, dir_mode: permission bits that files and directories have here whatever their records say, or None.
    symlinks: a key of links.RULES. largest: bytes of the largest file that takes part, None for any. stored_mtime: what
    the file system makes of an mtime, ns.
    """

    def __init__(
        self,
        priority: Priority,
        ignore: Patterns,
        *,
        file_mode: int | None = None,
        dir_mode: int | None = None,
        overwrite_changes: bool = True,
        symlinks: str = "all",
        largest: int | None = None,
        stored_mtime: Callable[[int], int] = lambda mtime: mtime,
    ) -> None:
        self._priority = priority
        self._ignore = ignore
        self._fixed = {Kind.FILE: file_mode, Kind.DIR: dir_mode}
        self._overwrite_changes = overwrite_changes
        self._largest = largest
        self._stored_mtime = stored_mtime
        self.refusal: Refusal = RULES[symlinks]

    def become(self, priority: Priority, ignore: Patterns) -> None:
        """Other classes and ignore rules from now on. What is needed has to be thought over: see events.Reconsider."""
        self._priority, self._ignore = priority, ignore

    @property
    def overwrite_changes(self) -> bool:
        """Whether a read-only node reverts local edits."""
        return self._overwrite_changes

    def ignored(self, path: bytes, directory: bool) -> bool:
        """Whether the path takes no part in replication here. `.syncd` at the top never does."""
        if path.startswith(RESERVED_NAME) and path[len(RESERVED_NAME) :][:1] in (b"", b"/"):
            return True
        return self._ignore.match(path, directory)

    def too_large(self, thing: Entry | None) -> bool:
        """Whether it is a file of more bytes than take part here."""
        return thing is not None and thing.kind == Kind.FILE and sizes.refusal(thing.size, self._largest) is not None

    def place(self, path: bytes, want: Entry | None) -> tuple[int, int]:
        """(rank, order) of the path."""
        return self._priority.place(path, want)

    def normalise(self, seen: Entry, shown: Entry | None) -> Entry:
        """`seen` with what is shown of mode and mtime, where this disk cannot or shall not hold that."""
        if shown is None or shown.kind != seen.kind:
            return seen
        if seen.mode != shown.mode and self._fixed.get(seen.kind) is not None:
            seen = seen._replace(mode=shown.mode)
        is_coarse = seen.mtime != shown.mtime and seen.mtime == self._stored_mtime(shown.mtime)
        return seen._replace(mtime=shown.mtime) if is_coarse and same_content(seen, shown) else seen
