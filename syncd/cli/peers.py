"""`syncd peers`: where peers are, where each address is known from, and why nobody is connected."""

import json
from collections.abc import Iterator
from typing import Any

import click

from syncd.cli.client import Client
from syncd.cli.options import config_option, configuration, json_option
from syncd.cli.wording import clean


@click.command("peers")
@config_option
@json_option
def command(config: str | None, as_json: bool) -> None:
    """List the addresses of peers: connected or not, where each is known from, the last error, the next try."""
    answer = Client(configuration(config)).ask("GET", "/v1/peers").checked().body
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    for folder in answer["folders"]:
        click.echo(f"{clean(folder['dir'])}:")
        for line in table(folder["peers"]):
            click.echo(f"  {line}")


def table(peers: list[dict[str, Any]]) -> Iterator[str]:
    """The rows as lines, with columns of one width."""
    if not peers:
        yield "nobody; give an address in known_hosts, or let others know this node"
        return
    rows = [(clean(peer["address"]), _who(peer), _from(peer), _state(peer)) for peer in peers]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        yield "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3]]).rstrip()


def _who(peer: dict[str, Any]) -> str:
    return clean(peer["name"]) or (peer["id"][:8] if peer["id"] else "-")


def _from(peer: dict[str, Any]) -> str:
    return clean(peer["known_from"])


def _state(peer: dict[str, Any]) -> str:
    if peer["state"] == "connected":
        return "connected"
    said = f"{peer['state']}: {clean(peer['reason'])}" if peer["reason"] else str(peer["state"])
    wait = peer["next_try_seconds"]
    return said if wait is None else f"{said}; next try in {wait:.0f} s"
