"""A Docker engine of its own, started by hand, and everything of it gone afterwards."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

from tests.stack.waiting import patient, until

BASE = "debian:bookworm-slim"
LABEL = "syncd-stack"
START_DEADLINE = 60.0  # seconds
COMMAND_DEADLINE = 300.0
BUILD_DEADLINE = 500.0
# as the image of that name has them
_SLIM = (
    "force-unsafe-io",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/man/*",
)
_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")


class CommandFailed(Exception):
    """A command that had to succeed did not; the message has its output."""


def run(command: list[str], *, deadline: float = COMMAND_DEADLINE, **options: Any) -> str:
    """What a command prints. Raises CommandFailed, TimeoutExpired."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=patient(deadline), **options)
    if done.returncode:
        shown = f"{done.stdout[-2_000:]}\n{done.stderr[-2_000:]}".strip()
        raise CommandFailed(f"{' '.join(command)[:200]} -> {done.returncode}\n{shown}")
    return done.stdout


class Engine:
    """dockerd below `place`, which is reached by the usual command with `environment`."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.socket = f"unix://{place}/docker.sock"
        # the classic builder is in every engine and needs no plugin
        self.environment = {**os.environ, "DOCKER_HOST": self.socket, "DOCKER_BUILDKIT": "0", "ENGINE": "docker"}
        self._process: subprocess.Popen[bytes] | None = None
        self._forward = "0"

    def start(self) -> None:
        """Start it, with the base image that a machine without a registry cannot pull."""
        self.place.mkdir(parents=True, exist_ok=True)
        self._forward = _FORWARD.read_text()
        _FORWARD.write_text("1")  # else the engine does, and closes the firewall for everybody
        command = ["dockerd", "--data-root", f"{self.place}/data", "--exec-root", f"{self.place}/exec"]
        with (self.place / "dockerd.log").open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "-H", self.socket, "-p", f"{self.place}/docker.pid"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            until(self._answers, "the Docker engine answers", START_DEADLINE)
        except TimeoutError as error:
            tail = (self.place / "dockerd.log").read_text()[-2_000:]
            raise CommandFailed(f"{error}\n{tail}") from None
        if not self.docker("images", "--quiet", BASE).strip():
            self._import_base()

    def stop(self) -> None:
        """Remove its containers, end it, and take back what it did to the machine."""
        if self._process is None:
            return
        with contextlib.suppress(CommandFailed, subprocess.TimeoutExpired):
            if containers := self.docker("ps", "--all", "--quiet").split():
                self.docker("rm", "--force", "--volumes", *containers)
            self.docker("network", "prune", "--force")
            self.docker("volume", "prune", "--force")
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for link in re.findall(r"^(docker0|br-[0-9a-f]{12})\b", run(["ip", "-br", "link"]), re.MULTILINE):
            subprocess.run(["ip", "link", "del", link], capture_output=True, check=False)
        for table in ("nat", "filter"):
            _forget_rules(table)
        for mounted in (self.place / "exec/netns").glob("*"):
            subprocess.run(["umount", str(mounted)], capture_output=True, check=False)
        for group in Path("/sys/fs/cgroup").glob("*/docker"):
            with contextlib.suppress(OSError):
                group.rmdir()
        _FORWARD.write_text(self._forward)

    def docker(self, *arguments: str, deadline: float = COMMAND_DEADLINE) -> str:
        """What a docker command prints. Raises CommandFailed."""
        return run(["docker", *arguments], deadline=deadline, env=self.environment)

    def build(self, tag: str, dockerfile: str, context: Path | None = None, shares: int | None = None) -> None:
        """Build an image of the text of a Dockerfile. shares: as in --cpu-shares. Raises CommandFailed."""
        command = ["docker", "build", "--quiet", "-t", tag, *([] if shares is None else [f"--cpu-shares={shares}"])]
        where = ["-"] if context is None else ["-f", "-", str(context)]
        run([*command, *where], deadline=BUILD_DEADLINE, env=self.environment, input=dockerfile)

    def logs(self, name: str) -> str:
        """All that a container has said."""
        command = ["docker", "logs", name]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=self.environment
        )
        return done.stdout

    def _answers(self) -> bool:
        command = ["docker", "version", "--format", "{{.Server.Version}}"]
        return not subprocess.run(command, env=self.environment, capture_output=True, check=False).returncode

    def _import_base(self) -> None:
        archive = self.place / "base.tar"
        sources = "/etc/apt/sources.list.d/debian.sources"
        if not Path(sources).exists():
            sources = "/etc/apt/sources.list"
        settings = [f"--dpkgopt={setting}" for setting in _SLIM]
        if "https:" in Path(sources).read_text():
            settings.append("--include=ca-certificates")
        make = ["mmdebstrap", "--quiet", "--variant=minbase", *settings, "bookworm"]
        run([*make, str(archive), sources], deadline=BUILD_DEADLINE)
        self.docker("import", "--change", 'CMD ["/bin/bash"]', str(archive), BASE)
        archive.unlink()


def _forget_rules(table: str) -> None:
    """Rules and chains that the engine made, and nobody else's."""
    iptables = shutil.which("iptables") or "/usr/sbin/iptables"
    saved = subprocess.run([f"{iptables}-save", "-t", table], capture_output=True, text=True, check=False).stdout
    for line in saved.splitlines():
        if line.startswith("-A") and re.search(r"DOCKER|docker0|br-[0-9a-f]{12}", line):
            words = [word.strip('"') for word in line.split()]
            subprocess.run([iptables, "-t", table, "-D", *words[1:]], capture_output=True, check=False)
    for chain in re.findall(r"^:(DOCKER\S*)", saved, re.MULTILINE):
        subprocess.run([iptables, "-t", table, "-F", chain], capture_output=True, check=False)
    for chain in re.findall(r"^:(DOCKER\S*)", saved, re.MULTILINE):
        subprocess.run([iptables, "-t", table, "-X", chain], capture_output=True, check=False)
