"""A file that decayed: it is needed again, and what is left of it goes to the archive when the bytes have come."""

from protocol.paths import to_key
from syncd.core.events import DAMAGED, Observation, Problem, Seen
from syncd.core.index import Disk
from syncd.node.findings import Report, StoredContent
from syncd.node.ledger import Ledger
from syncd.store.hasher import Hashed


def condemn(ledger: Ledger, path: bytes, known: Disk, found: Hashed, reason: str) -> tuple[list[Report], bool]:
    """What the ledger brought, and whether the path is healed now. known: what was last seen there. found: what is.

    An edit that came meanwhile is one: the path is looked at before, and nobody replaces what is not as it was found.
    Runs in the folder's worker thread.
    """
    looked = ledger.observe([path])
    if ledger.replica.fresh or ledger.replica.cautious or _disk(ledger, path) != known:
        return [looked], False
    # What is still good of a large file need not be fetched.
    size = found.disk.entry.size
    contents = [] if found.small is not None else [StoredContent(found.content, size, found.segments, found.blocks)]
    report = ledger.enact(Seen([Observation(path, found.disk)]), contents)
    row = ledger.read(lambda: ledger.index.rows([to_key(path)])).get(to_key(path))
    healing = row is not None and row.need is not None
    if healing:
        report.damaged.append(Problem(path, DAMAGED, f"{reason}; it is fetched again"))
    return [looked, report], healing


def _disk(ledger: Ledger, path: bytes) -> Disk | None:
    row = ledger.read(lambda: ledger.index.rows([to_key(path)])).get(to_key(path))
    return row.disk if row is not None else None
