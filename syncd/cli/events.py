"""`syncd events`: what happens on the node, as it happens."""

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import click

from syncd.cli.client import Client
from syncd.cli.options import config_option, configuration
from syncd.cli.wording import clean, count, size

_SHOWN_APART = {"seq", "time_ns", "event", "folder", "path", "kind", "bytes", "author", "author_id", "peer_id", "count"}


@click.command("events")
@config_option
@click.option("--follow", "-f", is_flag=True, help="Go on with those to come, until it is interrupted.")
@click.option("--since", type=click.IntRange(min=0), metavar="SEQ", help="Only those after this number.")
@click.option("--type", "types", metavar="NAME", multiple=True, help="Only events of this type. Repeatable.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def command(config: str | None, follow: bool, since: int | None, types: tuple[str, ...], as_json: bool) -> None:
    """Show what happened on the node: the latest events that it keeps, or with --follow those to come.

    Who reads too slowly is told how many events were missed. The end of the node ends this, too.
    """
    query = {"follow": "1" if follow else "0", "types": ",".join(types)}
    if since is not None:
        query["since"] = str(since)
    for event in Client(configuration(config)).lines("/v1/events", query):
        click.echo(json.dumps(event) if as_json else sentence(event))


def sentence(event: Mapping[str, Any]) -> str:
    """An event in one line for people."""
    if event["event"] == "missed":
        return f"missed {count(event['count'], 'event')}: they came faster than they were read"
    return " ".join(filter(None, _words(event)))


def _words(event: Mapping[str, Any]) -> Iterator[str]:
    name = event["event"]
    yield time.strftime("%H:%M:%S", time.localtime(event["time_ns"] / 1e9))
    yield clean(event.get("folder"))
    if not _is_said(name, event.get(name)):
        yield clean(name)
    yield clean(event.get("path"))
    if "kind" in event:
        yield size(event["bytes"]) if event["kind"] == "file" else clean(event["kind"])
    if "author" in event:
        yield f"by {clean(event['author']) or clean(event['author_id'])[:8]}"
    fields = sorted(event.items(), key=lambda item: item[0] != name)  # what the event is named for comes first
    yield ", ".join(f"{clean(key)}: {_value(value)}" for key, value in fields if _is_said(key, value))


def _is_said(key: str, value: object) -> bool:
    return key not in _SHOWN_APART and value not in ("", None, [])


def _value(value: object) -> str:
    return ", ".join(map(clean, value)) if isinstance(value, list) else clean(str(value))
