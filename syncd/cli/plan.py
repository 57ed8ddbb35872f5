"""`syncd plan`: what would happen if this node joined now."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from syncd.cli.choice import asked_hosts, chosen_folders
from syncd.cli.client import Client, NotRunning
from syncd.cli.options import config_option, configuration, json_option, tell
from syncd.cli.wording import clean, count, size
from syncd.config.errors import OperatorError

if TYPE_CHECKING:
    from syncd.config import Folder, Settings

SHOWN = 10  # paths of a kind
_KINDS = {
    "replaced": "replaced here; what is here goes to the archive",
    "removed": "removed here, to the archive",
    "lost": "of what is here would lose a conflict, and be kept in the archives",
    "published": "published to the peers",
    "deleted": "deleted on the peers, because it is gone here",
}


@click.command("plan")
@config_option
@click.option("--folder", metavar="DIR", help="The folder; default: all.")
@click.option("--peer", metavar="HOST:PORT", help="Whom to ask, instead of the known hosts.")
@json_option
def command(config: str | None, folder: str | None, peer: str | None, as_json: bool) -> None:
    """Tell what would be fetched, replaced, deleted and held if this node joined its peers now.

    Nothing is changed: one peer is asked for its list of files, and the folder is read. For a node that is not running.
    """
    from syncd.config import load

    path = configuration(config)
    settings = load(path).settings
    folders = chosen_folders(settings, path, folder)
    _refuse_running(path)
    documents = [_planned(settings, each, peer) for each in folders]
    tell(as_json, {"folders": documents}, (line for each in documents for line in _lines(each)))


def _refuse_running(path: str) -> None:
    try:
        Client(path).ask("GET", "/livez")
    except NotRunning:
        return
    raise OperatorError("the node runs, and has joined: `syncd need` lists what is to come", os.EX_USAGE)


def _planned(settings: "Settings", folder: "Folder", peer: str | None) -> dict[str, Any]:
    import asyncio
    import logging

    import structlog

    from protocol.errors import ProtocolError
    from syncd.net.session import SessionEnded
    from syncd.node.planning import plan_folder
    from syncd.node.visit import NobodyThere
    from syncd.store.index import IndexFailed
    from syncd.store.root import RootError

    hosts = asked_hosts(folder, peer, "--peer")
    # What the judgement has to say of its own is in the plan.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        return asyncio.run(plan_folder(settings, folder, hosts))
    except NobodyThere as error:
        raise OperatorError(f"{folder.dir}: no peer can be asked: {error}", os.EX_UNAVAILABLE) from None
    except (SessionEnded, ProtocolError) as error:
        raise OperatorError(f"{folder.dir}: the peer ended it: {error}", os.EX_UNAVAILABLE) from None
    except (RootError, IndexFailed) as error:
        raise OperatorError(str(error), os.EX_CONFIG) from None
    except OSError as error:
        code = os.EX_NOPERM if isinstance(error, PermissionError) else os.EX_IOERR
        raise OperatorError(f"{error.filename or folder.dir}: {error.strerror or error}", code) from None


def _lines(plan: dict[str, Any]) -> Iterator[str]:
    yield f"folder {clean(plan['dir'])}: as {clean(plan['peer']) or '?'} ({clean(plan['address'])}) has it"
    if plan["fresh"]:
        yield "  this node is new here: it deletes nothing elsewhere, and what it brings loses against what was edited"
    if plan["fresh"] and not plan["settled"]:
        yield "  that peer is new, too: nothing is decided before one of the two has published what it has"
    if not any(each["files"] for each in plan["fetched"]):
        yield "  nothing to fetch"
    for each in plan["fetched"]:
        if each["files"]:
            yield f"  class {clean(each['class'])}: {_sum(each)} fetched"
    for kind, meaning in _KINDS.items():
        if plan[kind]["files"]:
            yield f"  {count(plan[kind]['files'], 'file')} {meaning}"
            yield from _paths(plan[kind])
    if plan["conflicts"]:
        yield f"  {count(plan['conflicts'], 'version')} of files lost a conflict then, here and there together"
    if plan["held"]:
        yield f"  held, until `syncd approve` or `syncd reject`: {clean(plan['held'])}"
    for problem in plan["problems"][:SHOWN]:
        yield f"  problem: {clean(problem['path'])}: {clean(problem['operation'])}: {clean(problem['reason'])}"
    if (more := len(plan["problems"]) - SHOWN) > 0:
        yield f"  and {count(more, 'problem')} more: --json lists them"


def _sum(each: dict[str, Any]) -> str:
    return f"{count(each['files'], 'file')}, {size(each['bytes'])}"


def _paths(each: dict[str, Any]) -> Iterator[str]:
    yield from (f"    {clean(path)}" for path in each["paths"][:SHOWN])
    if (more := each["files"] - SHOWN) > 0:
        yield f"    and {count(more, 'file')} more: --json lists the first thousand"
