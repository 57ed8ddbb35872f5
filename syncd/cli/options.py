"""The options that every verb has, and the two ways in which one answers."""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import click

from syncd.config.location import find_config

_F = TypeVar("_F", bound=Callable[..., object])


def config_option(function: _F) -> _F:
    """Adds --config FILE."""
    help_text = "The configuration. Default: $SYNCD_CONFIG, then ./sync.json, then /etc/syncd/sync.json."
    return click.option("--config", metavar="FILE", type=click.Path(readable=False), help=help_text)(function)


def json_option(function: _F) -> _F:
    """Adds --json."""
    return click.option("--json", "as_json", is_flag=True, help="Everything, as one JSON object.")(function)


def explicit_config(given: str | None) -> str | None:
    """What --config was set to, on the verb or before it."""
    named = given or click.get_current_context().find_root().params.get("config")
    return str(named) if named else None


def configuration(given: str | None) -> str:
    """The configuration file that is meant. Raises ConfigError if there is none."""
    return find_config(explicit_config(given), os.environ)


def tell(as_json: bool, document: Mapping[str, Any], lines: Iterable[str]) -> None:
    """Answer with the document for programs, else with the lines for people."""
    if as_json:
        import json

        click.echo(json.dumps(document, indent=2))
        return
    for line in lines:
        click.echo(line)
