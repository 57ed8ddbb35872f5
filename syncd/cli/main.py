"""The command `syncd`: without a verb it runs a node in the foreground, with one it talks to a running node.

Verbs are imported when they are called, and what only some of them need is imported inside these, so that `syncd
status` answers at once.
"""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - whoever starts it from the source with an old Python reads one line
    sys.exit("syncd: Python 3.11 or newer is needed, this is Python {}.{}".format(*sys.version_info[:2]))

import gc
import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import click

from syncd.cli.options import config_option, configuration
from syncd.config.errors import ConfigError, OperatorError
from syncd.config.jsonc import printable

INTERRUPTED = 130  # as a shell tells of SIGINT

VERBS = {
    "init": "syncd.cli.init:command",
    "status": "syncd.cli.status:command",
    "folders": "syncd.cli.folders:command",
    "need": "syncd.cli.need:command",
    "plan": "syncd.cli.plan:command",
    "check": "syncd.cli.check:command",
    "events": "syncd.cli.events:command",
    "peers": "syncd.cli.peers:command",
    "bench": "syncd.cli.bench:command",
    "wait": "syncd.cli.wait:command",
    "run": "syncd.cli.run:command",
    "drain": "syncd.cli.draining:drain",
    "undrain": "syncd.cli.draining:undrain",
    "verify": "syncd.cli.verify:command",
    "prioritize": "syncd.cli.prioritize:command",
    "rescan": "syncd.cli.rescan:command",
    "approve": "syncd.cli.verdicts:approve",
    "reject": "syncd.cli.verdicts:reject",
    "conflicts": "syncd.cli.conflicts:command",
    "archive": "syncd.cli.archive:command",
    "check-config": "syncd.cli.check_config:command",
    "sample-config": "syncd.cli.sample_config:command",
    "generate-secret": "syncd.cli.credentials:generate",
    "derive-secret": "syncd.cli.credentials:derive",
    "completion": "syncd.cli.completion:command",
    "demo": "syncd.cli.demo:command",
    "version": "syncd.cli.version:command",
}


class Verbs(click.Group):
    """The verbs by name, imported on demand; exit codes are those of sysexits.h."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, in the order of the help."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a verb, whose module is imported only now; None for no verb."""
        if cmd_name not in VERBS:
            return None
        module, _, name = VERBS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb that a command line begins with. Raises click.UsageError with the verb that may have been meant."""
        name = args[0]
        if name in VERBS or name.startswith("-") or ctx.resilient_parsing:  # the last one: the shell completes
            return super().resolve_command(ctx, args)
        from difflib import get_close_matches

        meant = get_close_matches(name, VERBS, n=1)
        raise click.UsageError(f"there is no verb {name!r}" + (f"; did you mean {meant[0]}?" if meant else ""), ctx)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line; as a program of its own this ends in SystemExit."""
        run = partial(super().main, args, prog_name, complete_var, standalone_mode=False, **extra)
        return sys.exit(_exit_code(run)) if standalone_mode else run()


def _exit_code(run: Callable[[], Any]) -> int:
    """Run a command line and tell its error in the words and with the code that operators and scripts expect."""
    try:
        return run() or 0
    except OperatorError as error:
        _tell(error)
        return error.code
    except click.UsageError as error:
        _tell_usage(error)
        return os.EX_USAGE
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return INTERRUPTED


def _tell_usage(error: click.UsageError) -> None:
    said = printable(error.format_message().rstrip("."))
    path = error.ctx.command_path if error.ctx is not None else "syncd"
    click.echo(f"syncd: {said}{' ' if said.endswith('?') else '; '}see {path} --help", err=True)


def _tell(error: OperatorError) -> None:
    lines = error.lines if isinstance(error, ConfigError) else [f"syncd: {error}"]
    for line in lines:
        click.echo(printable(line), err=True)


@click.group(cls=Verbs, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@config_option
@click.option("--dump-sample-config", is_flag=True, hidden=True, help="The same as the verb sample-config.")
@click.option("--generate-secret", is_flag=True, hidden=True, help="The same as the verb generate-secret.")
@click.option("--get-ro-secret", metavar="SECRET", hidden=True, help="The same as the verb derive-secret --read-only.")
@click.option("--version", is_flag=True, hidden=True, help="The same as the verb version.")
@click.pass_context
def main(
    ctx: click.Context,
    config: str | None,
    dump_sample_config: bool,
    generate_secret: bool,
    get_ro_secret: str | None,
    version: bool,
) -> None:
    """Keeps directories on several machines the same.

    Without a verb a node runs in the foreground. SIGTERM and SIGINT end it.
    """
    if ctx.invoked_subcommand is not None:
        return
    if dump_sample_config:
        _verb(ctx, "sample-config")
    elif generate_secret:
        _verb(ctx, "generate-secret")
    elif get_ro_secret is not None:
        from syncd.cli.credentials import read_only

        click.echo(read_only(get_ro_secret))
    elif version:
        _verb(ctx, "version")
    else:
        ctx.exit(_run_node(configuration(config)))


def _verb(ctx: click.Context, name: str) -> None:
    command = main.get_command(ctx, name)
    assert command is not None
    ctx.invoke(command)


@contextmanager
def _absent(name: str) -> Iterator[None]:
    """What is imported meanwhile does not find the package `name`, unless that is loaded already."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # Python's way to say that there is none
    try:
        yield
    finally:
        del sys.modules[name]


def _run_node(path: str) -> int:
    gc.disable()  # until all is imported: almost none of that is garbage, and looking takes a sixth of the start
    from syncd.config import load
    from syncd.node.privacy import close_to_others

    close_to_others()  # before any secret is read
    loaded = load(path)
    with _absent("rich"):  # structlog takes it along if it is there, for colours that a node never shows: 5 MB
        from syncd.node.daemon import run  # after the configuration: an error in it is told at once

    return run(loaded.settings, loaded.warnings)
