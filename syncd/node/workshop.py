"""Everything of a folder that touches its disk, opened together: tree, index, staging, archive, watcher, threads."""

import os
import shlex
from collections.abc import Callable, Iterator
from typing import Final

import structlog

from protocol import codec
from protocol.keys import FolderKeys, Tier
from protocol.merge import Liveness
from protocol.paths import to_key
from protocol.record import Kind
from syncd.config.settings import Folder as FolderSettings
from syncd.config.values import Amount
from syncd.core.events import Forget, Problem, Started, Stopped
from syncd.core.identity import Identity
from syncd.core.links import refuses_none
from syncd.core.patterns import Patterns
from syncd.core.priority import FolderPolicy, Priority
from syncd.core.replica import Replica
from syncd.core.room import Space
from syncd.core.units import Units
from syncd.node.beside import Beside
from syncd.node.curator import Curator
from syncd.node.findings import Report
from syncd.node.gauge import ALL_OF_IT, Gauge, NoRoom
from syncd.node.hands import Hands
from syncd.node.holdings import Holdings
from syncd.node.identity import NodeIdentity
from syncd.node.ledger import Ledger, Tree
from syncd.node.library import Library
from syncd.node.listings import Everything, Listed, Wanted
from syncd.node.losers import Losers
from syncd.node.retention import ArchiveLimits, Retention
from syncd.node.rules import Rules
from syncd.node.scrub import Scrub
from syncd.node.sieve import Sieve
from syncd.node.signer import ReaderSigner, WriterSigner
from syncd.node.sources import Sources
from syncd.node.standing import Facts
from syncd.node.yard import Yard
from syncd.store.applier import Applier, Source
from syncd.store.archive import Archive
from syncd.store.conflict_copies import ConflictCopies
from syncd.store.directories import Directories
from syncd.store.hasher import Hasher
from syncd.store.index import IndexFailed, SqliteIndex
from syncd.store.parents import LocalPolicy
from syncd.store.remains import Remains
from syncd.store.reread import Rereader, mapped_writes_show
from syncd.store.root import NONCE_SIZE, Marker, Root, RootError, RootState, mark_tree
from syncd.store.scanner import Scanner
from syncd.store.space import space_of
from syncd.store.staging import Staging
from syncd.store.watch import Watcher
from syncd.store.watch_choice import open_watcher

_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"
FLUSH_SECONDS: Final = 1.0  # between two syncs of renames, while more and more is applied
TIDY_ROWS: Final = 5_000  # contents and proofs looked at in one call
_NONCE: Final = "nonce"
_NEXT_NONCE: Final = "next nonce"
_READY: Final = "ready"
_PEERS: Final = "peers"
_WRITER: Final = "writer"
_NODE: Final = "node"
_BELIEVED: Final = "believed"
_REACHED: Final = "reached"

_log = structlog.get_logger()


class Workshop:
    """See the module. Raises RootError, IndexDamaged, IndexTooNew, OSError with a line for the operator.

    clock: wall time, ns. monotonic: seconds. draw(n): random bytes. watch: as watch_choice.open_watcher.
    min_free: see node/gauge.py. measure(fd): the space of a file system.
    """

    def __init__(
        self,
        settings: FolderSettings,
        storage: str,
        node: NodeIdentity,
        clock: Callable[[], int],
        monotonic: Callable[[], float],
        draw: Callable[[int], bytes],
        watch: Callable[[Directories], tuple[Watcher | None, str]] | None = None,
        limits: ArchiveLimits = ArchiveLimits(),  # noqa: B008 -- immutable
        min_free: Amount = ALL_OF_IT,
        measure: Callable[[int], Space] = space_of,
    ) -> None:
        keys = settings.keys
        assert keys.block_key is not None
        assert keys.page_seed is not None
        self._draw = draw
        self._block_key = keys.block_key
        self.scrub: Scrub | None = None  # the latest one
        self._clock, self._monotonic = clock, monotonic
        self._flushed = monotonic()
        self._dir = settings.dir
        self._folder_id = keys.folder_id
        folders = os.path.join(storage, "folders")
        home = os.path.join(folders, keys.folder_id.hex())
        os.makedirs(home, mode=0o700, exist_ok=True)
        self.root = Root.open(settings.dir, keys.folder_id, folders)
        self.staging = Staging(self.root.staging_fd, keys.block_key, draw)
        self.staging.clean(Everything())  # before anything is written: the disk may be full of what is removed here
        self.hands, self.reader = Hands("folder", monotonic), Hands("reader", monotonic)
        database = os.path.join(home, "index.sqlite3")
        self.index = SqliteIndex(database, keys.folder_id, keys.page_seed)
        self.priority = Priority(settings.priority)
        self.ranks_by_name = self.priority.ranks_by_name()
        policy = FolderPolicy(
            self.priority,
            Patterns(settings.ignore),
            file_mode=settings.file_mode,
            dir_mode=settings.dir_mode,
            overwrite_changes=settings.overwrite_changes,
            symlinks=settings.symlinks,
            largest=settings.max_file_size,
            stored_mtime=self.root.capabilities.stored_mtime,
        )
        self._directories = Directories(self.root.fd, monotonic)
        self.archive = Archive(self.root.archive_fd, draw)
        units = Units(Patterns(settings.atomic))
        local = LocalPolicy(settings.owner, settings.group, settings.file_mode, settings.dir_mode)
        self._copied_into = Directories(self.root.fd, monotonic)  # apart: copies are looked at in the middle of a scan
        copies = ConflictCopies(
            self._copied_into, self.staging, self.archive, Hasher(self._copied_into, keys.block_key), local, clock
        )
        scanner = Scanner(self._directories, policy.ignored, policy.refusal, settings.max_file_size, copies.hides)
        hasher = Hasher(self._directories, keys.block_key)
        tree = Tree(
            scanner,
            hasher,
            Applier(
                self.root,
                self._directories,
                self.staging,
                self.archive,
                local,
                clock,
                scanner.takes_part,
                self._was_file,
            ),
            Remains(self._directories, keys.block_key),
        )
        self.alarms: list[str] = []  # what was found at the start, one line each
        owner = self.index.meta(_NODE)
        self._copied = owner not in (None, node.node_id)  # the index is that of another node
        with self.index.transaction(durable=True):
            if self._copied:
                self.index.set_meta(_WRITER, None)
            self.writer = self._writer(keys, node)
            replica = Replica(
                self.index,
                Identity(node.node_id, keys.folder_id, keys.tier < Tier.READ_WRITE),
                policy,
                self.writer or ReaderSigner(),
                lambda: draw(8),
                units=units,
            )
            replica.handle(Started(_boot()), clock())
        believing = self.index.meta(_BELIEVED) is not None
        sieve = Sieve(self.index, replica, monotonic, self._is_emptied, believing, units, settings.hold_rewrites)
        self.ledger = Ledger(keys, self.index, replica, sieve, tree, clock, units)
        self.ledger.reserve()
        self._adopt_displaced(clock())
        self._rules = Rules(settings, policy, self.index, self._directories)
        for _ in self._rules.take_effect(self.ledger):
            pass
        if not replica.fresh:  # a fresh one does not know yet what it needs
            self.staging.clean(Wanted(self.ledger.contents))
        self.tree_matches = self._recognise(node) and not (self.root.tree_empty() and self.ledger.saw_files())
        holdings = Holdings(self.ledger.contents, self._directories, self.archive)
        self.gauge = Gauge(lambda: measure(self.root.fd), lambda: self.staging.owed, min_free)
        self.ledger.has_room = self._has_room
        self.sources = Sources(
            keys, self.ledger, self.staging, holdings, self.gauge, len(self.priority.names), monotonic
        )
        self.yard = Yard(self.ledger, self._find, monotonic, self._rewatch)
        self.curator = Curator(self.ledger, self.archive, hasher, clock)
        self.retention = Retention(
            self.index, self.ledger.contents, self.archive, hasher, limits, clock, self.ledger.read
        )
        self.losers = Losers(self.ledger, self.sources, self.staging, self.archive, clock, settings.max_file_size)
        wants_copies = settings.conflict_copies == "beside" and keys.tier >= Tier.READ_WRITE
        self.beside = Beside(
            self.ledger, copies, self.archive, hasher, self.gauge, wants_copies,
            lambda: self.distrust() is None and not self._is_emptied(),
        )  # fmt: skip
        self.library = Library(
            keys,
            SqliteIndex(database, keys.folder_id, keys.page_seed, read_only=True),
            Directories(self.root.fd, monotonic),
            self.archive,
        )
        self._watched = Directories(self.root.fd, monotonic)
        self.watcher, self._watch_limitation = (watch or open_watcher)(self._watched)

    def _adopt_displaced(self, now: int) -> None:
        """List what a batch displaced that was cut off before its transaction."""
        found = self.archive.adopt(Listed(self.ledger.contents))
        if found:
            with self.index.transaction():
                self.ledger.contents.archive_add(found, now, "left by an unclean stop")

    def _find(self, content: bytes, size: int) -> Source:
        """A content that is in the folder."""
        try:
            return self.sources.find(content, size, {})[0]
        except NoRoom:
            return None

    def _was_file(self, path: bytes) -> bool:
        """Whether something else than a directory was last seen there."""
        return any(row.disk and row.disk.entry.kind is not Kind.DIR for row in self.ledger.rows([path]).values())

    def _rewatch(self, directories: list[bytes]) -> None:
        """What is watched there is elsewhere now."""
        if directories and self.watcher is not None and self.watcher.watched:
            self.watcher.remove(directories[0])
            for path in directories:
                self.watcher.add(path)

    # ---- identity of the tree

    def _recognise(self, node: NodeIdentity) -> bool:
        """Whether the tree is the one that the index remembers; if not, the index forgets who it was."""
        known = known_nonces(self.index)
        marker = self.root.marker()
        matches = marker is not None and marker.nonce in known
        if self._copied:
            self.alarms.append(f"the state of this node was copied: it goes on as node {node.node_id.hex()}")
        if known and (self._copied or not matches):
            self.ledger.handle(Forget())
            if self.root.tree_empty():
                self.ledger.forget_disk()
            elif not matches:
                self.alarms.append(
                    f"{self._dir} is not the tree of the last start, but restored, copied or another one: what peers "
                    "have goes before what is in it, and what is displaced goes to the archive"
                )
            self.ledger.reserve()
        nonce = self._draw(NONCE_SIZE)
        with self.index.transaction(durable=True):
            self.index.set_meta(_NEXT_NONCE, nonce)
            self.index.set_meta(_NODE, node.node_id)
        try:
            self.root.write_marker(Marker(self._folder_id, nonce))
        except OSError as error:
            if not matches:
                raise
            # The nonce of before still tells this tree from others. A full disk must not keep its folder from starting.
            _log.warning("the marker stays as it was", dir=self._dir, reason=error.strerror or str(error))
            return matches
        with self.index.transaction(durable=True):
            self.index.set_meta(_NONCE, nonce)
        return matches

    def distrust(self) -> str | None:
        """Why the tree must not be believed now, or None."""
        try:
            if self.root.state() != RootState.REPLACED:
                return None
        except RootError as error:
            return str(error)
        except OSError as error:
            return f"{self._dir}: cannot be looked at: {error.strerror or error}"
        named = shlex.quote(self._dir)
        return (
            f"{self._dir}: the folder or its .syncd was moved, replaced, removed or unmounted; nothing is deleted "
            f"elsewhere. Put it back; or `syncd reject {named}` fills what is there now from peers, `syncd approve "
            f"{named}` publishes it as it is, with all that is missing"
        )

    def _is_emptied(self) -> bool:
        try:
            return self.root.state() == RootState.EMPTIED
        except (RootError, OSError):
            return False

    def prepare_tree(self, as_it_is: bool) -> None:
        """The next start is to take what lies at the folder's path. as_it_is: for our tree. Raises OSError."""
        os.close(os.open(self._dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        if not as_it_is:
            return
        nonce = self.index.meta(_NONCE)
        assert nonce is not None
        with self.index.transaction(durable=True):
            self.index.set_meta(_BELIEVED, b"1")
        mark_tree(self._dir, Marker(self._folder_id, nonce))

    def tree_was_taken_over(self) -> None:
        """All of the tree was looked at; from now on what is suspicious is kept back again."""
        if self.ledger.sieve.believing:
            self.ledger.sieve.believing = False
            with self.index.transaction(durable=True):
                self.index.set_meta(_BELIEVED, None)

    def tidy(self) -> None:
        """Remove what nothing refers to any more, if nothing is needed. Called while no content is under way."""
        if self.ledger.read(self.index.totals).needs or self.ledger.replica.fresh:
            return
        self.staging.close()
        try:
            self.staging.clean(())
        except OSError as error:  # it is tried again when the next contents came, and at the next start
            _log.warning("staging cannot be cleaned", dir=self._dir, reason=error.strerror or str(error))
        self.ledger.steadily(self._collect)

    def _collect(self) -> None:
        self.ledger.contents.collect(TIDY_ROWS)
        self.index.collect_proofs(TIDY_ROWS)

    def rereader(self) -> Rereader:
        """Reads contents once more, in a thread of its own, which closes it. Raises OSError."""
        directories = Directories(self.root.fd, self._monotonic)
        scanner = Scanner(directories, lambda _path, _directory: False, refuses_none)
        tells = mapped_writes_show(self.root.staging_fd)
        return Rereader(directories, self._block_key, scanner, tells, self._clock)

    # ---- small values

    def _writer(self, keys: FolderKeys, node: NodeIdentity) -> WriterSigner | None:
        if keys.tier < Tier.READ_WRITE:
            return None
        seed = self.index.meta(_WRITER)
        if seed is None:
            seed = self._draw(32)
            self.index.set_meta(_WRITER, seed)
        return WriterSigner(keys, node.static_public, seed)

    @property
    def remembered_ready(self) -> list[str]:
        """Names of the classes that were ready before."""
        stored = self.index.meta(_READY)
        return [str(name) for name in codec.unpack(stored)] if stored else []

    def remember_ready(self, names: list[str]) -> None:
        """Store the names of the classes that are ready."""
        self.ledger.steadily(lambda: self.index.set_meta(_READY, codec.pack(names)), durable=True)

    @property
    def remembered_root(self) -> bytes | None:
        """The root that a peer was last known to have, with all files."""
        return self.index.meta(_REACHED)

    def remember_root(self, root: bytes) -> None:
        """Store it."""
        self.ledger.steadily(lambda: self.index.set_meta(_REACHED, root))

    def unpublished(self, limit: int) -> list[bytes]:
        """Paths of files that were seen here and are in no manifest, as those of a fresh index."""
        return self.ledger.read(lambda: self.index.unpublished(limit))

    @property
    def remembered_peers(self) -> list[str]:
        """Addresses where peers were before."""
        stored = self.index.meta(_PEERS)
        return [str(address) for address in codec.unpack(stored)] if stored else []

    def remember_peers(self, addresses: list[str]) -> None:
        """Store addresses where peers are. A few that are lost in a power cut are learned anew."""
        self.ledger.steadily(lambda: self.index.set_meta(_PEERS, codec.pack(addresses)))

    @property
    def has_files(self) -> bool:
        """Whether anything that is not ours lies in the folder."""
        return self._tree_is_empty() is False

    def change_rules(self, settings: FolderSettings, priority: Priority) -> Iterator[Report]:
        """Other classes and ignore rules. Until `use_classes` what is said of classes is said of those of before."""
        self._rules.become(settings, priority)
        self.ledger.units.become(Patterns(settings.atomic))
        self.sources.become(len(priority.names))
        yield from self._rules.take_effect(self.ledger)

    def use_classes(self, priority: Priority) -> None:
        """Speak of these classes from now on. No call of `facts` may be under way."""
        self.priority = priority
        self.ranks_by_name = priority.ranks_by_name()

    def facts(self, priority: Priority | None = None) -> Facts:
        """A snapshot of the index. When nothing more is needed, what was applied is made durable first.

        priority: the classes that it speaks of, if other ones than `priority`.
        """
        return self.ledger.read(lambda: self._facts(priority or self.priority))

    def _facts(self, priority: Priority) -> Facts:
        ranks = range(len(priority.names))
        totals = self.index.totals()
        self.gauge.look()
        now = self._monotonic()
        sync = None
        if not self.ledger.durable and (not totals.needs or now - self._flushed >= FLUSH_SECONDS):
            error = self.ledger.flush()
            self._flushed = now
            if error is not None:
                sync = Problem(os.fsencode(self._dir), "sync", error.strerror or str(error))
        return Facts(
            self.index.root(),
            totals,
            tuple(self._holds(priority, rank) for rank in ranks),
            self.ledger.replica.fresh,
            self.ledger.sieve.holding(),
            self.ledger.durable,
            sync,
            self.gauge.space,
            self._shortage(sum(size for _, size in totals.needs.values())),
            self.ledger.published,
        )

    def _shortage(self, needed: int) -> Problem | None:
        reason = self.gauge.shortage(self._dir, needed)
        return None if reason is None else Problem(os.fsencode(self._dir), "space", reason)

    def _has_room(self, size: int) -> bool:
        self.gauge.look()
        return self.gauge.take(size)

    def has_nothing(self) -> bool:
        """Whether neither the index nor the disk hold anything."""
        return self.ledger.replica.fresh and not self.index.span(b"", None, 1) and self._tree_is_empty() is True

    def _tree_is_empty(self) -> bool | None:
        try:
            return self.root.tree_empty()
        except OSError:  # unknown; told by the scan, which meets it too
            return None

    def by_name(self, rank: int | None) -> bool:
        """Whether the files of a class (one of `ranks_by_name`) are wanted next, and in order of their names."""
        if rank is None or self.gauge.scarce:
            return False
        return all(needed >= rank for needed in self.index.totals().needs)

    def _holds(self, priority: Priority, rank: int) -> bool:
        prefixes = priority.prefixes(rank)
        if prefixes is None:
            return self.index.totals().files > 0
        return any(self.index.liveness_below(to_key(prefix)) > Liveness.DEAD for prefix in prefixes)

    @property
    def limitations(self) -> str:
        """What the file system below lacks, or nothing."""
        return "; ".join(filter(None, [*self.root.capabilities.lacking(), self._watch_limitation]))

    def close(self, *, clean: bool = False) -> None:
        """End the threads, then close what they used. clean: all that was begun has been finished or put off."""
        self.ledger.patience.stop()
        self.hands.close()
        self.reader.close()
        if clean:
            self._end_cleanly()
        if self.watcher is not None:
            self.watcher.close()
        self.library.close()
        self.index.close()
        self.staging.close()
        for directories in (self._directories, self._copied_into, self._watched):
            directories.close()
        self.root.close()

    def _end_cleanly(self) -> None:
        """Without this the next start suspects damage, which does no harm."""
        try:
            self.yard.clear(everything=True)
            error = self.ledger.flush()
            if error is None:
                with self.index.transaction(durable=True):
                    self.ledger.replica.handle(Stopped(), self._clock())
        except IndexFailed as failure:
            error = OSError(str(failure))
        if error is not None:
            _log.warning("not stopped cleanly", dir=self._dir, reason=error.strerror or str(error))


def known_nonces(index: SqliteIndex) -> set[bytes]:
    """Those by which an index knows its tree."""
    return {nonce for name in (_NONCE, _NEXT_NONCE) if (nonce := index.meta(name)) is not None}


def _boot() -> bytes:
    """What names the time since the machine came up; empty where the system does not tell."""
    try:
        with open(_BOOT_ID, "rb") as file:
            return file.read(64).strip()
    except OSError:
        return b""
