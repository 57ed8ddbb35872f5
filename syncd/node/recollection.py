"""After an unclean stop: what was placed right before it, while the index did not hear of that any more."""

from collections.abc import Iterable

from protocol.merge import winner
from protocol.paths import to_path
from protocol.record import Kind
from syncd.core.events import Observation
from syncd.core.index import Row
from syncd.node.findings import Findings
from syncd.store.look import Stat, differs
from syncd.store.scanner import Scanner


def recollect(rows: Iterable[Row], scanner: Scanner, findings: Findings) -> list[Observation]:
    """What is at those of these paths that needed just that. findings: gets what is hashed for it.

    To be seen before anything newer is needed there: compared with what was there earlier, it would be taken for
    somebody's edit then, and win over the newer content.
    """
    for row in rows:
        best = winner(row.state) if row.need is not None else None
        if best is None:
            continue
        path, wanted = to_path(row.key), (best.kind, best.size, best.target)
        stat = scanner.stat_one(path)
        if stat is None and best.kind is Kind.DELETE and row.disk is not None:
            findings.observations.append(Observation(path, None))
        if isinstance(stat, Stat) and (stat.kind, stat.size, stat.target) == wanted and differs(stat, row.disk):
            findings.examine(stat, best.content)
    return findings.observations
