"""Where the face meets the curator of a folder: its questions go to the folder's thread, what follows to the folder."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from syncd.core.replica import Refused
from syncd.node.curator import Curator
from syncd.node.findings import Report
from syncd.node.folder import Folder

FOLLOWS_WITHIN: Final = 10.0  # seconds that an operator waits for the disk to follow a decision

T = TypeVar("T")


async def consult(folder: Folder, question: Callable[[Curator], T]) -> T:
    """What the curator says. Raises Refused, OSError."""
    return await folder.shop.hands.run(question, folder.shop.curator)


async def decide(folder: Folder, path: bytes, decision: Callable[[Curator], Report]) -> bool:
    """Carry out a decision about a path; whether the disk followed it in time. Raises Refused, OSError."""
    held = folder.watching.held or await folder.shop.hands.run(folder.shop.distrust)
    if held:
        raise Refused(held)
    if path:
        folder.take(await consult(folder, lambda curator: curator.look(path)))
    folder.take(await consult(folder, decision))
    try:
        async with asyncio.timeout(FOLLOWS_WITHIN):
            while not await consult(folder, lambda curator: curator.applied(path)):
                await folder.refresh_now()
    except TimeoutError:
        return False
    return True
