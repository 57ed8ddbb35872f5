"""Which slot of a balancer's backend holds which server: what is to be filled and emptied. Pure.

A node is admitted when it is ready, and then stays, however it stands: the balancer's own check of the page takes out
what is broken. It leaves when it drains, or has been away for long. The last one never leaves, unless the backend has
servers besides the slots: a page that may be there is better than none, and if it is not, the balancer notices.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Server(NamedTuple):
    """Where a page is served. address: an IP address as text."""

    address: str
    port: int


class Offer(NamedTuple):
    """What a connected peer says of its page. ready: all that it needs is there. leaving: it wants no new traffic."""

    ready: bool
    leaving: bool


class Slot(NamedTuple):
    """A place for a server in the backend. filled: visitors may be sent there."""

    name: str
    server: Server
    filled: bool


class Plan(NamedTuple):
    """fill: (slot, server) each. empty: names of slots. left_out: servers without a slot."""

    fill: list[tuple[str, Server]]
    empty: list[str]
    left_out: list[Server]


def decide(
    slots: Sequence[Slot],
    offers: Mapping[Server, Offer],
    absent: Mapping[Server, float],
    grace: float,
    *,
    alone: bool = True,
) -> Plan:
    """What to do. absent: seconds for which nobody has offered a server that has a slot. grace: how long it may.

    alone: whether the slots are all that the backend has.
    """
    held: set[Server] = set()
    leaving: list[Slot] = []
    for slot in slots:
        if slot.filled and (slot.server in held or not _stays(slot.server, offers, absent, grace)):
            leaving.append(slot)
        elif slot.filled:
            held.add(slot.server)
    coming = sorted(server for server, offer in offers.items() if offer.ready and not offer.leaving)
    coming = [server for server in coming if server not in held]
    free = [slot for slot in slots if not slot.filled] + leaving
    fill: list[tuple[str, Server]] = []
    for server in coming[: len(free)]:
        slot = next((slot for slot in free if slot.server == server and not slot.filled), free[0])
        free.remove(slot)
        fill.append((slot.name, server))
    empty = [slot for slot in leaving if slot in free]
    if alone and not held and not fill and empty:
        empty.remove(min(empty, key=lambda slot: slot.server in offers))  # rather one that is away than one that goes
    return Plan(fill, [slot.name for slot in empty], coming[len(fill) :])


def _stays(server: Server, offers: Mapping[Server, Offer], absent: Mapping[Server, float], grace: float) -> bool:
    offer = offers.get(server)
    return not offer.leaving if offer is not None else absent.get(server, 0.0) < grace
