"""`syncd wait`: blocks until classes are ready."""

import os
import time
from collections.abc import Callable

import click

from syncd.cli.client import Client, NotRunning
from syncd.cli.options import config_option, configuration, json_option, tell
from syncd.config.errors import OperatorError

LONG_POLL = 60.0  # seconds of one request: a node that died silently is noticed
RETRY = 0.2  # seconds between tries while no node is there to wait for us


@click.command("wait")
@config_option
@click.option("--class", "classes", metavar="NAME", multiple=True, help="Class to wait for; default: those of `ready`.")
@click.option("--folder", metavar="DIR", help="The folder; default: all.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="S", help="Seconds to wait; default: for ever.")
@json_option
def command(
    config: str | None, classes: tuple[str, ...], folder: str | None, timeout: float | None, as_json: bool
) -> None:
    """Wait until classes are ready. The exit code is 0 when they are, 75 after the timeout.

    The node need not be running yet.
    """
    client = Client(configuration(config))
    query, deadline = of_folder(folder), None if timeout is None else time.monotonic() + timeout
    for name in classes or (None,):
        wanted = query if name is None else {"class": name, **query}
        wait_for(client, wanted, deadline, time.monotonic, time.sleep)
    tell(as_json, {"ready": True, "classes": list(classes)}, ["ready"])


def wait_for(
    client: Client,
    query: dict[str, str],
    deadline: float | None,
    clock: Callable[[], float],
    pause: Callable[[float], None],
) -> None:
    """Return when what `query` names is ready. Raises OperatorError, with EX_TEMPFAIL at the deadline (of `clock`)."""
    reason = "the node was not asked"
    announced = False
    first = True
    while True:
        left = LONG_POLL if deadline is None else deadline - clock()
        if left <= 0 and not first:
            raise OperatorError(f"not ready in time: {reason}", os.EX_TEMPFAIL)
        first = False
        span = max(0.0, min(left, LONG_POLL))
        try:
            lacking = ask(client, query, span)
        except NotRunning as error:
            reason = error.message
            if not announced:
                click.echo("syncd: no node is running yet, waiting for one", err=True)
                announced = True
        else:
            if lacking is None:
                return
            reason = lacking
        pause(max(0.0, min(RETRY, left)))


def of_folder(folder: str | None) -> dict[str, str]:
    """The part of a query that names a folder; None is all of them."""
    return {} if folder is None else {"folder": os.path.abspath(folder)}


def ask(client: Client, query: dict[str, str], span: float) -> str | None:
    """Let the node wait for `span` seconds: why it is not ready, or None if it is. Raises OperatorError, NotRunning."""
    answer = client.ask("GET", "/v1/wait", {**query, "timeout": f"{span:.3f}"}, span)
    if answer.status not in (503, 504):
        answer.checked()
        return None
    return str(answer.body.get("reason") or "the node gave no reason")
