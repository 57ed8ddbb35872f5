"""`syncd bench`: how far away a peer is, and how fast."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from syncd.cli.choice import asked_hosts, chosen_folders
from syncd.cli.client import Client, NotRunning
from syncd.cli.options import config_option, configuration, json_option, tell
from syncd.cli.wording import clean, size
from syncd.config.errors import OperatorError

if TYPE_CHECKING:
    from syncd.config import Folder, Settings

LONGEST = 300.0  # seconds


@click.command("bench")
@config_option
@click.option("--folder", metavar="DIR", help="The folder whose contents are asked for; default: the first one.")
@click.option(
    "--seconds", type=click.FloatRange(0.1, LONGEST), default=5.0, metavar="N", help="For so long; default: 5."
)
@json_option
@click.argument("peer", metavar="[PEER]", required=False)
def command(config: str | None, folder: str | None, seconds: float, as_json: bool, peer: str | None) -> None:
    """Measure the round trip to PEER (host:port, or the first known host) and the rate at which contents come.

    It is a session of its own, encrypted as others are, beside that of the node. What comes is hashed and forgotten.
    The peer reads its disk for it, and its upload_limit holds.
    """
    from syncd.config import load

    path = configuration(config)
    settings = load(path).settings
    folders = chosen_folders(settings, path, folder)
    document = _measured(settings, folders[0], peer, seconds, _own_id(path))
    tell(as_json, document, _lines(document))


def _own_id(path: str) -> bytes:
    """Of the node here, if it runs: it is one of its own known hosts, as a rule."""
    try:
        return bytes.fromhex(Client(path).ask("GET", "/v1/status").checked().body["node"]["id"])
    except NotRunning:
        return b""


def _measured(settings: "Settings", folder: "Folder", peer: str | None, seconds: float, own: bytes) -> dict[str, Any]:
    import asyncio

    from protocol.errors import ProtocolError
    from syncd import __version__
    from syncd.core.networks import Allowed
    from syncd.net.session import SessionEnded
    from syncd.node.bench import NothingThere, measure
    from syncd.node.visit import NobodyThere, Visitor

    hosts = asked_hosts(folder, peer)

    async def run() -> dict[str, Any]:
        allowed = Allowed(settings.allow_networks)
        visitor = Visitor(folder.keys, allowed, f"bench of {settings.device_name}", f"syncd {__version__}")
        async with visitor.visit(hosts, own) as visit:
            return await measure(visit, folder.keys, seconds)

    try:
        return {"dir": folder.dir, **asyncio.run(run())}
    except NobodyThere as error:
        raise OperatorError(f"no peer answers: {error}", os.EX_UNAVAILABLE) from None
    except NothingThere:
        raise OperatorError("the peer has no files to measure with", os.EX_UNAVAILABLE) from None
    except TimeoutError:
        raise OperatorError("the peer stopped answering", os.EX_TEMPFAIL) from None
    except (SessionEnded, ProtocolError) as error:
        raise OperatorError(f"the peer ended it: {error}", os.EX_UNAVAILABLE) from None


def _lines(found: dict[str, Any]) -> Iterator[str]:
    trip = {name: f"{seconds * 1000:.2f} ms" for name, seconds in found["round_trip_seconds"].items()}
    yield f"{clean(found['peer']) or '?'} ({clean(found['address'])}), folder {clean(found['dir'])}"
    yield f"  round trip: {trip['median']} (least {trip['least']}, most {trip['most']})"
    many = f"{size(found['bytes'])} in {found['seconds']:.1f} s, of {size(found['different_bytes'])} that differ"
    yield f"  contents: {size(found['bytes_per_second'])}/s ({many})"
