"""Where the bytes of needed contents come from without asking a peer; runs in the folder's worker thread."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeVar

from protocol import limits
from protocol.content import block_id
from protocol.errors import RemoteError
from protocol.keys import FolderKeys
from protocol.record import Kind
from syncd.core.events import Action, Problem
from syncd.node.assembly import Assembly
from syncd.node.front import RANK as FRONT_RANK
from syncd.node.front import Front, Matching
from syncd.node.gauge import Gauge, NoRoom
from syncd.node.holdings import Holdings
from syncd.node.ledger import Ledger
from syncd.store.staging import Staged, Staging

T = TypeVar("T")

RESTART_SECONDS: Final = 0.1  # least time between two reads of the needs from their beginning while more are there
_FIRST_PLACE: Final = (0, 0)  # of what has to be done before something needed, a directory above it say
_START: Final = (-(1 << 63), b"")


class Supplied(NamedTuple):
    """An action, and what there is for it. fetch: whether bytes must still come from a peer. unit: of which it is a
    part, if of any.
    """

    action: Action
    rank: int
    order: int
    fetch: bool
    source: bytes | Staged | None
    assembly: Assembly | None
    unit: bytes | None = None


class Load(NamedTuple):
    """A window of needs. more: whether there are others behind it. scarce: it is without those that take room.

    refused: by key, the large ones that do not fit while others do. through: the first class in which there are more.
    """

    items: list[Supplied]
    more: bool
    scarce: bool
    refused: dict[bytes, Problem]
    through: int


class Sources:
    """See the module. ranks: number of priority classes. clock: seconds, monotonic."""

    def __init__(
        self,
        keys: FolderKeys,
        ledger: Ledger,
        staging: Staging,
        holdings: Holdings,
        gauge: Gauge,
        ranks: int,
        clock: Callable[[], float],
    ) -> None:
        assert keys.block_key is not None
        self._block_key = keys.block_key
        self._ledger = ledger
        self._staging = staging
        self._holdings = holdings
        self.gauge = gauge
        self._ranks = ranks
        self._clock = clock
        self._cursors = dict.fromkeys(range(ranks), _START)
        self._restarted = float("-inf")
        self._drained = True
        self._through = 0
        self.front: Front | None = None

    def prefer(self, texts: Sequence[str]) -> Matching:
        """What matches these patterns goes first from now on, until none of it is needed; without any, nothing does.

        Raises PatternError.
        """
        self.front = None
        if not texts:
            return Matching(0, 0, False)
        front = Front(texts, self._ranks)
        found = self._ledger.read(lambda: front.matching(self._ledger.index))
        if found.paths or found.more:
            self.front = front
        return found

    def become(self, ranks: int) -> None:
        """Another number of classes from now on."""
        self._ranks = ranks
        self._cursors = dict.fromkeys(range(ranks), _START)
        self._drained = True
        if self.front is not None:
            self.front = Front(self.front.texts, ranks)

    def load(self, held: frozenset[bytes], limit: int, offered: dict[bytes, bytes]) -> Load:
        """Up to `limit` needed paths that are not held, with what the folder itself has for them."""
        return self._look(lambda: self._load(held, limit, offered))

    def _look(self, work: Callable[[], T]) -> T:
        """What many queries find, as one state."""

        def within() -> T:
            with self._ledger.index.snapshot():
                return work()

        return self._ledger.read(within)

    def _load(self, held: frozenset[bytes], limit: int, offered: dict[bytes, bytes]) -> Load:
        now = self._clock()
        self.gauge.look()
        scarce = self.gauge.scarce
        # What takes room stays where it is while room is scarce: to begin anew would be to find it again and again.
        if self._drained or (not scarce and now - self._restarted >= RESTART_SECONDS):
            self._cursors = dict.fromkeys(range(self._ranks), _START)
            self._restarted = now
        needs = self._needed(held, limit)
        items: list[Supplied] = []
        refused: dict[bytes, Problem] = {}
        for action in self._ledger.plan(needs):
            if action.key in held or (self.gauge.scarce and not _takes_no_room(action)):
                continue
            try:
                items.append(self._supply(action, *needs.get(action.key, _FIRST_PLACE), offered))
            except NoRoom as error:
                if not self.gauge.scarce:
                    refused[action.key] = Problem(action.path, "write", str(error))
        more = not self._drained or (self.gauge.scarce and not scarce)
        return Load(items, more, scarce, refused, self._through)

    def _needed(self, held: frozenset[bytes], limit: int) -> dict[bytes, tuple[int, int]]:
        """{key: (rank, order)} of the next needs that are not held."""
        found = self._preferred(held, limit)
        self._through = self._ranks
        for rank in range(self._ranks):
            if len(found) >= limit:
                self._through = rank
                break
            while len(found) < limit:
                places = self._ledger.index.needed(rank, self._cursors[rank], limit)
                found.update((key, (rank, order)) for order, key in places if key not in held and key not in found)
                if places:
                    self._cursors[rank] = places[-1]
                if len(places) < limit:
                    break
            else:
                self._through = rank
                break
        self._drained = len(found) < limit
        return found

    def _preferred(self, held: frozenset[bytes], limit: int) -> dict[bytes, tuple[int, int]]:
        if self.front is None:
            return {}
        keys = self.front.take(self._ledger.index, held, limit, self._clock())
        if self.front.over:
            self.front = None
        return {key: (FRONT_RANK, place) for place, key in enumerate(keys)}

    def _supply(self, action: Action, rank: int, order: int, offered: dict[bytes, bytes]) -> Supplied:
        want = action.want
        unit = self._unit(action)
        is_here = unit is not None and want is not None and self._staging.stocks(want.content)
        if want is None or want.kind != Kind.FILE or _takes_no_room(action) or is_here:
            return Supplied(action, rank, order, False, None, None, unit)
        source, assembly = self.find(want.content, want.size, offered)
        return Supplied(action, rank, order, source is None, source, assembly, unit)

    def _unit(self, action: Action) -> bytes | None:
        """The unit of which the action is a part. What is, and becomes, no directory is none itself."""
        unit = self._ledger.units.of(action.path)
        if unit != action.path:
            return unit
        kinds = [entry.kind for entry in (action.want, action.expect and action.expect.entry) if entry is not None]
        return unit if Kind.DIR in kinds else None

    def find(
        self, content: bytes, size: int, offered: dict[bytes, bytes]
    ) -> tuple[bytes | Staged | None, Assembly | None]:
        """What the folder has of a content: all of it, or else, if it is a large one, what there is of it.

        Raises NoRoom if it does not fit on the disk.
        """
        if size <= limits.SMALL_FILE:
            if not self.gauge.take(size):
                raise NoRoom
            data = offered.get(content)
            return self._small(content, size) if data is None else data, None
        assembly = Assembly(self._block_key, content, size)
        top = self._ledger.tops.pop(content)
        blocks = self._ledger.contents.block_list(content)
        try:
            if blocks is not None:
                assembly.use(blocks, self._staging, self.gauge)
                assembly.copy_local(self._holdings)
            elif top is not None:
                assembly.add_segment(content, top)
                self._prepare(assembly)
        except (OSError, RemoteError):
            return None, Assembly(self._block_key, content, size)
        if assembly.complete and blocks is not None:  # a list that just came has to be kept, too
            return assembly.staged, None
        return None, assembly

    def _small(self, content: bytes, size: int) -> bytes | None:
        if not size and block_id(self._block_key, b"") == content:
            return b""  # nobody has to be asked for nothing
        if self._staging.stocks(content):
            data = self._staging.read(content, size)
            if data is not None and block_id(self._block_key, data) == content:
                return data
        intact = (data for data in self._holdings.read(content, 0, size) if block_id(self._block_key, data) == content)
        return next(intact, None)

    def still_needed(self, keys: list[bytes]) -> set[bytes]:
        """Those of `keys` whose paths the disk still does not hold."""
        rows = self._ledger.read(lambda: self._ledger.index.rows(keys))
        return {key for key, row in rows.items() if row.need is not None}

    def advance(self, assemblies: Sequence[Assembly]) -> list[tuple[Assembly, str]]:
        """Segments came for these: open the staged files of those that have all of them, and copy what is here.

        Returns those for which that failed, with the reason.
        """
        if any(assembly.staged is None for assembly in assemblies):
            self.gauge.look()
        return self._look(lambda: self._advance(assemblies))

    def _advance(self, assemblies: Sequence[Assembly]) -> list[tuple[Assembly, str]]:
        failed = []
        for assembly in assemblies:
            try:
                self._prepare(assembly)
            except (OSError, RemoteError, NoRoom) as error:
                failed.append((assembly, getattr(error, "strerror", None) or str(error)))
        return failed

    def _prepare(self, assembly: Assembly) -> None:
        """Open its staged file if all segments are here, and copy what is here. Raises RemoteError, OSError, NoRoom."""
        assembly.prepare(self._staging, self.gauge)
        if assembly.staged is not None and not self._holdings.bare:
            assembly.copy_local(self._holdings)

    def write(self, batch: list[tuple[Assembly, bytes, bytes | memoryview]]) -> list[tuple[Assembly, str]]:
        """Stage blocks; those contents that could not be written, with the reason."""
        failed: dict[bytes, tuple[Assembly, str]] = {}
        for assembly, id_, data in batch:
            if assembly.content in failed:
                continue
            try:
                assembly.write(id_, data)
            except (OSError, RemoteError) as error:
                failed[assembly.content] = assembly, getattr(error, "strerror", None) or str(error)
        return list(failed.values())


def _takes_no_room(action: Action) -> bool:
    """Whether it removes something, or changes no more than attributes."""
    want, expect = action.want, action.expect
    if want is None:
        return True
    return expect is not None and (expect.entry.kind, expect.entry.content) == (want.kind, want.content)
