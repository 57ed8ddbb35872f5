"""`syncd generate-secret` and `syncd derive-secret`. Standard output gets the secret and nothing else."""

import os
import secrets
import sys

import click

from syncd.cli.files import create_private
from syncd.cli.options import config_option, configuration, explicit_config, json_option, tell
from syncd.config.errors import OperatorError

PREFIX = "syncd-"  # with which every secret begins
RANDOM_BYTES = 32
MAX_INPUT = 4096  # characters of a secret on standard input


@click.command("generate-secret")
@config_option
@click.option("--out", metavar="FILE", help="Create FILE with the secret, readable by its owner only.")
@json_option
def generate(config: str | None = None, out: str | None = None, as_json: bool = False) -> None:  # noqa: ARG001 - every verb takes it
    """Make the read-write secret of a new folder."""
    deliver(new_secret(), out, as_json)


@click.command("derive-secret")
@config_option
@click.option("--read-only", "read_only_tier", is_flag=True, required=True, help="The secret that only receives.")
@click.option("--secret-file", metavar="FILE|-", help="The read-write secret; - reads standard input.")
@click.option("--folder", metavar="DIR", help="The folder, where the configuration has several.")
@click.option("--out", metavar="FILE", help="Create FILE with the secret, readable by its owner only.")
@json_option
@click.argument("source", metavar="[FILE|-]", required=False)
def derive(
    config: str | None,
    read_only_tier: bool,  # noqa: ARG001 - the only tier below in this version, named for when there are more
    secret_file: str | None,
    folder: str | None,
    out: str | None,
    as_json: bool,
    source: str | None,
) -> None:
    """Derive a weaker secret from a read-write one.

    The secret is read from FILE, from standard input, or from the configuration if --config or --folder is given.
    """
    if secret_file and source:
        raise click.UsageError("give the secret file once")
    named = secret_file or source
    configured = named is None and (folder or explicit_config(config))
    deliver(read_only(_configured(config, folder) if configured else given_secret(named or "-")), out, as_json)


def new_secret() -> str:
    """A fresh read-write secret."""
    from protocol.keys import generate_secret

    return generate_secret(secrets.token_bytes(RANDOM_BYTES))


def read_only(text: str) -> str:
    """The read-only secret below `text`. Raises OperatorError."""
    from protocol.errors import SecretError
    from protocol.keys import derive_read_only

    try:
        return derive_read_only(text)
    except SecretError as error:
        raise OperatorError(str(error), os.EX_DATAERR) from None


def given_secret(source: str) -> str:
    """A secret from a file, from standard input for `-`, or, with a warning, written out. Raises OperatorError."""
    if source == "-":
        if sys.stdin.isatty():
            return str(click.prompt("Secret", hide_input=True, err=True)).strip()
        return sys.stdin.read(MAX_INPUT).strip()
    if source.startswith(PREFIX) and not os.path.exists(source):
        click.echo("syncd: other users can see a secret on a command line; pass it in a file or through -", err=True)
        return source
    from syncd.config.secret_file import read_secret_file

    return read_secret_file(source, os.environ)


def deliver(secret: str, out: str | None, as_json: bool) -> None:
    """Print the secret, or create a file with it."""
    if out is None:
        tell(as_json, {"secret": secret}, [secret])
    else:
        create_private(out, f"{secret}\n")
        tell(as_json, {"secret_file": os.path.abspath(out)}, [])


def _configured(config: str | None, folder: str | None) -> str:
    from syncd.config.loader import secret_texts

    texts = secret_texts(configuration(config), os.environ)
    if folder is not None:
        texts = {name: text for name, text in texts.items() if name == os.path.abspath(folder)}
    if len(texts) != 1:
        raise click.UsageError("name one folder of the configuration with --folder DIR")
    return next(iter(texts.values()))
