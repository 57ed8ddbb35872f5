"""The real HAProxy in front of pages of the test's own."""

import contextlib
import http.server
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.lab.cluster import await_condition, free_port

PROGRAM = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
needs_haproxy = pytest.mark.skipif(PROGRAM is None, reason="needs haproxy: apt install haproxy")

CONFIG = """
global
    stats socket {socket} mode 600 level admin
defaults
    mode http
    timeout connect 2s
    timeout client 20s
    timeout server 20s
    timeout check 2s
    option redispatch
    retries 3
frontend site
    bind 127.0.0.1:{port}
    default_backend site
backend site
    balance roundrobin
    option httpchk GET /
    http-check expect status 200
    http-check expect rstring <title>
    default-server inter 100ms fastinter 50ms downinter 100ms fall 2 rise 1
"""


class Page(http.server.BaseHTTPRequestHandler):
    """Says who answers."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Site)
        body = f"<title>{server.name}</title>".encode() if server.whole else b""
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


class Site(http.server.ThreadingHTTPServer):
    """A page of a node, as a context. whole: whether the page has anything on it."""

    daemon_threads = True

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.name = name
        self.whole = True
        self.port = int(self.server_address[1])
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> "Site":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Checks are cut off: that is how they end."""


class Balancer:
    """A running HAProxy. base: where its files lie. servers: lines of the backend."""

    def __init__(self, base: Path, servers: list[str]) -> None:
        base.mkdir(exist_ok=True)
        self.port = free_port()
        self.socket = base / "admin.sock"
        self.log = base / "haproxy.log"
        self._config = base / "haproxy.cfg"
        head = CONFIG.format(socket=self.socket, port=self.port)
        self._config.write_text(head + "".join(f"    {server}\n" for server in servers))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Balancer":
        assert PROGRAM is not None
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([PROGRAM, "-W", "-db", "-f", self._config], stdout=log, stderr=log)
        await_condition(self._answers, f"haproxy does not start:\n{self.log.read_text()}")
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(20)

    def reload(self) -> None:
        """Read the configuration anew, as `systemctl reload haproxy` does. It forgets what the socket was told."""
        assert self._process is not None
        before = self.ask("show info").split("Pid: ")[1].split()[0]
        self._process.send_signal(12)  # SIGUSR2, to the master
        await_condition(lambda: f"Pid: {before}\n" not in self._ask_quietly("show info"), "haproxy does not reload")

    def ask(self, line: str) -> str:
        """A command on the admin socket."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(20)
            sock.connect(str(self.socket))
            sock.sendall(f"{line}\n".encode())
            parts = []
            while part := sock.recv(65536):
                parts.append(part)
        return b"".join(parts).decode()

    def addresses(self) -> set[int]:
        """The ports of all servers that are not in maintenance."""
        lines = self.ask("show servers state site").splitlines()
        names = next(line[2:].split() for line in lines if line.startswith("# "))
        rows = [dict(zip(names, line.split(), strict=False)) for line in lines if line.count(" ") > 4]
        return {
            int(row["srv_port"]) for row in rows if row["srv_port"].isdecimal() and not int(row["srv_admin_state"]) & 1
        }

    def status(self, server: str) -> str:
        """As in the statistics: UP, DOWN (agent), DRAIN (agent), MAINT ..."""
        lines = self.ask("show stat").splitlines()
        names = lines[0].removeprefix("# ").split(",")
        rows = [dict(zip(names, line.split(","), strict=False)) for line in lines[1:] if line]
        return next(row["status"] for row in rows if (row["pxname"], row["svname"]) == ("site", server))

    def wait(self, server: str, *expected: str) -> None:
        """Until the server has one of these states."""
        await_condition(
            lambda: self.status(server) in expected, f"{server} is {self.status(server)!r}, not {expected}", 30
        )

    def get(self) -> tuple[int, str]:
        """A visitor's request: (status, who answered)."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", "/")
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def _ask_quietly(self, line: str) -> str:
        with contextlib.suppress(OSError):
            return self.ask(line)
        return ""

    def _answers(self) -> bool:
        return "Pid: " in self._ask_quietly("show info")


@contextlib.contextmanager
def visitors(balancer: Balancer, interval: float = 0.02) -> Iterator[list[tuple[int, str]]]:
    """Requests all the time, in a thread; their answers."""
    answers: list[tuple[int, str]] = []
    over = threading.Event()

    def visit() -> None:
        while not over.wait(interval):
            try:
                answers.append(balancer.get())
            except OSError as error:
                answers.append((0, str(error)))

    thread = threading.Thread(target=visit)
    thread.start()
    try:
        yield answers
    finally:
        over.set()
        thread.join()


def more_answers(answers: list[tuple[int, str]], number: int = 50) -> None:
    """Wait until so many more requests were answered."""
    target = len(answers) + number
    await_condition(lambda: len(answers) >= target, "visitors are not answered")


def seconds(began: float) -> float:
    """Since `began`."""
    return time.monotonic() - began
