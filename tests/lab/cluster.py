"""Real daemons for tests: configuration, processes, waiting for events, comparing trees."""

import contextlib
import http.client
import json
import os
import secrets
import select
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from inotify_simple import INotify, flags

from protocol.keys import derive_read_only, generate_secret

START_DEADLINE = 60.0  # seconds until a daemon answers on its control socket
STOP_DEADLINE = 30.0
DEFAULT_DEADLINE = 120.0  # of what a test waits for: met only by a hang, however busy the machine is
STEP = 0.02  # seconds between two looks where no event tells
_OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
_PRIVILEGED = 1_024  # ports below it
_CHANGES = flags.CLOSE_WRITE | flags.MOVED_TO | flags.MOVED_FROM | flags.DELETE | flags.CREATE | flags.ATTRIB

PRIORITY = [
    {"class": "themes", "match": ["/themes/", "/mu-plugins/"]},
    {"class": "plugins", "match": ["/plugins/", "/languages/"]},
    {"class": "uploads", "match": ["*"]},
]


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        directory, name = os.path.split(self._path)
        place = os.open(directory or ".", os.O_PATH)  # temporary directories are longer than an address may be
        try:
            self.sock.connect(f"/proc/self/fd/{place}/{name}")
        finally:
            os.close(place)


def free_port() -> int:
    """A port that nobody listens on now, and that no outgoing connection gets while its daemon is down."""
    first = int(_OUTGOING.read_text().split()[0])
    while True:
        port = secrets.choice(range(_PRIVILEGED, first)) if first > 2 * _PRIVILEGED else 0
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return int(sock.getsockname()[1])


@dataclass
class Daemon:
    """One syncd process. prefix: a command before it, such as `ip netns exec NAME`."""

    base: Path
    secret: str
    known_hosts: list[str] = field(default_factory=list)
    address: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    options: dict[str, Any] = field(default_factory=dict)
    folder_options: dict[str, Any] = field(default_factory=dict)
    prefix: list[str] = field(default_factory=list)
    http: bool = False
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.base.mkdir(parents=True, exist_ok=True)
        self.tree = self.base / "tree"
        self.tree.mkdir(exist_ok=True)
        self.storage = self.base / "state"
        self.log = self.base / "log"
        self.http_port = free_port() if self.http else 0

    @property
    def endpoint(self) -> str:
        """host:port for known_hosts of others."""
        return f"{self.address}:{self.port}"

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.base / "sync.json"

    def write_config(self) -> None:
        """Write the configuration as it is now."""
        secret_file = self.base / "secret"
        secret_file.touch(mode=0o600)
        secret_file.write_text(self.secret)
        folder: dict[str, Any] = {
            "secret_file": str(secret_file),
            "dir": str(self.tree),
            "known_hosts": self.known_hosts,
            "publish_alone_after": 0.2,
            **self.folder_options,
        }
        config: dict[str, Any] = {
            "device_name": self.base.name,
            "listening_address": self.address,
            "listening_port": self.port,
            "storage_path": str(self.storage),
            "min_free": "0%",  # a test must not depend on how full the machine is
            "shared_folders": [folder],
            **self.options,
        }
        if self.http:
            config["http"] = {"listen": f"{self.address}:{self.http_port}"}
        self.config.write_text(json.dumps(config, indent=1))

    def refused(self) -> tuple[int, list[str]]:
        """Start a daemon that must not come up: its exit status and the lines it wrote."""
        before = self.log.stat().st_size if self.log.exists() else 0
        self.start(wait=False)
        assert self.process is not None
        status = self.process.wait(START_DEADLINE)
        return status, self.log.read_bytes()[before:].decode(errors="replace").splitlines()

    def start(self, *, wait: bool = True) -> "Daemon":
        """Start the process, and wait until it answers."""
        self.write_config()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", "syncd.cli", "--config", str(self.config)],
                stdout=log,
                stderr=log,
            )
        if wait:
            self.wait_started()
        return self

    def wait_started(self) -> None:
        """Return once the control socket of this run answers."""
        deadline = time.monotonic() + START_DEADLINE
        assert self.process is not None
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"syncd ended with {self.process.returncode}:\n{self.log_text()}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.get("/livez", deadline=5.0)
                return
            select.select([], [], [], STEP)
        raise AssertionError(f"syncd does not answer:\n{self.log_text()}")

    def get(self, path: str, *, deadline: float = 60.0, method: str = "GET") -> tuple[int, Any]:
        """(status, JSON) of a request to the control socket."""
        connection = UnixConnection(str(self.storage / "control.sock"), deadline)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def verb(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """What the command line of the node's user answers."""
        command = [*self.prefix, sys.executable, "-m", "syncd.cli", "--config", str(self.config), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEFAULT_DEADLINE)

    def status(self) -> dict[str, Any]:
        """The only folder's part of the status."""
        document: dict[str, Any] = self.get("/v1/status")[1]["folders"][0]
        return document

    def health(self, path: str) -> tuple[int, str]:
        """(status, reason) of a request to the health port, as a load balancer makes it."""
        connection = http.client.HTTPConnection(self.address, self.http_port, timeout=10.0)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, str(json.loads(response.read())["reason"])
        finally:
            connection.close()

    def peer(self, name: str) -> dict[str, Any]:
        """What the status says of the connected peer with that name."""
        found: dict[str, Any] = next((item for item in self.status()["peers"] if item["name"] == name), {})
        return found

    def problem(self, path: str) -> dict[str, str] | None:
        """The problem that the status lists for a path."""
        return next((item for item in self.status()["problems"] if item["path"] == path), None)

    @property
    def staging(self) -> list[Path]:
        """What lies in the staging."""
        places = [self.tree / ".syncd", *self.storage.glob("folders/*")]
        return [item for place in places if (place / "staging").is_dir() for item in (place / "staging").iterdir()]

    @property
    def archive(self) -> list[Path]:
        """What lies in the archive."""
        places = [self.tree / ".syncd", *self.storage.glob("folders/*")]
        return [item for place in places if (place / "archive").is_dir() for item in (place / "archive").iterdir()]

    def wait(self, *, state: str = "", ready: str = "", deadline: float = DEFAULT_DEADLINE) -> None:
        """Wait for a state, or for the class `ready` to be so."""
        query = {"state": state} if state else {"class": ready}
        query["timeout"] = str(deadline)
        code, answer = self.get(f"/v1/wait?{urlencode(query)}", deadline=deadline + 5)
        if code != 200:
            now = json.dumps(self.status(), indent=1)
            raise AssertionError(f"{self.base.name}: {query}: {answer}\n{now}\n{self.log_text()}")

    def wait_settled(self, deadline: float = DEFAULT_DEADLINE) -> None:
        """Wait until the index has published what it found."""
        end = time.monotonic() + deadline
        while not self.status()["settled"]:
            if time.monotonic() > end:
                raise AssertionError(f"{self.base.name} does not settle:\n{self.log_text()}")
            select.select([], [], [], 0.05)

    def rescan(self, deadline: float = DEFAULT_DEADLINE) -> None:
        """A full scan, to its end."""
        assert self.get("/v1/rescan", method="POST", deadline=deadline)[0] == 200

    def log_text(self) -> str:
        """The end of the log."""
        return self.log.read_text(errors="replace")[-4000:]

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(STOP_DEADLINE)

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        if self.process is None or self.process.poll() is not None:
            return 0 if self.process is None else self.process.returncode
        self.process.terminate()
        try:
            return self.process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"syncd does not stop:\n{self.log_text()}") from None


class Cluster:
    """Daemons that share a secret; a context manager that ends them."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.secret = generate_secret(secrets.token_bytes(32))
        self.daemons: list[Daemon] = []

    def add(self, name: str, *, knows: list[Daemon] | None = None, read_only: bool = False, **options: Any) -> Daemon:
        """A daemon that is not started yet."""
        secret = derive_read_only(self.secret) if read_only else self.secret
        hosts = [daemon.endpoint for daemon in knows or []]
        daemon = Daemon(self.base / name, secret, hosts, **options)
        self.daemons.append(daemon)
        return daemon

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *error: object) -> None:
        for daemon in self.daemons:
            if daemon.log.exists():  # shown by pytest if the test failed
                print(f"--- log of {daemon.base.name}\n{daemon.log_text()}")
            with contextlib.suppress(ProcessLookupError):
                if daemon.process is not None and daemon.process.poll() is None:
                    daemon.process.kill()
                    daemon.process.wait()

    def converge(self, *, deadline: float = DEFAULT_DEADLINE) -> None:
        """Let all daemons look at their disks, then wait until they are in sync with one root."""
        end = time.monotonic() + deadline
        for daemon in self.daemons:
            daemon.rescan()
        while True:
            for daemon in self.daemons:
                daemon.wait(state="in-sync", deadline=max(1.0, end - time.monotonic()))
            seen = [daemon.status() for daemon in self.daemons]
            if len({item["root"] for item in seen}) == 1 and all(item["state"] == "in-sync" for item in seen):
                return
            if time.monotonic() > end:
                raise AssertionError(f"no convergence: {seen}")


def snapshot(tree: Path) -> dict[bytes, tuple[Any, ...]]:
    """{path: what it is} of a tree of any depth, without `.syncd`: kind, mode, mtime (ns), bytes or target.

    Where something is replaced or goes while it is looked at, all is looked at again.
    """
    while True:
        try:
            return _snapshot(tree)
        except (FileNotFoundError, NotADirectoryError):
            os.stat(tree)


def _snapshot(tree: Path) -> dict[bytes, tuple[Any, ...]]:
    found: dict[bytes, tuple[Any, ...]] = {}
    stack = [b""]
    while stack:
        directory = stack.pop()
        fd = open_directory(tree, directory)
        try:
            for name in map(os.fsencode, os.listdir(fd)):
                path = directory + b"/" + name if directory else name
                if path == b".syncd":
                    continue
                found[path] = _entry(fd, name)
                if found[path][0] == "dir":
                    stack.append(path)
        finally:
            os.close(fd)
    return found


def differences(one: dict[bytes, tuple[Any, ...]], two: dict[bytes, tuple[Any, ...]]) -> list[str]:
    """Where two snapshots differ, without the bytes; empty if they are equal. For readable failures of big trees."""
    found = []
    for path in sorted(one.keys() | two.keys()):
        if one.get(path) != two.get(path):
            sides = [tuple(len(x) if isinstance(x, bytes) else x for x in side.get(path, ())) for side in (one, two)]
            found.append(f"{path!r}: {sides[0]} / {sides[1]}")
    return found


def open_directory(tree: Path, path: bytes = b"") -> int:
    """A descriptor of a directory below `tree`, for the caller to close; its path may be longer than PATH_MAX."""
    fd = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    names = path.split(b"/") if path else []
    for first in range(0, len(names), 8):
        step = os.open(b"/".join(names[first : first + 8]), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
        os.close(fd)
        fd = step
    return fd


def _entry(fd: int, name: bytes) -> tuple[Any, ...]:
    info = os.stat(name, dir_fd=fd, follow_symlinks=False)
    mode = info.st_mode & 0o7777
    if stat.S_ISLNK(info.st_mode):
        return ("link", info.st_mtime_ns, os.readlink(name, dir_fd=fd))
    if stat.S_ISDIR(info.st_mode):
        return ("dir", mode)
    if not stat.S_ISREG(info.st_mode):
        return ("special", stat.S_IFMT(info.st_mode))
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=fd)
    with open(file, "rb") as content:
        return ("file", mode, info.st_mtime_ns, content.read())


def await_file(path: Path, content: bytes | None, deadline: float = DEFAULT_DEADLINE) -> float:
    """Wait, by inotify on its directory, until the file has `content` (None: is gone); the seconds it took."""
    began = time.monotonic()

    def reached() -> bool:
        try:
            return path.read_bytes() == content
        except OSError:
            return content is None

    await_change(path.parent, reached, f"{path} did not become what it should", deadline)
    return time.monotonic() - began


def await_change(
    directory: Path, reached: Callable[[], bool], otherwise: str, deadline: float = DEFAULT_DEADLINE
) -> None:
    """Look, after every change in the directory itself, until it is so. otherwise: what to say at the deadline."""
    end = time.monotonic() + deadline
    with INotify() as watcher:
        watcher.add_watch(str(directory), _CHANGES)
        while not reached():
            left = end - time.monotonic()
            if left <= 0:
                raise AssertionError(otherwise)
            watcher.read(timeout=max(1, int(left * 1000)))


def await_condition(reached: Callable[[], bool], otherwise: str, deadline: float = DEFAULT_DEADLINE) -> None:
    """Look every 20 ms: for states of a daemon that no event tells of."""
    end = time.monotonic() + deadline
    while not reached():
        if time.monotonic() > end:
            raise AssertionError(otherwise)
        select.select([], [], [], STEP)
