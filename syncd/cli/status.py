"""`syncd status`: how the node is doing."""

import os
import sys
from collections.abc import Callable
from typing import Any

import click

from syncd.cli.client import Client
from syncd.cli.options import config_option, configuration, json_option, tell


@click.command("status")
@config_option
@json_option
@click.option("--once", is_flag=True, help="Do not go on watching on a terminal.")
def command(config: str | None, as_json: bool, once: bool) -> None:
    """Show folders, classes, peers and problems: live on a terminal, once elsewhere."""
    client = Client(configuration(config))

    def fetch() -> dict[str, Any]:
        return client.ask("GET", "/v1/status").checked().body

    if as_json:
        tell(True, fetch(), [])
    elif _on_terminal():
        _on_screen(fetch, once)
    else:
        from syncd.cli.status_text import render

        click.echo(render(fetch()))


def _on_terminal() -> bool:
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _on_screen(fetch: Callable[[], dict[str, Any]], once: bool) -> None:
    import time

    from rich.console import Console

    from syncd.cli import status_live

    console = Console()
    if once:
        status_live.show(fetch(), console)
    else:
        status_live.watch(fetch, console, time.monotonic, time.sleep)
