"""`syncd check`: the verdict for a monitoring system, as a plugin of Nagios and its kin.

Output and exit codes follow the Monitoring Plugins Development Guidelines: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN; one
line with the verdict and, after a bar, performance data; further lines explain.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, NoReturn

import click

from syncd.cli import advice
from syncd.cli.client import Client, NotRunning
from syncd.cli.options import config_option, configuration, json_option
from syncd.cli.wording import clean, count, span
from syncd.config.errors import OperatorError

OK: Final = 0
WARNING: Final = 1
CRITICAL: Final = 2
UNKNOWN: Final = 3
NAMES: Final = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
PEERS_NAMED: Final = 3  # in the line about all that are away
LAG: Final = 300.0  # seconds that a folder or a peer may be behind before somebody is warned
_NO_FAULT: Final = {"skip", "keep"}  # operations of problems that need nobody

Report = Mapping[str, Any]


class Finding(NamedTuple):
    """Something that is not as it should be. level: WARNING or CRITICAL."""

    level: int
    text: str


class _Plugin(click.Command):
    """Whatever goes wrong, a monitoring system gets one of its four codes."""

    def make_context(self, *arguments: Any, **extra: Any) -> click.Context:
        """As usual, but a wrong command line is UNKNOWN."""
        try:
            return super().make_context(*arguments, **extra)
        except click.UsageError as error:
            _end(UNKNOWN, error.format_message())


@click.command("check", cls=_Plugin)
@config_option
@click.option("--class", "classes", metavar="NAME", multiple=True, help="A class that has to be ready. Repeatable.")
@click.option(
    "--lag", type=click.FloatRange(min=0), default=LAG, metavar="S", help="Seconds behind that are fine; default: 300."
)
@json_option
def command(config: str | None, classes: tuple[str, ...], lag: float, as_json: bool) -> int:
    """Say in one line, and by an exit code of Nagios plugins, whether somebody has to look.

    0: all is well. 1: soon. 2: now, and also if the node does not run. 3: that could not be found out.
    """
    try:
        report = Client(configuration(config)).ask("GET", "/v1/status").checked().body
    except NotRunning as error:
        _end(CRITICAL, error.message, as_json=as_json)
    except OperatorError as error:
        _end(UNKNOWN, str(error), as_json=as_json)
    findings = sorted(examine(report, lag, classes), key=lambda finding: -finding.level)
    level = findings[0].level if findings else OK
    first = findings[0].text if findings else _all_well(report)
    _end(level, first, [finding.text for finding in findings[1:]], figures(report), as_json=as_json)


def examine(report: Report, lag: float, classes: tuple[str, ...] = ()) -> Iterator[Finding]:
    """What is wrong in a status. lag: seconds. classes: those that have to be ready."""
    if trouble := (report.get("audit") or {}).get("problem"):
        yield Finding(WARNING, f"audit log: {clean(trouble)}")
    known = {each["class"] for folder in report["folders"] for each in folder["classes"]}
    for name in classes:
        if name not in known:
            yield Finding(CRITICAL, f"there is no class {clean(name)}")
    for folder in report["folders"]:
        where = clean(folder["dir"])
        yield from (Finding(level, f"{where}: {text}") for level, text in _folder(folder, lag, classes))


def _folder(folder: Report, lag: float, classes: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    state = folder["state"]
    if state in ("held", "error"):
        yield CRITICAL, clean(folder.get("reason")) or f"{state}: {_first_problem(folder) or advice.for_state(state)}"
    elif state in ("waiting", "starting", "scanning"):
        yield WARNING, state
    if (behind := folder.get("behind_seconds") or 0) > lag:
        yield WARNING, f"not in sync for {span(behind)}"
    for each in folder["classes"]:
        if each["class"] in classes and not each.get("ready"):
            yield CRITICAL, f"{clean(each['class'])} is not ready: {clean(each.get('reason'))}"
    yield from _peers(folder["peers"], lag)
    if number := folder["conflicts"]:
        yield WARNING, f"{count(number, 'conflict')}, see syncd conflicts list"
    for alarm in folder.get("alarms", ()):
        yield WARNING, clean(alarm)


def _peers(peers: list[Report], lag: float) -> Iterator[tuple[int, str]]:
    away = [peer for peer in peers if not peer["connected"]]
    if away and len(away) == len(peers):
        reasons = "; ".join(f"{_name(peer)}: {clean(peer.get('reason'))}" for peer in away[:PEERS_NAMED])
        yield CRITICAL, f"no peer is connected: {reasons}"
    else:
        yield from ((WARNING, f"peer {_name(peer)} is not connected: {clean(peer.get('reason'))}") for peer in away)
    for peer in peers:
        if peer["connected"] and (peer.get("lag_seconds") or 0) > lag:
            yield WARNING, f"peer {_name(peer)} is {span(peer['lag_seconds'])} behind"


def _name(peer: Report) -> str:
    return clean(peer["name"]) or clean(peer["address"])


def _first_problem(folder: Report) -> str:
    faults = [problem for problem in folder["problems"] if problem["operation"] not in _NO_FAULT]
    return f"{clean(faults[0]['path'])}: {clean(faults[0]['reason'])}" if faults else ""


def _all_well(report: Report) -> str:
    folders = report["folders"]
    peers = sum(peer["connected"] for folder in folders for peer in folder["peers"])
    return f"{count(len(folders), 'folder')}, {count(peers, 'peer')} connected"


def figures(report: Report) -> dict[str, float]:
    """The numbers that a monitoring system draws, of all folders together. lag: seconds; need_bytes: bytes."""
    folders = report["folders"]
    peers = [peer for folder in folders for peer in folder["peers"] if peer["connected"]]
    lags = [folder.get("behind_seconds") or 0 for folder in folders] + [peer.get("lag_seconds") or 0 for peer in peers]
    return {
        "need_files": sum(folder["need_files"] for folder in folders),
        "need_bytes": sum(folder["need_bytes"] for folder in folders),
        "peers": len(peers),
        "lag": round(max(lags, default=0), 3),
        "conflicts": sum(folder["conflicts"] for folder in folders),
        "problems": sum(folder.get("problem_count", 0) for folder in folders),
        "held": sum(folder["state"] == "held" for folder in folders),
    }


_UNITS: Final = {"need_bytes": "B", "lag": "s"}


def _end(
    level: int,
    text: str,
    more: list[str] | None = None,
    numbers: Mapping[str, float] | None = None,
    *,
    as_json: bool = False,
) -> NoReturn:
    if as_json:
        import json

        document = {"code": level, "verdict": NAMES[level], "text": text, "more": more or [], "figures": numbers or {}}
        click.echo(json.dumps(document, indent=2))
    else:
        data = " ".join(f"{name}={value}{_UNITS.get(name, '')};;;0" for name, value in (numbers or {}).items())
        click.echo(f"SYNCD {NAMES[level]}: {_without_bar(text)}" + (f" | {data}" if data else ""))
        for line in more or []:
            click.echo(_without_bar(line))
    raise SystemExit(level)


def _without_bar(text: str) -> str:
    """A bar would begin the performance data."""
    return clean(text).replace("|", "/")
