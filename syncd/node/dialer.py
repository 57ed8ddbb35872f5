"""Keeps sessions with the known hosts of a folder: resolve, dial, wait until it ends, back off."""

import asyncio
from typing import Final

from syncd.config.hosts import HostKind, KnownHost
from syncd.core.backoff import Backoff
from syncd.net.endpoint import resolve
from syncd.net.services import LookupFailed, find_service
from syncd.node.caller import MAX_ADDRESSES, Caller, Target

RESOLVE_INTERVAL: Final = 30.0  # seconds after which a name's addresses are looked up again
MISSING_INTERVAL: Final = 3.0  # the same while one of them does not answer: a rebuilt container has another address


class Dialer:
    """hosts: as configured."""

    def __init__(self, caller: Caller, hosts: tuple[KnownHost, ...]) -> None:
        self._caller = caller
        self._hosts = hosts
        self._changed = asyncio.Event()
        self.targets: dict[str, Target] = {}

    @property
    def all_tried(self) -> bool:
        """Whether every known host was tried at least once."""
        return all(target.tried for target in self.targets.values()) and len(self.targets) >= len(self._hosts)

    async def run(self) -> None:
        """Work until cancelled."""
        running: dict[KnownHost, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._changed.clear()
                for host in running.keys() - set(self._hosts):
                    running.pop(host).cancel()
                    self.targets.pop(str(host), None)
                for host in self._hosts:
                    if host not in running:
                        running[host] = tasks.create_task(self._serve(host, tasks))
                await self._changed.wait()

    def become(self, hosts: tuple[KnownHost, ...]) -> None:
        """Other known hosts from now on. Sessions with those that were taken out stay until they end."""
        self._hosts = hosts
        self._changed.set()

    def addresses(self) -> list[tuple[str, int]]:
        """Where the known hosts are, as far as it is known, without asking anybody."""
        return [address for target in self.targets.values() if not target.is_self for address in target.addresses]

    def at(self, address: tuple[str, int]) -> Target | None:
        """The known host that has this address."""
        return next((target for target in self.targets.values() if address in target.addresses), None)

    async def _serve(self, host: KnownHost, tasks: asyncio.TaskGroup) -> None:
        if host.kind is HostKind.HOST:
            await self._keep(host)
        else:
            await self._follow(host, tasks)

    async def _follow(self, host: KnownHost, tasks: asyncio.TaskGroup) -> None:
        """Every address of a name is a peer of its own; addresses that come up later are added."""
        running: dict[str, asyncio.Task[None]] = {}
        placeholder = self._target(str(host))
        try:
            while True:
                wanted = await self._look_up(host, placeholder)
                if wanted is not None:
                    for gone in running.keys() - wanted.keys():
                        running.pop(gone).cancel()
                        self.targets.pop(gone, None)
                    for name in wanted.keys() - running.keys():
                        self._target(name).origin = str(host)
                        running[name] = tasks.create_task(self._keep(wanted[name]))
                missing = any(self._is_missing(name) for name in running) or not running
                await placeholder.rest(MISSING_INTERVAL if missing else RESOLVE_INTERVAL)
        finally:
            for name, task in running.items():
                task.cancel()
                self.targets.pop(name, None)

    def _is_missing(self, name: str) -> bool:
        target = self.targets.get(name)
        return target is not None and bool(target.reason) and not target.is_self

    async def _look_up(self, host: KnownHost, placeholder: Target) -> dict[str, KnownHost] | None:
        """Its addresses, by name; None if they cannot be told now: then those of before stay."""
        try:
            found = await (find_service(host.host) if host.kind is HostKind.SRV else resolve(host.host, host.port))
        except LookupFailed as error:
            placeholder.reason = str(error)
            return None
        finally:
            placeholder.tried = True
        found = found[:MAX_ADDRESSES]
        placeholder.reason = f"{len(found)} addresses" if found else "the name has no address now"
        peers = [KnownHost(HostKind.HOST, address, port) for address, port in found]
        return {str(peer): peer for peer in peers}

    async def _keep(self, host: KnownHost) -> None:
        target = self._target(str(host))
        backoff = Backoff()
        while True:
            await target.rest(await self._once(host, target, backoff))

    async def _once(self, host: KnownHost, target: Target, backoff: Backoff) -> float:
        return await self._caller.call(host, target, backoff)

    def _target(self, name: str) -> Target:
        return self.targets.setdefault(name, Target(name))
