"""Peers of a folder that nobody configured: where beacons, other peers or the local network say that they are.

What was only told is dialled seldom, and forgotten when nobody of the folder answers. An address where a session stood
is kept like a known host. These, and what connected peers say of themselves, are remembered over a restart.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

from syncd.config.hosts import HostKind, KnownHost
from syncd.core.backoff import Backoff
from syncd.core.invitations import ADDRESS_INTERVAL
from syncd.core.networks import may_dial, parse_address
from syncd.net.endpoint import Endpoint
from syncd.net.session import format_address
from syncd.node.caller import Caller, Target

CONTACTS_KEPT: Final = 64  # addresses of a folder that nobody configured: each costs a task, a folder has tens of peers
CONTACTS_PER_SOURCE: Final = 16  # of these, by the word of one peer, before any of them answered
TRIES: Final = 3  # dials of an address that was only told
FORGET_AFTER: Final = 600.0  # seconds without a session after which an address where a peer was is given up
SHUN: Final = 600.0  # seconds that an address is not taken up again that led to nobody
SHUNNED_KEPT: Final = 256
STORED: Final = 32  # addresses that are remembered over a restart
REMEMBERED: Final = "remembered"
ITS_WORD: Final = "its own word"
BEACON: Final = "a beacon"


@dataclass(slots=True)
class Contact:
    """An address, and who is said to be there. source: by whose word, for the bound on it; empty once it answered."""

    target: Target
    host: str
    port: int
    source: str
    claimed: bool  # by the peer that is there, in a session
    alone_since: float
    task: asyncio.Task[None] | None = None


class Acquaintances:
    """own: our node id. is_connected(node_id), peer_gone(node_id): whether there is a session with that node, and
    waiting until there is none. chance(): evenly from [0, 1). is_known(host, port): whether an address is that of a
    known host. store(addresses): remember these.
    """

    def __init__(
        self,
        caller: Caller,
        endpoint: Endpoint,
        own: bytes,
        is_connected: Callable[[bytes], bool],
        peer_gone: Callable[[bytes], Awaitable[None]],
        chance: Callable[[], float],
        is_known: Callable[[str, int], bool],
        store: Callable[[list[str]], Awaitable[None]],
    ) -> None:
        self._caller = caller
        self._endpoint = endpoint
        self._own = own
        self._is_connected = is_connected
        self._peer_gone = peer_gone
        self._chance = chance
        self._is_known = is_known
        self._store = store
        self._stored: list[str] = []
        self._contacts: dict[str, Contact] = {}
        self._shunned: dict[str, float] = {}
        self._meeting: set[asyncio.Task[None]] = set()
        self._tasks: asyncio.TaskGroup | None = None
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    @property
    def targets(self) -> list[Target]:
        """For the status."""
        return [contact.target for contact in self._contacts.values()]

    def addresses(self) -> list[tuple[str, int]]:
        """Where they are, or are said to be."""
        return [(contact.host, contact.port) for contact in self._contacts.values() if not contact.target.is_self]

    async def run(self, remembered: Iterable[str] = ()) -> None:
        """Work until cancelled. remembered: addresses of before, as they were stored."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._stored = list(remembered)[:STORED]
            for address in self._stored:
                found = parse_address(address)
                if found is not None:
                    self.hear(*found, None, REMEMBERED)
            while True:
                await self._changed.wait()
                self._changed.clear()
                contacts = self._contacts.values()
                worth = [each.target.address for each in contacts if each.target.meetings or each.claimed][-STORED:]
                if worth != self._stored:
                    self._stored = worth
                    await self._store(worth)

    def hear(self, host: str, port: int, node_id: bytes | None, origin: str, source: str = "") -> None:
        """Somebody is said to be there. origin: how we know, for people. source: whose word it is, if that is bounded.

        The address may be any: it is looked at here.
        """
        if node_id == self._own or not port or not self._endpoint.allowed.admits(host) or self._is_known(host, port):
            return
        contact = self._contacts.get(format_address(host, port))
        if contact is None:
            self._take(host, port, node_id, origin, source)
        elif not contact.target.meetings or self._endpoint.invitations.take(host, self._loop.time()):
            contact.target.hurry()

    def told(self, host: str, port: int, node_id: bytes, name: str, teller: bytes) -> None:
        """A peer says where another one is."""
        if may_dial(host):
            self.hear(host, port, node_id, f"told by {name}", teller.hex())

    def claimed(self, host: str, port: int, node_id: bytes) -> None:
        """A connected peer says where it can be dialled."""
        self._shunned.pop(format_address(host, port), None)
        self.hear(host, port, node_id, ITS_WORD)
        contact = self._contacts.get(format_address(host, port))
        if contact is not None:
            contact.claimed = True
            self._changed.set()

    def meet(self, host: str, port: int) -> None:
        """Dial at once, if that may be, whoever is connected: a peer is back before we noticed that it had gone."""
        if self._tasks is not None and self._endpoint.invitations.take(host, self._loop.time()):
            task = self._tasks.create_task(self._caller.meet(host, port))
            self._meeting.add(task)
            task.add_done_callback(self._meeting.discard)

    def drop_forbidden(self) -> None:
        """Other networks are allowed from now on: let go what is in none of them."""
        for contact in list(self._contacts.values()):
            if not self._endpoint.allowed.admits(contact.host):
                self._drop(contact)

    def _take(self, host: str, port: int, node_id: bytes | None, origin: str, source: str) -> None:
        address, now = format_address(host, port), self._loop.time()
        shunned = self._shunned.get(address, 0.0) > now and origin != BEACON  # that is a sign of life
        if self._tasks is None or shunned:
            return
        if source and sum(1 for each in self._contacts.values() if each.source == source) >= CONTACTS_PER_SOURCE:
            return
        if len(self._contacts) >= CONTACTS_KEPT:
            strangers = (each for each in self._contacts.values() if not each.target.meetings and not each.claimed)
            stranger = next(strangers, None)
            if stranger is None:
                return
            self._drop(stranger)
        target = Target(address, origin, node_id=node_id, addresses=[(host, port)])
        contact = self._contacts[address] = Contact(target, host, port, source, False, now)
        target.on_met = lambda: self._met(contact)
        contact.task = self._tasks.create_task(self._pursue(contact))

    def _met(self, contact: Contact) -> None:
        contact.source = ""
        self._changed.set()

    def _drop(self, contact: Contact) -> None:
        self._contacts.pop(contact.target.address, None)
        if contact.task is not None:
            contact.task.cancel()

    async def _pursue(self, contact: Contact) -> None:
        target, backoff, tries = contact.target, Backoff(), 0
        host = KnownHost(HostKind.HOST, contact.host, contact.port)
        while not self._is_hopeless(contact, tries):
            if target.node_id is not None and self._is_connected(target.node_id):
                await self._peer_gone(target.node_id)
                await target.rest(backoff.failed(self._chance()))  # it may be us who are leaving
            meetings = target.meetings
            if not meetings:
                await self._turn(contact)
                tries += 1
            delay = await self._caller.call(host, target, backoff)
            if target.is_self:
                break
            if target.meetings > meetings:
                contact.alone_since = self._loop.time()
            await target.rest(delay if target.meetings else ADDRESS_INTERVAL)
        if self._contacts.get(target.address) is contact:
            del self._contacts[target.address]
        self._shun(target.address)
        self._changed.set()

    def _is_hopeless(self, contact: Contact, tries: int) -> bool:
        if not contact.target.meetings and not contact.claimed:
            return tries >= TRIES
        return self._loop.time() >= contact.alone_since + FORGET_AFTER

    async def _turn(self, contact: Contact) -> None:
        """Wait until the address may be dialled."""
        invitations = self._endpoint.invitations
        while not invitations.take(contact.host, now := self._loop.time()):  # noqa: ASYNC110 -- time has to pass
            await asyncio.sleep(max(0.01, invitations.wait(contact.host, now)))

    def _shun(self, address: str) -> None:
        now = self._loop.time()
        self._shunned = {each: until for each, until in self._shunned.items() if until > now}
        if len(self._shunned) >= SHUNNED_KEPT:
            del self._shunned[next(iter(self._shunned))]
        self._shunned[address] = now + SHUN
