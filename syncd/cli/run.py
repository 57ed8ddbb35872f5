"""`syncd run --until class=themes -- COMMAND`: becomes a program as soon as the files that it needs are there."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Final, NoReturn

import click

from syncd.cli.client import Client, NotRunning
from syncd.cli.options import config_option, configuration
from syncd.cli.wait import LONG_POLL, RETRY, ask, of_folder
from syncd.config.errors import OperatorError

ABSENCE: Final = 30.0  # seconds for which the node may be missing: it is starting, or being replaced
CANNOT_RUN: Final = 126  # as shells tell of a command that is no program
NOT_FOUND: Final = 127
_ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


@click.command("run", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@config_option
@click.option(
    "--until",
    "conditions",
    metavar="class=NAME|ready",
    multiple=True,
    help="What to wait for: a class, or all classes of `ready`. May be repeated. Default: ready.",
)
@click.option("--folder", metavar="DIR", help="The folder; default: all.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="S", help="Seconds to wait; default: for ever.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def command(
    config: str | None, conditions: tuple[str, ...], folder: str | None, timeout: float | None, command: tuple[str, ...]
) -> None:
    """Wait until the node has what COMMAND needs, then become COMMAND: same process, same signals.

    The exit code is that of COMMAND; 75 after the timeout; 69 if there was no node for 30 s, or at the timeout; 127 if
    there is no such command, 126 if it cannot be run; 128+n if signal n came while waiting.
    """
    for number in _handled():
        signal.signal(number, _end)
    program = find(command[0])
    client = Client(configuration(config))
    query, deadline = of_folder(folder), None if timeout is None else time.monotonic() + timeout
    for condition in conditions or ("ready",):
        Waiting(client, {**query, **query_of(condition)}, deadline, time.monotonic, time.sleep).run()
    become(program, command)


def query_of(condition: str) -> dict[str, str]:
    """What the node is asked for. Raises click.UsageError."""
    key, _, name = condition.partition("=")
    if condition == "ready":
        return {}
    if key != "class" or not name:
        raise click.UsageError(f"--until {condition}: expected class=NAME or ready")
    return {"class": name}


def find(name: str) -> str:
    """The path of a program, looked for in PATH. Raises OperatorError with the exit code that shells have for it."""
    found = shutil.which(name)
    if found is not None:
        return found
    if os.path.exists(name) and "/" in name:
        what = "is a directory" if os.path.isdir(name) else f"cannot be executed: chmod +x {name}"
        raise OperatorError(f"{name} {what}", CANNOT_RUN)
    where = "does not exist" if "/" in name else "is in no directory of PATH"
    raise OperatorError(f"{name} {where}", NOT_FOUND)


class Waiting:
    """Until what `query` names is ready. deadline: of `clock`, None for never. pause(seconds)."""

    def __init__(
        self,
        client: Client,
        query: dict[str, str],
        deadline: float | None,
        clock: Callable[[], float],
        pause: Callable[[float], None],
    ) -> None:
        self._client = client
        self._query = query
        self._deadline = deadline
        self._clock = clock
        self._pause = pause
        self._missing_since: float | None = None

    def run(self) -> None:
        """Returns when it is ready. Raises OperatorError: EX_TEMPFAIL at the deadline, or NotRunning's code."""
        while True:
            left = LONG_POLL if self._deadline is None else max(0.0, self._deadline - self._clock())
            reason = self._ask(min(left, LONG_POLL))
            if reason is None:
                return
            if self._deadline is not None and self._clock() >= self._deadline:
                if self._missing_since is not None:
                    raise OperatorError(reason, os.EX_UNAVAILABLE)
                raise OperatorError(f"not ready in time: {reason}", os.EX_TEMPFAIL)
            self._pause(min(RETRY, left))

    def _ask(self, span: float) -> str | None:
        """Let the node wait; why it is not ready, or None if it is."""
        try:
            lacking = ask(self._client, self._query, span)
        except NotRunning as error:
            self._note_absence(error)
            return error.message
        self._missing_since = None
        return lacking

    def _note_absence(self, error: NotRunning) -> None:
        now = self._clock()
        if self._missing_since is None:
            self._missing_since = now
            click.echo("syncd: no node is running, waiting for one", err=True)
        elif now - self._missing_since >= ABSENCE:
            raise error


def become(program: str, command: Sequence[str]) -> NoReturn:
    """Replace this process by a program, which begins with the signals as they are by default."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)  # so that none is lost: it ends us, or reaches the program
    for number in (*_handled(), signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores the last two
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    try:
        os.execv(program, list(command))  # noqa: S606 -- the operator's own command
    except FileNotFoundError:
        raise OperatorError(f"{program}: it, or the interpreter that it names, does not exist", NOT_FOUND) from None
    except OSError as error:
        raise OperatorError(f"{program} cannot be run: {error.strerror}", CANNOT_RUN) from None


def _handled() -> list[signal.Signals]:
    """Those that are not ignored, as SIGHUP is after nohup."""
    return [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
