"""`syncd completion`: what a shell needs to complete verbs and options."""

import click
from click.shell_completion import get_completion_class

PROGRAM = "syncd"
VARIABLE = "_SYNCD_COMPLETE"  # as click names it for this program
SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print a script that completes verbs and options, for bash, zsh or fish.

    For this shell only: eval "$(syncd completion bash)". For all: put what is printed into
    /etc/bash_completion.d/syncd, into _syncd in a directory of zsh's $fpath, or into
    ~/.config/fish/completions/syncd.fish.
    """
    completion = get_completion_class(shell)
    assert completion is not None
    click.echo(completion(click.get_current_context().find_root().command, {}, PROGRAM, VARIABLE).source())
