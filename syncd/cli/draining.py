"""`syncd drain` and `syncd undrain`: whether the node wants new traffic. It goes on syncing in any case."""

import click

from syncd.cli.client import Client
from syncd.cli.options import config_option, configuration, json_option, tell
from syncd.cli.wording import clean, count


@click.command("drain")
@config_option
@json_option
def drain(config: str | None, as_json: bool) -> None:
    """Send new visitors elsewhere: before maintenance.

    The agent check answers `drain`, /readyz 503, and peers are told. It lasts until `syncd undrain`, or until the node
    ends.
    """
    done = Client(configuration(config)).ask("POST", "/v1/drain").checked().body
    told = f"{count(int(done['peers']), 'peer')} told, the balancer hears of it with its next check"
    tell(as_json, done, [f"draining: {told}" if done["changed"] else "draining already"])


@click.command("undrain")
@config_option
@json_option
def undrain(config: str | None, as_json: bool) -> None:
    """Let visitors come again, as soon as the node is ready."""
    done = Client(configuration(config)).ask("POST", "/v1/undrain").checked().body
    tell(as_json, done, ["no longer draining" if done["changed"] else "was not draining"])
    if not as_json and not done["ready"]:
        click.echo(f"syncd: not ready: {clean(done['reason'])}", err=True)
