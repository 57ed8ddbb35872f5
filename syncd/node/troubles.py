"""What went wrong in a folder, as it is told: alarms and peers that broke the rules, problems of paths, damage."""

from collections import deque
from collections.abc import Collection, Sequence
from typing import Final

import structlog

from protocol.paths import display, to_key
from syncd.core.events import Problem
from syncd.node.findings import Report
from syncd.node.peers import Peer
from syncd.node.standing import PROBLEMS_KEPT, Problems

ALARMS_KEPT: Final = 100
OFFENCES_KEPT: Final = 5  # peers that broke the rules, of which the status tells: few, so that they hide nothing else

_log = structlog.get_logger()


class Troubles:
    """alarms: what was found at the start."""

    def __init__(self, alarms: Sequence[str]) -> None:
        self.alarms: list[str] = []
        self.offences: deque[str] = deque(maxlen=OFFENCES_KEPT)
        self.problems = Problems()
        self._damaged: dict[bytes, Problem] = {}  # by key
        self.alarm(alarms)

    def take(self, report: Report) -> None:
        """What somebody had the ledger do."""
        self.problems.take(report)
        self.alarm(report.alarms)
        for problem in report.damaged:
            _log.warning("damaged", path=display(problem.path), reason=problem.reason)
            if len(self._damaged) < PROBLEMS_KEPT:
                self._damaged[to_key(problem.path)] = problem

    def alarm(self, alarms: Sequence[str]) -> None:
        """What is repeated is told once: it must not crowd out anything else."""
        news = [alarm for alarm in dict.fromkeys(alarms) if alarm not in self.alarms]
        for alarm in news:
            _log.warning("alarm", text=alarm)
        self.alarms = (self.alarms + news)[-ALARMS_KEPT:]

    def accuse(self, peer: Peer, reason: str) -> None:
        """The peer broke the rules."""
        address, id_ = peer.session.address, peer.node_id.hex()
        _log.warning("peer dropped", peer=peer.name, address=address, id=id_, reason=reason)
        self.offences.append(f"{peer.name} ({id_}, {address}) broke the rules and was dropped: {reason}")

    @property
    def damaged(self) -> list[bytes]:
        """Keys of what is damaged, as far as it is known still to be."""
        return list(self._damaged)

    def still_damaged(self, keys: Collection[bytes]) -> None:
        """Of what is damaged, only these are still needed."""
        self._damaged = {key: problem for key, problem in self._damaged.items() if key in keys}

    def all(self) -> list[Problem]:
        """What looking at the disk brought, and damage that was not repaired yet."""
        return [*self.problems.all(), *self._damaged.values()]
