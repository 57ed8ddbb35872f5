"""Folders inside the test's process that meet, part, and agree: nodes on a network that comes and goes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from syncd.core.events import Problem
from tests.lab.cluster import snapshot
from tests.lab.inside import Inside

DEADLINE = 180.0  # seconds


@contextlib.asynccontextmanager
async def running(*insides: Inside) -> AsyncIterator[None]:
    """The first one is settled before the others start, which may be fresh."""
    async with contextlib.AsyncExitStack() as stack:
        for number, inside in enumerate(insides):
            await stack.enter_async_context(inside.running(settled=number == 0))
        yield


@contextlib.asynccontextmanager
async def joined(one: Inside, two: Inside) -> AsyncIterator[None]:
    """Both run, the second has dialled the first, and they are alike."""
    async with running(one, two):
        await two.join(one)
        await agree(one, two)
        yield


async def part(*insides: Inside) -> None:
    """End all of their sessions."""
    for inside in insides:
        for peer in inside.folder.peers.all():
            peer.session.close("parted by the test")
    for inside in insides:
        await inside.reach(lambda inside=inside: not inside.folder.peers.all())  # type: ignore[misc]


async def leave(inside: Inside, other: Inside) -> None:
    """End all sessions of the first one for good, as a process that ends does; the other has noticed."""
    inside.folder.end_sessions("the test ends it")
    await other.reach(lambda: other.folder.peers.connected(inside.identity.node_id) is None)


def state(inside: Inside) -> str:
    """As the status tells it."""
    return inside.folder.standing.state(inside.folder.peers.all())


def problems(inside: Inside) -> list[Problem]:
    """As the status tells them."""
    return list(inside.folder.standing.problems)


def alike(*insides: Inside) -> bool:
    """Whether all say that they are in sync, with one manifest, and it is so."""
    if {state(inside) for inside in insides} != {"in-sync"}:
        return False
    if len({inside.folder.standing.facts.root.hash for inside in insides} | {inside.root for inside in insides}) > 1:
        return False
    try:
        first = snapshot(insides[0].tree)
        return all(snapshot(inside.tree) == first for inside in insides[1:])
    except FileNotFoundError:  # it changes
        return False


async def agree(*insides: Inside) -> None:
    """Look at all disks, then wait until all are alike."""
    for inside in insides:
        await inside.folder.watching.rescan()
    try:
        async with asyncio.timeout(DEADLINE):
            while True:
                for inside in insides:
                    await inside.folder.refresh_now()
                if alike(*insides):
                    return
    except TimeoutError:
        raise AssertionError([(state(inside), problems(inside), inside.root.hex()[:8]) for inside in insides]) from None


def archived(inside: Inside) -> set[bytes]:
    """The bytes of what lies in the archive."""
    base = inside.tree.parent
    return {item.read_bytes() for item in base.glob("**/archive/*") if item.is_file() and not item.is_symlink()}
