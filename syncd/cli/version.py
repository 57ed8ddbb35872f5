"""`syncd version`."""

import click

from syncd import __version__
from syncd.cli.options import config_option, json_option, tell


@click.command("version")
@config_option
@json_option
def command(config: str | None = None, as_json: bool = False) -> None:  # noqa: ARG001 - every verb takes it
    """Print the version."""
    tell(as_json, {"version": __version__}, [f"syncd {__version__}"])
