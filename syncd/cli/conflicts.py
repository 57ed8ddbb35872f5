"""`syncd conflicts`: which versions lost, and what shall become of them."""

import os
from collections.abc import Iterator
from typing import Any

import click

from syncd.cli.client import Client
from syncd.cli.handout import copy_out, decide, folder_query, moment
from syncd.cli.options import config_option, configuration, json_option, tell
from syncd.cli.wording import clean, size

_folder_option = click.option("--folder", metavar="DIR", help="The folder, if the node has several.")


@click.group("conflicts")
def command() -> None:
    """Versions that lost a conflict: list them, put one back, or dismiss them.

    PATH is as in the list, or a whole path of this machine.
    """


@command.command("list")
@config_option
@_folder_option
@json_option
def list_command(config: str | None, folder: str | None, as_json: bool) -> None:
    """Show every path with versions that lost."""
    answer = Client(configuration(config)).ask("GET", "/v1/conflicts", folder_query(folder), timeout=60).checked().body
    tell(as_json, answer, _lines(answer["conflicts"]))


def _lines(conflicts: list[dict[str, Any]]) -> Iterator[str]:
    for conflict in conflicts:
        yield f"{clean(conflict['path'])}: {_shown(conflict['shown'])}"
        yield from (f"  {version['version']}: {_version(version)}" for version in conflict["versions"])
    if not conflicts:
        yield "no conflicts"


@command.command("restore")
@config_option
@_folder_option
@click.option("--to", "target", metavar="FILE", help="Copy the bytes to a new file and leave the folder as it is.")
@json_option
@click.argument("path")
@click.argument("version", type=click.IntRange(1), default=1)
def restore_command(
    config: str | None, folder: str | None, target: str | None, as_json: bool, path: str, version: int
) -> None:
    """Put version VERSION (1, if it is not said) back to PATH, on every node. What is there goes to the archive."""
    client = Client(configuration(config))
    query = {**folder_query(folder), "path": os.fsencode(path).hex(), "version": str(version)}
    if target is not None:
        copy_out(client, "/v1/conflicts/content", query, target, as_json)
    else:
        decide(client, "/v1/conflicts/restore", query, "restored", as_json)


@command.command("dismiss")
@config_option
@_folder_option
@json_option
@click.argument("path")
def dismiss_command(config: str | None, folder: str | None, as_json: bool, path: str) -> None:
    """Settle the conflict at PATH in favour of what is there, on every node."""
    query = {**folder_query(folder), "path": os.fsencode(path).hex()}
    decide(Client(configuration(config)), "/v1/conflicts/dismiss", query, "dismissed", as_json)


def _shown(entry: dict[str, Any] | None) -> str:
    if entry is None:
        return "deleted"
    return f"{entry['kind']} of {size(entry['size'])}" if entry["kind"] == "file" else str(entry["kind"])


def _version(version: dict[str, Any]) -> str:
    what = {"file": size(version["size"]), "link": f"link to {clean(version['target'])}"}
    author = clean(version["author"]) or f"node {version['node'][:8] or '?'}"
    parts = [what.get(version["kind"], str(version["kind"])), f"by {author}", moment(version["written_ns"])]
    if not version["here"]:
        parts.append("its bytes are not here yet")
    if version.get("copy"):
        parts.append(f"copy: {clean(version['copy'])}")
    return ", ".join(parts)
