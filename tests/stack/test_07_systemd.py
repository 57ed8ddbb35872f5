"""The units under a real systemd, the first process of a machine of its own: booted, hung, reloaded, stopped."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from tests.stack.engine import CommandFailed, run
from tests.stack.images import SYSTEMD
from tests.stack.site import Site
from tests.stack.waiting import until

pytestmark = pytest.mark.stack

BOOT_DEADLINE = 60.0  # seconds
WATCHDOG = 3  # seconds, in the test
MOST_EXPOSED = 20  # tenths, of `systemd-analyze security`
CREDENTIAL = f"""[Service]
LoadCredential=wp.secret:/etc/syncd/private/wp.secret
WatchdogSec={WATCHDOG}
"""
CONFIGURATION = """{
  "storage_path": "/var/lib/syncd%s",
  "listening_port": %d,
  "shared_folders": [{"dir": "/srv/%s", "secret_file": "%s"}],
}
"""


class Machine:
    """systemd in a namespace of its own, below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._name = f"syncd-stack-{os.getpid()}"
        self._process: subprocess.Popen[bytes] | None = None

    def boot(self) -> None:
        command = ["systemd-nspawn", "-D", str(self.root), "-q", "-b", "--register=no", "--keep-unit"]
        log = (self.root.parent / "nspawn.log").open("wb")
        with log:
            self._process = subprocess.Popen(
                [*command, f"--machine={self._name}", "--private-network"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(self._running, "systemd has booted", BOOT_DEADLINE, 0.2)

    def off(self) -> None:
        if self._process is None:
            return
        with contextlib.suppress(Exception):
            self.sh("systemctl", "poweroff")
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for hierarchy in ("unified", "systemd"):
            groups = Path(f"/sys/fs/cgroup/{hierarchy}/payload")
            for group in sorted(groups.rglob("*"), reverse=True) if groups.is_dir() else ():
                if group.is_dir():
                    with contextlib.suppress(OSError):
                        group.rmdir()
            with contextlib.suppress(OSError):
                groups.rmdir()
        shutil.rmtree(f"/run/systemd/nspawn/propagate/{self._name}", ignore_errors=True)

    def sh(self, *command: str) -> str:
        """What a command prints there. Raises CommandFailed."""
        return run(["nsenter", "-t", str(self._leader()), "-m", "-u", "-i", "-n", "-p", "--", *command], deadline=60)

    def show(self, unit: str, *properties: str) -> list[str]:
        """Properties of a unit, in the order of their names."""
        names = [f"--property={name}" for name in properties]
        said = self.sh("systemctl", "show", unit, *names)
        found = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
        return [found[name] for name in properties]

    def journal(self, unit: str) -> str:
        return self.sh("journalctl", "--no-pager", "-o", "cat", "-u", unit)

    def _leader(self) -> int:
        assert self._process is not None
        return int(run(["pgrep", "-P", str(self._process.pid)]).split()[0])

    def _running(self) -> bool:
        with contextlib.suppress(Exception):
            state = subprocess.run(
                [
                    "nsenter",
                    "-t",
                    str(self._leader()),
                    "-m",
                    "-u",
                    "-i",
                    "-n",
                    "-p",
                    "--",
                    "systemctl",
                    "is-system-running",
                ],
                capture_output=True,
                text=True,
                check=False,
            )
            return state.stdout.strip() in ("running", "degraded")
        return False


@pytest.fixture(scope="module")
def machine(site: Site, large: Future[None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine that has nothing to do with the site, which gets its 600 MB meanwhile."""
    place = tmp_path_factory.mktemp("systemd")
    site.images.ready(SYSTEMD)
    root = place / "root"
    root.mkdir()
    container = site.docker("create", SYSTEMD).strip()
    exported = subprocess.Popen(["docker", "export", container], env=site.engine.environment, stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x", "-C", str(root)], stdin=exported.stdout, check=True)
    assert exported.wait() == 0
    for name, place_of_secret, port in (
        ("sync", "${CREDENTIALS_DIRECTORY}/wp.secret", 55555),
        ("two", "two.secret", 55556),
    ):
        folder = root / "srv" / name
        folder.mkdir(parents=True)
        shutil.chown(folder, 33, 33)
        storage = "" if name == "sync" else f"/{name}"
        (root / f"etc/syncd/{name}.json").write_text(CONFIGURATION % (storage, port, name, place_of_secret))
    (root / "etc/syncd/private").mkdir(mode=0o700)
    run(["chroot", str(root), "syncd", "generate-secret", "--out", "/etc/syncd/private/wp.secret"])
    run(["chroot", str(root), "syncd", "generate-secret", "--out", "/etc/syncd/two.secret"])
    drop_in = root / "etc/systemd/system/syncd.service.d"
    drop_in.mkdir()
    (drop_in / "test.conf").write_text(CREDENTIAL)
    machine = Machine(root)
    try:
        machine.boot()
        yield machine
    finally:
        machine.off()


@pytest.mark.parametrize("unit", ["syncd.service", "syncd@two.service"])
def test_the_units_are_right_and_hardened(machine: Machine, unit: str) -> None:
    said = machine.sh("systemd-analyze", "security", f"--threshold={MOST_EXPOSED}", "--no-pager", unit)
    exposure = re.search(r"exposure level for \S+: ([0-9.]+)", said)
    assert exposure is not None
    assert float(exposure[1]) * 10 <= MOST_EXPOSED
    shown = subprocess.run(
        ["chroot", str(machine.root), "systemd-analyze", "verify", f"/etc/systemd/system/{unit}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "syncd" not in shown.stderr, shown.stderr


def test_it_is_ready_when_it_says_so(machine: Machine) -> None:
    try:
        machine.sh("systemctl", "enable", "--now", "syncd")
    except CommandFailed:
        pytest.fail(machine.journal("syncd"), pytrace=False)
    # start returns after READY=1: the node answers at once
    assert "folder /srv/sync" in machine.sh("syncd", "status", "--config", "/etc/syncd/sync.json")
    state, kind, text, user = machine.show("syncd", "ActiveState", "Type", "StatusText", "User")
    assert (state, kind, text, user) == ("active", "notify", "running", "www-data")


def test_its_secret_is_a_credential(machine: Machine) -> None:
    assert "fingerprint=" in machine.journal("syncd")
    (pid,) = machine.show("syncd", "MainPID")
    assert machine.sh("ps", "-o", "user=", "-p", pid).strip() == "www-data"
    assert machine.sh("stat", "-c", "%U %a", "/etc/syncd/private/wp.secret").split() == ["root", "600"]


def test_several_nodes_by_the_template(machine: Machine) -> None:
    machine.sh("systemctl", "start", "syncd@two")
    assert "folder /srv/two" in machine.sh("syncd", "status", "--config", "/etc/syncd/two.json")
    assert machine.sh("stat", "-c", "%U %G %a", "/etc/syncd/two.secret").split() == ["root", "www-data", "640"]


def test_a_reload_is_told(machine: Machine) -> None:
    machine.sh("systemctl", "reload", "syncd")
    until(lambda: machine.show("syncd", "StatusText") == ["running"], "the reload is over", 30)
    assert machine.show("syncd", "ActiveState") == ["active"]


def test_a_node_that_hangs_is_started_anew(machine: Machine) -> None:
    (pid,) = machine.show("syncd", "MainPID")
    begun = time.monotonic()
    machine.sh("kill", f"-{signal.SIGSTOP.value}", pid)
    until(lambda: machine.show("syncd", "NRestarts") != ["0"], "the watchdog has bitten", 60)
    until(lambda: machine.show("syncd", "ActiveState") == ["active"], "it runs again", 60)
    assert time.monotonic() - begun >= WATCHDOG / 2
    assert machine.show("syncd", "MainPID") != [pid]
    assert "atchdog" in machine.journal("syncd")
    assert "folder /srv/sync" in machine.sh("syncd", "status", "--config", "/etc/syncd/sync.json")


def test_it_is_confined(machine: Machine) -> None:
    (pid,) = machine.show("syncd", "MainPID")
    inside = ["nsenter", "-t", pid, "-m", "--"]
    options = machine.sh(*inside, "findmnt", "--noheadings", "--output", "OPTIONS", "--target", "/usr").strip()
    assert "ro" in options.split(",")
    capabilities = machine.sh("grep", "CapEff", f"/proc/{pid}/status").split()
    assert capabilities == ["CapEff:", "0000000000000000"]


def test_it_stops(machine: Machine) -> None:
    machine.sh("systemctl", "stop", "syncd", "syncd@two")
    assert machine.show("syncd", "ActiveState", "Result") == ["inactive", "success"]
    assert "stopped" in machine.journal("syncd")
