"""Hosts for tests: network namespaces with cables between them. Needs root and iproute2.

Nothing is made outside the namespaces, so that a network is gone when they are. Addresses exist in them only.
"""

import contextlib
import ctypes
import itertools
import os
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple, TypeVar

_T = TypeVar("_T")

COMMAND_DEADLINE = 30.0  # seconds
BURST = 128 * 1024  # bytes that a limited interface sends at once: more than the largest packet the kernel hands it
QUEUE_MS = 20  # longest wait in the queue of a limited interface, as in a router that keeps its buffers short
_CLONE_NEWNET = 0x40000000
_NAMESPACES = Path("/run/netns")
_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count(1)


class Counters(NamedTuple):
    """Bytes that passed an interface, link headers included."""

    received: int
    sent: int


class Host:
    """A host of a Network. prefix: put before a command that shall run on it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.namespace = f"syncd-{os.getpid()}-{next(_numbers)}-{name}"
        self.prefix = ["ip", "netns", "exec", self.namespace]
        self.addresses: list[str] = []  # without the prefix length, in the order of the interfaces eth0, eth1, ...

    @property
    def address(self) -> str:
        """The first address."""
        return self.addresses[0]

    def ip(self, *arguments: str) -> None:
        """An `ip` command for this host."""
        _run("ip", "-n", self.namespace, *arguments)

    def run(self, *command: str, deadline: float = COMMAND_DEADLINE) -> str:
        """What a command prints that runs on this host and must succeed."""
        return _run(*self.prefix, *command, deadline=deadline)

    def limit(self, rate: int, interface: str = "eth0") -> None:
        """Send at most `rate` bytes per second through an interface."""
        bucket = ["rate", f"{rate * 8}bit", "burst", str(BURST), "latency", f"{QUEUE_MS}ms"]
        _run("tc", "-n", self.namespace, "qdisc", "replace", "dev", interface, "root", "tbf", *bucket)

    def counters(self, interface: str = "eth0") -> Counters:
        """What has passed an interface so far."""
        directory = f"/sys/class/net/{interface}/statistics"
        return Counters(*map(int, self.run("cat", f"{directory}/rx_bytes", f"{directory}/tx_bytes").split()))

    def enter(self) -> None:
        """Move the calling thread to this host for good: for threads of one's own."""
        with (_NAMESPACES / self.namespace).open() as namespace:
            if _libc.setns(namespace.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")

    def inside(self, function: Callable[[], _T]) -> _T:
        """The result of a function that is called on this host; a socket that it makes stays there."""
        return self.begin(function).result()

    def begin(self, function: Callable[[], _T]) -> Future[_T]:
        """The same without waiting for it. Whoever calls this ends the function and asks for the result."""
        future: Future[_T] = Future()

        def work() -> None:
            try:
                self.enter()
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=work, name=self.namespace, daemon=True).start()
        return future


class Network:
    """A context manager that removes its hosts. Whatever runs on them must have ended by then."""

    def __init__(self) -> None:
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> "Network":
        return self

    def __exit__(self, *error: object) -> None:
        self._undo.close()

    def host(self, name: str) -> Host:
        """A host without any connection."""
        host = Host(name)
        _run("ip", "netns", "add", host.namespace)
        self._undo.callback(_run, "ip", "netns", "del", host.namespace)
        host.ip("link", "set", "lo", "up")
        return host

    def connect(self, one: Host, its_address: str, other: Host, other_address: str) -> None:
        """A cable between two hosts. The addresses are new ones, such as 10.81.0.1/24; each gets its next interface."""
        ends = [(host, f"eth{len(host.addresses)}") for host in (one, other)]
        (_, first), (_, second) = ends
        one.ip("link", "add", first, "type", "veth", "peer", "name", second, "netns", other.namespace)
        for (host, interface), address in zip(ends, (its_address, other_address), strict=True):
            host.ip("addr", "add", address, "dev", interface)
            host.ip("link", "set", interface, "up")
            host.addresses.append(address.partition("/")[0])

    def pair(self, *names: str) -> tuple[Host, Host]:
        """Two connected hosts, each other's way to everywhere else, so that what goes anywhere passes the cable."""
        one, other = map(self.host, names)
        self.connect(one, "10.81.0.1/24", other, "10.81.0.2/24")
        one.ip("route", "add", "default", "via", other.address)
        other.ip("route", "add", "default", "via", one.address)
        return one, other


def _run(*command: str, deadline: float = COMMAND_DEADLINE) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=deadline)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout
