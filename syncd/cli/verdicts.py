"""`syncd approve` and `syncd reject`: the operator's word on what is held."""

import os

import click

from syncd.cli.client import Client
from syncd.cli.options import config_option, configuration, json_option, tell
from syncd.cli.wording import clean, count

PATIENCE = 600.0  # seconds: a million paths are decided one by one


def _decide(verb: str, done: str, config: str | None, folder: str | None, as_json: bool) -> int:
    """How many peers heard of it."""
    query = {} if folder is None else {"folder": os.path.abspath(folder)}
    answer = Client(configuration(config)).ask("POST", f"/v1/{verb}", query, timeout=PATIENCE).checked().body
    where = clean(answer["dir"])
    paths = answer["paths"]  # None: the whole tree was in question
    what = f"{where} as it is now" if paths is None else f"{count(int(paths), 'change')} in {where}"
    tell(as_json, answer, [f"{done}: {what}"])
    return int(answer["peers"])


@click.command("approve")
@config_option
@json_option
@click.argument("folder", metavar="[DIR]", required=False)
def approve(config: str | None, folder: str | None, as_json: bool) -> None:
    """Publish what is held: it was meant. DIR is needed if several folders are held."""
    if not _decide("approve", "approved", config, folder, as_json):
        click.echo("syncd: no peer is connected: peers hear of it when they connect", err=True)


@click.command("reject")
@config_option
@json_option
@click.argument("folder", metavar="[DIR]", required=False)
def reject(config: str | None, folder: str | None, as_json: bool) -> None:
    """Undo what is held: the files come back from the archive and from peers. DIR is needed if several are held."""
    if not _decide("reject", "rejected", config, folder, as_json):
        click.echo("syncd: no peer is connected: what the archive lacks comes when one connects", err=True)
