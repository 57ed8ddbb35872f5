"""One replicated folder of a running node: the driver that turns effects into actions and results into events."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, Final

import structlog

from protocol.connection import Established
from protocol.handshake import HandshakeResult
from protocol.keys import FolderKeys, Tier
from protocol.messages import Hello, Status
from syncd.config.settings import Folder as FolderSettings
from syncd.core.events import Alive, PeerCounters, Problem
from syncd.core.founding import Situation, may_settle
from syncd.core.namesakes import with_name
from syncd.core.patterns import Patterns
from syncd.core.priority import Priority
from syncd.core.units import Units
from syncd.net.endpoint import Endpoint
from syncd.net.session import Session
from syncd.node.announcing import Announcer
from syncd.node.caution import Caution
from syncd.node.chronicle import Chronicle
from syncd.node.copy_tending import CopyTending
from syncd.node.counters import Counters
from syncd.node.exchange import Backlog, Exchange
from syncd.node.fetcher import Fetcher
from syncd.node.finding import Finding
from syncd.node.findings import Report
from syncd.node.greeting import NodeFacts, make_hello
from syncd.node.hooks import Hooks
from syncd.node.lag import Lag
from syncd.node.lead import Lead
from syncd.node.outgoing import Outgoing
from syncd.node.pace import Pace
from syncd.node.peers import CLONED, Peer, Peers
from syncd.node.puller import Puller
from syncd.node.settling import settle
from syncd.node.standing import Readiness, Standing, folder_facts, index_problem, space_problem
from syncd.node.telling import INLINE_RECORDS, tell_who_missed
from syncd.node.tending import Tending
from syncd.node.troubles import Troubles
from syncd.node.unit_news import UnitNews
from syncd.node.watching import Watching
from syncd.node.workshop import Workshop

HEARTBEAT: Final = 30.0  # seconds between signs of life in the index of an idle node: see core/damage.py

_log = structlog.get_logger()


class Folder:
    """See the module. workshop: the hands on disk and index, opened already."""

    def __init__(self, settings: FolderSettings, node: NodeFacts, workshop: Workshop, endpoint: Endpoint) -> None:
        self.settings, self.node = settings, node
        self.keys: FolderKeys = settings.keys
        self._shop = workshop
        self._loop = asyncio.get_running_loop()
        self.peers = Peers(node.identity.node_id, node.name)
        self._announcer = Announcer(self.peers, self._status)
        self._exchanges: dict[Session, Exchange] = {}
        self._lead = Lead(self._lead_is_free)
        self._backlog = Backlog()
        self._units = Units(Patterns(settings.atomic))  # of this thread: patterns remember
        self._arrived = UnitNews(self._units)
        losers = workshop.losers if self.keys.tier >= Tier.READ_WRITE else None
        self.fetcher = Fetcher(
            self.keys, workshop.ledger, workshop.sources, losers, workshop.yard, self._arrived.arrivals,
            workshop.hands, self.take, workshop.tidy,
        )  # fmt: skip
        self.watching = Watching(
            workshop.ledger, workshop.hands, workshop.watcher, settings.folder_rescan_interval, self._units, node.clock,
            workshop.distrust, lambda: self.standing.filling, self.take, self._scan_phase,
        )  # fmt: skip
        self.finding = Finding(settings, node, workshop, endpoint, self.peers)
        self._tending = Tending(workshop.retention, workshop.hands, self.take)
        self._copies = CopyTending(workshop.beside, workshop.hands, self.take)
        self._caution = Caution(workshop.ledger.replica, workshop.hands, workshop.ledger.handle)
        self.troubles = Troubles(workshop.alarms)
        self.lag = Lag()
        self.counters = Counters()
        self.chronicle = Chronicle(node.events, settings.dir, workshop.ledger, workshop.hands, self.peers.name_of)
        self._stuck: Problem | None = None  # the index cannot be used
        call = self._loop.call_soon_threadsafe  # the index's thread says so
        workshop.ledger.patience.begin(lambda reason: call(self._tell_index_trouble, reason))
        self._alive_due = self._loop.time() + HEARTBEAT
        self._having: set[bytes] = set()  # contents that were placed, and will be told of when that is durable
        fresh = workshop.ledger.replica.fresh
        self._readiness = Readiness(workshop.priority, [] if fresh else workshop.remembered_ready)
        self.outgoing = Outgoing(workshop, settings.ignore, settings.max_file_size)
        self.hooks = Hooks(settings.on_applied, settings.dir, workshop.ledger, workshop.hands)
        self._pace = Pace()
        self._refreshed = asyncio.Condition()
        self._refreshing = asyncio.Lock()  # held while the standing, or the classes that it speaks of, change
        self._tasks: asyncio.TaskGroup | None = None
        self._calm = False  # nothing is under way, nor made ready by time alone: whatever changes that tells of itself
        self._started = self._loop.time()
        self._alone_since: float | None = self._started
        self._actor = workshop.ledger.replica.actor
        self._was_fresh = fresh
        self._ending: str | None = None
        self._dialling: asyncio.Task[None] | None = None
        self.standing = Standing(workshop.facts())

    # ---- lifetime

    async def run(self) -> None:
        """Work until cancelled."""
        if not self.standing.facts.fresh:
            self.watching.arm()
        self._judge()
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for job in (self._watch(), self.fetcher.run(), self._refresh_loop(), self._tending.run(), self.hooks.run()):
                tasks.create_task(job)
            self._dialling = tasks.create_task(self.finding.run())
            self.fetcher.kick()

    async def _watch(self) -> None:
        await self._caution.wait(self.settings.dir, self.settings.publish_alone_after)
        self.spawn(self._copies.run())
        await self.watching.run()

    def _tell_index_trouble(self, reason: str | None) -> None:
        if reason is None:
            _log.info("the index can be used again", dir=self.settings.dir)
            self._stuck = None
            self.fetcher.kick()
            self._pace.changed()
            return
        _log.error("the index cannot be used; nothing is published or applied until it can", reason=reason)
        self._stuck = index_problem(reason)
        self.standing = replace(
            self.standing, problems=[*self.standing.problems, self._stuck], stuck=True, scanning=False
        )
        self._announcer.announce()
        if self._ending is None:
            self.spawn(self._notify())

    async def _notify(self) -> None:
        async with self._refreshed:
            self._refreshed.notify_all()

    def end_sessions(self, reason: str) -> None:
        """Say goodbye to all peers, and to those that come after this. No more are dialled."""
        self._ending = reason
        if self._dialling is not None:
            self._dialling.cancel()
        for peer in self.peers.all():
            peer.session.close(reason)

    # ---- sessions

    def hello(self, result: HandshakeResult) -> Hello:
        """Our HELLO for a finished handshake."""
        replica, settled = self._shop.ledger.replica, not self.standing.facts.fresh
        assert self.keys.block_key is not None
        features = with_name(self.outgoing.features, self.keys.block_key, self.settings.dir)
        return make_hello(self.node, self.keys, replica, self._shop.writer, settled, features, result)

    def attach(self, session: Session, event: Established) -> None:
        """A session for this folder stands."""
        if self._ending is not None or self._tasks is None:  # whoever dials early comes again
            session.close(self._ending or "the folder is not open yet")
            return
        if event.tier < Tier.READ_ONLY:
            session.close("relay peers are not served by this version")
            return
        if self.peers.is_clone(event):
            id_ = event.hello.node_id.hex()
            self.troubles.alarm([f"two nodes have the identity {id_}: the state of one was copied from the other"])
            session.close(CLONED)
            return
        peer, old = self.peers.admit(session, event)
        if peer is None:
            session.close("there is a session already")
            return
        if old is not None:
            old.session.close("replaced by a newer session")
        readiness, by_name = self._readiness, self._shop.ranks_by_name  # of the classes that this session begins with
        puller = Puller(
            session,
            self._shop.ledger,
            self._shop.hands,
            [(low, high) for low, high, _ in self._shop.priority.ranges()],
            self._lead,
            self._shop.has_nothing,
            lambda number: self._shop.by_name(by_name[number]),
            lambda report: self._take_from(peer, report),
            lambda numbers: self._merged_ranges(peer, readiness, numbers),
            lambda root: self._merged_everything(peer, root),
            lambda: self._announcer.flux(peer),
        )
        exchange = Exchange(
            peer,
            self._shop.ledger,
            self._shop.library,
            self._shop.hands,
            self._shop.reader,
            self.fetcher,
            puller,
            self._backlog,
            lambda: self.standing.facts.root.hash,
            lambda report: self._take_from(peer, report),
            self._announcer.forward,
            self._heard,
            self.finding.told,
            self._compare_counters,
        )
        self._exchanges[session] = exchange
        self.fetcher.join(session)
        self.chronicle.connected(peer)
        _log.info("connected", peer=peer.name, address=session.address, tier=event.tier.name.lower())
        self.spawn(self._converse(exchange))
        self.finding.joined(peer)

    def detach(self, session: Session, reason: str) -> None:
        """A session of this folder is over."""
        self._exchanges.pop(session, None)
        self.fetcher.leave(session)
        peer = self.peers.remove(session)
        if peer is not None:
            self.chronicle.disconnected(peer, reason)
            if session.offended:
                self.troubles.accuse(peer, reason)
            else:
                _log.info("disconnected", peer=peer.name, reason=reason)
            if reason == CLONED and peer.tier == Tier.READ_WRITE:
                self.node.on_clone(session.address)
            if not self.peers.all():
                self._alone_since = self._loop.time()
            self.finding.left()
        self._pace.changed()

    async def _converse(self, exchange: Exchange) -> None:
        if self._stuck is not None:  # the comparison has to wait, but what is here can be served
            self._announcer.answer(exchange.peer)
        await exchange.run()

    async def _compare_counters(self, peer: Peer) -> None:
        """Before anything of the peer is merged.

        Only a writer is believed: a reader's claim proves nothing, and it would make us start anew each time. If we
        were rolled back and only readers know it, records that we signed tell us when they arrive.
        """
        if peer.tier == Tier.READ_WRITE:
            self.take(await self._shop.hands.run(self._shop.ledger.handle, PeerCounters(dict(peer.hello.counters))))
        self._caution.counters_compared()
        self._announcer.answer(peer)

    def spawn(self, job: Coroutine[Any, Any, None]) -> None:
        """A task that ends with the folder."""
        assert self._tasks is not None
        try:
            self._tasks.create_task(job)
        except RuntimeError:  # the folder is stopping, and tasks within tasks hear of it a moment later
            job.close()

    # ---- what the ledger brings

    def take(self, report: Report) -> None:
        """What somebody had the ledger do."""
        self.troubles.take(report)
        self.counters.take(report, self._loop.time())
        self.chronicle.took(report)
        if report.pushes:
            self._announcer.push(report)
            self.outgoing.take(report)
        if self._shop.ledger.replica.actor != self._actor:
            self._actor = self._shop.ledger.replica.actor
            self.fetcher.start_anew()
        self._arrived.news(report.news)
        if report.news or report.overtaken:
            self.fetcher.revise([*report.news, *report.overtaken])
        elif report.needs:
            self.fetcher.kick()
        if report.young:
            self.watching.look_again(report.young)
        for unit in report.units:
            self.watching.look_at_unit(unit)
        if (report.results or report.kept) and any(peer.missed for peer in self.peers.all()):
            self._having.update(result.disk.entry.content for result in report.results if result.disk is not None)
            self._having.update(report.kept)
        self.fetcher.fetched_bytes += report.placed
        self._copies.kick()
        if report.results and not self.fetcher.busy:
            self._pace.decided()
        self._pace.changed()

    def _take_from(self, peer: Peer, report: Report) -> None:
        if report.news or report.planted:
            self._announcer.heard(peer)
        self.take(report)

    # ---- what peers tell

    def _heard(self, peer: Peer) -> None:
        self._alone_since = None
        self.outgoing.heard(peer)
        self._pace.changed()

    def _merged_ranges(self, peer: Peer, readiness: Readiness, numbers: list[int]) -> None:
        if peer.settled:
            readiness.merged(numbers)
        if not self._units.none:
            self._arrived.compared(peer, self._shop.priority, numbers)
            self.fetcher.kick()
        self._pace.decided()

    def _merged_everything(self, peer: Peer, root: bytes) -> None:
        peer.reconciled_root = root
        self._caution.merged()
        if peer.settled:
            self._readiness.merged_everything()
        self._pace.decided()

    # ---- how the folder stands

    async def _refresh_loop(self) -> None:
        while True:
            await self._pace.due(calm=self._calm)
            async with self._refreshing:
                await self._refresh()
            await self._pace.rest(busy=self._lead.taken or self.standing.need_files > INLINE_RECORDS)

    async def become(self, settings: FolderSettings) -> None:
        """Other known hosts, classes, ignore rules, readiness and intervals from now on."""
        before, self.settings = self.settings, settings
        self.finding.dialer.become(settings.known_hosts)
        rules = (settings.priority, settings.ignore, settings.atomic)
        if rules != (before.priority, before.ignore, before.atomic):
            priority = Priority(settings.priority)
            reports = self._shop.change_rules(settings, priority)
            while (report := await self._shop.hands.run(next, reports, None)) is not None:
                self.take(report)
            async with self._refreshing:
                facts = await self._shop.hands.run(self._shop.facts, priority)
                readiness = Readiness(priority, [])
                self._readiness.pass_on(readiness)
                self._readiness, self.standing = readiness, replace(self.standing, facts=facts)
                self._shop.use_classes(priority)
                self._judge()
            self.fetcher.kick()
            self._units.become(Patterns(settings.atomic))
        if settings.ignore != before.ignore:
            self.outgoing.become(settings.ignore)
            for peer in self.peers.all():  # these rules are told at the beginning of a session
                peer.session.close("other ignore rules")
        self.watching.become(settings.folder_rescan_interval, look=settings.ignore != before.ignore)
        self._pace.changed()

    async def _refresh(self) -> None:
        mark, owed = self._arrived.arrivals.mark(), self._announcer.begin()
        self.fetcher.promise()
        facts = await self._shop.hands.run(self._shop.facts)
        self.outgoing.refreshed(facts, self.peers)
        if self._arrived.agreed(self.peers.all(), facts.root.hash, mark):
            self.fetcher.kick()
        if facts.fresh and not self._was_fresh:
            self._become_fresh()
        elif self._was_fresh and not facts.fresh:
            self._shop.tree_matches = True  # by now the index knows this tree
        self._was_fresh = facts.fresh
        self._heed_room(self.standing.facts.shortage, facts.shortage)
        if len(self.fetcher.trouble) > sum(paths for paths, _ in facts.totals.needs.values()):
            await self.fetcher.forget_settled()
        if damaged := self.troubles.damaged:
            self.troubles.still_damaged(await self._shop.hands.run(self._shop.sources.still_needed, damaged))
        troubled = self.fetcher.problems()
        self.standing = Standing(
            facts,
            problems=[*self.troubles.all(), *troubled, *([facts.sync] if facts.sync else []), *space_problem(facts)],
            verdicts=self.standing.verdicts,
            scanning=self.watching.scanning,
            scanned_once=self.watching.scanned_once,
            distrusted=self.watching.held,
            gathering=self.watching.gathering,
            pulling=any(exchange.puller.active for exchange in self._exchanges.values()),
            resting=len(troubled),
        )
        self._judge()
        ready = [name for name, verdict in self.standing.verdicts.items() if verdict.ready]
        remembered = self._readiness.remember(ready)
        if remembered is not None:
            await self._shop.hands.run(self._shop.remember_ready, remembered)
        if facts.durable:
            placed, self._having = self._having, set()
            tell_who_missed(self.peers.all(), placed)
        self._announcer.announce(owed)
        if self._loop.time() >= self._alive_due:
            self._alive_due = self._loop.time() + HEARTBEAT
            await self._shop.hands.run(self._shop.ledger.handle, Alive())
            await self.outgoing.remember()
        if facts.fresh:
            await self._consider_settling()
        elif not self.watching.armed and not self.standing.need_files and self.watching.scanned_once:
            self.watching.arm()
        self.lag.see(self._loop.time(), self.standing, self.peers.all())
        self._calm = self.lag.none and (len(ready) == len(self.class_names) or bool(self.peers.all()))
        await self.chronicle.look(self.standing, self.peers.all())
        await self._notify()

    def _heed_room(self, before: Problem | None, now: Problem | None) -> None:
        if now is not None:
            self._tending.hurry()  # what the archive has above its measure makes room
            if before is None:
                _log.warning("room is short", reason=now.reason)
        elif before is not None:
            _log.info("there is room again", dir=self.settings.dir)
            self.fetcher.room_is_back()

    def _judge(self) -> None:
        standing, shop = self.standing, self._shop
        facts = folder_facts(
            standing.facts, shop.tree_matches, standing.site_held, self.settings.ready, self._alone_for()
        )
        now, alone = self._loop.time(), not self.peers.all()
        self.standing.verdicts = self._readiness.judge(self.standing.facts, facts, now, alone)

    def _lead_is_free(self) -> None:
        for exchange in self._exchanges.values():
            exchange.lead_is_free()

    def _status(self) -> Status | None:
        message = self.standing.message(self.class_names, self.peers.all(), self.node.drain.wanted)
        return message if self.standing.facts.durable else None  # it might not be so after a power cut

    def _become_fresh(self) -> None:
        _log.warning("the index is fresh from now on: it publishes nothing until a settled peer was heard")
        self._readiness.forget()
        self.watching.scanned_once = False
        self.watching.arm()

    def _alone_for(self) -> float | None:
        if self.peers.all():
            return None
        return self._loop.time() - (self._alone_since if self._alone_since is not None else self._loop.time())

    async def _consider_settling(self) -> None:
        situation = Situation(
            node_id=self.node.identity.node_id,
            read_only=self.keys.tier < Tier.READ_WRITE,
            scanned=self.watching.scanned_once,
            has_files=self._shop.has_files,
            peers=[peer.facts for peer in self.peers.all()],
            all_dialled=self.finding.dialer.all_tried,
            alone_for=self._alone_for() or 0.0,
            publish_alone_after=self.settings.publish_alone_after,
        )
        if may_settle(situation):
            await settle(self._shop, self.take)
            _log.info("the index is settled", dir=self.settings.dir)
            self.fetcher.kick()

    def _scan_phase(self, begins: bool) -> None:
        if begins:
            self.troubles.problems.scan_begins()
        else:
            self.troubles.problems.scan_ends()
            self.spawn(self._shop.hands.run(self._shop.tree_was_taken_over))
        self._pace.changed()

    # ---- for the face

    def ready(self, name: str | None) -> tuple[bool, str]:
        """Whether a class is ready, or all classes that the configuration names (all of them if it names none)."""
        self._judge()
        return self.standing.ready([name] if name else list(self.settings.ready.classes) or self._shop.priority.names)

    async def take_tree(self, as_it_is: bool) -> None:
        """Start again with what lies at the folder's path now.

        as_it_is: it is our tree, and what is missing there is published. Otherwise it is a new one, to be filled from
        peers. Raises OSError.
        """
        await self._shop.hands.run(self._shop.prepare_tree, as_it_is)
        self.node.restart()

    async def wait_refresh(self) -> None:
        """Returns after the next refresh, whenever it comes."""
        async with self._refreshed:
            await self._refreshed.wait()

    async def refresh_now(self) -> None:
        """Returns after a refresh that begins after this call."""
        self._pace.changed()
        await self.wait_refresh()

    @property
    def shop(self) -> Workshop:
        """The hands on disk and index."""
        return self._shop

    @property
    def class_names(self) -> list[str]:
        """Names of the priority classes, in order."""
        return self._shop.priority.names
