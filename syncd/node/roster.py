"""The folders of a running node: they come, change and go when the configuration is read anew."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog

from syncd.config.errors import ConfigError
from syncd.config.settings import Folder as FolderSettings
from syncd.config.settings import Loaded, Settings
from syncd.core.networks import Allowed
from syncd.net.endpoint import Endpoint
from syncd.net.limiter import Limits
from syncd.node.flushing import flush
from syncd.node.folder import Folder
from syncd.node.greeting import NodeFacts
from syncd.node.logs import change_logging
from syncd.node.reload import Plan, plan
from syncd.node.retention import ArchiveLimits
from syncd.node.service_manager import ServiceManager
from syncd.node.workshop import Workshop

LANDING_SECONDS: Final = 2.0  # for what was asked for to arrive, after the flush
GOODBYE_SECONDS: Final = 0.2  # for the goodbyes to leave

_log = structlog.get_logger()


class Roster:
    """settings: those that hold. open_(settings, folder): a workshop, or why there is none; in any thread.

    load(): what the file says now; raises ConfigError.
    """

    def __init__(
        self,
        settings: Settings,
        node: NodeFacts,
        endpoint: Endpoint,
        limits: Limits,
        open_: Callable[[Settings, FolderSettings], Workshop | str],
        load: Callable[[], Loaded],
        manager: ServiceManager,
    ) -> None:
        self.settings = settings
        self._node = node
        self._endpoint = endpoint
        self._limits = limits
        self._open = open_
        self._load = load
        self._manager = manager
        self.wanted = asyncio.Event()  # the configuration is to be read anew
        self.by_id: dict[bytes, Folder] = {}
        self.listed: list[Folder] = []  # as they are shown; one that is opened again stays until it is
        self._shops: list[Workshop] = []  # that are open
        self._running: dict[bytes, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup | None = None

    def add(self, folder: Folder) -> None:
        """One that was opened."""
        id_ = folder.keys.folder_id
        self.by_id[id_] = folder
        self._shops.append(folder.shop)
        for place, other in enumerate(self.listed):
            if other.keys.folder_id == id_:
                self.listed[place] = folder
                break
        else:
            self.listed.append(folder)
        if self._tasks is not None:
            self._running[id_] = self._tasks.create_task(folder.run())

    async def run(self, stop: asyncio.Event, hurry: asyncio.Event) -> bool:
        """Until `stop`; whether everything that is here is with some peer, as far as there are peers.

        hurry: nothing is waited for any more. A folder that fails takes the node down with an error: it is restarted.
        """
        flushed = True
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._running = {id_: tasks.create_task(folder.run()) for id_, folder in self.by_id.items()}
            reloading = tasks.create_task(self._reload_when_wanted())
            await stop.wait()
            self._manager.stopping()
            _log.info("stopping")
            reloading.cancel()
            if self._node.drain.stopping:  # else it goes on in a moment
                flushed = await flush(list(self.by_id.values()), self.settings.flush_timeout, hurry)
            await self._endpoint.close()
            await self._end(list(self.by_id.values()), "shutting down", 0.0 if hurry.is_set() else LANDING_SECONDS)
            for task in self._running.values():  # of a folder that was being closed
                task.cancel()
        return flushed

    async def _end(self, folders: list[Folder], reason: str, landing: float = LANDING_SECONDS) -> None:
        await asyncio.gather(*(folder.fetcher.wind_down(landing) for folder in folders))
        for folder in folders:
            folder.end_sessions(reason)
        await asyncio.sleep(GOODBYE_SECONDS)
        for folder in folders:
            task = self._running.pop(folder.keys.folder_id, None)
            if task is not None:
                task.cancel()
                await asyncio.wait([task])

    # ---- reading anew

    async def _reload_when_wanted(self) -> None:
        while True:
            await self.wanted.wait()
            self.wanted.clear()
            self._manager.reloading()
            try:
                loaded = await asyncio.to_thread(self._load)
            except ConfigError as error:
                for line in error.lines:
                    _log.error("the configuration cannot be used; everything stays as it is", reason=line)
            else:
                for warning in loaded.warnings:
                    _log.warning("configuration", text=warning)
                await self._follow(plan(self.settings, loaded.settings))
            self._manager.ready()

    async def _follow(self, plan: Plan) -> None:
        self.settings = settings = plan.effective
        change_logging(settings.log)
        if "upload_limit" in plan.changed:
            self._limits.upload.become(settings.upload_limit)
        if "download_limit" in plan.changed:
            self._limits.download.become(settings.download_limit)
        if "allow_networks" in plan.changed:
            self._endpoint.allowed = Allowed(settings.allow_networks)
            for running in self.by_id.values():
                running.finding.allowed_changed()
        for folder in plan.removed:
            await self._close(folder, "the folder was taken out of the configuration")
            self.listed[:] = [other for other in self.listed if other.keys.folder_id != folder.keys.folder_id]
        for folder in plan.tuned:
            await self.by_id[folder.keys.folder_id].become(folder)
        for folder in plan.reopened:
            before = self.by_id[folder.keys.folder_id].settings
            await self._close(folder, "the folder's configuration changed")
            if not await self._bring(folder) and not await self._bring(before):
                raise RuntimeError(f"{before.dir} cannot be opened again")
        for folder in plan.added:
            await self._bring(folder)
        self.settings = replace(settings, folders=tuple(folder.settings for folder in self.by_id.values()))
        limits = ArchiveLimits(settings.archive_max, settings.archive_ttl)
        for running in self.by_id.values():
            running.shop.retention.become(limits)
            running.shop.gauge.become(settings.min_free)
        self._node.events.put("reloaded", changed=plan.changed, needs_restart=plan.needs_restart)
        _log.info(
            "the configuration was read anew",
            changed=", ".join(plan.changed) or "nothing",
            added=", ".join(folder.dir for folder in plan.added) or "nothing",
            removed=", ".join(folder.dir for folder in plan.removed) or "nothing",
        )
        if plan.needs_restart:
            _log.warning("these keys take effect with the next start only", keys=", ".join(plan.needs_restart))

    async def _close(self, settings: FolderSettings, reason: str) -> None:
        folder = self.by_id.pop(settings.keys.folder_id)
        self._endpoint.remove(settings.keys)
        await self._end([folder], reason)
        self._shops.remove(folder.shop)
        await asyncio.to_thread(folder.shop.close, clean=True)

    async def _bring(self, settings: FolderSettings) -> bool:
        workshop = await asyncio.to_thread(self._open, self.settings, settings)
        if isinstance(workshop, str):
            _log.error("the folder cannot be opened", dir=settings.dir, reason=workshop)
            return False
        self._endpoint.add(settings.keys)
        self.add(Folder(settings, self._node, workshop, self._endpoint))
        return True

    def close(self, *, clean: bool) -> None:
        """Close what the folders use. clean: all that was begun has been finished or put off."""
        for shop in self._shops:
            shop.close(clean=clean)
