"""`syncd init`: a first configuration without an editor."""

import json
import os
import shlex
import socket

import click

from syncd.cli.credentials import given_secret, new_secret
from syncd.cli.files import cannot_create, create, create_private
from syncd.cli.options import config_option, explicit_config, json_option, tell
from syncd.config import load
from syncd.config.environment import literal
from syncd.config.errors import ConfigError, OperatorError
from syncd.config.hosts import DEFAULT_PORT, join, parse_address, parse_known_host
from syncd.config.location import CONFIG_VARIABLE, default_storage

SERVICE_CONFIGS = "/etc/syncd"  # of the units that `make install` installs
UNITS = "/etc/systemd/system"
SYSTEMD = "/run/systemd/system"  # is there if systemd runs the machine: sd_booted(3)
SECRET_EXTENSION = ".secret"  # noqa: S105 - of the file name


@click.command("init")
@config_option
@click.option(
    "--dir", "folder", metavar="DIR", required=True, help="The directory to replicate; made if it is missing."
)
@click.option("--listen", metavar="ADDRESS", help="Address or address:port to listen on; default: all, port 55555.")
@click.option(
    "--known-host", "known_hosts", metavar="HOST", multiple=True, help="A peer, as in known_hosts. Repeatable."
)
@click.option(
    "--secret-file", metavar="FILE|-", help="The folder's secret; - reads standard input. Default: a new one."
)
@click.option("--storage-path", metavar="DIR", help="State of the node; default: /var/lib/syncd for root.")
@json_option
def command(
    config: str | None,
    folder: str,
    listen: str | None,
    known_hosts: tuple[str, ...],
    secret_file: str | None,
    storage_path: str | None,
    as_json: bool,
) -> None:
    """Write a configuration, the secret and the state directory. Nothing that exists is overwritten."""
    path = explicit_config(config) or os.environ.get(CONFIG_VARIABLE) or "sync.json"
    address = _address(listen)
    hosts = [_host(text) for text in known_hosts]
    if os.path.lexists(path):
        raise cannot_create(path, FileExistsError())
    directory = os.path.abspath(folder)
    storage = os.path.abspath(storage_path or default_storage(os.environ))
    secret, referred = _secret(path, secret_file)
    made_secret = secret_file in (None, "-")
    if made_secret:
        create_private(referred, f"{secret}\n")
    try:
        _make_directory(directory, 0o777)
        _make_directory(storage, 0o700)
        _write(path, configuration_text(directory, storage, referred, address, hosts))
    except OperatorError:
        if made_secret:
            os.unlink(referred)
        raise
    document = {"config": os.path.abspath(path), "secret_file": os.path.abspath(referred), "storage_path": storage}
    wrote = f"wrote {path}, {f'the secret {referred}, ' if made_secret else ''}state goes to {storage}"
    tell(as_json, document, [wrote, *_next_steps(path, directory, referred, address)])


def configuration_text(
    directory: str, storage: str, secret_file: str, address: tuple[str, int] | None, hosts: list[str]
) -> str:
    """A configuration file with one folder."""
    lines = ["// `syncd sample-config` explains every key", "{"]
    if address and address[0]:
        lines.append(f'  "listening_address": {_quoted(address[0])},')
    if address and address[1] != DEFAULT_PORT:
        lines.append(f'  "listening_port": {address[1]},')
    lines += [
        f'  "storage_path": {_quoted(storage)},',
        '  "shared_folders": [',
        "    {",
        f'      "dir": {_quoted(directory)},',
        f'      "secret_file": {_quoted(os.path.abspath(secret_file))},',
        f'      "known_hosts": [{", ".join(map(_quoted, hosts))}],',
        "    },",
        "  ],",
        "}",
        "",
    ]
    return "\n".join(lines)


def _quoted(text: str) -> str:
    return json.dumps(literal(text), ensure_ascii=False)


def _address(listen: str | None) -> tuple[str, int] | None:
    """Host (empty for all) and port of --listen."""
    if listen is None:
        return None
    try:
        if listen.startswith(":"):
            return "", parse_address(f"host{listen}").port
        entry = parse_address(listen)
    except ValueError as error:
        raise click.UsageError(f"--listen: {error}") from None
    return entry.host, entry.port


def _host(text: str) -> str:
    try:
        return str(parse_known_host(text))
    except ValueError as error:
        raise click.UsageError(f"--known-host: {error}") from None


def _secret(path: str, source: str | None) -> tuple[str, str]:
    """The secret, and the file that holds it or shall hold it."""
    if source is not None and source != "-":
        from syncd.config.secret_file import read_secret_file

        return read_secret_file(source, os.environ), source
    beside = os.path.splitext(path)[0] + SECRET_EXTENSION
    if os.path.lexists(beside):
        raise cannot_create(beside, FileExistsError())
    return (new_secret() if source is None else given_secret("-")), beside


def _make_directory(path: str, mode: int) -> None:
    try:
        os.makedirs(path, mode, exist_ok=True)
    except OSError as error:
        raise cannot_create(path, error) from None


def _write(path: str, text: str) -> None:
    """Write the configuration, unless a node could not start with it."""
    create(path, text, 0o666)
    try:
        load(path)
    except ConfigError as error:
        os.unlink(path)
        raise OperatorError(error.message, error.code) from None


def _next_steps(path: str, directory: str, secret_file: str, address: tuple[str, int] | None) -> list[str]:
    port = address[1] if address else DEFAULT_PORT
    host = address[0] if address and address[0] not in ("", "0.0.0.0", "::") else own_address()  # noqa: S104 - compared
    known = shlex.quote(join(host, port))
    line = f"syncd init --dir {shlex.quote(directory)} --known-host {known} --secret-file -"
    if os.path.isabs(path):
        line = f"{line} --config {shlex.quote(path)}"
    return [
        f"Start this node: {_start(path)}",
        f"On the next host: {line}",
        f"It reads the secret from standard input, never from the command line; from here for example: "
        f"ssh NEXTHOST {shlex.quote(line)} < {shlex.quote(secret_file)}",
    ]


def _start(path: str) -> str:
    """What starts the node of a configuration: the service if it is one's that is installed."""
    directory, name = os.path.split(os.path.splitext(os.path.abspath(path))[0])
    unit, template = ("syncd.service",) * 2 if name == "sync" else (f"syncd@{name}.service", "syncd@.service")
    if directory == SERVICE_CONFIGS and os.path.isdir(SYSTEMD) and os.path.exists(os.path.join(UNITS, template)):
        return f"systemctl enable --now {shlex.quote(unit.removesuffix('.service'))}"
    return f"syncd --config {shlex.quote(path)}"


def own_address() -> str:
    """The address that this host uses towards others, its name where there is no route."""
    # documentation addresses: no packet is sent, only a route looked up
    for family, elsewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((elsewhere, 9))
                return str(probe.getsockname()[0])
        except OSError:
            continue
    return socket.gethostname()
