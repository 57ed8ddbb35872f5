"""`syncd archive`: what was displaced or deleted, and how to get it back."""

import os
import re
from collections.abc import Iterator
from typing import Any

import click

from syncd.cli.client import Client
from syncd.cli.handout import copy_out, decide, folder_query, moment
from syncd.cli.options import config_option, configuration, json_option, tell
from syncd.cli.wording import clean, size

_ID = re.compile(r"[0-9a-f]{32}")

_folder_option = click.option("--folder", metavar="DIR", help="The folder, if the node has several.")


@click.group("archive")
def command() -> None:
    """What was displaced from the folder or deleted: list it, or get it back.

    PATH is as in the list, or a whole path of this machine.
    """


@command.command("list")
@config_option
@_folder_option
@json_option
@click.argument("path", required=False)
def list_command(config: str | None, folder: str | None, as_json: bool, path: str | None) -> None:
    """Show what was at PATH or below it, or everywhere, the latest first."""
    query = folder_query(folder)
    if path is not None:
        query["path"] = os.fsencode(path).hex()
    answer = Client(configuration(config)).ask("GET", "/v1/archive", query, timeout=60).checked().body
    tell(as_json, answer, _lines(answer["items"], path))


def _lines(items: list[dict[str, Any]], path: str | None) -> Iterator[str]:
    for item in items:
        what = size(item["size"]) if item["kind"] == "file" else item["kind"]
        where = clean(item["path"]) or "(not known where it was)"
        yield f"{clean(item['id'])}  {moment(item['archived_ns'])}  {what:>8}  {where}  {clean(item['reason'])}"
    if not items:
        yield "nothing is in the archive" + ("" if path is None else f" of what was at {clean(path)}")


@command.command("restore")
@config_option
@_folder_option
@click.option("--to", "target", metavar="FILE", help="Copy the bytes to a new file and leave the folder as it is.")
@json_option
@click.argument("item", metavar="ID|PATH")
def restore_command(config: str | None, folder: str | None, target: str | None, as_json: bool, item: str) -> None:
    """Put an item back to where it was, on every node: ID, or the latest one of PATH.

    What is there by now goes to the archive.
    """
    client = Client(configuration(config))
    name = "id" if _ID.fullmatch(item) else "path"
    query = {**folder_query(folder), name: os.fsencode(item).hex()}
    if target is not None:
        copy_out(client, "/v1/archive/content", query, target, as_json)
        return
    decide(client, "/v1/archive/restore", query, "restored", as_json)
