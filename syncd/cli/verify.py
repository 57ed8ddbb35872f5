"""`syncd verify`: whether the disk still holds what was written to it."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import click

from syncd.cli.client import Client
from syncd.cli.options import config_option, configuration, json_option, tell
from syncd.cli.wording import clean, count, size
from syncd.config.errors import OperatorError

STEP: Final = 0.5  # seconds between two looks
_CLEAR: Final = "\r\x1b[K"


@click.command("verify")
@config_option
@click.option("--folder", metavar="DIR", help="The folder, if the node has several.")
@click.option("--heal", is_flag=True, help="Fetch also what cannot be told from damage with certainty.")
@click.option("--background", is_flag=True, help="Do not wait for the end; `syncd status` and the log tell of it.")
@click.option("--stop", "end", is_flag=True, help="End one that runs.")
@json_option
@click.argument("path", required=False)
def command(
    config: str | None, folder: str | None, heal: bool, background: bool, end: bool, as_json: bool, path: str | None
) -> int:
    """Read all contents once more, or those at PATH, and fetch again from peers what decayed on the disk.

    A file counts as damaged if its bytes differ though its inode, size and times are as they were, and nobody has it
    open; an edit never does. What was found goes to the archive. It takes half a core at most. The exit code is 65 if
    something was found.
    """
    client = Client(configuration(config))
    query = {} if folder is None else {"folder": os.path.abspath(folder)}
    if end:
        tell(as_json, client.ask("DELETE", "/v1/verify", query).checked().body, ["stopped"])
        return 0
    wanted = {**query, "heal": "1" if heal else "0"}
    if path is not None:
        wanted["path"] = os.fsencode(path).hex()
    report = client.ask("POST", "/v1/verify", wanted, timeout=60).checked().body
    if background:
        tell(as_json, report, [f"verifying {clean(report['dir'])}"])
        return 0
    report = _wait(client, query, report)
    tell(as_json, report, _lines(report))
    if report["failure"]:
        raise OperatorError(f"not verified to the end: {clean(report['failure'])}", os.EX_IOERR)
    return os.EX_DATAERR if report["damaged"] or report["unsure"] or report["unreadable"] else 0


def _wait(client: Client, query: Mapping[str, str], report: dict[str, Any]) -> dict[str, Any]:
    """The report at the end. Whoever interrupts this ends it in the node, too."""
    shown = sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    try:
        while report["active"]:
            if shown:
                click.echo(_CLEAR + _progress(report), err=True, nl=False)
            time.sleep(STEP)
            report = client.ask("GET", "/v1/verify", query).checked().body
    except KeyboardInterrupt:
        client.ask("DELETE", "/v1/verify", query)
        raise
    finally:
        if shown:
            click.echo(_CLEAR, err=True, nl=False)
    return report


def _progress(report: Mapping[str, Any]) -> str:
    share = f"{size(report['bytes'])} of {size(report['total_bytes'])}"
    return f"{count(report['files'], 'file')}, {share}, {report['damaged']} damaged"


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    for item in report["found"]:
        yield f"{clean(item['path'])}: {clean(item['verdict'])}: {clean(item['reason'])}; {clean(item['fate'])}"
    found = report["damaged"] + report["unsure"] + report["unreadable"]
    if more := found - len(report["found"]):
        yield f"and {more} more, see the log"
    head = "stopped after" if report["stopped"] else "verified"
    yield f"{head} {count(report['files'], 'file')}, {size(report['bytes'])}: {_verdict(report, found)}"
    if report["unsure"]:
        yield "-> unsure: `touch` what you wrote yourself; `syncd verify --heal PATH` fetches the others again"
    if report["unreadable"]:
        yield "-> unreadable: look at the kernel's log and the modes of the file"


def _verdict(report: Mapping[str, Any], found: int) -> str:
    if not found:
        return "all as they were written"
    names = ("damaged", "unsure", "unreadable")
    return ", ".join(f"{report[name]} {name}" for name in names if report[name])
