"""`syncd check-config`: everything that would be wrong at the start, without starting."""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from syncd.cli.options import config_option, configuration, json_option, tell

if TYPE_CHECKING:
    from syncd.config import Folder, Settings


@click.command("check-config")
@config_option
@json_option
@click.option("--explain", is_flag=True, help="Show every key, its value, where that comes from, and what it is for.")
@click.argument("file", metavar="[FILE]", required=False)
def command(config: str | None, file: str | None, explain: bool, as_json: bool) -> int:
    """Check a configuration and say what it means."""
    from syncd.config import ConfigError, load

    path = file or configuration(config)
    try:
        loaded = load(path)
    except ConfigError as error:
        if not as_json:
            raise
        tell(True, {"ok": False, "errors": error.lines, "warnings": []}, [])
        return error.code
    lines = summary(loaded.settings)
    answer = {"ok": True, "errors": [], "warnings": loaded.warnings, "summary": lines}
    if explain:
        values = _explained(path)
        answer["values"] = values
        lines += [f"{each['name']} = {each['text']}  [{each['origin']}] {each['meaning']}" for each in values]
    tell(as_json, answer, ["ok", *lines])
    if not as_json:
        for warning in loaded.warnings:
            click.echo(f"warning: {warning}", err=True)
    return 0


def _explained(path: str) -> list[dict[str, str]]:
    import os

    from syncd.config.effective import effective_values

    return [value._asdict() for value in effective_values(path, os.environ)]


def summary(settings: "Settings") -> list[str]:
    """The settings in a few lines, without any secret."""
    address = settings.listening_address or "all addresses"
    lines = [
        f"node {settings.device_name}: port {settings.listening_port} on {address}, state in {settings.storage_path}",
    ]
    if settings.http:
        lines.append(f"http on {settings.http}{', with the status page' if settings.status_page else ''}")
    if settings.agent_check:
        lines.append(f"agent check of HAProxy on {settings.agent_check}")
    if settings.haproxy:
        lines.append(f"fills {settings.haproxy.backend}/{settings.haproxy.slots}* through {settings.haproxy.socket}")
    if settings.webhook:
        host, events = urlsplit(settings.webhook.url).hostname, ", ".join(settings.webhook.events)
        lines.append(f"webhook: {host} is told of {events}")
    for folder in settings.folders:
        lines.extend(_folder(folder))
    return lines


def _folder(folder: "Folder") -> list[str]:
    from syncd.core.priority import Priority

    tier = folder.keys.tier.name.lower().replace("_", "-")
    classes = Priority(folder.priority).classes
    ready = folder.ready.classes or [each.name for each in classes]
    copies = []
    if folder.conflict_copies == "beside":
        where = "none, since the secret is read-only" if tier == "read-only" else "in the tree, beside the winners"
        copies = [f"  conflict copies: {where}"]
    return [
        f"folder {folder.dir}: {tier}, fingerprint {folder.keys.fingerprint}",
        f"  peers: {', '.join(map(str, folder.known_hosts)) or 'none, others must know this node'}",
        f"  classes: {', '.join(f'{each.name} ({each.order})' for each in classes)}",
        f"  ready when complete: {', '.join(ready)}",
        *copies,
    ]
