"""A long cable between two hosts: every packet takes its time, and some are lost. Needs root and /dev/net/tun.

The kernel of a test machine need not have netem. So a process of its own carries Ethernet frames between two TAP
devices, one in each namespace: `python -m tests.lab.link`.
"""

import contextlib
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final, NamedTuple

from tests.lab.hosts import Host

DEVICE: Final = "/dev/net/tun"
QUEUE: Final = 4_096  # frames under way in each direction: 6 MB, at 50 ms one gigabit per second
_SET_INTERFACE: Final = 0x400454CA  # TUNSETIFF
_TAP_WITHOUT_HEADER: Final = 0x1002
_FRAME: Final = 65_536  # bytes: more than any frame has
_AT_ONCE: Final = 64  # frames read from one side before the other one's turn
_LONGEST_SLEEP: Final = 0.2  # seconds


class Nature(NamedTuple):
    """delay: seconds each way. loss: share of frames, 0 to 1. seed: of the chance that decides which."""

    delay: float
    loss: float
    seed: int = 1


class Link:
    """A context manager: `one` and `other` are connected by it. The addresses are new ones, such as 10.82.0.1/24.

    Each host gets its next interface, and the other one as its way to everywhere else.
    """

    def __init__(self, one: Host, its_address: str, other: Host, other_address: str, nature: Nature) -> None:
        self._hosts = ((one, its_address), (other, other_address))
        self._nature = nature
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Link":
        ends, taps = [], []
        for host, address in self._hosts:
            interface = f"eth{len(host.addresses)}"
            taps.append(host.inside(lambda interface=interface: _tap(interface)))  # type: ignore[misc]
            host.ip("addr", "add", address, "dev", interface)
            host.ip("link", "set", interface, "txqueuelen", "1000", "up")
            host.addresses.append(address.partition("/")[0])
            ends.append((host, host.addresses[-1]))
        for (host, _), (_, gateway) in zip(ends, reversed(ends), strict=True):
            host.ip("route", "add", "default", "via", gateway)
        values = [str(value) for value in (*taps, *self._nature)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.lab.link", *values], pass_fds=taps, stdin=subprocess.PIPE
        )
        for tap in taps:
            os.close(tap)
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()  # tells it to end
        self._process.wait()


def available() -> str | None:
    """Why there can be no such link on this machine, or None."""
    if not Path(DEVICE).exists():
        return f"{DEVICE} is missing"
    return None


def carry(taps: tuple[int, int], nature: Nature, end: threading.Event) -> None:
    """Carry frames between two TAP devices until `end`."""
    chance = random.Random(nature.seed)
    under_way: list[tuple[float, int, int, bytes]] = []  # due, number, side it goes to, frame
    waiting, number = [0, 0], 0
    while not end.is_set():
        now = time.monotonic()
        while under_way and under_way[0][0] <= now:
            _, _, side, frame = heapq.heappop(under_way)
            waiting[side] -= 1
            with contextlib.suppress(OSError):
                os.write(taps[side], frame)
        patience = min(_LONGEST_SLEEP, max(0.0, under_way[0][0] - time.monotonic())) if under_way else _LONGEST_SLEEP
        for tap in select.select(taps, [], [], patience)[0]:
            side = 1 - taps.index(tap)
            for frame in _frames(tap):
                if waiting[side] < QUEUE and chance.random() >= nature.loss:
                    number += 1
                    waiting[side] += 1
                    heapq.heappush(under_way, (time.monotonic() + nature.delay, number, side, frame))


def _frames(tap: int) -> list[bytes]:
    found: list[bytes] = []
    with contextlib.suppress(BlockingIOError):
        while len(found) < _AT_ONCE:
            found.append(os.read(tap, _FRAME))
    return found


def _tap(interface: str) -> int:
    fd = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, _SET_INTERFACE, struct.pack("16sH22x", interface.encode(), _TAP_WITHOUT_HEADER))
    return fd


def main() -> None:
    """taps, delay, loss and seed as arguments; ends when standard input does."""
    first, second, delay, loss, seed = sys.argv[1:]
    end = threading.Event()
    nature = Nature(float(delay), float(loss), int(seed))
    carrier = threading.Thread(target=carry, args=((int(first), int(second)), nature, end), daemon=True)
    carrier.start()
    sys.stdin.read()
    end.set()
    carrier.join()


if __name__ == "__main__":
    main()
