"""`syncd rescan`: looks at the disk now."""

import os

import click

from syncd.cli.client import Client
from syncd.cli.options import config_option, configuration, json_option, tell


@click.command("rescan")
@config_option
@click.argument("folder", metavar="[DIR]", required=False)
@click.option("--folder", "option", metavar="DIR", help="The same as DIR.")
@json_option
def command(config: str | None, folder: str | None, option: str | None, as_json: bool) -> None:
    """Scan a folder, or all of them, without waiting for the next regular scan."""
    named = folder or option
    query = {} if named is None else {"folder": os.path.abspath(named)}
    answer = Client(configuration(config)).ask("POST", "/v1/rescan", query).checked().body
    tell(as_json, answer, [f"scanning {os.path.abspath(named) if named else 'all folders'}"])
