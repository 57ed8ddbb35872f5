"""A status on a terminal: once, or live until it is interrupted."""

from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from syncd.cli import status_text
from syncd.cli.progress import Progress
from syncd.cli.wording import clean, size, span

INTERVAL = 1.0  # seconds between two statuses
BAR_WIDTH = 24  # columns

_STATE_STYLES = {"in-sync": "green", "syncing": "cyan", "scanning": "cyan", "starting": "cyan"}
_STATE_STYLES |= {"waiting": "yellow", "held": "bold yellow", "error": "bold red"}

Report = Mapping[str, Any]


def show(report: Report, console: Console) -> None:
    """One status."""
    console.print(view(report, Progress()))


def watch(
    fetch: Callable[[], Report], console: Console, clock: Callable[[], float], pause: Callable[[float], None]
) -> None:
    """Statuses again and again, until KeyboardInterrupt or an OperatorError of `fetch`."""
    progress = Progress()
    report = fetch()
    with Live(console=console, auto_refresh=False) as live:
        try:
            while True:
                progress.see(report, clock())
                live.update(view(report, progress), refresh=True)
                pause(INTERVAL)
                report = fetch()
        except KeyboardInterrupt:
            return


def view(report: Report, progress: Progress) -> RenderableType:
    """The status as something that rich can print."""
    parts: list[RenderableType] = [Text(status_text.node_line(report["node"]), style="bold")]
    trouble = (*status_text.audit_lines(report), *status_text.webhook_lines(report))
    parts.extend(Text(line, style="yellow") for line in trouble)
    parts.append(Text(status_text.admission_line(report["node"])))
    parts.extend(Text(line) for line in status_text.balancer_lines(report["node"]))
    parts.extend(_folder(folder, progress) for folder in report["folders"])
    return Group(*parts)


def _folder(folder: Report, progress: Progress) -> Panel:
    state = clean(folder["state"])
    style = _STATE_STYLES.get(state, "")
    head = Text.assemble((state, style), f"  {status_text.contents_line(folder)}{_pace(folder, progress)}")
    parts: list[RenderableType] = [head]
    parts.extend(Text(line, style="yellow") for line in status_text.state_lines(folder))
    if folder["classes"]:
        parts.append(_classes(folder, progress))
    if folder["peers"]:
        parts.append(_peers(folder))
    if conflicts := status_text.conflicts_line(folder):
        parts.append(Text(conflicts, style="yellow"))
    lines = status_text.problem_lines(folder)
    parts.extend(Text(line, style="yellow" if line.startswith("->") else "red") for line in lines)
    parts.extend(Text(f"alarm: {clean(alarm)}", style="bold red") for alarm in folder.get("alarms", ()))
    return Panel(Group(*parts), title=Text(clean(folder["dir"])), title_align="left", border_style=style or "none")


def _pace(folder: Report, progress: Progress) -> str:
    speed, left = progress.speed(folder), progress.left(folder)
    if not folder["need_bytes"] or speed is None or left is None:
        return ""
    return f" ({size(speed)}/s, {span(left)} left)"


def _classes(folder: Report, progress: Progress) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for each in folder["classes"]:
        bar = ProgressBar(total=1.0, completed=progress.share(folder, each), width=BAR_WIDTH)
        style = "green" if each["complete"] else ""
        table.add_row(Text(clean(each["class"])), bar, Text(status_text.class_state(each), style=style))
    return table


def _peers(folder: Report) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for peer in folder["peers"]:
        style = "red" if not peer["connected"] else "green" if peer["in_sync"] else "cyan"
        state = Text(status_text.peer_state(peer), style=style)
        table.add_row(Text(f"peer {clean(peer['name']) or '?'}"), Text(clean(peer["address"])), state)
    return table
