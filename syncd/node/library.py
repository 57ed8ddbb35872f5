"""The read side of a folder: answers what peers ask, from a read-only view of the index and from the tree.

Runs in a worker thread of its own, so that serving never waits for scanning or applying. What is sent is read from the
disk and hashed first: a file that changed since it was indexed is answered as missing.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from protocol import limits
from protocol.batches import Proof, Pruner, to_wire
from protocol.content import block_id
from protocol.frames import Data
from protocol.keys import FolderKeys
from protocol.messages import AskLeaves, AskPages, AskRecords, Get, Leaves, Objects, Pages, Records
from protocol.paths import to_path
from protocol.reconcile import answer_leaves, answer_pages
from protocol.record import Record
from syncd.node.along import Along
from syncd.node.holdings import Holdings, LastFile
from syncd.store.archive import Archive
from syncd.store.contents import Contents
from syncd.store.directories import Directories
from syncd.store.index import IndexDamaged, SqliteIndex
from syncd.store.index_rows import Listed, Sealed, list_row
from syncd.store.look import OPEN_FILE

MESSAGE_BYTES: Final = 256 * 1024  # of contents or records in one answer message
OBJECTS_BYTES: Final = limits.MAX_MESSAGE - (1 << 16)  # of objects in one: whoever wants smaller ones asks for less
ANSWER_BYTES: Final = 4 << 20  # of records in the whole answer to one ASK_RECORDS: the rest is asked for again
ROWS_AT_ONCE: Final = 256
PROOFS_KEPT: Final = 64  # proofs in memory, with what pruning them needs: some 100 kB each at most
PROOFS_AT_REST: Final = 8  # of these that stay when a range is through


class Library:
    """See the module. index: an instance of its own, opened read-only."""

    def __init__(self, keys: FolderKeys, index: SqliteIndex, directories: Directories, archive: Archive) -> None:
        assert keys.block_key is not None
        self._keys = keys
        self._block_key = keys.block_key
        self._index = index
        self._contents = Contents(index)
        self._directories = directories
        self._holdings = Holdings(self._contents, directories, archive)
        self._along = Along(self._contents.walk)
        self._pruners: dict[bytes, Pruner] = {}

    def close(self) -> None:
        """Close the view of the index and the descriptors."""
        self._index.close()
        self._directories.close()

    # ---- the manifest

    def pages(self, ask: AskPages) -> Pages:
        """The pages of a level that a range touches, as far as they fit in one answer."""
        return answer_pages(self._index, ask)

    def leaves(self, ask: AskLeaves) -> Leaves:
        """The entries of a range, as far as they fit in one answer."""
        return answer_leaves(self._index, ask)

    def records(self, ask: AskRecords) -> Iterator[Records]:
        """The records of the keys or of the range, message by message; the last one says where to go on."""
        sent = 0
        batch: list[Sealed | Record] = []
        blobs: list[bytes] = []
        size = 0
        for item in self._listed(ask):
            blob = self._small(item) if ask.small else None
            weight = sum([len(record.raw) for record in item.records]) + len(blob or b"")
            full = size + weight > MESSAGE_BYTES or len(batch) + len(item.records) > limits.MAX_RECORDS_PER_MESSAGE
            if batch and full:
                sent += size
                if sent >= ANSWER_BYTES and not ask.keys:
                    yield self._message(ask.id, batch, blobs, item.key, True)
                    return
                yield self._message(ask.id, batch, blobs, None, False)
                batch, blobs, size = [], [], 0
            batch += item.records
            size += weight
            if blob is not None:
                blobs.append(blob)
        yield self._message(ask.id, batch, blobs, None, True)
        if len(self._pruners) > PROOFS_AT_REST:
            self._pruners.clear()

    def _small(self, item: Listed) -> bytes | None:
        """The bytes of a small file that is at its path as the one record of the path says, else None.

        A record that names the content only as one that it superseded is not told apart: the bytes are then of no use
        to the peer, and do no harm.
        """
        content, size = item.content, item.size
        if not content or size > limits.SMALL_FILE or len(item.records) > 1 or content not in item.records[0].raw:
            return None
        try:
            above, name = self._directories.parent(to_path(item.key))
            fd = os.open(name, OPEN_FILE, dir_fd=above)
        except OSError:
            return None
        try:
            data = os.read(fd, size + 1)
        except OSError:
            return None
        finally:
            os.close(fd)
        return data if block_id(self._block_key, data) == content else None

    def _listed(self, ask: AskRecords) -> Iterator[Listed]:
        if ask.keys:
            rows = self._index.rows(ask.keys)
            yield from (list_row(rows[key]) for key in ask.keys if key in rows and rows[key].state)
            return
        low = ask.lo
        while True:
            found = self._index.listed(low, ask.hi, ROWS_AT_ONCE)
            yield from found
            if len(found) < ROWS_AT_ONCE:
                return
            low = found[-1].key + b"\0"

    def _message(
        self, id_: int, records: list[Sealed | Record], blobs: list[bytes], following: bytes | None, last: bool
    ) -> Records:
        self._load_proofs({record.proof for record in records})
        return pack_records(id_, records, self._prune, tuple(blobs), following, last)

    def _load_proofs(self, ids: set[bytes]) -> None:
        """Neighbours were mostly signed together, so the messages of a range share proofs: each is read once."""
        missing = ids.difference(self._pruners)
        if len(self._pruners) + len(missing) > PROOFS_KEPT:
            self._pruners.clear()
            missing = ids
        self._pruners.update({name: Pruner(proof) for name, proof in self._index.proofs(missing).items()})

    def _prune(self, name: bytes, keep: set[bytes]) -> Proof:
        pruner = self._pruners[name]
        if not pruner.covers(keep):
            raise IndexDamaged(f"records that their proof {name.hex()} does not cover")
        return pruner.prune(keep)

    # ---- contents

    def objects(self, get: Get) -> Iterator[Objects]:
        """The objects asked for, in order, message by message."""
        part, last = list[Data | None](), False
        with LastFile(self._holdings) as file:
            found = self._found(get, file)
            while not last:
                with self._index.snapshot():
                    part, following, last = _portion(found, part)
                yield Objects(get.id, get.kind, tuple(part), last)
                part = following

    def _found(self, get: Get, file: LastFile) -> Iterator[Data | None]:
        if get.kind:
            return map(self._contents.segment, get.ids)
        return self._blocks(get, file) if get.group else map(self._small_block, get.ids)

    def _small_block(self, id_: bytes) -> Data | None:
        for data in self._holdings.read(id_, 0, limits.SMALL_FILE, whole=True):
            if block_id(self._block_key, data) == id_:
                return data
        with LastFile(self._holdings) as file:
            return self._part(id_, file)

    def _blocks(self, get: Get, file: LastFile) -> Iterator[Data | None]:
        """Blocks of a longer file. Those that lie together are read together."""
        place = 0
        while place < len(get.ids):
            offset, lengths = self._along.run(get.group, get.ids, place, OBJECTS_BYTES)
            read = file.read(get.group, offset, sum(lengths)) if lengths else None
            start, data = 0, memoryview(read or b"")
            for length in lengths or (0,):
                id_, piece = get.ids[place], data[start : start + length]
                yield piece if piece and block_id(self._block_key, piece) == id_ else self._part(id_, file)
                place, start = place + 1, start + length

    def _part(self, id_: bytes, file: LastFile) -> Data | None:
        """A block out of a longer file, first of all the one that the block before came from."""
        places = self._holdings.places(id_)
        for content, offset, _ in places:
            self._along.seek(content, offset)
        for content, offset, length in places:
            quick = file.read(content, offset, length)
            if quick is not None and block_id(self._block_key, quick) == id_:
                return quick
        for content, offset, length in places:
            for data in self._holdings.read(content, offset, length):
                if block_id(self._block_key, data) == id_:
                    return data
        return None


def _portion(
    found: Iterator[Data | None], part: list[Data | None]
) -> tuple[list[Data | None], list[Data | None], bool]:
    """(the objects of one message, which begin with `part`; the one behind them; whether these are the last)."""
    size = sum([len(data or b"") for data in part])
    for data in found:
        size += len(data or b"")
        if part and size > OBJECTS_BYTES:
            return part, [data], False
        part.append(data)
    return part, [], True


def pack_records(
    id_: int,
    records: Sequence[Sealed | Record],
    cut: Callable[[bytes, set[bytes]], Proof],
    blobs: tuple[bytes, ...],
    following: bytes | None,
    last: bool,
) -> Records:
    """A RECORDS message whose proofs are cut down to the records it carries.

    cut(proof id, record hashes): the proof, pruned to these of its records.
    """
    covered: dict[bytes, set[bytes]] = {}
    for record in records:
        covered.setdefault(record.proof, set()).add(record.hash)
    numbers = {name: number for number, name in enumerate(covered)}
    wire = tuple(to_wire(cut(name, hashes)) for name, hashes in covered.items())
    pairs = tuple((record.raw, numbers[record.proof]) for record in records)
    return Records(id_, wire, pairs, blobs, following, last)
