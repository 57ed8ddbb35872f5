"""The operator's word on what is held: `syncd approve` and `syncd reject`."""

from collections.abc import Sequence
from typing import Any

from syncd.node.folder import Folder


class Refused(Exception):
    """There is nothing to decide, or it is not clear what. status: of HTTP. The message is for the operator."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


async def decide(folders: Sequence[Folder], meant: bool) -> dict[str, Any]:
    """Publish what is held in a folder, or restore what was there; what was done. folders: those that may be meant.

    Returns when it is decided: files that peers have come later. Raises Refused.
    """
    for folder in folders:
        await folder.watching.judged()
        await folder.refresh_now()
    held = [folder for folder in folders if folder.standing.held]
    names = ", ".join(folder.settings.dir for folder in held or folders)
    if not held:
        raise Refused(f"nothing is held in {names}", 409)
    if len(held) > 1:
        raise Refused(f"several folders are held, name one of them: {names}", 400)
    folder = held[0]
    if folder.standing.distrusted is not None:
        return await _decide_tree(folder, meant)
    paths = folder.standing.facts.held.paths
    await folder.watching.decide(meant)
    folder.fetcher.trouble.hurry()  # what is held is not replaced
    await folder.refresh_now()
    return {"dir": folder.settings.dir, "paths": paths, "peers": len(folder.peers.all())}


async def _decide_tree(folder: Folder, meant: bool) -> dict[str, Any]:
    where = folder.settings.dir
    try:
        await folder.take_tree(meant)
    except OSError as error:
        raise Refused(f"{where}: {error.strerror}; put the folder back, or make a directory there", 409) from None
    return {"dir": where, "paths": None, "peers": len(folder.peers.all())}
