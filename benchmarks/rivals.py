"""The programs that syncd is measured against, each bringing one full tree to an empty one on another host."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.measure import Cost, cpu_of_children
from tests.lab.hosts import Host

RSYNC_PORT: Final = 873
SSH_PORT: Final = 2222
UNISON_PORT: Final = 2223
PATIENCE: Final = 30.0  # seconds until a server must answer
_PLACES: Final = "/usr/bin:/bin:/usr/sbin:/sbin"


class Field(NamedTuple):
    """Where a rival runs. full, empty: trees. scratch: a directory for what it needs besides."""

    holder: Host
    joiner: Host
    full: Path
    empty: Path
    scratch: Path


UNWANTED: Final = "--exclude=/.syncd"  # our private place in the tree
Rival = Callable[[Field], Cost]


def rsync_daemon(field: Field) -> Cost:
    """`rsync -a` from an rsync daemon."""
    config = field.scratch / "rsyncd.conf"
    # Without names there is nobody to ask for the name of an address, which would take ten seconds.
    config.write_text(f"use chroot = no\nreverse lookup = no\nuid = root\ngid = root\n[all]\npath = {field.full}\n")
    command = ["rsync", "--daemon", "--no-detach", f"--config={config}", f"--port={RSYNC_PORT}"]
    source = f"rsync://{field.holder.address}:{RSYNC_PORT}/all/"
    return _served(field, command, RSYNC_PORT, ["rsync", "-a", UNWANTED, source, f"{field.empty}/"])


def rsync_ssh(field: Field) -> Cost:
    """`rsync -a` over ssh."""
    server, shell = secure_shell(field.scratch)
    source = f"root@{field.holder.address}:{field.full}/"
    return _served(field, server, SSH_PORT, ["rsync", "-a", UNWANTED, "-e", shell, source, f"{field.empty}/"])


def unison(field: Field) -> Cost:
    """`unison` against a unison server, with a new archive each time."""
    memory = field.scratch / "unison"
    shutil.rmtree(memory, ignore_errors=True)
    environment = {**os.environ, "UNISON": str(memory), "UNISONLOCALHOSTNAME": "bench", "HOME": str(field.scratch)}
    root = f"socket://{field.holder.address}:{UNISON_PORT}/{field.full}"
    command = ["unison", str(field.empty), root, "-batch", "-auto", "-silent", "-times", "-ignore", "Path .syncd"]
    return _served(field, ["unison", "-socket", str(UNISON_PORT)], UNISON_PORT, command, environment)


RIVALS: Final[dict[str, tuple[Rival, tuple[str, ...]]]] = {
    "rsync daemon": (rsync_daemon, ("rsync",)),
    "rsync over ssh": (rsync_ssh, ("rsync", "ssh", "sshd")),
    "Unison": (unison, ("unison",)),
}


def missing(programs: tuple[str, ...]) -> list[str]:
    """Programs that are not installed."""
    return [name for name in programs if shutil.which(name, path=_PLACES) is None]


def secure_shell(scratch: Path) -> tuple[list[str], str]:
    """(command of a server, command of the client as rsync takes it), with keys of their own."""
    for name in ("host_key", "user_key"):
        if not (scratch / name).exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(scratch / name)], check=True)
    config = scratch / "sshd_config"
    config.write_text(
        f"Port {SSH_PORT}\nHostKey {scratch}/host_key\nAuthorizedKeysFile {scratch}/user_key.pub\n"
        "PermitRootLogin yes\nStrictModes no\nUsePAM no\nUseDNS no\nPidFile none\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    shell = (
        f"ssh -p {SSH_PORT} -i {scratch}/user_key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null "
        "-o LogLevel=ERROR"
    )
    return [shutil.which("sshd", path=_PLACES) or "sshd", "-D", "-f", str(config)], shell


def serving(
    host: Host, command: list[str], port: int, environment: dict[str, str] | None = None, address: str = ""
) -> ExitStack:
    """A server process on a host, for the time of a with statement; it listens already."""
    stack = ExitStack()
    process = subprocess.Popen(
        [*host.prefix, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    stack.callback(process.wait)
    stack.callback(process.terminate)
    deadline = time.monotonic() + PATIENCE
    while not host.inside(lambda: _answers(address or host.address, port)):
        if process.poll() is not None or time.monotonic() > deadline:
            stack.close()
            raise RuntimeError(f"{command[0]} does not answer")
    return stack


def _answers(address: str, port: int) -> bool:
    with socket.socket() as sock:
        sock.settimeout(0.05)
        return sock.connect_ex((address, port)) == 0


def _served(
    field: Field, server: list[str], port: int, command: list[str], environment: dict[str, str] | None = None
) -> Cost:
    """What a command costs on the joining host, and its server."""
    before = cpu_of_children()
    with serving(field.holder, server, port, environment):
        wire = field.joiner.counters()
        began = time.monotonic()
        subprocess.run([*field.joiner.prefix, *command], check=True, stdout=subprocess.DEVNULL, env=environment)
        seconds = time.monotonic() - began
        passed = sum(field.joiner.counters()) - sum(wire)
    return Cost(seconds, cpu_of_children() - before, wire=passed)
