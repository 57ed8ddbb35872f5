"""`syncd prioritize`: what is wanted before all else, for once."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import click

from syncd.cli.client import Client
from syncd.cli.options import config_option, configuration, json_option, tell
from syncd.cli.wording import clean, count, size


@click.command("prioritize")
@config_option
@click.option("--folder", metavar="DIR", help="The folder, if the node has several.")
@click.option("--clear", is_flag=True, help="Go back to the usual order.")
@json_option
@click.argument("patterns", metavar="PATTERN...", nargs=-1)
def command(config: str | None, folder: str | None, clear: bool, as_json: bool, patterns: tuple[str, ...]) -> None:
    """Let what is missing and matches come before all else, until it is there.

    PATTERN is as in `priority` (.gitignore style, from the folder's top), or a whole path of this machine. It takes the
    place of what was prioritized before, takes effect at once, and is forgotten when the node ends.
    """
    if clear == bool(patterns):
        raise click.UsageError("give patterns, or --clear")
    query = [("pattern", pattern) for pattern in patterns]
    if folder is not None:
        query.append(("folder", os.path.abspath(folder)))
    answer = Client(configuration(config)).ask("POST", "/v1/prioritize", query, timeout=60).checked().body
    tell(as_json, answer, _lines(answer))


def _lines(answer: Mapping[str, Any]) -> Iterator[str]:
    where = clean(answer["dir"])
    if not answer["patterns"]:
        yield f"{where}: in the usual order"
    elif not answer["paths"] and not answer["more"]:
        more = "; a peer is still telling what there is: try again in a moment" if answer.get("listing") else ""
        yield f"{where}: nothing that is missing matches, so nothing changes{more}"
    else:
        least = "at least " if answer["more"] else ""
        yield f"{where}: {least}{count(answer['paths'], 'path')}, {size(answer['size'])}, before all else"
