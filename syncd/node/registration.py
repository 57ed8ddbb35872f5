"""Registration: the syncd beside the balancer gives the slots of a backend to peers that serve a page and are ready.

It looks again and again, so that a balancer that was reloaded, and has forgotten all addresses, is filled again. A node
that has a line of its own in HAProxy's configuration gets no slot besides: it would have two shares of the visitors.
"""

import asyncio
import ipaddress
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog

from syncd.config.hosts import join
from syncd.config.settings import Haproxy
from syncd.core.slots import Offer, Server, Slot, decide
from syncd.node.folder import Folder
from syncd.node.haproxy import Refused, Runtime, Unreachable
from syncd.node.peers import Peer

INTERVAL: Final = 1.0  # seconds between two looks: after a reload a slot is filled again within it

_log = structlog.get_logger()


class Registration:
    """Works as long as it is entered. folders: of this node; the list itself changes. clock: seconds."""

    def __init__(self, settings: Haproxy, folders: Sequence[Folder], clock: Callable[[], float]) -> None:
        self._settings = settings
        self._folders = folders
        self._clock = clock
        self._runtime = Runtime(settings.socket, settings.backend, settings.slots)
        self._absent: dict[Server, float] = {}  # since when nobody offers what has a slot
        self._slots: list[Slot] = []
        self._trouble = ""
        self._task: asyncio.Task[None] | None = None
        self._left_out: list[Server] = []

    async def __aenter__(self) -> "Registration":
        self._task = asyncio.create_task(self.run())
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])

    async def run(self) -> None:
        """Work until cancelled. What is in the slots then stays: a node that ends takes no page down."""
        while True:
            try:
                await self._look()
                self._note("")
            except (Unreachable, Refused) as error:
                self._note(str(error))
            await asyncio.sleep(INTERVAL)

    def status(self) -> dict[str, Any]:
        """For the status document."""
        return {
            "backend": self._settings.backend,
            "reason": self._trouble,
            "slots": [
                {"slot": slot.name, "address": join(*slot.server) if slot.filled else ""} for slot in self._slots
            ],
            "without_slot": [join(*server) for server in self._left_out],
        }

    async def _look(self) -> None:
        self._slots, named = await self._runtime.look()
        offers = {server: offer for server, offer in self._offers().items() if server not in named}
        now = self._clock()
        away = {slot.server for slot in self._slots if slot.filled and slot.server not in offers}
        self._absent = {server: self._absent.get(server, now) for server in away}
        absent = {server: now - since for server, since in self._absent.items()}
        plan = decide(self._slots, offers, absent, self._settings.grace, alone=not named)
        for name in plan.empty:
            await self._runtime.empty(name)
            _log.info("no more visitors to this slot of the balancer", slot=name)
        for name, server in plan.fill:
            await self._runtime.fill(name, server)
            _log.info("visitors to this slot of the balancer", slot=name, server=join(*server))
        if plan.left_out and plan.left_out != self._left_out:
            _log.warning("the balancer has too few slots", left_out=", ".join(join(*item) for item in plan.left_out))
        self._left_out = plan.left_out
        if plan.empty or plan.fill:
            self._slots, _ = await self._runtime.look()

    def _offers(self) -> dict[Server, Offer]:
        """What connected peers offer. One that is in several folders has to be ready in each of them."""
        offers: dict[Server, Offer] = {}
        for folder in self._folders:
            for peer in folder.peers.all():
                server = server_of(peer)
                if server is not None and peer.status is not None:
                    before = offers.get(server, Offer(True, False))
                    now = _offer(peer, folder)
                    offers[server] = Offer(before.ready and now.ready, before.leaving or now.leaving)
        return offers

    def _note(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            if trouble:
                _log.warning("the balancer cannot be told; syncing goes on", reason=trouble)
            else:
                _log.info("the balancer can be told again")


def server_of(peer: Peer) -> Server | None:
    """Where a peer says that its page is, if visitors can be sent there.

    Only numbers: what goes to HAProxy's socket must not be made of what a peer writes. An address of this machine is
    believed only of a peer on this machine.
    """
    host, _, port = peer.hello.service.rpartition(":")
    try:
        address = ipaddress.ip_address(host.strip("[]"))
        source = ipaddress.ip_address(peer.session.address.rpartition(":")[0].strip("[]"))
    except ValueError:
        return None
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 65_536):
        return None
    if address.is_unspecified or address.is_multicast or (address.is_loopback and not source.is_loopback):
        return None
    return Server(str(address), int(port))


def _offer(peer: Peer, folder: Folder) -> Offer:
    status = peer.status
    assert status is not None
    wanted = folder.settings.ready.classes or folder.class_names
    ready = status.settled and set(wanted) <= set(status.complete)
    return Offer(ready, status.drain)
