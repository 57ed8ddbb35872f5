"""From nothing to two hosts in sync, by the commands of the README and the lines that syncd prints."""

import contextlib
import json
import os
import shlex
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from syncd import __version__
from tests.lab.cluster import await_file, snapshot
from tests.lab.hosts import Host, Network
from tests.root.installed import Installation

pytestmark = pytest.mark.root

SITE = "/srv/www/html/wp-content"
START_DEADLINE = 30.0  # seconds until a node answers, and of any other command
# a host of its own has these to itself; what is mounted in the name of one command is gone with it
_AT_HOME = 'mount --bind "$1/srv" /srv && mount --bind "$1/var-lib" /var/lib && cd "$1/root" && shift && exec "$@"'


class Machine:
    """A host with directories of its own where syncd keeps its things by default, and a shell on it."""

    def __init__(self, host: Host, home: Path, path: str) -> None:
        self.host = host
        self.home = home
        self.root = home / "root"
        self.tree = home / SITE.lstrip("/")
        self.state = home / "var-lib/syncd"
        self._environment = {**os.environ, "PATH": path, "HOME": str(self.root)}
        self._environment.pop("SYNCD_CONFIG", None)
        for directory in ("root", "srv", "var-lib"):
            (home / directory).mkdir(parents=True)

    def popen(self, line: str, output: int | None = None) -> subprocess.Popen[str]:
        """Type a line into a shell of this host, and leave it running."""
        shell = ["sh", "-c", _AT_HOME, "-", str(self.home), "sh", "-c", f"exec {line}"]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [*self.host.prefix, *shell],
            stdin=pipe,
            stdout=pipe if output is None else output,
            stderr=pipe if output is None else output,
            text=True,
            env=self._environment,
        )

    def type(self, line: str, stdin: str = "") -> tuple[int, list[str], list[str]]:
        """Type a line: exit status, lines of output and of errors."""
        process = self.popen(line)
        output, errors = process.communicate(stdin, timeout=START_DEADLINE)
        return process.returncode, output.splitlines(), errors.splitlines()

    @contextlib.contextmanager
    def running(self, line: str) -> Iterator[subprocess.Popen[str]]:
        """A node in the foreground of another shell."""
        with (self.home / "log").open("a") as log:
            process = self.popen(line, log.fileno())
        try:
            yield process
        finally:
            print(f"--- log on {self.host.name}\n{(self.home / 'log').read_text()[-4000:]}")
            if process.poll() is None:
                process.kill()
            process.wait()

    def ended(self, process: subprocess.Popen[str]) -> int:
        """Press Ctrl-C: the exit status."""
        process.send_signal(signal.SIGINT)
        return process.wait(START_DEADLINE)


def a_site(tree: Path) -> None:
    """Few files of each kind, as a first try has them."""
    for directory in ("themes/one", "plugins/seo", "uploads/2024/11"):
        (tree / directory).mkdir(parents=True)
    (tree / "index.php").write_text("<?php // Silence is golden.\n")
    (tree / "themes/one/style.css").write_text("body {}\n" * 1_000)
    (tree / "plugins/seo/seo.php").write_text("<?php\n")
    (tree / "uploads/2024/11/picture.jpg").write_bytes(os.urandom(3_000_000))
    (tree / "uploads/latest.jpg").symlink_to("2024/11/picture.jpg")
    (tree / "plugins/seo/seo.php").chmod(0o600)


def test_from_nothing_to_two_hosts_in_sync(network: Network, installation: Installation, tmp_path: Path) -> None:
    path = f"{installation.bin}:{os.environ['PATH']}"
    one, two = (Machine(host, tmp_path / host.name, path) for host in network.pair("one", "two"))
    assert installation.first_words == [
        f"installed syncd {__version__} in {installation.prefix}, the command is {installation.bin}/syncd",
        f"next: syncd init --config {installation.etc}/sync.json --dir DIR && systemctl enable --now syncd",
    ]

    # the first host, where the site is
    a_site(one.tree)
    site = snapshot(one.tree)
    code, said, errors = one.type(f"syncd init --dir {SITE} --listen {one.host.address}")
    assert (code, errors) == (0, [])
    assert said[0] == "wrote sync.json, the secret sync.secret, state goes to /var/lib/syncd"
    start = said_after(said, "Start this node: ")
    assert start == "syncd --config sync.json"
    following = said_after(said, "On the next host: ")
    assert following == f"syncd init --dir {SITE} --known-host {one.host.address}:55555 --secret-file -"
    assert said[3] == (
        "It reads the secret from standard input, never from the command line; from here for example: "
        f"ssh NEXTHOST {shlex.quote(following)} < sync.secret"
    )
    assert len(said) == 4
    secret = one.root / "sync.secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert one.type("syncd check-config sync.json")[::2] == (0, [])
    code, said, errors = one.type("syncd status")
    assert (code, said) == (os.EX_UNAVAILABLE, [])
    assert errors == ["syncd: no node is running for sync.json; start one with: syncd --config sync.json"]

    with one.running(start) as first_node:
        # the second host, with what the first one said
        code, said, errors = two.type(following, secret.read_text())
        assert (code, errors) == (0, [])
        assert (two.root / "sync.secret").read_text() == secret.read_text()
        with two.running(said_after(said, "Start this node: ")) as second_node:
            code, said, errors = two.type("syncd wait --class rest --timeout 30")
            assert (code, said) == (0, ["ready"]), errors
            assert errors in ([], ["syncd: no node is running yet, waiting for one"])
            assert snapshot(two.tree) == snapshot(one.tree) == site
            assert one.type("syncd wait --timeout 30")[:2] == (0, ["ready"])

            for machine in (one, two):
                code, said, errors = machine.type("syncd status")
                assert (code, errors) == (0, [])
                assert f"folder {SITE}: in-sync" in said
                assert "  class rest: complete" in said
            assert folder(one)["fingerprint"] == folder(two)["fingerprint"]

            # an upgrade while both run, and life goes on
            assert installation.make("install") == installation.first_words
            (two.tree / "themes/one/style.css").write_text("body { color: red }\n")
            await_file(one.tree / "themes/one/style.css", b"body { color: red }\n")
            assert (one.ended(first_node), two.ended(second_node)) == (0, 0)

    kept = everything(one), everything(two)
    with installation.put_back_afterwards():
        assert installation.make("uninstall") == [
            f"removed syncd from {installation.prefix}; "
            f"configuration ({installation.etc}), state and secrets are still there"
        ]
        assert list(installation.bin.iterdir()) == []
        assert not installation.prefix.exists()
        assert installation.etc.is_dir()
    assert (everything(one), everything(two)) == kept
    assert {one.home / "root/sync.json", two.state / "node.key", two.root / "sync.secret"} < kept[0] | kept[1]


def said_after(lines: list[str], words: str) -> str:
    """The rest of the only line that begins so."""
    (found,) = (line.removeprefix(words) for line in lines if line.startswith(words))
    return found


def folder(machine: Machine) -> dict[str, Any]:
    """The status of the only folder, as programs read it."""
    code, said, errors = machine.type("syncd status --json")
    assert (code, errors) == (0, [])
    (found,) = json.loads("\n".join(said))["folders"]
    return cast(dict[str, Any], found)


def everything(machine: Machine) -> set[Path]:
    """All files of a machine."""
    return set(machine.home.rglob("*"))
