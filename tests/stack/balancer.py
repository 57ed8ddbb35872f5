"""HAProxy as a process, with the configuration that is shipped."""

import csv
import os
import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.stack.engine import run
from tests.stack.waiting import until

CONFIGURATIONS = Path(__file__).parents[2] / "deploy/haproxy"


class Balancer:
    """place: for its certificate, socket and log. environment: as haproxy.env has it, without what lies in place."""

    def __init__(self, place: Path, environment: Mapping[str, str]) -> None:
        self.log = place / "haproxy.log"
        self.socket = place / "haproxy/admin.sock"  # in a directory that others are given
        self._process: subprocess.Popen[bytes] | None = None
        certificate = place / "site.pem"
        key, chain = place / "key.pem", place / "chain.pem"
        subject = ["-subj", f"/CN={environment['SITE_NAME']}", "-keyout", str(key), "-out", str(chain)]
        run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9", *subject])
        certificate.write_bytes(chain.read_bytes() + key.read_bytes())
        certificate.chmod(0o600)
        self.socket.parent.mkdir(mode=0o755)
        own = {"SITE_CERTIFICATE": str(certificate), "HAPROXY_SOCKET": str(self.socket), "HAPROXY_GROUP": "www-data"}
        self.environment = {**os.environ, **environment, **own}

    def start(self, name: str = "haproxy.cfg") -> None:
        """With one of the configurations that are shipped."""
        with self.log.open("ab") as log:
            command = ["haproxy", "-W", "-db", "-f", str(CONFIGURATIONS / name)]
            self._process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        until(self._answers, "HAProxy answers on its socket", 15)

    def reload(self) -> None:
        """As `systemctl reload haproxy` does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGUSR2)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def ask(self, command: str) -> str:
        """What it answers on its socket. Raises OSError."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(str(self.socket))
            sock.sendall(command.encode() + b"\n")
            parts = []
            while part := sock.recv(65_536):
                parts.append(part)
        return b"".join(parts).decode()

    def server(self, name: str, backend: str = "visitors") -> dict[str, str]:
        """The statistics of a server."""
        rows = csv.DictReader(self.ask("show stat").removeprefix("# ").splitlines())
        return next(row for row in rows if row["pxname"] == backend and row["svname"] == name)

    def up(self, name: str, backend: str = "visitors") -> bool:
        """Whether a server gets requests."""
        return self.server(name, backend)["status"].startswith("UP")

    def _answers(self) -> bool:
        try:
            return "Uptime" in self.ask("show info")
        except OSError:
            return False
