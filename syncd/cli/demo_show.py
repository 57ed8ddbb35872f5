"""How the demo shows a node filling: bars per class on a terminal, plain lines elsewhere."""

import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import click
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from syncd.cli.progress import Progress
from syncd.cli.wording import need, size

BAR_WIDTH: Final = 32  # columns
PICTURE: Final = 0.05  # seconds between two pictures of the bars
LINE: Final = 0.5  # seconds between two plain lines

Report = Mapping[str, Any]
Marks = Mapping[str, float]  # class: seconds at which it was ready


class Display(Protocol):
    """Shows a status of the filling node again and again. `passed`: seconds since it was started."""

    def show(self, report: Report, passed: float, marks: Marks) -> None:
        """One status."""


class Bars:
    """Bars on a terminal. A class's bar is the part of what it was found to need that has come."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._progress = Progress()

    def show(self, report: Report, passed: float, marks: Marks) -> None:
        """One status."""
        self._progress.see(report, passed)
        self._live.update(self._table(report["folders"][0], marks), refresh=True)

    def _table(self, folder: Report, marks: Marks) -> Table:
        table = Table(box=None, pad_edge=False, show_header=False)
        for each in folder["classes"]:
            share = self._progress.share(folder, each)
            bar = ProgressBar(1.0, share, width=BAR_WIDTH, complete_style="cyan", finished_style="green")
            table.add_row(Text(f"  {each['class']}"), bar, Text(_state(each, marks)))
        return table


class Lines:
    """Plain lines: every half a second, and when a class becomes ready."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last = clock()
        self._told: set[str] = set()

    def show(self, report: Report, passed: float, marks: Marks) -> None:
        """One status."""
        if marks.keys() <= self._told and self._clock() - self._last < LINE:
            return
        self._last = self._clock()
        self._told |= marks.keys()
        states = (f"{each['class']}: {_state(each, marks)}" for each in report["folders"][0]["classes"])
        click.echo(f"  {passed:5.2f} s  {', '.join(states)}")


def fill(fetch: Callable[[], Report], began: float, marks: Marks, done: Callable[[], bool]) -> None:
    """Show what `fetch` says until `done`. marks: filled by the caller while this runs."""
    if not on_terminal():
        _show(Lines(time.monotonic), fetch, began, marks, done)
        return
    with Live(console=Console(), auto_refresh=False) as live:
        _show(Bars(live), fetch, began, marks, done)


def on_terminal() -> bool:
    """Whether bars can be drawn."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _show(display: Display, fetch: Callable[[], Report], began: float, marks: Marks, done: Callable[[], bool]) -> None:
    finished = False
    while not finished:
        finished = done()
        report = fetch()
        display.show(report, time.monotonic() - began, dict(marks))  # a copy: threads add to it
        time.sleep(0.0 if finished else PICTURE)


def _state(each: Report, marks: Marks) -> str:
    if each["class"] in marks:
        return f"READY after {marks[each['class']]:.2f} s"
    if each["need_files"]:
        return need(each["need_files"], each["need_bytes"])
    return str(each["reason"])


def rate(amount: float, seconds: float) -> str:
    """Bytes per second, as people read them."""
    return f"{size(amount / seconds)}/s" if seconds > 0 else "-"
