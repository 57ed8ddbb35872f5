"""Two real nodes of this program on loopback for the demo: processes, configuration, and when something is reached."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Final

import click

from protocol.keys import generate_secret
from syncd.cli.client import Client, NotRunning
from syncd.cli.demo_site import PRIORITY
from syncd.cli.wording import clean
from syncd.config.errors import OperatorError

DEADLINE: Final = 60.0  # seconds for whatever is waited for
STEP: Final = 0.004  # seconds between two looks where nothing tells of a change
LOG_LINES: Final = 8  # of a node's log that an error shows
LOG_WIDTH: Final = 400  # characters of the end of each: a traceback names its cause last
_ADDRESS: Final = "127.0.0.1"
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DemoFailed(OperatorError):
    """Something did not happen in time, or a node died; the message says what."""


class Node:
    """One node. base: a directory of its own."""

    def __init__(self, base: str, name: str, secret: str, port: int, known_hosts: list[str]) -> None:
        self.name = name
        self.base = base
        self.tree = os.path.join(base, "wp-content")
        self.endpoint = f"{_ADDRESS}:{port}"
        self.process: subprocess.Popen[bytes] | None = None
        self._stopping = self._failed_once = False
        self._log = os.path.join(base, "log")
        os.makedirs(self.tree)
        config = os.path.join(base, "sync.json")
        _write_private(os.path.join(base, "secret"), secret)
        _write_private(config, json.dumps(_configuration(self, port, known_hosts), indent=2))
        self._client = Client(config)

    def start(self) -> None:
        """Start the process."""
        command = [sys.executable, "-m", "syncd.cli", "--config", self._client.config]
        with open(self._log, "ab") as log:
            # A session of its own: Ctrl-C is for the demo, which then stops its nodes.
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)  # noqa: S603

    def kill(self) -> None:
        """SIGKILL, if it runs."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def end(self) -> None:
        """The same for good: nothing of it is needed any more, so there is nothing to flush."""
        self._stopping = True
        self.kill()

    def ask(self, path: str, query: Mapping[str, str] | None = None, timeout: float = 0.0) -> dict[str, Any]:
        """A GET; waits until the node listens. Raises DemoFailed, OperatorError."""
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                return self._client.ask("GET", path, query, timeout).checked().body
            except NotRunning:
                if self.process is None or self.process.poll() is not None or time.monotonic() > deadline:
                    raise self._failed("does not run") from None
                time.sleep(STEP)

    def folder(self) -> dict[str, Any]:
        """What its status says of the folder."""
        found: dict[str, Any] = self.ask("/v1/status")["folders"][0]
        return found

    def wait(self, **query: str) -> float:
        """Wait for state=NAME or class=NAME; the moment (time.monotonic) at which the node said so."""
        try:
            self.ask("/v1/wait", {**query, "timeout": str(DEADLINE)}, DEADLINE)
        except DemoFailed:
            raise
        except OperatorError as error:
            raise self._failed(error.message) from None
        return time.monotonic()

    def _failed(self, why: str) -> DemoFailed:
        """Shows the end of the log too, which is gone soon; once, and not because the demo ends."""
        if not self._stopping and not self._failed_once:
            self._failed_once = True
            with open(self._log, encoding="utf-8", errors="replace") as file:
                for line in file.readlines()[-LOG_LINES:]:
                    click.echo(f"  {self.name}: {clean(line.rstrip()[-LOG_WIDTH:])}", err=True)
        return DemoFailed(f"the {self.name}: {why}", os.EX_SOFTWARE)


class Stage:
    """A directory with a primary and a secondary; a context manager that leaves neither processes nor files behind."""

    def __init__(self) -> None:
        self.base = ""
        self.nodes: list[Node] = []
        self._restore: dict[signal.Signals, Any] = {}
        self._uninterrupted = False
        self._pending: signal.Signals | None = None

    def __enter__(self) -> "Stage":
        for number in _SIGNALS:
            self._restore[number] = signal.signal(number, self._interrupt)
        with self.uninterrupted():
            self.base = tempfile.mkdtemp(prefix="syncd-demo-")
        ports = _free_ports(2)
        secret = generate_secret(os.urandom(32))
        for name, port in zip(("primary", "secondary"), ports, strict=True):
            known = [node.endpoint for node in self.nodes]
            self.nodes.append(Node(os.path.join(self.base, name), name, secret, port, known))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        try:
            for node in self.nodes:
                node.end()
        finally:
            shutil.rmtree(self.base, ignore_errors=True)
            for number, handler in self._restore.items():
                signal.signal(number, handler)
        if error is not None:
            click.echo("\nended early: both nodes are stopped, their directory is removed", err=True)

    def start(self, node: Node) -> None:
        """Start a node; no signal comes between the birth of the process and our knowing of it."""
        with self.uninterrupted():
            node.start()

    @contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """Signals that come meanwhile act at the end."""
        self._uninterrupted = True
        try:
            yield
        finally:
            self._uninterrupted = False
            if self._pending is not None:
                raise _stopped_by(self._pending)

    def _interrupt(self, number: int, _frame: FrameType | None) -> None:
        self._pending = signal.Signals(number)
        if not self._uninterrupted:
            raise _stopped_by(self._pending)


def until(what: str, reached: Callable[[], bool]) -> float:
    """Look again and again; the moment at which it was so. Raises DemoFailed at the deadline."""
    deadline = time.monotonic() + DEADLINE
    while not reached():
        if time.monotonic() > deadline:
            raise DemoFailed(f"{what} did not happen within {DEADLINE:.0f} s", os.EX_SOFTWARE)
        time.sleep(STEP)
    return time.monotonic()


def _stopped_by(number: signal.Signals) -> BaseException:
    return KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)


def _configuration(node: Node, port: int, known_hosts: list[str]) -> dict[str, Any]:
    folder = {
        "secret_file": os.path.join(node.base, "secret"),
        "dir": node.tree,
        "known_hosts": known_hosts,
        "priority": PRIORITY,
        "publish_alone_after": 0,
        "ready": {"alone_after": 0},
    }
    return {
        "device_name": node.name,
        "listening_address": _ADDRESS,
        "listening_port": port,
        "storage_path": os.path.join(node.base, "state"),
        "min_free": "0%",
        "shared_folders": [folder],
    }


def _write_private(path: str, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def _free_ports(number: int) -> list[int]:
    sockets = [socket.create_server((_ADDRESS, 0)) for _ in range(number)]
    try:
        return [int(sock.getsockname()[1]) for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()
