"""Who may knock: bounds on connections that have not authenticated, and on what the failures of one source cost us.

A source is an address, of IPv6 its /64: who has one address of such a network has them all.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

HALF_OPEN_LIMIT: Final = 128  # connections that have not authenticated, in all
HALF_OPEN_PER_SOURCE: Final = 16  # of these, from one source
SESSIONS_LIMIT: Final = 512  # incoming sessions in all: bounds memory and tasks; a folder has tens of peers
SESSIONS_PER_SOURCE: Final = 128  # of these, from one source: the containers of a host may share its address
# What a failure costs us in processor time (measured), and what one source may cost us.
STRANGER_COST: Final = 0.0002  # seconds for a connection whose first message does not open
REPLAY_COST: Final = 0.0005  # seconds for one that got our answer and then fails: two curve operations
OFFENCE_COST: Final = 0.02  # seconds for an authenticated peer that breaks the rules: handshake, tasks, log lines
COST_RATE: Final = 0.1  # seconds per second
COST_BURST: Final = 0.1  # seconds
SOURCES_KEPT: Final = 4_096  # sources whose failures are remembered

T = TypeVar("T")


@dataclass(slots=True)
class _Debt:
    seconds: float
    stamp: float


class Doorman(Generic[T]):
    """clock: seconds, monotonic. is_known(connection): whether its first message proved that it has a secret."""

    def __init__(self, clock: Callable[[], float], is_known: Callable[[T], bool]) -> None:
        self._clock = clock
        self._is_known = is_known
        self._half_open: OrderedDict[T, str] = OrderedDict()
        self._sessions: dict[T, str] = {}
        self._debts: OrderedDict[str, _Debt] = OrderedDict()

    def admits(self, source: str) -> bool:
        """Whether one more connection of a source is listened to, by what its failures have cost."""
        debt = self._debts.get(source)
        return debt is None or self._left(debt) < COST_BURST

    def enter(self, connection: T, source: str) -> T | None:
        """A new connection, half open. Returns the one that has to go for it, if any.

        The oldest goes first, one that has proven nothing before one that has: so whoever is quick gets through though
        others hold connections open.
        """
        self._half_open[connection] = source
        rivals = [one for one, other in self._half_open.items() if other == source]
        if len(rivals) > HALF_OPEN_PER_SOURCE:
            return self._victim(rivals)
        if len(self._half_open) > HALF_OPEN_LIMIT:
            return self._victim(list(self._half_open))
        return None

    def establish(self, connection: T) -> bool:
        """The connection authenticated; whether there is room for one more session."""
        source = self._half_open.pop(connection, "")
        of_source = sum(1 for other in self._sessions.values() if other == source)
        if len(self._sessions) >= SESSIONS_LIMIT or of_source >= SESSIONS_PER_SOURCE:
            return False
        self._sessions[connection] = source
        return True

    def leave(self, connection: T) -> None:
        """The connection is over."""
        self._half_open.pop(connection, None)
        self._sessions.pop(connection, None)

    def half_open(self) -> list[T]:
        """The connections that have not authenticated."""
        return list(self._half_open)

    def failed(self, source: str, cost: float) -> None:
        """A connection of the source failed. cost: seconds of processor time."""
        debt = self._debts.pop(source, None) or _Debt(0.0, self._clock())
        debt.seconds = self._left(debt) + cost
        debt.stamp = self._clock()
        self._debts[source] = debt
        if len(self._debts) > SOURCES_KEPT:
            self._debts.popitem(last=False)

    def _left(self, debt: _Debt) -> float:
        return max(0.0, debt.seconds - (self._clock() - debt.stamp) * COST_RATE)

    def _victim(self, candidates: list[T]) -> T:
        """The oldest one that has proven nothing, else the oldest. The newest has had no time to prove anything."""
        return next((one for one in candidates[:-1] if not self._is_known(one)), candidates[0])


def source_of(host: str) -> str:
    """What an address is counted as."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False).network_address)
